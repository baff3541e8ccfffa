//! A tokenizer from nothing, in the form of umT5's: SentencePiece's unigram pieces of the captions
//! themselves, and the 256 bytes for whatever they do not spell.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::normalizers::unicode::NFKC;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::export::{Content, Export};
use crate::text::clean;
use crate::{Error, Result};

/// What every text encoder of this form knows first, by number.
const SPECIAL: [&str; 4] = ["<pad>", "</s>", "<s>", "<unk>"];
const UNKNOWN: usize = 3;
/// Bytes of text that a vocabulary can be learned from, at least.
const LEAST_TEXT: usize = 1000;
/// Letters of a word that is a piece.
const LONGEST: usize = 15;
const BYTES: usize = 256;
/// How likely a byte is, as a logarithm: less than any piece, so that it is the last resort.
const BYTE_SCORE: f64 = -30.0;

/// Learns `pieces` pieces at most, special ones and bytes included, of cleaned `texts`.
///
/// # Errors
/// Fewer than 300 pieces are asked for, more than umT5 has, or there is next to nothing to learn from.
pub fn tokenizer(texts: &[String], pieces: usize) -> Result<Export> {
    const LEAST: usize = 300;
    const MOST: usize = 256_384;
    if pieces < LEAST {
        return Err(Error::Input(format!(
            "a vocabulary of {pieces} is too small: {} are special or bytes; ask for at least {LEAST}",
            SPECIAL.len() + BYTES
        )));
    }
    if pieces > MOST {
        return Err(Error::Input(format!(
            "a vocabulary of {pieces} is too large: expected at most {MOST}, which is umT5's"
        )));
    }
    // The trainer's suffix array is not made for next to nothing.
    let letters: usize = texts.iter().map(String::len).sum();
    if letters < LEAST_TEXT {
        return Err(Error::Input(format!(
            "{letters} bytes of text are too few to learn a vocabulary from; give {LEAST_TEXT} at \
             least"
        )));
    }
    let make = || -> tokenizers::Result<String> {
        let trainer = UnigramTrainer::builder()
            .vocab_size((pieces - BYTES) as u32)
            .show_progress(false)
            .special_tokens(SPECIAL.map(|piece| AddedToken::from(piece, true)).into())
            .unk_token(Some(SPECIAL[UNKNOWN].to_owned()))
            .build()?;
        let mut trainer = TrainerWrapper::from(trainer);
        let mut learner = with_ends(Unigram::default())?;
        let texts: Vec<String> = texts.iter().map(|text| clean(text)).collect();
        learner.train(&mut trainer, texts.iter())?;
        let learned = serde_json::to_value(learner.get_model())?;
        let mut learned: Vec<(String, f64)> = serde_json::from_value(learned["vocab"].clone())?;
        add_words(&mut learned, &texts, pieces - BYTES);
        let byte = |byte: usize| (format!("<0x{byte:02X}>"), BYTE_SCORE);
        let vocabulary = learned.into_iter().chain((0..BYTES).map(byte)).collect();
        let mut tokenizer = with_ends(Unigram::from(vocabulary, Some(UNKNOWN), true)?)?;
        tokenizer.add_special_tokens(SPECIAL.map(|piece| AddedToken::from(piece, true)))?;
        tokenizer.to_string(true)
    };
    let text =
        make().map_err(|error| Error::Input(format!("no tokenizer was learned: {error}")))?;
    Ok(Export { file: "tokenizer.json", content: Content::Text(text) })
}

/// Puts the most frequent words in, half of all `pieces` at most. The trainer takes parts that
/// several words share, never a word that is no other's part: of a small language that is nearly
/// all of them.
fn add_words(learned: &mut Vec<(String, f64)>, texts: &[String], pieces: usize) {
    let mut counts = BTreeMap::<String, usize>::new();
    let words = texts.iter().flat_map(|text| text.split_whitespace());
    let words =
        words.map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_punctuation()));
    let mut total = 0.0;
    for word in words.filter(|word| (1..=LONGEST).contains(&word.chars().count())) {
        *counts.entry(format!("▁{word}")).or_default() += 1;
        total += 1.0;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(pieces / 2);
    learned.retain(|(piece, _)| counts.iter().all(|(word, _)| word != piece));
    // Parts make room, the rarest first; letters stay.
    while learned.len() + counts.len() > pieces {
        let part = learned.iter().rposition(|(piece, _)| {
            piece.chars().count() > 1 && !SPECIAL.contains(&piece.as_str())
        });
        let Some(part) = part else { break };
        learned.remove(part);
    }
    let words = counts.into_iter().map(|(word, count)| (word, (count as f64 / total).ln()));
    learned.extend(words.take(pieces.saturating_sub(learned.len())));
}

/// What is done before and after the pieces: words begin with ▁, a text ends with `</s>`.
fn with_ends(model: Unigram) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(model);
    let words = Metaspace::new('▁', PrependScheme::Always, true);
    let end = TemplateProcessing::builder()
        .try_single(format!("$A {}", SPECIAL[1]))?
        .special_tokens(vec![(SPECIAL[1].to_owned(), 1)])
        .build()?;
    tokenizer.with_normalizer(Some(NFKC))?;
    tokenizer.with_pre_tokenizer(Some(words.clone()));
    tokenizer.with_decoder(Some(words));
    tokenizer.with_post_processor(Some(end));
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Tokenizer;

    #[test]
    fn captions_are_a_few_pieces_and_everything_else_is_bytes() {
        let texts: Vec<String> = (0..200)
            .map(|i| {
                let color = ["red", "green", "blue"][i % 3];
                let kind = ["ball", "ring", "cloud of smoke", "球"][i % 4];
                format!("The background is transparent. A {color} {kind} that rises, take {i}")
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        tokenizer(&texts, 400).unwrap().write(folder.path()).unwrap();
        let learned = Tokenizer::open(&folder.path().join("tokenizer.json")).unwrap();
        let ids = |text: &str| learned.encode(text).unwrap().ids;
        let known = ids("A green ring that rises");
        assert!(known.len() == 6 && known.last() == Some(&1), "{known:?}");
        assert_ne!(known, ids("A red ring that rises"));
        // A letter that no caption has: its UTF-8 bytes, not the unknown piece.
        let strange = ids("ж");
        assert!(!strange.contains(&3) && strange.len() >= 3, "{strange:?}");
        assert!(strange.iter().chain(&known).all(|&id| id < 400));
        assert_eq!(ids(""), [1]);
        assert_eq!(ids("A green ring that rises"), known);

        let error = tokenizer(&texts, 100).unwrap_err().to_string();
        assert!(error.contains("at least 300"), "{error}");
        let error = tokenizer(&texts, 1_000_000).unwrap_err().to_string();
        assert!(error.contains("at most 256384"), "{error}");
        assert!(tokenizer(&[], 400).is_err());
    }
}

//! umT5's tokenizer: SentencePiece pieces from `tokenizer.json`, `spiece.model` or the text encoder's file,
//! at most as many as a model attends to.
//!
//! Ports `wan/modules/tokenizers.py:37` (`HuggingfaceTokenizer`).

use std::path::{Path, PathBuf};

use super::clean::clean;
use super::sentence_piece::{self, END};
use super::tokenizer_json;
use crate::weights::{ModelFiles, TokenizerContent};
use crate::{Error, Result, Watch};

/// Tokens that the released transformer was trained to attend to; shorter prompts are padded to it with
/// zeros. Other models say theirs in their `config.json`.
pub const TEXT_LENGTH: usize = 512;

/// A text encoder's embedding: a row for each piece.
pub const EMBEDDING: &str = "token_embedding.weight";

/// Rows of an embedding that no piece has, at most: umT5's has 256,384 for 256,300 pieces of its
/// `tokenizer.json`, or 256,000 of its `spiece.model`. Of another family's tokenizer more are left.
const MOST_UNUSED_ROWS: i64 = 1024;

/// A prompt as token ids, ending in `</s>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// 1 to as many ids as were asked for, without padding.
    pub ids: Vec<i64>,
    /// Where the prompt was cut, if it had more tokens: the last words that were kept, for a warning.
    pub cut_after: Option<String>,
}

/// umT5's tokenizer, as its file has it.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// Whether its map of characters is not its file's.
    lacks_map: bool,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, a `spiece.model`, or what a text encoder's weights have of either.
    ///
    /// # Errors
    /// The file cannot be read, or is of another form or of another kind of tokenizer.
    pub fn open(path: &Path) -> Result<Self> {
        let content = TokenizerContent::read(path)?;
        let lacks_map =
            matches!(&content, TokenizerContent::Gguf(lists) if lists.charsmap.is_empty());
        let read = match content {
            TokenizerContent::Json(bytes) => tokenizer_json::check(&bytes).and_then(|()| {
                tokenizers::Tokenizer::from_bytes(&bytes)
                    .map_err(|error| format!("not a tokenizer.json: {error}"))
            }),
            TokenizerContent::SentencePiece(bytes) => sentence_piece::of_model(&bytes)
                .map_err(|problem| format!("not SentencePiece's model of umT5: {problem}")),
            TokenizerContent::Gguf(lists) => sentence_piece::of_lists(lists)
                .map_err(|problem| format!("its tokenizer cannot be used: {problem}")),
        };
        let mut inner = read.map_err(|problem| Error::file(path, problem))?;
        // The file may carry the settings of whoever saved it; length is decided here.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Error::file(path, format!("not a tokenizer.json: {error}")))?;
        if inner.token_to_id(END).is_none() {
            return Err(Error::file(path, format!("has no piece `{END}`; it is not umT5's")));
        }
        Ok(Self { path: path.to_owned(), inner, lacks_map })
    }

    /// Reads the tokenizer of a text encoder whose [`EMBEDDING`] has this shape. What of it is not its file's
    /// `watch` is told.
    ///
    /// # Errors
    /// As [`Tokenizer::open`] and [`Tokenizer::check_fits`].
    pub fn of_encoder(path: &Path, embedding: &[i64], watch: &dyn Watch) -> Result<Self> {
        let tokenizer = Self::open(path)?;
        tokenizer.check_fits(embedding.first().copied().unwrap_or(0))?;
        if tokenizer.lacks_map {
            watch.warn(&format!(
                "{}: its tokenizer has no map of characters (`tokenizer.ggml.precompiled_charsmap`): \
                 SentencePiece's usual one stands in, and rare signs may become other tokens; umT5's \
                 tokenizer.json or spiece.model beside it counts instead",
                path.display()
            ));
        }
        Ok(tokenizer)
    }

    /// Reads a model's tokenizer; see [`Tokenizer::of_encoder`].
    ///
    /// # Errors
    /// As there.
    pub fn of_model(files: &ModelFiles, watch: &dyn Watch) -> Result<Self> {
        Self::of_encoder(&files.tokenizer, files.text.shape(EMBEDDING)?, watch)
    }

    /// Whether it can be the tokenizer of a text encoder whose embedding has so many rows.
    ///
    /// # Errors
    /// It has more pieces, or so few that it must be another model's: its ids would mean other words.
    pub fn check_fits(&self, rows: i64) -> Result<()> {
        let pieces = |with_added| self.inner.get_vocab_size(with_added) as i64;
        if pieces(false) <= rows && rows - pieces(true) <= MOST_UNUSED_ROWS {
            return Ok(());
        }
        Err(Error::file(
            &self.path,
            format!(
                "has {} pieces, but the text encoder's embedding has {rows} rows: expected as many, or up \
                 to {MOST_UNUSED_ROWS} fewer. It is another model's tokenizer: put the text encoder's own \
                 beside it (umT5's tokenizer.json or spiece.model)",
                pieces(true)
            ),
        ))
    }

    /// The same as the text of a `tokenizer.json`, for those who know no other form.
    ///
    /// # Errors
    /// It cannot be spelled.
    pub fn to_json(&self) -> Result<String> {
        let spelled = self.inner.to_string(false);
        spelled.map_err(|error| Error::file(&self.path, format!("cannot be written: {error}")))
    }

    /// Cleans and encodes a prompt for the released transformer, in at most [`TEXT_LENGTH`] tokens; the
    /// empty prompt is the single token `</s>`.
    ///
    /// # Errors
    /// The tokenizer cannot encode it.
    pub fn encode(&self, prompt: &str) -> Result<Tokens> {
        self.encode_at_most(prompt, TEXT_LENGTH)
    }

    /// The ids of a text of which nothing may be left out, in at most `most` tokens, `</s>` included.
    ///
    /// # Errors
    /// It has more; or as [`Tokenizer::encode`].
    pub fn encode_whole(&self, text: &str, most: usize) -> Result<Vec<i64>> {
        let Tokens { ids, cut_after } = self.encode_at_most(text, most)?;
        if cut_after.is_none() {
            return Ok(ids);
        }
        let begin: String = text.chars().take(40).collect();
        Err(Error::Input(format!(
            "the text “{begin}…” has more tokens than the transformer takes: the transformer takes {most} at \
             most (`text_length`, in a config.json `text_len`): shorten it"
        )))
    }

    /// Like [`Tokenizer::encode`], in at most `most` tokens, `</s>` included; 1 at least.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_at_most(&self, prompt: &str, most: usize) -> Result<Tokens> {
        let most = most.max(1);
        let text = clean(prompt);
        let encoding = self.inner.encode(text.as_str(), true).map_err(|error| {
            Error::file(&self.path, format!("cannot encode the prompt: {error}"))
        })?;
        let mut ids: Vec<i64> = encoding.get_ids().iter().map(|&id| id.into()).collect();
        let end = self.inner.token_to_id(END).map_or(1, i64::from);
        if ids.last() != Some(&end) {
            ids.push(end);
        }
        let mut cut_after = None;
        if ids.len() > most {
            let last = most.checked_sub(2).and_then(|last| encoding.get_offsets().get(last));
            let kept = last.map_or(0, |(_, end)| *end);
            let kept = text.get(..kept).unwrap_or(&text);
            let tail = kept.char_indices().rev().nth(39).map_or(0, |(at, _)| at);
            cut_after = Some(kept[tail..].to_owned());
            ids.truncate(most - 1);
            ids.push(end);
        }
        Ok(Tokens { ids, cut_after })
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    fn kept(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text").join(name)
    }

    #[derive(Default)]
    struct WarningList(Mutex<Vec<String>>);

    impl Watch for WarningList {
        fn warn(&self, message: &str) {
            self.0.lock().push(message.to_owned());
        }
    }

    #[test]
    fn lists_without_a_map_of_characters_are_told_in_one_line() {
        let whole = std::fs::read(kept("sentence_piece.gguf")).unwrap();
        let key = b"tokenizer.ggml.precompiled_charsmap";
        let place = whole.windows(key.len()).position(|bytes| bytes == key).unwrap();
        let mut without = whole.clone();
        without[place + key.len() - 1] = b'_';
        let folder = tempfile::tempdir().unwrap();
        for (bytes, lines) in [(whole, 0), (without, 1)] {
            let path = folder.path().join("umt5.gguf");
            std::fs::write(&path, bytes).unwrap();
            let said = WarningList::default();
            Tokenizer::of_encoder(&path, &[900, 8], &said).unwrap();
            let said = said.0.into_inner();
            assert_eq!(said.len(), lines, "{said:?}");
            let named =
                |line: &String| line.contains("umt5.gguf") && line.contains("no map of characters");
            assert!(said.iter().all(named), "{said:?}");
        }
    }

    /// The tokenizers have 1,100 and 900 pieces.
    #[test]
    fn a_tokenizer_of_another_model_is_refused_by_its_number_of_pieces() {
        for (file, pieces) in [("sentence_piece.model", 1100), ("sentence_piece.gguf", 900)] {
            let tokenizer = Tokenizer::open(&kept(file)).unwrap();
            for rows in [pieces, pieces + 384, pieces + 1024] {
                tokenizer.check_fits(rows).unwrap();
            }
            for rows in [pieces - 1, pieces + 1025, 256_384] {
                let text = tokenizer.check_fits(rows).unwrap_err().to_string();
                let words = [file, &format!("has {pieces} pieces"), &format!("{rows} rows")];
                assert!(words.iter().all(|word| text.contains(word)), "{text}");
                assert!(text.contains("another model's tokenizer"), "{text}");
            }
        }
    }
}

//! SentencePiece's models: a tokenizer made of a `spiece.model` or of the lists in a GGUF file.
//!
//! Ids are those of `SentencePiece` itself, bytes of letters without a piece included, as long as texts are
//! cleaned, which composes their letters; of two ways that are equally likely it may take the other. What is spelled
//! like a special piece (`</s>`, `<extra_id_0>`, `<0x41>`) becomes that piece, as a `tokenizer.json` has it,
//! which the model was trained with; `SentencePiece` would take it for letters.

mod charsmap;
mod proto;
mod usual_map;

use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Replace, Sequence};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::weights::GgufVocabulary;

/// The piece that ends every prompt.
pub(super) const END: &str = "</s>";

/// Why there is no tokenizer, without the file's name.
pub(super) type ParsedModel<T> = Result<T, String>;

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PieceKind {
    Normal,
    /// Stands for what has no piece.
    Unknown,
    /// Never in a text.
    Control,
    /// Always whole.
    UserDefined,
    /// Has a number and nothing else.
    Unused,
    /// A byte of what has no piece.
    Byte,
}

impl PieceKind {
    /// As files number it.
    fn of(number: i64) -> ParsedModel<Self> {
        Ok(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            other => return Err(format!("a piece is of kind {other}, of which 1 to 6 are known")),
        })
    }
}

/// Bytes of a piece at most. The tree that is built of pieces is taken down by a function that calls
/// itself once for each byte, and would leave the stack with one of a hundred thousand.
const LONGEST_PIECE: usize = 4096;

/// That a piece of so many bytes, the longest of a tokenizer, is not too long.
///
/// # Errors
/// It is.
pub(super) fn check_longest(longest: usize) -> ParsedModel<()> {
    if longest <= LONGEST_PIECE {
        return Ok(());
    }
    Err(format!(
        "a piece of it has {longest} bytes: expected at most {LONGEST_PIECE}; fetch the tokenizer of \
         google/umt5-xxl"
    ))
}

/// A model, whichever file it was in.
#[derive(Debug)]
struct Pieces {
    pieces: Vec<(String, f32, PieceKind)>,
    byte_fallback: bool,
    charsmap: Vec<u8>,
    /// Whether the usual map stands in for one that the file leaves out.
    lacks_map: bool,
    adds_prefix: bool,
    removes_blanks: bool,
}

/// The tokenizer of a `spiece.model`.
///
/// # Errors
/// It is none, is damaged, or of an algorithm other than unigram.
pub(super) fn of_model(bytes: &[u8]) -> ParsedModel<Tokenizer> {
    proto::read(bytes)?.tokenizer()
}

/// The tokenizer of a GGUF file's lists.
///
/// # Errors
/// As [`of_model`].
pub(super) fn of_lists(lists: GgufVocabulary) -> ParsedModel<Tokenizer> {
    let GgufVocabulary { pieces, scores, kinds, charsmap, adds_prefix, removes_blanks } = lists;
    let mut byte_fallback = false;
    let pieces = pieces.into_iter().zip(scores).zip(kinds).map(|((piece, score), kind)| {
        let kind = PieceKind::of(kind.into())?;
        byte_fallback |= kind == PieceKind::Byte;
        Ok((piece, score, kind))
    });
    let pieces = pieces.collect::<ParsedModel<_>>()?;
    // Some converters leave the map out.
    let lacks_map = charsmap.is_empty();
    Pieces { pieces, byte_fallback, charsmap, lacks_map, adds_prefix, removes_blanks }.tokenizer()
}

impl Pieces {
    fn tokenizer(self) -> ParsedModel<Tokenizer> {
        check_longest(self.pieces.iter().map(|(piece, ..)| piece.len()).max().unwrap_or(0))?;
        let of_kind = |kind: PieceKind| self.pieces.iter().position(|(_, _, found)| *found == kind);
        let unknown = of_kind(PieceKind::Unknown).ok_or("it has no piece for what is unknown")?;
        if let Some((piece, score, _)) = self.pieces.iter().find(|(_, score, _)| !score.is_finite())
        {
            return Err(format!("its piece `{piece}` has the score {score}"));
        }
        let end = self.pieces.iter().position(|(piece, _, _)| piece == END);
        let end = end.ok_or_else(|| format!("it has no piece `{END}`; it is not umT5's"))?;
        let special: Vec<AddedToken> = self
            .pieces
            .iter()
            .filter(|(_, _, kind)| {
                matches!(kind, PieceKind::Unknown | PieceKind::Control | PieceKind::UserDefined)
            })
            .map(|(piece, _, _)| AddedToken::from(piece.clone(), true))
            .collect();
        let normalizer = self.normalizer()?;
        let scheme = if self.adds_prefix { PrependScheme::Always } else { PrependScheme::Never };
        // Where pieces span several words, a text is not cut at blanks.
        let crosses = |piece: &str| piece.chars().skip(1).any(|c| c == '▁');
        let normal = |kind: PieceKind| kind == PieceKind::Normal;
        let cut = !self.pieces.iter().any(|(piece, _, kind)| normal(*kind) && crosses(piece));
        let vocabulary = self.pieces.into_iter().enumerate().map(|(id, (piece, score, kind))| {
            // No text has a zero byte, which ends texts for the normalizer.
            let piece = if kind == PieceKind::Unused { format!("\0{id}") } else { piece };
            let score = if normal(kind) { score } else { 0.0 };
            (piece, f64::from(score))
        });
        let (vocabulary, bytes) = (vocabulary.collect(), self.byte_fallback);
        let make = || -> tokenizers::Result<Tokenizer> {
            let mut tokenizer = Tokenizer::new(Unigram::from(vocabulary, Some(unknown), bytes)?);
            let blanks = Metaspace::new('▁', scheme, cut);
            let ends = TemplateProcessing::builder()
                .try_single(format!("$A {END}"))?
                .special_tokens(vec![(END.to_owned(), u32::try_from(end)?)])
                .build()?;
            tokenizer.with_normalizer(Some(normalizer))?;
            tokenizer.with_pre_tokenizer(Some(blanks.clone()));
            tokenizer.with_decoder(Some(blanks));
            tokenizer.with_post_processor(Some(ends));
            tokenizer.add_special_tokens(special)?;
            Ok(tokenizer)
        };
        make().map_err(|error| error.to_string())
    }

    /// The map of characters, then blanks.
    fn normalizer(&self) -> ParsedModel<Sequence> {
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if !self.charsmap.is_empty() {
            charsmap::check(&self.charsmap)?;
            let map = Precompiled::from(&self.charsmap).map_err(|error| error.to_string())?;
            steps.push(map.into());
        }
        if self.lacks_map {
            let normal = self.pieces.iter().filter(|(_, _, kind)| *kind == PieceKind::Normal);
            steps.extend(usual_map::steps(normal.map(|(piece, _, _)| piece.as_str()))?);
        }
        if self.removes_blanks {
            for (blanks, by) in [("^ +| +$", ""), (" {2,}", " ")] {
                let blanks = ReplacePattern::Regex(blanks.to_owned());
                let replaced = Replace::new(blanks, by).map_err(|error| error.to_string())?;
                steps.push(replaced.into());
            }
        }
        Ok(Sequence::new(steps))
    }
}

#[cfg(test)]
mod tests;

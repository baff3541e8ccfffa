//! The lists by which a GGUF file describes a tokenizer: pieces, their scores, what each is for.

#![forbid(unsafe_code)]

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::file_bytes::FileBytes;
use super::gguf::{HeaderReader, Parsed};
use crate::{Error, Result};

/// The algorithm of umT5, as files name it.
pub(super) const UNIGRAM: &str = "t5";

/// Pieces that a list has at most; umT5's has 256,384.
const MOST_PIECES: u64 = 1 << 21;
/// Bytes of all pieces together, and of a normalizer's map.
const MOST_BYTES: u64 = 1 << 27;

/// A tokenizer's lists, of one length each.
#[derive(Debug, Default, PartialEq)]
pub struct GgufVocabulary {
    /// What is cut out of texts.
    pub pieces: Vec<String>,
    /// How likely each is, as a logarithm.
    pub scores: Vec<f32>,
    /// What each is for, as `SentencePiece` numbers it.
    pub kinds: Vec<i32>,
    /// `SentencePiece`'s normalizer, compiled; empty for none.
    pub charsmap: Vec<u8>,
    /// Whether a text begins with a blank that it has not.
    pub adds_prefix: bool,
    /// Whether runs of blanks count as one.
    pub removes_blanks: bool,
}

impl GgufVocabulary {
    pub(super) fn identity(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ((piece, score), kind) in self.pieces.iter().zip(&self.scores).zip(&self.kinds) {
            bytes.extend((piece.len() as u64).to_le_bytes());
            bytes.extend(piece.as_bytes());
            bytes.extend(score.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
        }
        bytes.extend([self.adds_prefix, self.removes_blanks].map(u8::from));
        bytes.extend(&self.charsmap);
        bytes
    }
}

/// Reads the lists of a file.
///
/// # Errors
/// It is damaged, has no lists, or they are not of one length.
pub(super) fn read(path: &Path) -> Result<GgufVocabulary> {
    let file = FileBytes::open(path)?;
    let mut source = file.file();
    source.seek(SeekFrom::Start(4)).map_err(Error::io("read", path))?;
    let reader = BufReader::with_capacity(1 << 16, source);
    let mut header = HeaderReader { reader, place: 4, end: file.len() };
    lists(&mut header).map_err(|problem| {
        Error::file(
            path,
            format!(
                "has no tokenizer that can be read ({problem}); put umT5's \
             tokenizer.json or spiece.model beside it"
            ),
        )
    })
}

fn lists<R: Read>(header: &mut HeaderReader<R>) -> Parsed<GgufVocabulary> {
    let (_version, _tensors, remarks) = (header.u32()?, header.u64()?, header.u64()?);
    let mut lists =
        GgufVocabulary { adds_prefix: true, removes_blanks: true, ..GgufVocabulary::default() };
    let mut model = None;
    for _ in 0..remarks {
        let (key, kind) = (header.text()?, header.u32()?);
        match (key.strip_prefix("tokenizer.ggml."), kind) {
            (Some("model"), 8) => model = header.value(kind, 0)?,
            (Some("tokens"), 9) => lists.pieces = pieces(header)?,
            (Some("scores"), 9) => {
                lists.scores = numbers(header, &[6], MOST_PIECES, f32::from_le_bytes)?;
            }
            (Some("token_type"), 9) => {
                lists.kinds = numbers(header, &[4, 5], MOST_PIECES, i32::from_le_bytes)?;
            }
            (Some("precompiled_charsmap"), 9) => {
                lists.charsmap = numbers(header, &[0, 1], MOST_BYTES, |[byte]| byte)?;
            }
            (Some("add_space_prefix"), 7) => lists.adds_prefix = header.bytes::<1>()? != [0],
            (Some("remove_extra_whitespaces"), 7) => {
                lists.removes_blanks = header.bytes::<1>()? != [0];
            }
            _ => {
                header.value(kind, 0)?;
            }
        }
    }
    if model.as_deref() != Some(UNIGRAM) {
        let model = model.as_deref().unwrap_or("none");
        return Err(format!("its tokenizer is of the kind `{model}`, expected `{UNIGRAM}`"));
    }
    let lengths = [lists.pieces.len(), lists.scores.len(), lists.kinds.len()];
    if lengths[0] == 0 || lengths.iter().any(|&length| length != lengths[0]) {
        let [pieces, scores, kinds] = lengths;
        return Err(format!("it lists {pieces} pieces, {scores} scores and {kinds} kinds"));
    }
    Ok(lists)
}

fn count<R: Read>(header: &mut HeaderReader<R>, kinds: &[u32], most: u64) -> Parsed<u64> {
    let (kind, count) = (header.u32()?, header.u64()?);
    if !kinds.contains(&kind) {
        return Err(format!("a list is of kind {kind}, expected {kinds:?}"));
    }
    if count > most {
        return Err(format!("a list is {count} long"));
    }
    Ok(count)
}

fn pieces<R: Read>(header: &mut HeaderReader<R>) -> Parsed<Vec<String>> {
    let count = count(header, &[8], MOST_PIECES)?;
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for _ in 0..count {
        let piece = header.text()?;
        bytes += piece.len() as u64;
        if bytes > MOST_BYTES {
            return Err("its pieces are too long".to_owned());
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

fn numbers<R: Read, T, const N: usize>(
    header: &mut HeaderReader<R>,
    kinds: &[u32],
    most: u64,
    number: fn([u8; N]) -> T,
) -> Parsed<Vec<T>> {
    let count = count(header, kinds, most)?;
    // Not made as long as a header says before the numbers are there.
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(number(header.bytes()?));
    }
    Ok(numbers)
}

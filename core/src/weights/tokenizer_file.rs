//! The file that a text encoder's tokenizer lies in: a `tokenizer.json`, SentencePiece's own
//! `spiece.model`, or the text encoder's weights, which have one of the two within (`ComfyUI`'s tensor
//! `spiece_model`, GGUF's lists).

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::file::TensorFile;
use super::gguf_vocabulary::GgufVocabulary;
use super::single_candidate::single_tokenizer;
use super::{gguf, gguf_vocabulary};
use crate::{Error, Result};

/// The tensor that holds a `spiece.model`, byte by byte.
const TENSOR: &str = "spiece_model";
/// The remark that says which algorithm a GGUF file's lists are for.
const GGUF_MODEL: &str = "tokenizer.ggml.model";
/// Bytes that a tokenizer has at most; umT5's has 17 million as JSON.
const MOST_BYTES: u64 = 1 << 28;

/// What a tokenizer is made of.
pub enum TokenizerContent {
    /// The text of a `tokenizer.json`.
    Json(Vec<u8>),
    /// The bytes of a `spiece.model`.
    SentencePiece(Vec<u8>),
    /// The lists of a GGUF file.
    Gguf(GgufVocabulary),
}

impl TokenizerContent {
    /// Reads what is in a file, whichever of the forms it is.
    ///
    /// # Errors
    /// It cannot be read, is too long, or is a file of weights without a tokenizer.
    pub fn read(path: &Path) -> Result<Self> {
        let mut begin = [0; 4];
        let open = fs::File::open(path).map_err(Error::io("open", path))?;
        let count = (&open).read(&mut begin).map_err(Error::io("read", path))?;
        if &begin[..count] == gguf::MAGIC {
            return gguf_vocabulary::read(path).map(Self::Gguf);
        }
        if is_weights(path) {
            let file = TensorFile::open(path)?;
            return Ok(Self::SentencePiece(tensor_bytes(&file)?));
        }
        let length = open.metadata().map_err(Error::io("read", path))?.len();
        if length > MOST_BYTES {
            return Err(Error::file(path, format!("is {length} bytes long: no tokenizer is")));
        }
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let is_json = path.extension() == Some(OsStr::new("json")) || bytes.starts_with(b"{");
        Ok(if is_json { Self::Json(bytes) } else { Self::SentencePiece(bytes) })
    }

    /// What tells one tokenizer from another, in a fingerprint.
    pub(super) fn identity(&self) -> Vec<u8> {
        match self {
            Self::Json(bytes) | Self::SentencePiece(bytes) => bytes.clone(),
            Self::Gguf(vocabulary) => vocabulary.identity(),
        }
    }
}

fn is_weights(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ["safetensors", "sft", "pth", "pt", "bin", "ckpt"].contains(&&*ending)
}

/// The bytes of the tensor that holds a `spiece.model`.
fn tensor_bytes(file: &TensorFile) -> Result<Vec<u8>> {
    let entry = file.entry(TENSOR).ok_or_else(|| {
        Error::file(file.path(), format!("has no tokenizer in it (no tensor `{TENSOR}`)"))
    })?;
    if entry.kind != tch::Kind::Uint8 || entry.bytes() > MOST_BYTES {
        return Err(Error::Tensor {
            path: file.path().to_owned(),
            name: TENSOR.to_owned(),
            expected: "the bytes of a spiece.model, uint8".to_owned(),
            found: format!("{:?} {:?}", entry.kind, entry.shape),
        });
    }
    let mut bytes = Vec::with_capacity(entry.bytes() as usize);
    file.each_chunk(TENSOR, |chunk| bytes.extend_from_slice(chunk))?;
    Ok(bytes)
}

/// The tokenizer's file of a model: a `tokenizer.json`, else a `spiece.model`, else the file of the text
/// encoder that has one within.
///
/// # Errors
/// There are several, and nothing says which is umT5's.
pub(super) fn choose(
    jsons: Vec<PathBuf>,
    sentence_pieces: Vec<PathBuf>,
    texts: &[&TensorFile],
) -> Result<Option<PathBuf>> {
    if let Some(json) = single_tokenizer(jsons)? {
        return Ok(Some(json));
    }
    if let Some(sentence_piece) = single_tokenizer(sentence_pieces)? {
        return Ok(Some(sentence_piece));
    }
    let within = |file: &TensorFile| {
        file.entry(TENSOR).is_some()
            || (file.is_gguf() && file.metadata(GGUF_MODEL) == Some(gguf_vocabulary::UNIGRAM))
    };
    Ok(texts.iter().find(|file| within(file)).map(|file| file.path().to_owned()))
}

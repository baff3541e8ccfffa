//! umT5's tokenizer: SentencePiece pieces from `tokenizer.json`, `spiece.model` or the text encoder's file,
//! at most as many as a model attends to.
//!
//! Ports `wan/modules/tokenizers.py:37` (`HuggingfaceTokenizer`).

use std::path::{Path, PathBuf};

use super::clean::clean;
use super::sentence_piece::{self, END};
use crate::weights::TokenizerContent;
use crate::{Error, Result};

/// Tokens that the released transformer was trained to attend to; shorter prompts are padded to it with
/// zeros. Other models say theirs in their `config.json`.
pub const TEXT_LENGTH: usize = 512;

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
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, a `spiece.model`, or what a text encoder's weights have of either.
    ///
    /// # Errors
    /// The file cannot be read, or is of another form.
    pub fn open(path: &Path) -> Result<Self> {
        let read = match TokenizerContent::read(path)? {
            TokenizerContent::Json(bytes) => tokenizers::Tokenizer::from_bytes(&bytes)
                .map_err(|error| format!("not a tokenizer.json: {error}")),
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
        Ok(Self { path: path.to_owned(), inner })
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

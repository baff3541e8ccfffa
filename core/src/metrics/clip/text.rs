//! The half of CLIP that reads: a text's pieces, of which the last has seen all.

use std::path::{Path, PathBuf};

use tch::Tensor;
use tokenizers::Tokenizer;

use super::config::ClipConfig;
use super::{odd, projected};
use crate::clip_tower::{Norm, Tower};
use crate::linear::Linear;
use crate::weights::Weights;
use crate::{Error, Result};

/// The piece that ends every text; its place holds the text's features.
const END: &str = "<|endoftext|>";

/// The half that reads.
#[derive(Debug)]
pub(super) struct Text {
    tokenizer: Tokenizer,
    path: PathBuf,
    end: u32,
    /// The embedding of each token, `[vocabulary, w]`.
    tokens: Tensor,
    /// What is added at each place, `[length, w]`.
    positions: Tensor,
    tower: Tower,
    after: Norm,
    projection: Linear,
    length: usize,
}

impl Text {
    pub(super) fn load(weights: &Weights, config: &ClipConfig, tokenizer: &Path) -> Result<Self> {
        let model = weights.sub("text_model");
        let embeddings = model.sub("embeddings");
        let &[vocabulary, width] = embeddings.shape("token_embedding.weight")? else {
            return Err(odd(&embeddings, "token_embedding.weight"));
        };
        let &[length, _] = embeddings.shape("position_embedding.weight")? else {
            return Err(odd(&embeddings, "position_embedding.weight"));
        };
        let other = |error| Error::file(tokenizer, format!("not a tokenizer.json: {error}"));
        let bytes = std::fs::read(tokenizer).map_err(Error::io("read", tokenizer))?;
        let mut pieces = Tokenizer::from_bytes(&bytes).map_err(other)?;
        // The file may carry the settings of whoever saved it; length is decided here.
        pieces.with_padding(None).with_truncation(None).map_err(other)?;
        let end = pieces.token_to_id(END).ok_or_else(|| {
            Error::file(tokenizer, format!("has no piece `{END}`; it is not CLIP's"))
        })?;
        if pieces.get_vocab_size(true) as i64 > vocabulary {
            return Err(Error::file(
                tokenizer,
                format!(
                    "has {} pieces, but the model beside it knows {vocabulary}: they are not of one \
                     model",
                    pieces.get_vocab_size(true)
                ),
            ));
        }
        let output = projected(weights, "text_projection", width)?;
        let tower = config.text();
        let eps = tower.eps;
        Ok(Self {
            tokenizer: pieces,
            path: tokenizer.to_owned(),
            end,
            tokens: embeddings.get("token_embedding.weight", &[vocabulary, width])?,
            positions: embeddings.get("position_embedding.weight", &[length, width])?,
            tower: Tower::load(&model.sub("encoder"), width, &tower)?,
            after: Norm::load(&model.sub("final_layer_norm"), width, eps)?,
            projection: Linear::load(&weights.sub("text_projection"), width, output)?,
            length: length as usize,
        })
    }

    /// Ids up to the end, and whether some were cut.
    pub(super) fn encode(&self, text: &str) -> Result<(Vec<i64>, bool)> {
        let encoding = self.tokenizer.encode(text, true).map_err(|error| {
            Error::file(&self.path, format!("cannot encode the prompt: {error}"))
        })?;
        let ids = encoding.get_ids();
        // Behind the first of these nothing is looked at.
        let whole = ids.iter().position(|id| *id == self.end).unwrap_or(ids.len());
        let kept = whole.min(self.length.saturating_sub(1));
        let kept_ids = ids[..kept].iter().map(|id| i64::from(*id));
        Ok((kept_ids.chain([i64::from(self.end)]).collect(), kept < whole))
    }

    /// `[tokens]`, the end last, → `[1, d]`
    pub(super) fn forward(&self, ids: &[i64]) -> Result<Tensor> {
        let count = ids.len() as i64;
        let ids = Tensor::f_from_slice(ids)?.f_to_device(self.tokens.device())?;
        let x = self.tokens.f_index_select(0, &ids)?;
        let x = x.f_add(&self.positions.f_narrow(0, 0, count)?)?.f_unsqueeze(0)?;
        let x = self.after.forward(&self.tower.forward(&x, true)?)?;
        self.projection.forward(&x.f_select(1, -1)?)
    }
}

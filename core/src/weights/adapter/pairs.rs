//! An adapter as pairs of matrices under the original names of layers: for handing it on.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{Adapter, AdapterKind, Change};
use crate::weights::file::TensorFile;
use crate::{Error, Result};

/// What a DoRA or a LoRA does to one layer: names in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowRankPair {
    /// The layer's original name, such as `blocks.0.self_attn.q`.
    pub module: String,
    /// A, `[rank, in]`.
    pub down: String,
    /// B, `[out, rank]`.
    pub up: String,
    /// The magnitude of a DoRA, as many numbers as there are rows.
    pub magnitude: Option<String>,
}

impl Adapter {
    /// The low-rank pairs of a transformer's adapter, whichever model it is for.
    ///
    /// # Errors
    /// It has something else than pairs and magnitudes, or half a pair.
    pub(in crate::weights) fn pairs(file: Arc<TensorFile>) -> Result<Vec<LowRankPair>> {
        let adapter = Self::unchecked(AdapterKind::Dora, file.clone(), 1.0)?;
        if let Some(raw) = adapter.unmatched.first() {
            let problem = format!("`{raw}` changes no layer of a transformer that is known");
            return Err(Error::file(file.path(), problem));
        }
        let pair = |(name, change): (&String, &Change)| match change {
            Change {
                down: Some(down),
                up: Some(up),
                magnitude,
                alpha: None,
                difference: None,
                up_bias: None,
            } => {
                let module = name.trim_end_matches(".weight").to_owned();
                let (down, up) = (down.clone(), up.clone());
                Ok(LowRankPair { module, down, up, magnitude: magnitude.clone() })
            }
            _ => Err(Error::file(
                file.path(),
                format!(
                    "what it does to `{name}` is no DoRA: expected lora_A, lora_B and a magnitude"
                ),
            )),
        };
        adapter.changes.iter().map(pair).collect()
    }
}

//! Further LoRAs of a request: which, how strong, in which order.

use serde::{Deserialize, Serialize};

use super::error::{RequestError, require, within};
use super::is_name;
use crate::digest::Fingerprint;
use crate::rounding::to_millionths;

/// A LoRA of the transformer beside those that belong to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSource {
    /// What it is called here; a name and not a path, up to 255 bytes. No part of the key.
    pub name: String,
    /// The LoRA itself: a hash of its tensors, as a model's.
    pub fingerprint: Fingerprint,
    /// How strongly it is merged, −10 to 10; 1 is as trained.
    pub strength: f64,
}

impl LoraSource {
    /// How many a request may have.
    pub const MOST: usize = 64;

    pub(super) fn rounded(self) -> Self {
        Self { strength: to_millionths(self.strength), ..self }
    }

    /// Whether a request can have these.
    pub(super) fn check(loras: &[Self]) -> Result<(), RequestError> {
        require(
            loras.len() <= Self::MOST,
            "the number of LoRAs",
            loras.len(),
            format!("at most {}", Self::MOST),
            "merge some of them beforehand",
        )?;
        for (index, lora) in loras.iter().enumerate() {
            require(
                is_name(&lora.name),
                format!("the name of LoRA {}", index + 1),
                format_args!("{:?}", lora.name.chars().take(80).collect::<String>()),
                "a name, up to 255 bytes: no path, no leading dot",
                "use the name of a LoRA that was added",
            )?;
            let field = format!("the strength of LoRA {}", lora.name);
            within(-10.0..=10.0, field, lora.strength, "1 is as trained, 0 is without it")?;
        }
        Ok(())
    }
}

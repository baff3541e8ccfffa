//! What CLIP's shapes do not tell: `config.json` as Hugging Face writes it, which leaves out what is
//! as in the first model.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ClipConfig {
    model_type: String,
    #[serde(rename = "vision_config")]
    pub(super) vision: VisionConfig,
    #[serde(rename = "text_config")]
    pub(super) text: TextConfig,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct VisionConfig {
    pub(super) image_size: i64,
    pub(super) layer_norm_eps: f64,
    num_attention_heads: i64,
    hidden_act: Activation,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct TextConfig {
    pub(super) layer_norm_eps: f64,
    num_attention_heads: i64,
    hidden_act: Activation,
}

/// Between the two layers of an MLP.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activation {
    /// x·σ(1.702·x)
    QuickGelu,
    /// Exact.
    Gelu,
}

/// What a tower needs to know.
pub(super) struct TowerConfig {
    pub(super) heads: i64,
    pub(super) activation: Activation,
    pub(super) eps: f64,
}

impl Default for VisionConfig {
    fn default() -> Self {
        let (layer_norm_eps, hidden_act) = (1e-5, Activation::QuickGelu);
        Self { image_size: 224, layer_norm_eps, num_attention_heads: 12, hidden_act }
    }
}

impl Default for TextConfig {
    fn default() -> Self {
        let (layer_norm_eps, hidden_act) = (1e-5, Activation::QuickGelu);
        Self { layer_norm_eps, num_attention_heads: 8, hidden_act }
    }
}

impl VisionConfig {
    pub(super) fn tower(&self) -> TowerConfig {
        let Self { num_attention_heads: heads, hidden_act: activation, .. } = *self;
        TowerConfig { heads, activation, eps: self.layer_norm_eps }
    }
}

impl TextConfig {
    pub(super) fn tower(&self) -> TowerConfig {
        let Self { num_attention_heads: heads, hidden_act: activation, .. } = *self;
        TowerConfig { heads, activation, eps: self.layer_norm_eps }
    }
}

impl ClipConfig {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|error| Error::file(path, format!("not a config.json of CLIP: {error}")))?;
        if config.model_type != "clip" {
            return Err(Error::file(
                path,
                format!(
                    "is of a model of the type `{}`: expected `clip`, such as \
                     openai/clip-vit-large-patch14",
                    config.model_type
                ),
            ));
        }
        Ok(config)
    }
}

//! What CLIP's shapes do not tell: `config.json` as Hugging Face writes it, which leaves out what is
//! as in the first model.

use std::path::Path;

use serde::Deserialize;

use crate::clip_tower::{Activation, TowerConfig};
use crate::{Error, Result};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ClipConfig {
    model_type: String,
    vision_config: Half,
    text_config: Half,
}

/// The half that sees, or the one that reads.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Half {
    /// Of the half that sees.
    image_size: i64,
    layer_norm_eps: f64,
    num_attention_heads: Option<i64>,
    hidden_act: Activation,
}

impl Default for Half {
    fn default() -> Self {
        let (layer_norm_eps, hidden_act) = (1e-5, Activation::QuickGelu);
        Self { image_size: 224, layer_norm_eps, num_attention_heads: None, hidden_act }
    }
}

impl Half {
    fn tower(&self, usual_heads: i64) -> TowerConfig {
        TowerConfig {
            heads: self.num_attention_heads.unwrap_or(usual_heads),
            activation: self.hidden_act,
            eps: self.layer_norm_eps,
        }
    }
}

impl ClipConfig {
    /// Side of the pictures.
    pub(super) fn side(&self) -> i64 {
        self.vision_config.image_size
    }

    pub(super) fn vision(&self) -> TowerConfig {
        self.vision_config.tower(12)
    }

    pub(super) fn text(&self) -> TowerConfig {
        self.text_config.tower(8)
    }

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

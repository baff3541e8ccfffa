//! CLIP (Radford et al. 2021): features of pictures and of texts, whose cosine tells how well one shows
//! the other.
//!
//! Weights are the user's: a folder of Hugging Face's (`config.json`, `model.safetensors`,
//! `tokenizer.json`), such as `openai/clip-vit-large-patch14`.

mod config;
mod text;
mod vision;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::device::Device;
use crate::weights::{Network, TensorSet, Weights};
use crate::{Error, Result};
use config::ClipConfig;
use text::Text;
use vision::Vision;

/// A CLIP model, in float32.
#[derive(Debug)]
pub struct Clip {
    vision: Vision,
    text: Text,
    device: Device,
}

/// The features of a text.
#[derive(Debug)]
pub struct TextFeatures {
    /// `[1, d]`, of length 1
    pub features: Tensor,
    /// Whether the text was longer than the model reads, and was cut.
    pub cut: bool,
}

impl Clip {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file is missing, or is not that of a CLIP model.
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        let file = |names: &[&str]| -> Result<PathBuf> {
            let paths = names.iter().map(|name| folder.join(name));
            paths.clone().find(|path| path.is_file()).ok_or_else(|| {
                Error::file(
                    folder,
                    format!(
                        "has no {}: expected a folder of Hugging Face's, such as \
                         openai/clip-vit-large-patch14",
                        names.join(" or ")
                    ),
                )
            })
        };
        let config = ClipConfig::read(&file(&["config.json"])?)?;
        let weights = file(&["model.safetensors", "pytorch_model.bin"])?;
        let tokenizer = file(&["tokenizer.json"])?;
        let set = Arc::new(TensorSet::open(Network::Clip, &[weights])?);
        let weights = Weights::new(set, [], Kind::Float, device);
        let vision = Vision::load(&weights, &config)?;
        let text = Text::load(&weights, &config, &tokenizer)?;
        Ok(Self { vision, text, device })
    }

    /// Length of the features.
    pub fn width(&self) -> i64 {
        self.vision.outputs()
    }

    /// Features of pictures `[n, 3, h, w]` in [0, 1]: `[n, d]`, each of length 1. Pictures are made
    /// as small as the model sees them by VBench's `clip_transform`: their shorter side by bicubic
    /// interpolation without antialiasing in whole numbers of 0 to 255, then the middle of them.
    ///
    /// # Errors
    /// They are no such pictures; memory runs out.
    pub fn pictures(&self, pictures: &Tensor) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let &[_, 3, height, width] = &pictures.size()[..] else {
            return Err(Error::Input(format!(
                "CLIP looks at pictures [n, 3, height, width], found {:?}",
                pictures.size()
            )));
        };
        if height < 1 || width < 1 {
            return Err(Error::Input(format!("CLIP cannot see {width} × {height} pixels")));
        }
        let pictures = pictures.f_to_device(self.device.tch())?.f_to_kind(Kind::Float)?;
        unit(&self.vision.forward(&pictures)?)
    }

    /// Features of a text, `[1, d]`, of length 1.
    ///
    /// # Errors
    /// The tokenizer cannot encode it, or is of another model; memory runs out.
    pub fn text(&self, text: &str) -> Result<TextFeatures> {
        let _guard = tch::no_grad_guard();
        let (ids, cut) = self.text.encode(text)?;
        Ok(TextFeatures { features: unit(&self.text.forward(&ids)?)?, cut })
    }
}

/// Output width of a projection from `width` channels.
fn projected(weights: &Weights, name: &str, width: i64) -> Result<i64> {
    match *weights.shape(&format!("{name}.weight"))? {
        [output, input] if input == width => Ok(output),
        _ => Err(odd(weights, &format!("{name}.weight"))),
    }
}

fn odd(weights: &Weights, name: &str) -> Error {
    Error::Input(format!(
        "CLIP's `{name}` has the shape {:?}, which is not what its config.json and its other tensors \
         make it",
        weights.shape(name).unwrap_or_default()
    ))
}

/// Rows of length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_div(&x.f_norm_scalaropt_dim(2.0, -1i64, true)?.f_clamp_min(1e-12)?)?)
}

/// Cosines of rows of length 1, `[n, d]`, and a text's features.
///
/// # Errors
/// Shapes that do not fit, or memory runs out.
pub fn cosines(pictures: &Tensor, text: &TextFeatures) -> Result<Vec<f64>> {
    let _guard = tch::no_grad_guard();
    numbers(&pictures.f_matmul(&text.features.f_transpose(0, 1)?)?.f_squeeze_dim(-1)?)
}

pub(super) fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::<f64>::try_from(x.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?)?)
}

//! How good a picture looks, and how well it shows a text, by CLIP (Radford et al. 2021): the cosine
//! of a picture's and a text's features, and LAION's aesthetic predictor, which VBench scores
//! aesthetic quality with.
//!
//! Weights are the user's: a folder of Hugging Face's (`config.json`, `model.safetensors`,
//! `tokenizer.json`), such as `openai/clip-vit-large-patch14`, and the predictor's linear layer
//! (`sa_0_4_vit_l_14_linear.pth`).

mod config;
mod tower;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use tokenizers::Tokenizer;

use crate::linear::Linear;
use crate::weights::{Network, TensorFile, TensorSet, Weights};
use crate::{Error, Result};
use config::ClipConfig;
use tower::{Norm, Tower};

/// Mean and deviation of what CLIP was trained on, for colours in [0, 1].
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The piece that ends every text; its place holds the text's features.
const END: &str = "<|endoftext|>";

/// A CLIP model, in float32.
#[derive(Debug)]
pub struct Clip {
    vision: Vision,
    text: Text,
    device: Device,
}

#[derive(Debug)]
struct Vision {
    /// `[w, 3, p, p]`
    patches: Tensor,
    /// `[1, 1, w]`
    class: Tensor,
    /// `[1 + patches, w]`
    positions: Tensor,
    before: Norm,
    tower: Tower,
    after: Norm,
    projection: Linear,
    /// Side of the pictures, and of a patch.
    side: i64,
    patch: i64,
    /// `[1, 3, 1, 1]`
    mean: Tensor,
    std: Tensor,
}

#[derive(Debug)]
struct Text {
    tokenizer: Tokenizer,
    path: PathBuf,
    end: u32,
    /// `[vocabulary, w]`
    tokens: Tensor,
    /// `[length, w]`
    positions: Tensor,
    tower: Tower,
    after: Norm,
    projection: Linear,
    length: usize,
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
        self.vision.projection.outputs()
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
        let pictures = pictures.f_to_device(self.device)?.f_to_kind(Kind::Float)?;
        let small = resized(&pictures, self.vision.side)?;
        unit(&self.vision.forward(&small)?)
    }

    /// Features of a text.
    ///
    /// # Errors
    /// The tokenizer cannot encode it, or is of another model; memory runs out.
    pub fn text(&self, text: &str) -> Result<TextFeatures> {
        let _guard = tch::no_grad_guard();
        let (ids, cut) = self.text.encode(text)?;
        Ok(TextFeatures { features: unit(&self.text.forward(&ids)?)?, cut })
    }
}

impl Vision {
    fn load(weights: &Weights, config: &ClipConfig) -> Result<Self> {
        let model = weights.sub("vision_model");
        let embeddings = model.sub("embeddings");
        let &[width, 3, patch, other] = embeddings.shape("patch_embedding.weight")? else {
            return Err(odd(&embeddings, "patch_embedding.weight"));
        };
        let side = config.vision.image_size;
        if patch != other || patch < 1 || side % patch != 0 {
            return Err(odd(&embeddings, "patch_embedding.weight"));
        }
        let count = (side / patch) * (side / patch);
        let each = |values: [f32; 3]| -> Result<Tensor> {
            let values = Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?;
            Ok(values.f_to_device(weights.device())?)
        };
        let output = projected(weights, "visual_projection", width)?;
        let eps = config.vision.layer_norm_eps;
        Ok(Self {
            patches: embeddings.get("patch_embedding.weight", &[width, 3, patch, patch])?,
            class: embeddings.get("class_embedding", &[width])?.f_view([1, 1, width])?,
            positions: embeddings.get("position_embedding.weight", &[count + 1, width])?,
            // Spelled so in every file.
            before: Norm::load(&model.sub("pre_layrnorm"), width, eps)?,
            tower: Tower::load(&model.sub("encoder"), width, &config.vision.tower())?,
            after: Norm::load(&model.sub("post_layernorm"), width, eps)?,
            projection: Linear::load(&weights.sub("visual_projection"), width, output)?,
            side,
            patch,
            mean: each(MEAN)?,
            std: each(STD)?,
        })
    }

    /// `[n, 3, side, side]` in [0, 1] → `[n, d]`
    fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let x = pictures.f_sub(&self.mean)?.f_div(&self.std)?;
        let stride = [self.patch; 2];
        let patches = x.f_conv2d(&self.patches, None::<&Tensor>, stride, [0, 0], [1, 1], 1)?;
        // [n, w, side/p, side/p] → [n, patches, w]
        let patches = patches.f_flatten(2, -1)?.f_transpose(1, 2)?;
        let class = self.class.f_expand([patches.size()[0], 1, -1], false)?;
        let x = Tensor::f_cat(&[&class, &patches], 1)?.f_add(&self.positions)?;
        let x = self.tower.forward(&self.before.forward(&x)?, false)?;
        self.projection.forward(&self.after.forward(&x.f_select(1, 0)?)?)
    }
}

impl Text {
    fn load(weights: &Weights, config: &ClipConfig, tokenizer: &Path) -> Result<Self> {
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
        let eps = config.text.layer_norm_eps;
        Ok(Self {
            tokenizer: pieces,
            path: tokenizer.to_owned(),
            end,
            tokens: embeddings.get("token_embedding.weight", &[vocabulary, width])?,
            positions: embeddings.get("position_embedding.weight", &[length, width])?,
            tower: Tower::load(&model.sub("encoder"), width, &config.text.tower())?,
            after: Norm::load(&model.sub("final_layer_norm"), width, eps)?,
            projection: Linear::load(&weights.sub("text_projection"), width, output)?,
            length: length as usize,
        })
    }

    /// Ids up to the end, and whether some were cut.
    fn encode(&self, text: &str) -> Result<(Vec<i64>, bool)> {
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
    fn forward(&self, ids: &[i64]) -> Result<Tensor> {
        let count = ids.len() as i64;
        let ids = Tensor::f_from_slice(ids)?.f_to_device(self.tokens.device())?;
        let x = self.tokens.f_index_select(0, &ids)?;
        let x = x.f_add(&self.positions.f_narrow(0, 0, count)?)?.f_unsqueeze(0)?;
        let x = self.after.forward(&self.tower.forward(&x, true)?)?;
        self.projection.forward(&x.f_select(1, -1)?)
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

/// The shorter side to `side`, and the middle `side` × `side` of it.
fn resized(pictures: &Tensor, side: i64) -> Result<Tensor> {
    let size = pictures.size();
    let (height, width) = (size[2], size[3]);
    let shorter = height.min(width);
    let whole = |x: &Tensor| -> Result<Tensor> { Ok(x.f_round()?.f_clamp(0.0, 255.0)?) };
    let bytes = whole(&pictures.f_mul_scalar(255.0)?)?;
    let bytes = if shorter == side {
        bytes
    } else {
        let [height, width] = [height, width].map(|length| side * length / shorter);
        whole(&bytes.f_upsample_bicubic2d([height, width], false, None, None)?)?
    };
    let size = bytes.size();
    let middle = |length: i64| ((length - side) as f64 / 2.0).round_ties_even() as i64;
    let bytes = bytes.f_narrow(2, middle(size[2]), side)?.f_narrow(3, middle(size[3]), side)?;
    Ok(bytes.f_div_scalar(255.0)?)
}

/// Rows of length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_div(&x.f_norm_scalaropt_dim(2.0, -1i64, true)?.f_clamp_min(1e-12)?)?)
}

/// LAION's aesthetic predictor: a linear layer on CLIP's features of a picture.
#[derive(Debug)]
pub struct Aesthetic(Linear);

impl Aesthetic {
    /// Reads the layer: `weight` `[1, width]` and `bias` `[1]`, where `width` is that of the
    /// features of the model it was trained on.
    ///
    /// # Errors
    /// The file is no such layer, or is one of another model's.
    pub fn open(path: &Path, width: i64, device: Device) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let read = |name: &str, shape: &[i64]| -> Result<Tensor> {
            let found = file.entry(name).map(|entry| entry.shape.clone());
            if found.as_deref() != Some(shape) {
                return Err(Error::Tensor {
                    path: path.to_owned(),
                    name: name.to_owned(),
                    expected: format!(
                        "{shape:?}, LAION's predictor for a CLIP model of {width} features"
                    ),
                    found: found.map_or_else(|| "nothing".into(), |shape| format!("{shape:?}")),
                });
            }
            Ok(file.read(name)?.f_to_device(device)?.f_to_kind(Kind::Float)?)
        };
        let (weight, bias) = (read("weight", &[1, width])?, Some(read("bias", &[1])?));
        Ok(Self(Linear::Plain { weight, bias }))
    }

    /// A tenth of the predicted mark of 1 to 10, as VBench has it, for each row of `features`
    /// `[n, d]`.
    ///
    /// # Errors
    /// Shapes that do not fit, or memory runs out.
    pub fn scores(&self, features: &Tensor) -> Result<Vec<f64>> {
        let _guard = tch::no_grad_guard();
        let marks = self.0.forward(features)?.f_squeeze_dim(-1)?.f_div_scalar(10.0)?;
        numbers(&marks)
    }
}

/// Cosines of rows of length 1, `[n, d]`, and a text's features.
///
/// # Errors
/// Shapes that do not fit, or memory runs out.
pub fn cosines(pictures: &Tensor, text: &TextFeatures) -> Result<Vec<f64>> {
    let _guard = tch::no_grad_guard();
    numbers(&pictures.f_matmul(&text.features.f_transpose(0, 1)?)?.f_squeeze_dim(-1)?)
}

fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::<f64>::try_from(x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_wide_picture_is_what_is_seen() {
        // 16 × 6 pixels, red where the middle third is; no resizing: the shorter side fits.
        let columns: Vec<f32> =
            (0..16).map(|x| f32::from(u8::from((5..11).contains(&x)))).collect();
        let row = Tensor::from_slice(&columns).view([1, 1, 1, 16]);
        let wide = row.expand([1, 3, 6, 16], false);
        let seen = resized(&wide, 6).unwrap();
        assert_eq!(seen.size(), [1, 3, 6, 6]);
        assert_eq!(seen.min().double_value(&[]), 1.0);
        // 0.4 has no byte of its own.
        let grey = Tensor::full([1, 3, 6, 6], 0.4, (Kind::Float, Device::Cpu));
        let seen = resized(&grey, 6).unwrap().double_value(&[0, 0, 0, 0]);
        assert!((seen - 102.0 / 255.0).abs() < 1e-7);
        assert_eq!(resized(&wide, 4).unwrap().size(), [1, 3, 4, 4]);
    }
}

//! What an image-to-video model sees an image with: the half of CLIP (ViT-H/14 of XLM-RoBERTa-CLIP in the
//! released models) that sees, all layers but the last.
//!
//! Sizes follow from the shapes; heads are of 80 channels, as the released ones are, which no file of the
//! original layout says.
//!
//! Ports `wan/modules/clip.py` of Wan2.1 at 9737cba: 201 (`VisionTransformer`), 527 (`CLIPModel.visual`).

use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::clip_tower::{Activation, Layer, MEAN, Norm, STD, TowerConfig};
use crate::device::Device;
use crate::watch::check;
use crate::weights::{TensorSet, Weights};
use crate::{Error, Result, Stage, Watch};

/// Channels of a head.
const HEAD: i64 = 80;

/// Width and layers of the encoder that every released image-to-video model has (ViT-H/14). Nothing in a file
/// says how many layers there are but those that are in it.
const RELEASED_WIDTH: i64 = 1280;
const RELEASED_LAYERS: usize = 32;

/// Epsilon of every norm.
const EPS: f64 = 1e-5;

/// The image encoder of an image-to-video model. It computes in float32; layers are read one by one, and
/// none stays.
#[derive(Debug)]
pub struct ImageEncoder {
    weights: Weights,
    width: i64,
    patch: i64,
    /// Patches along a side of the pictures that it sees.
    grid: i64,
    layers: usize,
}

/// What the encoder makes of images.
#[derive(Debug)]
pub struct ImageFeatures {
    /// The images as it saw them, `[images, 3, side, side]`.
    pub input: Tensor,
    /// After positions and the first norm, `[images, tokens, width]`.
    pub embedded: Tensor,
    /// After all layers but the last, `[images, tokens, width]`.
    pub feature: Tensor,
}

impl ImageEncoder {
    /// Reads the sizes of the encoder in `set`.
    ///
    /// # Errors
    /// A tensor is missing, or shapes do not fit each other.
    pub fn new(set: Arc<TensorSet>, device: Device) -> Result<Self> {
        let embeddings = "vision_model.embeddings";
        let odd = |name: &str, expected: &str| -> Result<Error> {
            let (entry, path, raw) = set.find(name)?;
            Ok(Error::Tensor {
                path: path.to_owned(),
                name: raw.to_owned(),
                expected: expected.to_owned(),
                found: format!("{:?}", entry.shape),
            })
        };
        let patches = format!("{embeddings}.patch_embedding.weight");
        let (width, patch) = match *set.shape(&patches)? {
            [width, 3, rows, columns] if rows == columns && rows > 0 => (width, rows),
            _ => {
                return Err(odd(
                    &patches,
                    "[width, 3, patch, patch], of pictures in three colors",
                )?);
            }
        };
        if width < HEAD || width % HEAD != 0 {
            return Err(odd(&patches, "a width that is a multiple of 80, the channels of a head")?);
        }
        let positions = format!("{embeddings}.position_embedding.weight");
        let tokens = match *set.shape(&positions)? {
            [tokens, w] | [1, tokens, w] if w == width => tokens,
            _ => return Err(odd(&positions, &format!("[tokens, {width}]"))?),
        };
        let grid = ((tokens - 1).max(0) as f64).sqrt().round() as i64;
        if grid < 1 || grid * grid + 1 != tokens {
            return Err(odd(&positions, "one token and one for each patch of a square")?);
        }
        let weights = Weights::new(set.clone(), vec![], Kind::Float, device).sub("vision_model");
        let layers = Layer::count(&weights.sub("encoder"));
        if layers == 0 {
            set.find("vision_model.encoder.layers.0.mlp.fc1.weight")?;
        }
        if width == RELEASED_WIDTH && layers != RELEASED_LAYERS {
            let (_, path, _) = set.find(&patches)?;
            let message = format!(
                "the image encoder has {layers} layers, expected {RELEASED_LAYERS}, as those of width {width} \
                 have: the file is not whole, fetch it again"
            );
            return Err(Error::file(path, message));
        }
        Ok(Self { weights, width, patch, grid, layers })
    }

    /// Channels of the features.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Tokens that an image becomes.
    pub fn tokens(&self) -> i64 {
        self.grid * self.grid + 1
    }

    /// Features of images `[n, 3, h, w]` in [−1, 1], of any size: they are stretched to a square by
    /// bicubic interpolation without antialiasing, and not clamped.
    ///
    /// # Errors
    /// Weights are damaged, memory runs out, or `watch` cancels.
    pub fn encode(&self, images: &Tensor, watch: &dyn Watch) -> Result<ImageFeatures> {
        let _guard = tch::no_grad_guard();
        let used = self.layers - 1;
        let layer = |index: usize| self.weights.sub(format!("encoder.layers.{index}"));
        watch.progress(Stage::Encode, 0, used);
        layer(0).read_ahead();
        let input = self.input(images)?;
        let embedded = self.embed(&input)?;
        let config =
            TowerConfig { heads: self.width / HEAD, activation: Activation::Gelu, eps: EPS };
        let mut x = embedded.shallow_clone();
        for index in 0..used {
            check(watch, Stage::Encode)?;
            if index + 1 < used {
                layer(index + 1).read_ahead();
            }
            x = Layer::load(&layer(index), self.width, &config)?.forward(&x, false)?;
            watch.progress(Stage::Encode, index + 1, used);
        }
        Ok(ImageFeatures { input, embedded, feature: x })
    }

    fn input(&self, images: &Tensor) -> Result<Tensor> {
        let device = self.weights.device().tch();
        let each = |values: [f32; 3]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?.f_to_device(device)?)
        };
        let side = self.grid * self.patch;
        let images = images.f_to_device(device)?.f_to_kind(Kind::Float)?;
        let x = images.f_upsample_bicubic2d([side, side], false, None, None)?;
        let x = x.f_mul_scalar(0.5)?.f_add_scalar(0.5)?;
        Ok(x.f_sub(&each(MEAN)?)?.f_div(&each(STD)?)?)
    }

    /// `[n, 3, side, side]` → `[n, tokens, width]`
    fn embed(&self, input: &Tensor) -> Result<Tensor> {
        let Self { weights, width, patch, .. } = self;
        let (width, patch) = (*width, *patch);
        let embeddings = weights.sub("embeddings");
        let kernel = embeddings.get("patch_embedding.weight", &[width, 3, patch, patch])?;
        let patches = input.f_conv2d(&kernel, None::<&Tensor>, [patch; 2], [0, 0], [1, 1], 1)?;
        // [n, w, side/p, side/p] → [n, patches, w]
        let patches = patches.f_flatten(2, -1)?.f_transpose(1, 2)?;
        // The original release has axes of one before these.
        let whole = |name: &str| -> Result<Tensor> {
            let shape = embeddings.shape(name)?.to_vec();
            Ok(embeddings.get(name, &shape)?.f_view([1, -1, width])?)
        };
        let class = whole("class_embedding")?;
        if class.size()[1] != 1 {
            return Err(Error::Input(format!(
                "the image encoder's class token has {} numbers, expected {width}",
                class.numel()
            )));
        }
        let class = class.f_expand([patches.size()[0], 1, -1], false)?;
        let x = Tensor::f_cat(&[&class, &patches], 1)?;
        let x = x.f_add(&whole("position_embedding.weight")?)?;
        Norm::load(&weights.sub("pre_layrnorm"), width, EPS)?.forward(&x)
    }
}

//! What an image-to-video transformer is given besides a text-to-video one: channels beside the noisy
//! latent, and tokens of the image beside those of the text.
//!
//! Ports `wan/modules/model.py` of Wan2.1 at 9737cba: 353 (`MLPProj`), 176 (`WanI2VCrossAttention`).

use tch::Tensor;

use super::Dit;
use super::block::TextKeys;
use super::config::{CONDITION_CHANNELS, ImageWidths};
use crate::linear::Linear;
use crate::weights::Weights;
use crate::{Error, Result};

/// Epsilon of the norms of `img_emb`, which no file says.
const EPS: f64 = 1e-5;

/// `img_emb`: from the image encoder's features to tokens that the blocks attend to.
#[derive(Debug)]
pub(super) struct ImageEmbedding {
    widths: ImageWidths,
    /// Added to the features of two images, `[1, tokens, width]`.
    positions: Option<Tensor>,
    before: [Tensor; 2],
    ways: [Linear; 2],
    after: [Tensor; 2],
}

/// The image that a take begins with, as the blocks see it, or one for each of a batch.
#[derive(Debug)]
pub struct ImagePrompt {
    /// What `img_emb` makes of the features, `[1, tokens, dim]`, or `[b, tokens, dim]`.
    tokens: Tensor,
    /// Mask and latent, `[1, 20, t, h, w]`, or `[b, 20, t, h, w]`.
    pub(super) condition: Tensor,
    /// Of each block, once it has been computed: the same for every step and every prompt.
    pub(super) keys: Vec<Option<TextKeys>>,
}

impl ImageEmbedding {
    pub(super) fn load(weights: &Weights, widths: &ImageWidths, dim: i64) -> Result<Self> {
        let ImageWidths { features, hidden, tokens } = *widths;
        let pair = |name: &str, width: i64| -> Result<[Tensor; 2]> {
            let norm = weights.sub(name);
            Ok([norm.get_float32("weight", &[width])?, norm.get_float32("bias", &[width])?])
        };
        let positions = tokens
            .map(|tokens| weights.get_float32("emb_pos", &[1, tokens, features]))
            .transpose()?;
        Ok(Self {
            widths: widths.clone(),
            positions,
            before: pair("proj.0", features)?,
            ways: [
                Linear::load(&weights.sub("proj.1"), features, hidden)?,
                Linear::load(&weights.sub("proj.3"), hidden, dim)?,
            ],
            after: pair("proj.4", dim)?,
        })
    }

    /// `[images, tokens, features]`, the first image first → `[1, images·tokens, dim]`
    fn forward(&self, features: &Tensor, dit: &Dit) -> Result<Tensor> {
        let &[images, tokens, width] = &features.size()[..] else {
            return Err(Error::Input(format!(
                "features of an image are [images, tokens, width], found {:?}",
                features.size()
            )));
        };
        if width != self.widths.features {
            return Err(Error::Input(format!(
                "the image encoder gives {width} channels, the transformer expects {}; they are of \
                 different models",
                self.widths.features
            )));
        }
        let x = features.f_to_device(dit.device.tch())?.f_to_kind(dit.float32_kind)?;
        let mut x = x.f_reshape([1, images * tokens, width])?;
        if let (Some(positions), Some(expected)) = (&self.positions, self.widths.tokens) {
            if images * tokens != expected {
                return Err(Error::Input(format!(
                    "the image encoder gives {} tokens, the transformer expects {expected}, half of \
                     them of the first image and half of the last",
                    images * tokens
                )));
            }
            x = x.f_add(positions)?;
        }
        let norm = |x: &Tensor, [weight, bias]: &[Tensor; 2]| -> Result<Tensor> {
            Ok(x.f_layer_norm(weight.size(), Some(weight), Some(bias), EPS, true)?)
        };
        let [first, second] = &self.ways;
        let x = norm(&x, &self.before)?.f_to_kind(dit.kind)?;
        let x = second.forward(&first.forward(&x)?.f_gelu("none")?)?;
        let x = norm(&x.f_to_kind(dit.float32_kind)?, &self.after)?;
        Ok(x.f_to_kind(dit.kind)?)
    }
}

impl ImagePrompt {
    /// The image's tokens, `[1, tokens, dim]`, or those of each of a batch.
    pub fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    /// Forgets the keys and values, so that the next forward pass computes them again.
    pub fn forget(&mut self) {
        self.keys.iter_mut().for_each(|keys| *keys = None);
    }
}

impl Dit {
    /// Prepares what an image-to-video transformer is given of images: `features` `[images, tokens,
    /// width]` are the image encoder's, of the first image and, for a first-last-frame model, of the
    /// last; `condition` `[20, t, h, w]` is mask and latent.
    ///
    /// # Errors
    /// The transformer makes video from text alone, widths do not fit, or memory runs out.
    pub fn image(&self, features: &Tensor, condition: &Tensor) -> Result<ImagePrompt> {
        self.images(&[(features, condition)])
    }

    /// The same for each of a batch, features and condition.
    ///
    /// # Errors
    /// As [`Dit::image`].
    pub fn images(&self, batch: &[(&Tensor, &Tensor)]) -> Result<ImagePrompt> {
        let Some(embedding) = &self.image_embedding else {
            return Err(Error::Input(
                "a text-to-video transformer cannot begin with an image: an image-to-video one is \
                 needed"
                    .into(),
            ));
        };
        let (mut tokens, mut conditions) = (Vec::new(), Vec::new());
        for (features, condition) in batch {
            let size = condition.size();
            if size.len() != 4 || size[0] != CONDITION_CHANNELS {
                return Err(Error::Input(format!(
                    "the condition of an image is [{CONDITION_CHANNELS}, t, h, w], found {size:?}"
                )));
            }
            tokens.push(embedding.forward(features, self)?);
            conditions.push(condition.f_to_device(self.device.tch())?);
        }
        Ok(ImagePrompt {
            tokens: Tensor::f_cat(&tokens, 0)?,
            condition: Tensor::f_stack(&conditions, 0)?,
            keys: (0..self.blocks.len()).map(|_| None).collect(),
        })
    }

    /// The noisy latent `[b, 16, t, h, w]` with what stands beside it.
    pub(super) fn joined(&self, latent: &Tensor, image: Option<&ImagePrompt>) -> Result<Tensor> {
        let latent = latent.f_to_device(self.device.tch())?;
        match (image, &self.image_embedding) {
            (None, None) => Ok(latent),
            (Some(ImagePrompt { condition, .. }), Some(_)) => {
                let mut size = latent.size();
                size[1] = condition.size()[1];
                let condition = condition.f_to_kind(latent.kind())?.f_expand(&size, false)?;
                Ok(Tensor::f_cat(&[&latent, &condition], 1)?)
            }
            (None, Some(_)) => Err(Error::Input(
                "an image-to-video transformer needs an image that the take begins with".into(),
            )),
            (Some(_), None) => {
                Err(Error::Input("a text-to-video transformer cannot begin with an image".into()))
            }
        }
    }
}

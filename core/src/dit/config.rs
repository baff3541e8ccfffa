//! The transformer's sizes, from the shapes of its tensors and from `config.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::weights::TensorSet;
use crate::{Error, Result};

/// Sizes of a diffusion transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct DitConfig {
    /// Width of the residual stream.
    pub dim: i64,
    /// Attention heads that share the width.
    pub heads: i64,
    /// Number of transformer blocks.
    pub layers: usize,
    /// Hidden width of the feed-forward network.
    pub ffn: i64,
    /// Width of the time sinusoid.
    pub freq_dim: i64,
    /// Width of the text context.
    pub text_dim: i64,
    /// Channels that go in: 16, or 36 for image-to-video.
    pub in_channels: i64,
    /// Channels that come out.
    pub out_channels: i64,
    /// Tokens of text attended to.
    pub text_length: i64,
    /// Epsilon of every norm.
    pub eps: f64,
    /// What an image-to-video transformer makes of an image; nothing where it is one of text alone.
    pub image: Option<ImageWidths>,
}

/// Sizes of `img_emb`, which brings an image encoder's features to a transformer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageWidths {
    /// Width of the image encoder's features.
    pub features: i64,
    /// Width between its two layers.
    pub hidden: i64,
    /// Tokens of two images together, where it has a place for each: a first-last-frame model.
    pub tokens: Option<i64>,
}

/// Channels beside a noisy latent: 4 of a mask, then as many as a latent has.
pub const CONDITION_CHANNELS: i64 = 20;

/// What only an image-to-video transformer has.
const IMAGE_EMBEDDING: &str = "img_emb.proj.0.weight";
/// What only one of first and last frames has.
const POSITIONS: &str = "img_emb.emb_pos";

/// A patch is one latent frame, two cells high and two wide.
pub(crate) const PATCH: [i64; 3] = [1, 2, 2];

/// Head size of every released model, for files without a `config.json`.
const HEAD_SIZE: i64 = 128;

/// What a `config.json` may say; original and Diffusers names.
#[derive(Debug, Default, Deserialize)]
struct ConfigFile {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    model_type: Option<String>,
    dim: Option<i64>,
    #[serde(alias = "num_attention_heads")]
    num_heads: Option<i64>,
    attention_head_dim: Option<i64>,
    num_layers: Option<usize>,
    ffn_dim: Option<i64>,
    freq_dim: Option<i64>,
    text_dim: Option<i64>,
    #[serde(alias = "in_channels")]
    in_dim: Option<i64>,
    #[serde(alias = "out_channels")]
    out_dim: Option<i64>,
    text_len: Option<i64>,
    eps: Option<f64>,
}

impl DitConfig {
    /// Sizes from the shapes, completed by `config` (the number of heads is in no shape).
    ///
    /// # Errors
    /// A tensor is missing or of an impossible shape, or the file and the shapes disagree.
    pub fn infer(set: &TensorSet, config: Option<&Path>) -> Result<Self> {
        let file = config.map(ConfigFile::read).transpose()?.flatten();
        let config = config.filter(|_| file.is_some());
        let file = file.unwrap_or_default();
        let size = |name: &str, axis: usize| -> Result<i64> {
            let (entry, path, raw) = set.find(name)?;
            entry.shape.get(axis).copied().filter(|&size| size > 0).ok_or_else(|| Error::Tensor {
                path: path.to_owned(),
                name: raw.to_owned(),
                expected: format!("at least {} axes", axis + 1),
                found: format!("{:?}", entry.shape),
            })
        };
        let dim = size("patch_embedding.weight", 0)?;
        let head_rows = size("head.head.weight", 0)?;
        let layers =
            (0..).take_while(|i| set.contains(&format!("blocks.{i}.self_attn.q.weight"))).count();
        let sizes = Self {
            dim,
            heads: heads(file.num_heads, dim, set)?,
            layers,
            ffn: size("blocks.0.ffn.0.weight", 0)?,
            freq_dim: size("time_embedding.0.weight", 1)?,
            text_dim: size("text_embedding.0.weight", 1)?,
            in_channels: in_channels(
                set.shape("patch_embedding.weight")?,
                size("patch_embedding.weight", 1)?,
            ),
            out_channels: head_rows / PATCH.iter().product::<i64>(),
            text_length: file.text_len.unwrap_or(512),
            eps: file.eps.unwrap_or(1e-6),
            image: set
                .contains(IMAGE_EMBEDDING)
                .then(|| {
                    Ok::<_, Error>(ImageWidths {
                        features: size(IMAGE_EMBEDDING, 0)?,
                        hidden: size("img_emb.proj.1.weight", 0)?,
                        tokens: set.contains(POSITIONS).then(|| size(POSITIONS, 1)).transpose()?,
                    })
                })
                .transpose()?,
        };
        if let Some(path) = config {
            sizes.agree_with(&file, path)?;
        }
        sizes.validate(set, config)?;
        Ok(sizes)
    }

    /// Width of one head; 0 where there is none, which is refused.
    pub fn head_dim(&self) -> i64 {
        self.dim.checked_div(self.heads).unwrap_or(0)
    }

    /// Tokens of text attended to; 0 where a configuration says less.
    pub fn text_tokens(&self) -> usize {
        usize::try_from(self.text_length).unwrap_or(0)
    }

    /// Whether its takes begin with an image.
    pub fn is_image_to_video(&self) -> bool {
        self.image.is_some()
    }

    /// Whether its takes end with an image too.
    pub fn has_last_image(&self) -> bool {
        self.image.as_ref().is_some_and(|image| image.tokens.is_some())
    }

    /// With how many images its takes begin and end: none, the first, or first and last.
    pub fn images_needed(&self) -> u8 {
        u8::from(self.is_image_to_video()) + u8::from(self.has_last_image())
    }

    /// Whether it makes video from text alone.
    ///
    /// # Errors
    /// It is of images.
    pub fn of_text_alone(&self, set: &TensorSet) -> Result<()> {
        if self.image.is_none() {
            return Ok(());
        }
        Err(Error::file(
            set.paths().next().unwrap_or(Path::new("")),
            "is an image-to-video transformer (36 input channels, `img_emb`), and a text-to-video one is \
             needed here",
        ))
    }

    /// Whether these are the sizes of Wan2.1's text-to-video transformer of 14 billion parameters, which
    /// Wan-Alpha is released for.
    pub fn is_wan_14b(&self) -> bool {
        (self.dim, self.layers, self.ffn, self.in_channels) == (5120, 40, 13_824, 16)
    }

    fn agree_with(&self, file: &ConfigFile, path: &Path) -> Result<()> {
        let checks = [
            ("dim", file.dim, self.dim),
            ("num_layers", file.num_layers.map(|layers| layers as i64), self.layers as i64),
            ("ffn_dim", file.ffn_dim, self.ffn),
            ("freq_dim", file.freq_dim, self.freq_dim),
            ("text_dim", file.text_dim, self.text_dim),
            ("in_dim", file.in_dim, self.in_channels),
            ("out_dim", file.out_dim, self.out_channels),
            ("attention_head_dim", file.attention_head_dim, self.head_dim()),
        ];
        for (name, said, found) in checks {
            if let Some(said) = said
                && said != found
            {
                return Err(Error::file(
                    path,
                    format!(
                        "says {name} is {said}, the tensors beside it say {found}; they are not of one model"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn validate(&self, set: &TensorSet, config: Option<&Path>) -> Result<()> {
        let place = config.or_else(|| set.paths().next()).unwrap_or(Path::new("")).to_owned();
        let refuse = |problem: String| Err(Error::File { path: place.clone(), problem });
        if self.heads < 1 || self.dim % self.heads != 0 {
            return refuse(format!("{} heads do not divide the width {}", self.heads, self.dim));
        }
        if self.head_dim() % 2 != 0 || self.head_dim() < 6 {
            return refuse(format!(
                "a head of {} channels cannot be rotated on three axes",
                self.head_dim()
            ));
        }
        let expected = if self.image.is_some() { 16 + CONDITION_CHANNELS } else { 16 };
        if self.in_channels == 16 + CONDITION_CHANNELS && self.image.is_none() {
            return refuse(
                "has 36 input channels, as image-to-video transformers have, but no `img_emb`: it is of \
                 another kind (Wan2.2's have none), or a part of it is missing; a text-to-video \
                 transformer has 16"
                    .into(),
            );
        }
        if self.in_channels != expected || self.out_channels != 16 {
            let kind = if self.image.is_some() { "an image-to-video" } else { "a text-to-video" };
            return refuse(format!(
                "maps {} to {} channels; expected {expected} to 16 of {kind} transformer",
                self.in_channels, self.out_channels
            ));
        }
        self.validate_image(set)?;
        self.validate_biases(set)
    }

    /// Whether every block has the biases that any has, and what makes an image's tokens has its own: a
    /// layer without one computes all the same, and wrongly.
    fn validate_biases(&self, set: &TensorSet) -> Result<()> {
        let part_of_block = |name: &str| -> Option<String> {
            let (_, part) = name.strip_prefix("blocks.")?.split_once('.')?;
            part.ends_with(".bias").then(|| part.to_owned())
        };
        let parts: BTreeSet<String> = set.names().filter_map(part_of_block).collect();
        let of_block = |index| parts.iter().map(move |part| format!("blocks.{index}.{part}"));
        let of_image = ["img_emb.proj.1.bias", "img_emb.proj.3.bias"].map(str::to_owned);
        let of_image = of_image.into_iter().filter(|_| self.image.is_some());
        let expected = (0..self.layers).flat_map(of_block).chain(of_image);
        for name in expected.filter(|name| !set.contains(name)) {
            set.find(&name)?;
        }
        Ok(())
    }

    /// Whether all blocks of an image-to-video transformer attend to an image, and none of another.
    fn validate_image(&self, set: &TensorSet) -> Result<()> {
        for index in 0..self.layers {
            let name = format!("blocks.{index}.cross_attn.k_img.weight");
            if set.contains(&name) == self.image.is_some() {
                continue;
            }
            if self.image.is_some() {
                set.find(&name)?;
            }
            let (_, path, raw) = set.find(&name)?;
            return Err(Error::file(
                path,
                format!(
                    "has `{raw}`, which attends to an image, but no `img_emb`, which makes its tokens: \
                     a part of an image-to-video transformer is missing"
                ),
            ));
        }
        Ok(())
    }
}

/// Channels that go in. rCM and TurboDiffusion have the kernel of the patch embedding as a matrix, the
/// numbers of a patch in one axis.
fn in_channels(shape: &[i64], columns: i64) -> i64 {
    if shape.len() == 2 { columns / PATCH.iter().product::<i64>() } else { columns }
}

/// The number of heads is in no shape: from `config.json`, or of the released head size.
fn heads(said: Option<i64>, dim: i64, set: &TensorSet) -> Result<i64> {
    match said {
        Some(heads) => Ok(heads),
        None if dim % HEAD_SIZE == 0 => Ok(dim / HEAD_SIZE),
        None => Err(Error::file(
            set.paths().next().unwrap_or(Path::new("")),
            format!(
                "is {dim} wide, not a multiple of {HEAD_SIZE}, and no config.json beside it says \
                 how many heads it has; put the model's config.json there"
            ),
        )),
    }
}

impl ConfigFile {
    /// `None` for the `config.json` of something else, a text encoder in the same folder.
    fn read(path: &Path) -> Result<Option<Self>> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let file: Self = serde_json::from_str(&text)
            .map_err(|error| Error::file(path, format!("not a config.json: {error}")))?;
        let named = file.class_name.as_deref().is_some_and(|name| name.starts_with("Wan"));
        let typed = matches!(file.model_type.as_deref(), Some("t2v" | "i2v" | "flf2v" | "vace"));
        Ok((named || typed).then_some(file))
    }
}

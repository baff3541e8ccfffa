//! What is cached of a row.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use wan_alpha_core::device::Device;
use wan_alpha_core::encode::{ClipReader, ClipShape};
use wan_alpha_core::generate::SinkError;
use wan_alpha_core::image_condition::ImageCondition;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::weights::TensorFile;
use wan_alpha_take::fit::{Compressor, FitSettings};
use wan_alpha_take::{Ellipse, GridEllipse, Mask, StillImage};

use crate::data::set::Bucketed;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{folder_of, unfinished_file};

/// Tensors on the CPU; see [`super`].
#[derive(Debug)]
pub(crate) struct Entry {
    /// `[16, t, h, w]`, normalized.
    pub(crate) latent: Tensor,
    /// `[t, h, w]`, float32.
    pub(crate) mask: Tensor,
    /// `[tokens, dim]` each, in the order of the captions.
    pub(crate) contexts: Vec<Tensor>,
    /// What an image-to-video transformer is given of the first frame.
    image: Option<ImageCondition>,
}

/// Writes what is cached of a clip, whole or not at all.
pub(super) fn write_clip(
    path: &Path,
    latent: &Tensor,
    mask: &Tensor,
    image: Option<&ImageCondition>,
) -> Result<()> {
    let image = image
        .into_iter()
        .flat_map(|image| [("image.feature", &image.feature), ("image.channels", &image.channels)]);
    let named =
        [("latent", latent), ("mask", mask)].into_iter().chain(image).map(|(name, tensor)| {
            let tensor = tensor.f_to_device(wan_alpha_core::tch::Device::Cpu)?.f_contiguous()?;
            Ok((name.to_owned(), tensor))
        });
    write(path, &named.collect::<Result<Vec<_>>>()?)
}

/// Writes the contexts of a row's captions, whole or not at all.
pub(super) fn write_contexts(path: &Path, contexts: &[Tensor]) -> Result<()> {
    let named = contexts.iter().enumerate().map(|(index, context)| {
        let context = context.f_to_device(wan_alpha_core::tch::Device::Cpu)?.f_contiguous()?;
        Ok((format!("context.{index}"), context))
    });
    write(path, &named.collect::<Result<Vec<_>>>()?)
}

fn write(path: &Path, named: &[(String, Tensor)]) -> Result<()> {
    for (name, tensor) in named {
        let finite = tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        ensure!(finite, "its {name} is not finite: try --dtype f32");
    }
    let attempt = || -> Result<()> {
        let file = unfinished_file(folder_of(path))?;
        Tensor::write_safetensors(named, file.path())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

/// The most tokens that a context has in a file of a row's captions, or in a clip's that has them too.
pub(super) fn longest_context(path: &Path) -> Result<i64> {
    let file = TensorFile::open(path).map_err(|error| anyhow!("{error}"))?;
    let contexts = file.names().filter(|name| name.starts_with("context."));
    let tokens = contexts.filter_map(|name| file.entry(name)?.shape.first().copied());
    Ok(tokens.max().unwrap_or(0))
}

impl Entry {
    /// Reads a clip's file, and that of the row's captions; of caches made before these were apart,
    /// the clip's file has them.
    pub(super) fn read(opened: Device, clip: &Path, text: Option<&Path>) -> Result<Self> {
        // No parts of a model, which errors of such files are about.
        let open = |path| TensorFile::open(path).map_err(|error| anyhow!("{error}"));
        let file = open(clip)?;
        let apart = text.map(open).transpose()?;
        let texts = apart.as_ref().unwrap_or(&file);
        let mut contexts = Vec::new();
        while texts.entry(&format!("context.{}", contexts.len())).is_some() {
            contexts.push(texts.read(opened, &format!("context.{}", contexts.len()))?);
        }
        let read = |name: &str| file.read(opened, name);
        let image = match file.entry("image.feature") {
            Some(_) => Some(ImageCondition {
                feature: read("image.feature")?,
                channels: read("image.channels")?,
            }),
            None => None,
        };
        let entry = Self { latent: read("latent")?, mask: read("mask")?, contexts, image };
        let (latent, mask) = (entry.latent.size(), entry.mask.size());
        ensure!(
            latent.len() == 4 && latent[1..] == mask[..] && !entry.contexts.is_empty(),
            "its latent is {latent:?}, its mask {mask:?}, with {} contexts: cache it again",
            entry.contexts.len()
        );
        Ok(entry)
    }

    /// What an image-to-video transformer is given of the first frame.
    pub(crate) fn image_condition(&self) -> Result<ImageCondition> {
        let image = self.image.as_ref();
        let image = image.context("its file has nothing of its first frame: cache it again")?;
        Ok(image.shallow_clone())
    }
}

/// A row's frames on their way to the encoder; their alpha is kept as coverage.
pub(super) struct FramesToEncode {
    clip: Bucketed,
    frames: usize,
    /// The clip's own ellipses, one for each latent frame; none are fitted then.
    own: Option<Vec<Ellipse>>,
    coverage: Compressor,
    /// Straight RGBA of the first frame, once it is read.
    first: Option<Vec<f32>>,
    failed: Option<anyhow::Error>,
}

impl FramesToEncode {
    pub(super) fn new(clip: Bucketed, frames: usize, own: Option<Vec<Ellipse>>) -> Result<Self> {
        let (width, height) = (clip.bucket.width, clip.bucket.height);
        let coverage = Compressor::new(width, height, FitSettings::TRAINING.threshold)?;
        Ok(Self { clip, frames, own, coverage, first: None, failed: None })
    }

    /// Why reading ended early; the model knows only that it did.
    pub(super) fn failure(&mut self) -> Option<anyhow::Error> {
        self.failed.take()
    }

    /// The first frame, as an image that a take begins with.
    pub(super) fn first_frame(&self) -> Result<StillImage> {
        let rgba = self.first.as_ref().context("no frame was read")?;
        // A movie's colors may lie beyond what displays show.
        let bounded = rgba.iter().map(|value| value.clamp(0.0, 1.0));
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let (width, height) = (side(self.clip.bucket.width), side(self.clip.bucket.height));
        Ok(StillImage::new(width, height, bounded.collect())?)
    }

    /// What is to be said of the frames.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.clip.warnings()
    }

    /// The masks of training: of the clip's own ellipses, or of fitted ones, and then zero where
    /// nothing is solid enough for an ellipse.
    pub(super) fn mask(self) -> Result<Tensor> {
        let coverage = self.coverage.finish().or_exit(Exit::BadInput)?;
        let [frames, height, width] = coverage.shape();
        let ellipses: Vec<Option<GridEllipse>> = match &self.own {
            Some(own) => {
                let kept = own.iter().map(|ellipse| self.clip.bucket.ellipse(ellipse));
                kept.map(|ellipse| Some(ellipse.on_grid(width, height))).collect()
            }
            None => {
                let fits = coverage.fit(FitSettings::TRAINING.rounds).into_iter();
                fits.map(|fit| fit.map(|fit| fit.ellipse)).collect()
            }
        };
        let mut values = Vec::with_capacity(frames * height * width);
        for ellipse in ellipses {
            match ellipse {
                Some(ellipse) => {
                    let mask = Mask::of_grid_ellipses(&[ellipse], width, height);
                    values.extend_from_slice(mask.values());
                }
                None => values.resize(values.len() + height * width, 0.0),
            }
        }
        let size = [frames, height, width].map(|side| side as i64);
        Ok(Tensor::f_from_slice(&values)?.f_view(size)?)
    }

    fn read_next(&mut self) -> Result<Vec<f32>> {
        let picture = self.clip.next()?.context("it ended early")?;
        let alpha: Vec<f32> = picture.rgba.iter().skip(3).step_by(4).copied().collect();
        self.coverage.push(&alpha)?;
        self.first.get_or_insert_with(|| picture.rgba.clone());
        Ok(picture.rgba)
    }
}

impl ClipReader for FramesToEncode {
    fn shape(&self) -> ClipShape {
        let (width, height) = (self.clip.bucket.width, self.clip.bucket.height);
        ClipShape { frames: self.frames, width, height }
    }

    fn frame(&mut self, rgba: &mut [f32]) -> Result<(), SinkError> {
        match self.read_next() {
            Ok(frame) if frame.len() == rgba.len() => {
                rgba.copy_from_slice(&frame);
                Ok(())
            }
            Ok(frame) => Err(format!("a frame has {} values", frame.len()).into()),
            Err(error) => {
                let text = format!("{error:#}");
                self.failed = Some(error);
                Err(text.into())
            }
        }
    }
}

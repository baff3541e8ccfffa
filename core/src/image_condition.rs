//! What an image-to-video transformer is given of the images that a take begins and ends with.
//!
//! - For the image encoder each image is laid over white by its alpha, in float.
//! - For the latent each is rendered hard over white: its color wherever alpha is above 0. A film is
//!   made of the first image, fillers, and the last image where there is one; fillers are 0 in [−1, 1],
//!   in color and alpha, which is gray and half transparent. Color and alpha of the film go through the
//!   base model's encoder, and the merge block makes one latent of both.
//! - A mask says which frames were given: four channels, one for each frame of a latent frame.
//!
//! Training drew the color of the render from eight; white is fixed here, since the latent depends on
//! it.
//!
//! Ports `Wan-Alpha-train/diffsynth/pipelines/wan_video_new.py` (`WanVideoUnit_ImageEmbedder`), joined as
//! the authors' released parts are: their own code for this could not be had.

use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_take::StillImage;
use wan_alpha_take::counted::counted;

use crate::device::Device;
use crate::image_encoder::{ImageEncoder, ImageFeatures};
use crate::vae::{
    Corner, EncodedFrames, FRAMES_PER_LATENT, LATENT_CHANNELS, RgbaEncoder, RgbaFilm, hard_render,
    soft_render,
};
use crate::watch::check;
use crate::weights::{EncoderFiles, TensorSet};
use crate::{Error, Result, Stage, Watch};

/// What is behind an image where it is transparent.
const BACKGROUND: Corner = Corner::WHITE;

/// What stands for a frame that is not given, in [0, 1].
const FILLER: f64 = 0.5;

/// The images of a take, each of the take's size.
#[derive(Clone, Copy, Debug)]
pub struct ConditionImages<'a> {
    /// What the take begins with.
    pub first: &'a StillImage,
    /// What it ends with.
    pub last: Option<&'a StillImage>,
}

/// How a take's images are seen: the parts of a model for it.
#[derive(Debug)]
pub struct ConditionParts<'a> {
    /// The encoder that looks at images, CLIP's half.
    pub image_encoder: &'a Arc<TensorSet>,
    /// The autoencoder's encoder and the merge block.
    pub encoder: &'a EncoderFiles,
    /// Whether the transformer sees the last image too, and not only its latent.
    pub sees_last: bool,
    /// The device that all of it computes on, in float32.
    pub device: Device,
}

/// What the transformer is given.
#[derive(Debug)]
pub struct ImageCondition {
    /// The image encoder's features, `[images, tokens, width]`.
    pub feature: Tensor,
    /// Mask and normalized latent, `[20, t, h/8, w/8]`.
    pub channels: Tensor,
}

impl ImageCondition {
    /// The same, without copying what it holds.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let Self { feature, channels } = self;
        Self { feature: feature.shallow_clone(), channels: channels.shallow_clone() }
    }

    /// Of a take of so many frames (4n+1, at least 5 with a last image). `show` is given what it is made
    /// of, by the names of the reference data: `condition.fgr`, `condition.pha`, `clip.reference`,
    /// `clip.input`, `clip.embedded`, `clip.feature`, `condition.merged`, `condition.mask`,
    /// `condition.latent`, `condition`.
    ///
    /// # Errors
    /// Images of two sizes, a weight that is missing or damaged, memory that runs out; `watch` cancels.
    pub fn new(
        images: ConditionImages<'_>,
        frames: usize,
        parts: &ConditionParts<'_>,
        mut show: impl FnMut(&str, &Tensor) -> Result<()>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let device = parts.device;
        let first = pixels(images.first, device)?;
        let last = images.last.map(|last| pixels(last, device)).transpose()?;
        if let Some(last) = &last {
            check_last(&first, last, frames)?;
        }
        let encoder = ImageEncoder::new(parts.image_encoder.clone(), device)?;
        let seen_last = last.as_ref().filter(|_| parts.sees_last);
        let feature = feature(&encoder, &first, seen_last, &mut show, watch)?;
        let encoder = RgbaEncoder::load(parts.encoder, Kind::Float, device, watch)?;
        let channels = channels(&encoder, &first, last.as_ref(), frames, &mut show, watch)?;
        Ok(Self { feature, channels })
    }
}

/// What makes conditions of the first frames of clips, for training: loaded once.
#[derive(Debug)]
pub struct FirstFrameConditions {
    image_encoder: ImageEncoder,
    encoder: RgbaEncoder,
    device: Device,
}

impl FirstFrameConditions {
    /// Of an image encoder, and an autoencoder's encoder with its merge block; all in float32.
    ///
    /// # Errors
    /// As [`ImageEncoder::new`] and [`RgbaEncoder::load`].
    pub fn load(
        image_encoder: &Arc<TensorSet>,
        encoder: &EncoderFiles,
        device: Device,
        watch: &dyn Watch,
    ) -> Result<Self> {
        Ok(Self {
            image_encoder: ImageEncoder::new(image_encoder.clone(), device)?,
            encoder: RgbaEncoder::load(encoder, Kind::Float, device, watch)?,
            device,
        })
    }

    /// What a transformer is given of the first frame of a clip of so many frames (4n+1): what it is given
    /// of the same image when a take is made.
    ///
    /// # Errors
    /// As [`ImageCondition::new`].
    pub fn of(
        &self,
        first: &StillImage,
        frames: usize,
        watch: &dyn Watch,
    ) -> Result<ImageCondition> {
        let _guard = tch::no_grad_guard();
        let first = pixels(first, self.device)?;
        let mut quiet = |_: &str, _: &Tensor| Ok(());
        let feature = feature(&self.image_encoder, &first, None, &mut quiet, watch)?;
        let channels = channels(&self.encoder, &first, None, frames, &mut quiet, watch)?;
        Ok(ImageCondition { feature, channels })
    }
}

/// Is given what a condition is made of, by name.
type Show<'a> = &'a mut dyn FnMut(&str, &Tensor) -> Result<()>;

/// The image encoder's features of the first image, and of the last where that is seen:
/// `[images, tokens, width]`.
fn feature(
    encoder: &ImageEncoder,
    first: &Tensor,
    last: Option<&Tensor>,
    show: Show<'_>,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let shown = SeenImage::of(first)?;
    show("condition.fgr", &shown.color)?;
    show("condition.pha", &shown.alpha)?;
    show("clip.reference", &shown.over_white)?;
    let mut seen = vec![shown.over_white];
    if let Some(last) = last {
        seen.push(SeenImage::of(last)?.over_white);
    }
    let ImageFeatures { input, embedded, feature } =
        encoder.encode(&Tensor::f_stack(&seen, 0)?, watch)?;
    show("clip.input", &input)?;
    show("clip.embedded", &embedded)?;
    show("clip.feature", &feature)?;
    Ok(feature)
}

/// Mask and normalized latent of the film: `[20, t, h/8, w/8]`.
fn channels(
    encoder: &RgbaEncoder,
    first: &Tensor,
    last: Option<&Tensor>,
    frames: usize,
    show: Show<'_>,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let merged = encode(encoder, first, last, frames, watch)?;
    show("condition.merged", &merged.merged)?;
    let latent = merged.normalized()?;
    let mask = mask(latent.size()[1], last.is_some())?.f_to_device(latent.device())?;
    let mask = mask.f_expand([FRAMES_PER_LATENT, -1, latent.size()[2], latent.size()[3]], false)?;
    let channels = Tensor::f_cat(&[&mask, &latent], 0)?;
    show("condition.mask", &mask)?;
    show("condition.latent", &latent)?;
    show("condition", &channels)?;
    Ok(channels)
}

/// An image in [−1, 1], `[3, h, w]` each.
struct SeenImage {
    /// Over white wherever alpha is 0.
    color: Tensor,
    alpha: Tensor,
    /// Over white by its alpha.
    over_white: Tensor,
}

impl SeenImage {
    /// Of `[h, w, 4]` in [0, 1].
    fn of(rgba: &Tensor) -> Result<Self> {
        let rgba = rgba.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        let (color, alpha) = (rgba.f_narrow(-1, 0, 3)?, rgba.f_narrow(-1, 3, 1)?);
        let outward =
            |x: &Tensor| -> Result<Tensor> { Ok(x.f_permute([2, 0, 1])?.f_contiguous()?) };
        Ok(Self {
            color: outward(&hard_render(&color, &alpha, BACKGROUND)?)?,
            alpha: outward(&alpha.f_expand_as(&color)?)?,
            over_white: outward(&soft_render(&color, &alpha, BACKGROUND)?)?,
        })
    }
}

/// `[h, w, 4]` in [0, 1], float32.
fn pixels(image: &StillImage, device: Device) -> Result<Tensor> {
    let size = [i64::from(image.height()), i64::from(image.width()), 4];
    Ok(Tensor::f_from_slice(image.rgba())?.f_view(size)?.f_to_device(device.tch())?)
}

fn check_last(first: &Tensor, last: &Tensor, frames: usize) -> Result<()> {
    if first.size() != last.size() {
        return Err(Error::Input(format!(
            "the first image is {:?} and the last {:?}: expected both of the take's size",
            first.size(),
            last.size()
        )));
    }
    if frames <= FRAMES_PER_LATENT as usize {
        return Err(Error::Input(format!(
            "a take of {} cannot end with an image of its own: expected 5 frames or more",
            counted(frames, "frame")
        )));
    }
    Ok(())
}

/// `[1 or 4, t, 1, 1]`: in the first latent frame 1, since its frame was given and stands for all four;
/// else 0, but where the very last frame was given.
fn mask(latent_frames: i64, has_last: bool) -> Result<Tensor> {
    let mask =
        Tensor::f_zeros([FRAMES_PER_LATENT, latent_frames, 1, 1], (Kind::Float, tch::Device::Cpu))?;
    let _ = mask.f_narrow(1, 0, 1)?.f_fill_(1.0)?;
    if has_last {
        let last = mask.f_narrow(1, latent_frames - 1, 1)?;
        let _ = last.f_narrow(0, FRAMES_PER_LATENT - 1, 1)?.f_fill_(1.0)?;
    }
    Ok(mask)
}

/// The latent of the film, a group of frames at a time: `[16, t, h/8, w/8]`, not normalized.
fn encode(
    encoder: &RgbaEncoder,
    first: &Tensor,
    last: Option<&Tensor>,
    frames: usize,
    watch: &dyn Watch,
) -> Result<EncodedFrames> {
    let latent_frames = frames.div_ceil(FRAMES_PER_LATENT as usize);
    let size = first.size();
    let (height, width) = (size[0], size[1]);
    let device = first.device();
    // One piece of memory: small ones kept among large ones that come and go would hold those from being
    // used again.
    let grid = [LATENT_CHANNELS, latent_frames as i64, height / 8, width / 8];
    let merged = Tensor::f_zeros(grid, (Kind::Float, device))?;
    let group = [FRAMES_PER_LATENT, height, width, 4];
    let fillers = Tensor::f_full(group, FILLER, (Kind::Float, device))?;
    let mut film = RgbaFilm::default();
    watch.progress(Stage::Encode, 0, latent_frames);
    for k in 0..latent_frames {
        check(watch, Stage::Encode)?;
        let chunk = match last {
            _ if k == 0 => first.f_unsqueeze(0)?,
            Some(last) if k + 1 == latent_frames => {
                let fillers = fillers.f_narrow(0, 0, FRAMES_PER_LATENT - 1)?;
                Tensor::f_cat(&[fillers, last.f_unsqueeze(0)?], 0)?
            }
            _ => fillers.shallow_clone(),
        };
        let encoded = encoder.encode(&chunk, BACKGROUND, &mut film, watch)?;
        merged.f_narrow(1, k as i64, 1)?.f_copy_(&encoded.merged)?;
        watch.progress(Stage::Encode, k + 1, latent_frames);
    }
    Ok(EncodedFrames { merged })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wan2.1's own words: ones for every frame, zeros from the second on (or to the last but one), the
    /// first frame four times, and four frames to a latent frame.
    fn by_frames(frames: usize, has_last: bool) -> Vec<f32> {
        let given = |frame: usize| frame == 0 || (has_last && frame + 1 == frames);
        let mut all = vec![given(0); 4];
        all.extend((1..frames).map(given));
        let latent_frames = all.len() / 4;
        let at = |channel: usize, k: usize| f32::from(u8::from(all[4 * k + channel]));
        (0..4).flat_map(|channel| (0..latent_frames).map(move |k| at(channel, k))).collect()
    }

    #[test]
    fn the_mask_is_that_of_the_frames_given() {
        for (frames, has_last) in [(1, false), (5, false), (81, false), (5, true), (81, true)] {
            let latent_frames = (frames as i64 + 3) / 4;
            let found = mask(latent_frames, has_last).unwrap();
            let found = Vec::<f32>::try_from(found.view([-1])).unwrap();
            assert_eq!(found, by_frames(frames, has_last), "{frames} {has_last}");
        }
    }
}

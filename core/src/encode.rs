//! The way back: from an RGBA clip to the latent it would have come from, and how near the clip
//! that the decoders make of it is.

mod reconstruction;

use tch::{Kind, Tensor};
use wan_alpha_take::counted::counted;

use crate::device::Device;
use crate::generate::SinkError;
use crate::vae::{Corner, FRAMES_PER_LATENT, LATENT_CHANNELS, RgbaEncoder, RgbaFilm};
use crate::watch::check;
use crate::weights::EncoderFiles;
use crate::{Error, Result, Stage, Watch};

pub use reconstruction::Reconstruction;

/// An RGBA clip that is read frame by frame.
pub trait ClipReader {
    /// How many frames, and of what size.
    fn shape(&self) -> ClipShape;

    /// Reads the next frame into `rgba`: straight, display-referred, in [0, 1], row 0 on top.
    ///
    /// # Errors
    /// Ends the encoding.
    fn frame(&mut self, rgba: &mut [f32]) -> Result<(), SinkError>;
}

/// A clip's frames, and their size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipShape {
    /// Number of frames: 4n+1, as latents have them.
    pub frames: usize,
    /// A multiple of 16, since the transformer takes 2×2 cells of a latent.
    pub width: usize,
    /// A multiple of 16, for the same reason.
    pub height: usize,
}

impl ClipShape {
    /// Whether a model can encode it.
    ///
    /// # Errors
    /// What it would have to be.
    pub fn check(&self) -> Result<()> {
        let Self { frames, width, height } = *self;
        let per_latent = FRAMES_PER_LATENT as usize;
        if frames % per_latent != 1 {
            let above = frames.saturating_sub(1).next_multiple_of(per_latent) + 1;
            let below = above.saturating_sub(per_latent);
            let fewer = if below == 0 { String::new() } else { format!("{below} or ") };
            return Err(Error::Input(format!(
                "the clip has {}, expected 4n+1 (1, 5, … 81 …): make it {fewer}{above}",
                counted(frames, "frame")
            )));
        }
        for (what, pixels) in [("width", width), ("height", height)] {
            if pixels == 0 || pixels % 16 != 0 {
                let above = pixels.max(1).next_multiple_of(16);
                let remedy = match above - 16 {
                    0 => format!("pad it to {above}"),
                    below => format!("crop or pad it to {below} or {above}"),
                };
                return Err(Error::Input(format!(
                    "the clip's {what} is {pixels}, expected a multiple of 16: {remedy}"
                )));
            }
        }
        Ok(())
    }

    /// Latent frames of a clip that can be encoded.
    pub fn latent_frames(&self) -> usize {
        self.frames.div_ceil(FRAMES_PER_LATENT as usize)
    }

    fn values(&self) -> usize {
        self.width * self.height * 4
    }
}

/// How a clip is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What stands where alpha is 0.
    pub background: Corner,
    /// The dtype that the encoder computes in: Float or bfloat16.
    pub kind: Kind,
    /// The device that the encoder computes on.
    pub device: Device,
}

/// Encodes a clip to a normalized latent `[16, t, h/8, w/8]`, float32, on the CPU.
///
/// A group of frames at a time is in memory, so that it does not grow with the clip.
///
/// # Errors
/// The clip is of no shape for it, a frame cannot be read, or what [`RgbaEncoder`] reports;
/// [`Error::Cancelled`] within one block of `watch` saying so.
pub fn encode(
    files: &EncoderFiles,
    options: Options,
    clip: &mut dyn ClipReader,
    watch: &dyn Watch,
) -> Result<Tensor> {
    clip.shape().check()?;
    let load = || RgbaEncoder::load(files, options.kind, options.device, watch);
    let encoder = load().map_err(|error| error.during(Stage::Load))?;
    encode_with(&encoder, options.background, clip, watch)
}

/// The same with an encoder that has been loaded, for one clip after the other.
///
/// # Errors
/// As [`encode`].
pub fn encode_with(
    encoder: &RgbaEncoder,
    background: Corner,
    clip: &mut dyn ClipReader,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    clip.shape().check()?;
    run(encoder, background, clip, watch).map_err(|error| error.during(Stage::Encode))
}

fn run(
    encoder: &RgbaEncoder,
    background: Corner,
    clip: &mut dyn ClipReader,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let shape = clip.shape();
    let latent_frames = shape.latent_frames();
    let mut film = RgbaFilm::default();
    // One piece of memory from the beginning: small ones kept among the large ones that come and go
    // would hold those from being used again.
    let grid = [shape.height as i64 / 8, shape.width as i64 / 8];
    let size = [LATENT_CHANNELS, latent_frames as i64, grid[0], grid[1]];
    let latent = Tensor::f_zeros(size, (Kind::Float, tch::Device::Cpu))?;
    let mut rgba = Vec::new();
    watch.progress(Stage::Encode, 0, latent_frames);
    for k in 0..latent_frames {
        let frames = if k == 0 { 1 } else { FRAMES_PER_LATENT as usize };
        rgba.resize(frames * shape.values(), 0.0);
        for frame in rgba.chunks_exact_mut(shape.values()) {
            check(watch, Stage::Encode)?;
            clip.frame(frame).map_err(Error::Sink)?;
        }
        let size = [frames as i64, shape.height as i64, shape.width as i64, 4];
        let chunk = Tensor::f_from_slice(&rgba)?.f_view(size)?;
        let encoded = encoder.encode(&chunk, background, &mut film, watch)?;
        latent.f_narrow(1, k as i64, 1)?.f_copy_(&encoded.normalized()?)?;
        watch.progress(Stage::Encode, k + 1, latent_frames);
    }
    Ok(latent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_cannot_be_encoded_says_what_could() {
        let shape = |frames, width, height| ClipShape { frames, width, height };
        for (good, latent_frames) in [(1, 1), (5, 2), (81, 21)] {
            let shape = shape(good, 832, 480);
            assert!(shape.check().is_ok());
            assert_eq!(shape.latent_frames(), latent_frames);
        }
        for (bad, words) in [
            (shape(0, 32, 32), "0 frames, expected 4n+1 (1, 5, … 81 …): make it 1"),
            (shape(2, 32, 32), "make it 1 or 5"),
            (shape(80, 32, 32), "make it 77 or 81"),
            (
                shape(5, 40, 32),
                "width is 40, expected a multiple of 16: crop or pad it to 32 or 48",
            ),
            (shape(5, 32, 7), "height is 7, expected a multiple of 16: pad it to 16"),
            (shape(1, 4, 16), "width is 4, expected a multiple of 16: pad it to 16"),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        }
    }
}

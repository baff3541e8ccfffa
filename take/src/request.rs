//! The request: everything that a take depends on, and the one gate through which it passes.
//!
//! A request is built from parameters or read from a project file; [`TakeRequest::accept`] rounds
//! its numbers, checks every field and blanks those that cannot matter. What comes out is what is
//! hashed, sent and generated.

mod draft;
mod error;
mod lora;
mod lora_word;
mod version;
mod warnings;

use serde::{Deserialize, Serialize};

pub use self::draft::{DraftError, ImageSource, RequestDraft};
pub use self::error::RequestError;
use self::error::{OWN_SIZE, require, within};
pub use self::lora::LoraSource;
pub use self::lora_word::{LoraWord, LoraWordError};
pub use self::warnings::key_warnings;
use crate::choice::choice;
use crate::counted::counted;
use crate::digest::{ContentHash, Fingerprint};
use crate::ellipse::Ellipse;
use crate::frames::{CELL, latent_frames};
use crate::rounding::to_millionths;

choice! {
    /// How the denoising equation is integrated.
    Solver, "solver" {
        /// `UniPC`, second order, as in the released inference.
        UniPc = "unipc",
        /// DPM-Solver++ 2M, second order, midpoint.
        DpmPlusPlus = "dpm++",
        /// Euler, first order, as the step-distillation adapter was made for.
        Euler = "euler",
        /// The schedule of Euler; each step predicts the whole take and adds fresh noise to it.
        Lcm = "lcm",
        /// The same at the times of `TrigFlow`, one to four of them, as rCM is sampled.
        Rcm = "rcm",
    }
}

impl Solver {
    /// The most steps that it can take.
    #[must_use]
    pub fn most_steps(self) -> u32 {
        match self {
            Self::Rcm => 4,
            Self::UniPc | Self::DpmPlusPlus | Self::Euler | Self::Lcm => 1000,
        }
    }

    /// Whether the shift of the schedule means anything to it.
    #[must_use]
    pub fn has_shift(self) -> bool {
        self != Self::Rcm
    }

    /// Whether its steps add fresh noise.
    #[must_use]
    pub fn adds_noise(self) -> bool {
        matches!(self, Self::Lcm | Self::Rcm)
    }
}

choice! {
    /// The number format that the model computes in.
    Precision, "precision" {
        /// Floating-point numbers of 32 bits.
        F32 = "f32",
        /// 16-bit floats with the range of 32-bit ones.
        Bf16 = "bf16",
        /// Bf16, and the matrices of the transformer's blocks kept as 8-bit floats with scales.
        Fp8 = "fp8",
    }
}

choice! {
    /// Whether a frame is decoded in one piece.
    DecodeTiling, "decode tiling" {
        /// In one piece, as large as the frame.
        Whole = "whole",
        /// In overlapping tiles, for less memory.
        Tiled = "tiled",
    }
}

choice! {
    /// The number format that latents are decoded in.
    DecodePrecision, "decode precision" {
        /// Floating-point numbers of 32 bits.
        F32 = "f32",
        /// 16-bit floats with the range of 32-bit ones.
        Bf16 = "bf16",
    }
}

/// A mask drawn elsewhere, which stands in for the ellipse. The request tells it from every other;
/// the values themselves come to whoever makes the take as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskSource {
    /// Latent frames, rows, columns; it is resampled to the latent grid.
    pub shape: [u32; 3],
    /// BLAKE3 of the values: float32, little-endian, columns fastest.
    pub blake3: ContentHash,
}

/// Everything that a take depends on. Public fields: write it as a literal, then
/// [`accept`](Self::accept) it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeRequest {
    /// The version of this encoding: any up to [`TakeRequest::VERSION`]; once accepted, the lowest
    /// that can say the rest.
    pub version: u32,
    /// Which pixels our code makes: an integer raised whenever a change of it changes them.
    pub numerics: u32,
    /// What to show; up to 65,536 bytes, not blank.
    pub prompt: String,
    /// What to avoid; `None` or blank for the one the base model was released with, and where
    /// guidance is 1.
    pub negative_prompt: Option<String>,
    /// Seed of the noise.
    pub seed: u32,
    /// Take frames: 4n+1, 1 to 257.
    pub frames: u32,
    /// Pixels: a multiple of 16, 16 to 4096.
    pub width: u32,
    /// Pixels: a multiple of 16, 16 to 4096.
    pub height: u32,
    /// Take frames per second: 16, what the model was trained at.
    pub take_rate: u32,
    /// Where the subject goes, one ellipse per latent frame; the default one where nothing is
    /// shifted or a mask stands in for it.
    pub ellipse: Vec<Ellipse>,
    /// The mask that stands in for the ellipse, if one does.
    pub mask: Option<MaskSource>,
    /// How far the noise's mean is shifted outside the ellipse, one per latent frame; −1 to 1.
    pub mu: Vec<f64>,
    /// What the model multiplies μ by, so that 0.05 is normal strength with each; finite, 1 where
    /// nothing is shifted.
    pub mu_scale: f64,
    /// Denoising steps; 1 to 1000.
    pub steps: u32,
    /// Shift of the noise schedule towards noise; above 0, at most 100.
    pub shift: f64,
    /// Strength of classifier-free guidance; 0 to 30, at 1 there is none.
    pub guidance: f64,
    /// How the denoising equation is integrated.
    pub solver: Solver,
    /// Strength of the `DoRA` that makes the model's video transparent; 0 to 2.
    pub dora_strength: f64,
    /// Strength of the step-distillation adapter; 0 to 2.
    pub distill_strength: f64,
    /// The number format that the model computes in.
    pub precision: Precision,
    /// Whether a frame is decoded in one piece.
    pub decode_tiling: DecodeTiling,
    /// The model's name; a name and not a path, up to 255 bytes. No part of the key.
    pub model: String,
    /// The model itself. A request without it can be made, but has no key.
    pub model_fingerprint: Option<Fingerprint>,
    /// [`StillImage::hash`](crate::StillImage::hash) of the image that the take begins with.
    pub first_image: Option<ContentHash>,

    // From here on version 2. What says nothing is left out of the spelling, so that a field which is
    // added to it changes no key.
    /// Further LoRAs of the transformer, merged in this order after the step-distillation adapter; up
    /// to [`LoraSource::MOST`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<LoraSource>,
    /// The number format that latents are decoded in.
    #[serde(default = "DecodePrecision::usual", skip_serializing_if = "DecodePrecision::is_usual")]
    pub decode_precision: DecodePrecision,
    /// The same of the image that the take ends with; only with a first one, from 5 frames on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_image: Option<ContentHash>,
    /// What the first image is called, up to 255 bytes, for whoever looks for it; a name and not a path.
    /// No part of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_image_name: Option<String>,
    /// What the last image is called; no part of the key either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_image_name: Option<String>,
}

impl DecodePrecision {
    /// What version 1 means, which cannot say it.
    fn usual() -> Self {
        Self::F32
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands on a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::usual()
    }
}

impl TakeRequest {
    /// The newest version of this encoding; raised whenever a field is added or changes its meaning.
    /// Older ones are read for ever, and written where they can say all that there is.
    pub const VERSION: u32 = 2;

    /// The only take rate so far, in frames per second.
    pub const TAKE_RATE: u32 = 16;

    /// The longest prompt, in bytes of UTF-8. The text encoder reads far less of it.
    pub const MAX_PROMPT: usize = 65_536;

    /// Rounds every real number to 1e-6, checks every field, then blanks those that cannot matter
    /// to the pixels. Accepting what was accepted changes nothing.
    ///
    /// # Errors
    /// A [`RequestError`] for the first field that is out of its range.
    pub fn accept(self) -> Result<Self, RequestError> {
        let request = self.rounded();
        request.check_version()?;
        request.check_text()?;
        request.check_format()?;
        request.check_placement()?;
        request.check_sampling()?;
        request.check_images()?;
        LoraSource::check(&request.loras)?;
        Ok(request.blanked().in_lowest_version())
    }

    /// Latent frames of a take of so many frames: n+1 for 4n+1. Asked before anything is made for
    /// each of them.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] outside 1 to 257, [`RequestError::Frames`] if not 4n+1.
    pub fn latent_frames_of(frames: u32) -> Result<usize, RequestError> {
        within(1..=257, "frames", frames, "81 frames are five seconds")?;
        Ok(latent_frames(frames)?)
    }

    /// Latent frames of an accepted request: n+1 for 4n+1 frames.
    #[must_use]
    pub fn latent_frames(&self) -> usize {
        self.ellipse.len()
    }

    /// The latent grid: (width, height) in cells.
    #[must_use]
    pub fn latent_size(&self) -> (usize, usize) {
        (self.width as usize / CELL, self.height as usize / CELL)
    }

    fn rounded(self) -> Self {
        Self {
            ellipse: self.ellipse.iter().map(Ellipse::rounded).collect(),
            mu: self.mu.into_iter().map(to_millionths).collect(),
            mu_scale: to_millionths(self.mu_scale),
            shift: to_millionths(self.shift),
            guidance: to_millionths(self.guidance),
            dora_strength: to_millionths(self.dora_strength),
            distill_strength: to_millionths(self.distill_strength),
            loras: self.loras.into_iter().map(LoraSource::rounded).collect(),
            ..self
        }
    }

    /// One form for each meaning. Blanked are the negative prompt without guidance, the shift of a
    /// schedule that has none, the ellipse of a latent frame that is not shifted or that a mask stands
    /// in for, where no latent frame is shifted, what scales the shift and the mask, and LoRAs of
    /// strength 0.
    fn blanked(mut self) -> Self {
        if self.guidance == 1.0 {
            self.negative_prompt = None;
        }
        if !self.solver.has_shift() {
            self.shift = 1.0;
        }
        self.negative_prompt = self.negative_prompt.filter(|text| !text.trim().is_empty());
        if self.mu_scale == 0.0 {
            self.mu.fill(0.0);
        }
        if self.mu.iter().all(|&mu| mu == 0.0) {
            self.mu_scale = 1.0;
            self.mask = None;
        }
        for (ellipse, &mu) in self.ellipse.iter_mut().zip(&self.mu) {
            if mu == 0.0 || self.mask.is_some() {
                *ellipse = Ellipse::default();
            }
        }
        self.loras.retain(|lora| lora.strength != 0.0);
        self.first_image_name = self.first_image_name.filter(|_| self.first_image.is_some());
        self.last_image_name = self.last_image_name.filter(|_| self.last_image.is_some());
        self
    }

    fn check_text(&self) -> Result<(), RequestError> {
        let blank = self.prompt.trim().is_empty();
        require(
            !blank,
            "prompt",
            "empty",
            "a description of the clip",
            "say that the background is transparent, the style, the shot and the subject",
        )?;
        let negative = self.negative_prompt.as_deref().unwrap_or_default();
        for (field, text) in [("prompt", self.prompt.as_str()), ("negative prompt", negative)] {
            require(
                text.len() <= Self::MAX_PROMPT,
                field,
                format_args!("{} bytes long", text.len()),
                format!("at most {} bytes", Self::MAX_PROMPT),
                "shorten it; the model reads no more than its first 512 tokens",
            )?;
        }
        let name = &self.model;
        require(
            is_name(name),
            "model",
            format_args!("{:?}", name.chars().take(80).collect::<String>()),
            "the name of a model, up to 255 bytes: no path, no leading dot",
            "use the name of an installed model",
        )
    }

    fn check_format(&self) -> Result<(), RequestError> {
        Self::latent_frames_of(self.frames)?;
        for (field, pixels) in [("width", self.width), ("height", self.height)] {
            within(16..=4096, field, pixels, OWN_SIZE)?;
            let below = pixels - pixels % 16;
            let remedy = format!("use {below} or {}", below + 16);
            require(below == pixels, field, pixels, "a multiple of 16", remedy)?;
        }
        require(
            self.take_rate == Self::TAKE_RATE,
            "take rate",
            self.take_rate,
            "16 frames per second, what the model was trained at",
            "use 16, and change the speed on the timeline",
        )
    }

    fn check_placement(&self) -> Result<(), RequestError> {
        let expected = latent_frames(self.frames)?;
        for (field, found) in [("ellipses", self.ellipse.len()), ("mu values", self.mu.len())] {
            require(
                found == expected,
                format!("the number of {field}"),
                found,
                format!("{expected}, one per latent frame of {}", counted(self.frames, "frame")),
                "sample the track for this number of frames",
            )?;
        }
        for (latent_frame, ellipse) in self.ellipse.iter().enumerate() {
            ellipse.validate().map_err(|reason| RequestError::Ellipse { latent_frame, reason })?;
        }
        if let Some(MaskSource { shape: [frames, height, width], .. }) = self.mask {
            let (frames, remedy) = (frames as usize, "use another mask or number of frames");
            let wanted =
                format!("{expected}, one per latent frame of {}", counted(self.frames, "frame"));
            require(frames == expected, "the number of mask frames", frames, wanted, remedy)?;
            for (field, cells) in [("mask height", height), ("mask width", width)] {
                within(1..=16_384, field, cells, "the latent grid's own size suits best")?;
            }
        }
        for (latent_frame, &mu) in self.mu.iter().enumerate() {
            let field = format!("mu of latent frame {latent_frame}");
            within(-1.0..=1.0, field, mu, "0.05 is normal strength, 0 is none")?;
        }
        require(
            self.mu_scale.is_finite(),
            "mu scale",
            self.mu_scale,
            "a finite number",
            "it comes with the model; 1 fits the released one",
        )
    }

    fn check_sampling(&self) -> Result<(), RequestError> {
        within(1..=1000, "steps", self.steps, "4 with the step-distillation adapter, else 50")?;
        let (solver, most) = (self.solver, self.solver.most_steps());
        require(
            self.steps <= most,
            "steps",
            self.steps,
            format!("1 to {most} with the solver {solver}"),
            format!("use {most}, or another solver"),
        )?;
        require(
            self.shift > 0.0 && self.shift <= 100.0,
            "shift",
            self.shift,
            "more than 0, at most 100",
            "5 is usual",
        )?;
        within(
            0.0..=30.0,
            "guidance",
            self.guidance,
            "1 with the step-distillation adapter, else 5",
        )?;
        let usual = "1 is as trained, 0 is without the adapter";
        within(0.0..=2.0, "DoRA strength", self.dora_strength, usual)?;
        within(0.0..=2.0, "distillation strength", self.distill_strength, usual)
    }

    fn check_images(&self) -> Result<(), RequestError> {
        for (which, name) in [("first", &self.first_image_name), ("last", &self.last_image_name)] {
            require(
                name.as_deref().is_none_or(is_name),
                format!("the name of the {which} image"),
                format_args!("{:?}", name.as_deref().unwrap_or_default()),
                "a name, up to 255 bytes: no path, no leading dot",
                "use the name of its file, or none",
            )?;
        }
        if self.last_image.is_none() {
            return Ok(());
        }
        require(
            self.first_image.is_some(),
            "first image",
            "missing",
            "one, where there is a last image",
            "give the image that the take begins with too",
        )?;
        require(
            self.frames > 1,
            "frames",
            self.frames,
            "5 or more, where there is a last image",
            "make the take longer, or leave the last image out",
        )
    }
}

/// Whether a text is the name of a model or LoRA, and no path.
fn is_name(text: &str) -> bool {
    let hostile = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    (1..=255).contains(&text.len()) && !text.starts_with('.') && !text.contains(hostile)
}

#[cfg(test)]
pub(crate) mod test_requests;
#[cfg(test)]
mod tests;

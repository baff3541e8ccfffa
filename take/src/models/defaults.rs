//! What a model does where a request is silent.

use serde::{Deserialize, Serialize};

use crate::request::{Precision, Solver};

/// What a model does where a request is silent; what it does not say is the program's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// Width of the frames in pixels.
    pub width: Option<u32>,
    /// Height of the frames in pixels.
    pub height: Option<u32>,
    /// Number of take frames, 4n+1.
    pub frames: Option<u32>,
    /// Number of denoising steps.
    pub steps: Option<u32>,
    /// Shift of the noise schedule.
    pub shift: Option<f64>,
    /// Shift of the noise schedule for frames of about 832 × 480 pixels and less, where that is another.
    pub shift_of_small_frames: Option<f64>,
    /// Strength of classifier-free guidance; 1 is none.
    pub guidance: Option<f64>,
    /// How the denoising equation is integrated.
    pub solver: Option<Solver>,
    /// Number format of the large matrices.
    pub precision: Option<Precision>,
    /// What μ is multiplied by, so that 0.05 is normal strength with every model.
    pub mu_scale: Option<f64>,
    /// What to avoid, where guidance is not 1.
    pub negative_prompt: Option<String>,
}

impl Defaults {
    /// Frames of the released model.
    pub const RELEASED_FRAMES: u32 = 81;
    /// Width and height of the released model in pixels.
    pub const RELEASED_SIZE: [u32; 2] = [832, 480];
    /// Shift of the noise schedule of the released model.
    pub const RELEASED_SHIFT: f64 = 5.0;

    /// What these say, and where they say nothing, what `others` say.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        // Whoever says a shift says it for all sizes.
        let of_small = others.shift_of_small_frames.filter(|_| self.shift.is_none());
        Self {
            shift_of_small_frames: self.shift_of_small_frames.or(of_small),
            width: self.width.or(others.width),
            height: self.height.or(others.height),
            frames: self.frames.or(others.frames),
            steps: self.steps.or(others.steps),
            shift: self.shift.or(others.shift),
            guidance: self.guidance.or(others.guidance),
            solver: self.solver.or(others.solver),
            precision: self.precision.or(others.precision),
            mu_scale: self.mu_scale.or(others.mu_scale),
            negative_prompt: self.negative_prompt.or(others.negative_prompt),
        }
    }

    /// Shift of the noise schedule for frames of a size; the released model's where nothing is said.
    #[must_use]
    pub fn shift_or_released(&self, width: u32, height: u32) -> f64 {
        let [w, h] = Self::RELEASED_SIZE;
        // Sizes that are rounded to the aspect of an image have a few pixels more or less.
        let is_small =
            u64::from(width) * u64::from(height) * 50 <= u64::from(w) * u64::from(h) * 51;
        let of_size = self.shift_of_small_frames.filter(|_| is_small);
        of_size.or(self.shift).unwrap_or(Self::RELEASED_SHIFT)
    }

    /// Take frames; the released model's where nothing is said.
    #[must_use]
    pub fn frames_or_released(&self) -> u32 {
        self.frames.unwrap_or(Self::RELEASED_FRAMES)
    }

    /// Width and height in pixels; the released model's where nothing is said.
    #[must_use]
    pub fn size_or_released(&self) -> [u32; 2] {
        let [width, height] = Self::RELEASED_SIZE;
        [self.width.unwrap_or(width), self.height.unwrap_or(height)]
    }
}

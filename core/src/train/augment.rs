//! Batches of RGBA clips, and what is made of them at random before an autoencoder sees them.

#![forbid(unsafe_code)]

use tch::Tensor;

use super::step_rng::StepRng;
use crate::Result;
use crate::vae::{hard_render, soft_render};

/// A batch of RGBA clips, straight and display-referred, in [−1, 1].
#[derive(Debug)]
pub struct RgbaClips {
    /// `[b, t, h, w, 3]`, t = 4n+1
    pub color: Tensor,
    /// `[b, t, h, w, 1]`, or three times the same
    pub alpha: Tensor,
}

impl RgbaClips {
    /// Of straight RGBA clips `[b, t, h, w, 4]` in [0, 1].
    ///
    /// # Errors
    /// Memory runs out.
    pub fn of_unit_rgba(rgba: &Tensor) -> Result<Self> {
        let all = rgba.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        Ok(Self { color: all.f_narrow(-1, 0, 3)?, alpha: all.f_narrow(-1, 3, 1)? })
    }
}

/// What a base autoencoder learns from, to which color and alpha are films of their own: of each
/// clip its color over one of the eight backgrounds, edges hard or soft, and its alpha three times.
/// `[2·b, t, h, w, 3]`, the colors first.
///
/// # Errors
/// Memory runs out.
pub fn color_and_alpha_films(clips: &RgbaClips, rng: &StepRng) -> Result<Tensor> {
    let RgbaClips { color, alpha } = clips;
    let alpha = alpha.f_expand_as(color)?;
    let count = color.size()[0];
    let mut films = Vec::with_capacity(count as usize + 1);
    for place in 0..count {
        let of = |all: &Tensor| all.f_narrow(0, place, 1);
        let render = match rng.index(&format!("film's edges {place}"), 2) {
            0 => hard_render,
            _ => soft_render,
        };
        let background = rng.corner(&format!("film {place}"));
        films.push(render(&of(color)?, &of(&alpha)?, background)?);
    }
    films.push(alpha);
    Ok(Tensor::f_cat(&films, 0)?)
}

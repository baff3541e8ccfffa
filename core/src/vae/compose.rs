//! An RGBA clip over a flat color: hard, as the encoder sees it, and soft, as people do.
//!
//! All values are in [−1, 1]; alpha is a = (x + 1) / 2.
//!
//! Ports `Wan-Alpha-VAE-train/train_vae.py:134` (`pad_rgb`); the colors are those of line 100.

use std::str::FromStr;

use tch::Tensor;

use crate::{Error, Result};

/// A corner of the color cube, {−1, 1}³.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corner(u8);

const NAMES: [&str; 8] = ["black", "blue", "green", "cyan", "red", "magenta", "yellow", "white"];

impl Corner {
    /// Shows nothing of its own where a clip is opaque, and is the safe choice elsewhere.
    pub const WHITE: Self = Self(7);

    /// The eight corners, in the order of training: red counts four, green two, blue one.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..8).map(Self)
    }

    /// Its place in that order, 0 to 7.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The color's name, as the command line has it.
    pub fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    /// Red, green and blue, each −1 or 1.
    pub fn rgb(self) -> [f32; 3] {
        [4, 2, 1].map(|bit| if self.0 & bit == 0 { -1.0 } else { 1.0 })
    }

    fn like(self, color: &Tensor) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.rgb())?
            .f_to_device(color.device())?
            .f_to_kind(color.kind())?)
    }
}

impl FromStr for Corner {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::all().find(|corner| corner.name() == name).ok_or_else(|| {
            Error::Input(format!("no background `{name}`; there are {}", NAMES.join(", ")))
        })
    }
}

/// `colour` wherever alpha is above 0, the background elsewhere: `[…, 3]` both, or `[…, 1]` for
/// alpha. Color under alpha 0 is nobody's choice, so that the encoder must not see it.
///
/// # Errors
/// Memory runs out.
pub fn hard_render(color: &Tensor, alpha: &Tensor, background: Corner) -> Result<Tensor> {
    // (x + 1) / 2 > 0, without rounding.
    let seen = alpha.f_gt(-1.0)?;
    Ok(color.f_where_self(&seen, &background.like(color)?)?)
}

/// color·a + background·(1 − a): `[…, 3]` both, or `[…, 1]` for alpha.
///
/// # Errors
/// Memory runs out.
pub fn soft_render(color: &Tensor, alpha: &Tensor, background: Corner) -> Result<Tensor> {
    let a = alpha.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
    let background = background.like(color)?;
    let rest = a.f_neg()?.f_add_scalar(1.0)?;
    Ok(color.f_mul(&a)?.f_add(&rest.f_mul(&background)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.view([-1]).try_into().unwrap()
    }

    #[test]
    fn the_corners_have_names_and_the_order_of_training() {
        let names: Vec<_> = Corner::all().map(Corner::name).collect();
        assert_eq!(names, NAMES);
        for (name, rgb) in [
            ("black", [-1.0, -1.0, -1.0]),
            ("blue", [-1.0, -1.0, 1.0]),
            ("green", [-1.0, 1.0, -1.0]),
            ("cyan", [-1.0, 1.0, 1.0]),
            ("red", [1.0, -1.0, -1.0]),
            ("magenta", [1.0, -1.0, 1.0]),
            ("yellow", [1.0, 1.0, -1.0]),
            ("white", [1.0, 1.0, 1.0]),
        ] {
            assert_eq!(name.parse::<Corner>().unwrap().rgb(), rgb, "{name}");
        }
        let text = "grey".parse::<Corner>().unwrap_err().to_string();
        assert!(text.contains("grey") && text.contains("magenta"), "{text}");
    }

    #[test]
    fn a_trace_of_alpha_shows_the_color_and_none_the_background() {
        let color = Tensor::from_slice(&[0.25f32; 9]).view([3, 3]);
        let trace = -1.0 + 2f32.powi(-23);
        let alpha = Tensor::from_slice(&[-1.0, trace, 1.0]).view([3, 1]);
        let red = "red".parse().unwrap();
        let hard = hard_render(&color, &alpha, red).unwrap();
        assert_eq!(values(&hard), [1.0, -1.0, -1.0, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]);
        let half = Tensor::from_slice(&[-1.0f32, 0.0, 1.0]).view([3, 1]);
        let soft = soft_render(&color, &half, red).unwrap();
        assert_eq!(values(&soft), [1.0, -1.0, -1.0, 0.625, -0.375, -0.375, 0.25, 0.25, 0.25]);
    }
}

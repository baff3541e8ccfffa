//! How near one RGBA clip is to another.

use crate::vae::Corner;

/// Squared errors of frames as they come: of alpha, and of color over the eight corners of the
/// color cube, which is where people see it. Color under alpha 0 does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reconstruction {
    color: f64,
    alpha: f64,
    pixels: f64,
}

impl Reconstruction {
    /// Adds two frames of the same size: straight RGBA in [0, 1].
    pub fn add(&mut self, found: &[f32], expected: &[f32]) {
        let (found, expected) = (found.as_chunks::<4>().0, expected.as_chunks::<4>().0);
        for (found, expected) in found.iter().zip(expected) {
            let [found, expected] = [found, expected].map(|pixel| pixel.map(f64::from));
            let over = |pixel: [f64; 4], channel: usize, background: f64| {
                pixel[channel] * pixel[3] + background * (1.0 - pixel[3])
            };
            for channel in 0..3 {
                // Four corners have this channel at 0, and four at 1.
                for background in [0.0, 1.0] {
                    let error =
                        over(found, channel, background) - over(expected, channel, background);
                    self.color += error * error / 2.0;
                }
            }
            self.alpha += (found[3] - expected[3]).powi(2);
            self.pixels += 1.0;
        }
    }

    /// Of color, softly rendered over all of [`Corner::all`], in decibels; infinite where nothing
    /// differs.
    pub fn color_psnr(&self) -> f64 {
        psnr(self.color / (3.0 * self.pixels))
    }

    /// Of alpha, in decibels.
    pub fn alpha_psnr(&self) -> f64 {
        psnr(self.alpha / self.pixels)
    }

    /// How many colors [`Reconstruction::color_psnr`] is over.
    pub fn backgrounds() -> usize {
        Corner::all().len()
    }
}

/// The peak is 1.
fn psnr(squared_error: f64) -> f64 {
    -10.0 * squared_error.log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vae::soft_render;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn it_is_the_mean_over_the_eight_soft_renders() {
        let frame = || crate::noise::unseeded([5, 7, 4], (Kind::Float, Device::Cpu)).sigmoid();
        let (found, expected) = (frame(), frame());
        let render = |rgba: &Tensor, corner| {
            let x = rgba * 2.0 - 1.0;
            soft_render(&x.narrow(-1, 0, 3), &x.narrow(-1, 3, 1), corner).unwrap() * 0.5 + 0.5
        };
        let error = |a: Tensor, b: Tensor| (a - b).square().mean(Kind::Double).double_value(&[]);
        let mean =
            Corner::all().map(|c| error(render(&found, c), render(&expected, c))).sum::<f64>();
        let values = |x: &Tensor| Vec::<f32>::try_from(x.view([-1])).unwrap();
        let mut reconstruction = Reconstruction::default();
        reconstruction.add(&values(&found), &values(&expected));
        assert!((reconstruction.color_psnr() + 10.0 * (mean / 8.0).log10()).abs() < 1e-5);
        let alpha = error(found.narrow(-1, 3, 1), expected.narrow(-1, 3, 1));
        assert!((reconstruction.alpha_psnr() + 10.0 * alpha.log10()).abs() < 1e-5);
    }

    #[test]
    fn color_that_nobody_sees_does_not_count_and_nothing_is_infinitely_near() {
        let mut reconstruction = Reconstruction::default();
        reconstruction.add(&[0.1, 0.2, 0.3, 0.0], &[0.9, 0.8, 0.7, 0.0]);
        assert_eq!(reconstruction.color_psnr(), f64::INFINITY);
        assert_eq!(reconstruction.alpha_psnr(), f64::INFINITY);
        reconstruction.add(&[0.0, 0.0, 0.0, 1.0], &[0.0, 0.0, 0.0, 0.0]);
        // Half the pixels: alpha off by one; color right over black, off by one over white.
        assert!((reconstruction.alpha_psnr() - 3.0103).abs() < 1e-4);
        assert!((reconstruction.color_psnr() - 6.0206).abs() < 1e-4);
    }
}

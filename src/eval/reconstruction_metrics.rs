//! How near one RGBA clip is to another, frame by frame: PSNR, SSIM and LPIPS, of color and of
//! alpha.
//!
//! Color is what people see: softly rendered (equation 4 of the paper) over the eight colors that
//! the autoencoder is trained over (3.1), or over one of them; the mean over them. PSNR and SSIM go
//! channel by channel, and each channel of the eight is 0 or 1, so that two renders give the mean
//! over all. Errors of PSNR are pooled over the clip; SSIM and LPIPS are means over frames.

use anyhow::Result;
use wan_alpha_core::metrics::{Lpips, SSIM_WINDOW, ssim};
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::vae::Corner;
use wan_alpha_take::frame::OwnedFrame;

/// Sums over the frames so far.
pub(super) struct ReconstructionMetrics<'a> {
    over: Vec<Corner>,
    lpips: Option<&'a Lpips>,
    frames: f64,
    pixels: f64,
    color_error: f64,
    alpha_error: f64,
    color_ssim: f64,
    alpha_ssim: f64,
    color_lpips: f64,
    alpha_lpips: f64,
    /// SSIM has a window, which a small clip does not hold.
    small: bool,
}

/// What they come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Near {
    pub(super) color_psnr: f64,
    pub(super) alpha_psnr: f64,
    pub(super) color_ssim: Option<f64>,
    pub(super) alpha_ssim: Option<f64>,
    pub(super) color_lpips: Option<f64>,
    pub(super) alpha_lpips: Option<f64>,
}

impl<'a> ReconstructionMetrics<'a> {
    /// Over one color, or over all.
    pub(super) fn new(over: Option<Corner>, lpips: Option<&'a Lpips>) -> Self {
        Self {
            over: over.map_or_else(|| Corner::all().collect(), |corner| vec![corner]),
            lpips,
            frames: 0.0,
            pixels: 0.0,
            color_error: 0.0,
            alpha_error: 0.0,
            color_ssim: 0.0,
            alpha_ssim: 0.0,
            color_lpips: 0.0,
            alpha_lpips: 0.0,
            small: false,
        }
    }

    /// Adds two frames of the same size.
    pub(super) fn add(&mut self, made: &OwnedFrame, truth: &OwnedFrame) -> Result<()> {
        let (width, pixels) = (truth.width, (truth.width * truth.height) as f64);
        self.frames += 1.0;
        self.pixels += pixels;
        self.small |= truth.width.min(truth.height) < SSIM_WINDOW;
        let similarity = |made: &[f32], truth: &[f32]| {
            if truth.len() < SSIM_WINDOW * width || width < SSIM_WINDOW {
                return Ok(0.0);
            }
            ssim(made, truth, width)
        };
        let (made_alpha, true_alpha) = (made.alpha(), truth.alpha());
        self.alpha_error += squared_error(&made_alpha, &true_alpha);
        self.alpha_ssim += similarity(&made_alpha, &true_alpha)?;
        for channel in 0..3 {
            for background in [0.0, 1.0] {
                let has = |corner: &&Corner| corner.rgb()[channel] * 0.5 + 0.5 == background;
                let share = self.over.iter().filter(has).count() as f64 / self.over.len() as f64;
                if share == 0.0 {
                    continue;
                }
                let made = over(made, channel, background);
                let truth = over(truth, channel, background);
                self.color_error += share / 3.0 * squared_error(&made, &truth);
                self.color_ssim += share / 3.0 * similarity(&made, &truth)?;
            }
        }
        if let Some(lpips) = self.lpips {
            let frames = [made, truth];
            for corner in &self.over {
                let render = |frame: &OwnedFrame| {
                    let rgb = corner.rgb().map(|value| value * 0.5 + 0.5);
                    picture([0, 1, 2].map(|channel| over(frame, channel, rgb[channel])), width)
                };
                let [made, truth] = frames.map(render);
                self.color_lpips += lpips.distances(&made?, &truth?)?[0] / self.over.len() as f64;
            }
            let gray = |alpha: Vec<f32>| picture([alpha.clone(), alpha.clone(), alpha], width);
            self.alpha_lpips += lpips.distances(&gray(made_alpha)?, &gray(true_alpha)?)?[0];
        }
        Ok(())
    }

    /// What was measured over all frames of the clip.
    pub(super) fn finish(&self) -> Near {
        let psnr = |error: f64| -10.0 * (error / self.pixels).log10();
        let similarity = |sum: f64| (!self.small).then(|| sum / self.frames);
        let distance = |sum: f64| self.lpips.map(|_| sum / self.frames);
        Near {
            color_psnr: psnr(self.color_error),
            alpha_psnr: psnr(self.alpha_error),
            color_ssim: similarity(self.color_ssim),
            alpha_ssim: similarity(self.alpha_ssim),
            color_lpips: distance(self.color_lpips),
            alpha_lpips: distance(self.alpha_lpips),
        }
    }
}

/// A channel softly rendered.
fn over(frame: &OwnedFrame, channel: usize, background: f32) -> Vec<f32> {
    let mix = |pixel: &[f32; 4]| pixel[channel] * pixel[3] + background * (1.0 - pixel[3]);
    frame.pixels().iter().map(mix).collect()
}

fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// Three planes in [0, 1] as a picture `[1, 3, h, w]` in [−1, 1].
fn picture(planes: [Vec<f32>; 3], width: usize) -> Result<Tensor> {
    let values = planes.concat();
    let height = values.len() / 3 / width.max(1);
    let tensor = Tensor::f_from_slice(&values)?.f_view([1, 3, height as i64, width as i64])?;
    Ok(tensor.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use wan_alpha_core::device::Device;
    use wan_alpha_core::encode::Reconstruction;

    fn noise(seed: u64, index: usize) -> OwnedFrame {
        let mut state = seed + 1000 * index as u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        OwnedFrame::new(index, 36, 33, (0..36 * 33 * 4).map(|_| next()).collect())
    }

    fn lpips() -> Lpips {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/tests/metrics");
        let file = |name: &str| -> PathBuf { data.join(name) };
        Lpips::open(&file("alex.pth"), &file("alex-heads.pth"), Device::cpu()).unwrap()
    }

    #[test]
    fn all_colors_are_the_mean_of_each_and_psnr_that_of_decode() {
        let lpips = lpips();
        let measure = |over| {
            let mut nearness = ReconstructionMetrics::new(over, Some(&lpips));
            for index in 0..2 {
                nearness.add(&noise(1, index), &noise(2, index)).unwrap();
            }
            nearness.finish()
        };
        let all = measure(None);
        let each: Vec<Near> = Corner::all().map(|corner| measure(Some(corner))).collect();
        let mean = |of: fn(&Near) -> f64| each.iter().map(of).sum::<f64>() / 8.0;
        let error = |near: &Near| 10f64.powf(-near.color_psnr / 10.0);
        assert!((error(&all) - mean(|near| 10f64.powf(-near.color_psnr / 10.0))).abs() < 1e-9);
        let similar = |near: &Near| near.color_ssim.unwrap();
        assert!((similar(&all) - mean(|near| near.color_ssim.unwrap())).abs() < 1e-9);
        let far = |near: &Near| near.color_lpips.unwrap();
        assert!((far(&all) - mean(|near| near.color_lpips.unwrap())).abs() < 1e-6);
        // The color under a clip makes a difference.
        assert!((far(&each[0]) - far(&each[7])).abs() > 1e-4);
        let mut known = Reconstruction::default();
        for index in 0..2 {
            known.add(&noise(1, index).rgba, &noise(2, index).rgba);
        }
        assert!((all.color_psnr - known.color_psnr()).abs() < 1e-4);
        assert!((all.alpha_psnr - known.alpha_psnr()).abs() < 1e-4);
    }

    #[test]
    fn a_known_error_has_its_psnr_and_equal_clips_are_infinitely_near() {
        let flat = |alpha: f32| OwnedFrame::new(0, 16, 16, [0.5, 0.5, 0.5, alpha].repeat(256));
        let mut nearness = ReconstructionMetrics::new(Some(Corner::WHITE), None);
        nearness.add(&flat(0.9), &flat(1.0)).unwrap();
        let near = nearness.finish();
        assert!((near.alpha_psnr - 20.0).abs() < 1e-4);
        // Over white, half as bright, a tenth of 0.5 shows through.
        assert!((near.color_psnr - 26.0206).abs() < 1e-3);
        assert_eq!(near.color_lpips, None);
        let mut nearness = ReconstructionMetrics::new(None, None);
        nearness.add(&noise(1, 0), &noise(1, 0)).unwrap();
        let near = nearness.finish();
        assert_eq!((near.color_psnr, near.alpha_psnr), (f64::INFINITY, f64::INFINITY));
        assert!((near.color_ssim.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_clip_smaller_than_the_window_has_no_ssim() {
        let small = OwnedFrame::new(0, 10, 40, vec![0.5; 1600]);
        let mut nearness = ReconstructionMetrics::new(None, None);
        nearness.add(&small, &small).unwrap();
        assert_eq!(nearness.finish().color_ssim, None);
    }
}

//! What the latents of many clips are like, at the end of a run: their mean and deviation, or the
//! linear map that brings them nearest to those of another autoencoder.

#![forbid(unsafe_code)]

use anyhow::Result;
use wan_alpha_core::tch::{Device, Kind, Tensor};
use wan_alpha_core::train::StepRng;
use wan_alpha_core::vae::LATENT_CHANNELS;

use super::batch_source::BatchSource;
use super::settings::Settings;

/// Shows `add` batch after batch, `clips` clips in all. They are those after the last step: clips
/// that nobody was trained on when they are drawn without end.
pub(super) fn over_clips<F: BatchSource>(
    feed: &F,
    settings: &Settings,
    clips: usize,
    mut add: impl FnMut(&F::Batch, &StepRng) -> wan_alpha_core::Result<()>,
) -> Result<()> {
    let step = settings.steps + 1;
    for part in 0..clips.div_ceil(settings.batch) as u64 {
        let raw = feed.training(step, part)?;
        let rng = StepRng::new(settings.seed, step).part(part);
        add(&feed.batch(&raw, &rng)?, &rng)?;
    }
    Ok(())
}

/// Mean and deviation, channel by channel, of the latents of `clips` clips; none of none.
pub(super) fn moments<F: BatchSource>(
    feed: &F,
    settings: &Settings,
    clips: usize,
    latent: impl Fn(&F::Batch, &StepRng) -> wan_alpha_core::Result<Tensor>,
) -> Result<Option<(Tensor, Tensor)>> {
    if clips == 0 {
        return Ok(None);
    }
    let mut moments = LatentMoments::default();
    over_clips(feed, settings, clips, |batch, rng| moments.add(&latent(batch, rng)?))?;
    Ok(moments.mean_and_deviation().map(Some)?)
}

/// Sums over latents, channel by channel, in float64.
#[derive(Default)]
struct LatentMoments(Option<(Tensor, Tensor, f64)>);

impl LatentMoments {
    /// `[b, t, h, w, 16]`
    fn add(&mut self, latents: &Tensor) -> wan_alpha_core::Result<()> {
        let flat = latents.f_to_kind(Kind::Double)?.f_reshape([-1, LATENT_CHANNELS])?;
        let count = flat.size()[0] as f64;
        let sum = |x: &Tensor| x.f_sum_dim_intlist(0i64, false, Kind::Double);
        let (first, second) = (sum(&flat)?, sum(&flat.f_square()?)?);
        self.0 = Some(match self.0.take() {
            Some((a, b, n)) => (a.f_add(&first)?, b.f_add(&second)?, n + count),
            None => (first, second, count),
        });
        Ok(())
    }

    fn mean_and_deviation(&self) -> wan_alpha_core::Result<(Tensor, Tensor)> {
        let Some((first, second, count)) = &self.0 else {
            return Err(wan_alpha_core::Error::Input("no latents were measured".into()));
        };
        let mean = first.f_div_scalar(*count)?;
        let variance = second.f_div_scalar(*count)?.f_sub(&mean.f_square()?)?;
        let deviation = variance.f_clamp_min(0.0)?.f_sqrt()?;
        Ok((mean.f_to_kind(Kind::Float)?, deviation.f_to_kind(Kind::Float)?))
    }
}

/// Least squares in float64: the map M·z + s that brings latents z nearest to wanted ones.
pub(super) struct MapFit {
    /// Sum of the products of (z, 1) with itself, `[17, 17]`, and with what is wanted, `[17, 16]`.
    own: Tensor,
    cross: Tensor,
    /// Sum of the squares of what is wanted, `[16]`.
    squares: Tensor,
}

/// The linear map that [`MapFit`] finds, and how well it fits.
pub(super) struct Map {
    /// What latents are multiplied by, M: `[16, 16]`.
    pub(super) matrix: Tensor,
    /// What is added then, s: `[16]`.
    pub(super) offset: Tensor,
    /// Of the variance of what was wanted, over all channels.
    pub(super) explained: f64,
}

impl MapFit {
    pub(super) fn new() -> wan_alpha_core::Result<Self> {
        let z = LATENT_CHANNELS;
        let zeros = |size: &[i64]| Tensor::f_zeros(size, (Kind::Double, Device::Cpu));
        Ok(Self { own: zeros(&[z + 1, z + 1])?, cross: zeros(&[z + 1, z])?, squares: zeros(&[z])? })
    }

    /// `[b, t, h, w, 16]` each.
    pub(super) fn add(&mut self, latents: &Tensor, wanted: &Tensor) -> wan_alpha_core::Result<()> {
        let flat = |x: &Tensor| -> wan_alpha_core::Result<Tensor> {
            let x = x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
            Ok(x.f_reshape([-1, LATENT_CHANNELS])?)
        };
        let (x, y) = (flat(latents)?, flat(wanted)?);
        let ones = Tensor::f_ones([x.size()[0], 1], (Kind::Double, Device::Cpu))?;
        let x = Tensor::f_cat(&[x, ones], 1)?;
        let _ = self.own.f_add_(&x.f_tr()?.f_mm(&x)?)?;
        let _ = self.cross.f_add_(&x.f_tr()?.f_mm(&y)?)?;
        let _ =
            self.squares.f_add_(&y.f_square()?.f_sum_dim_intlist(0i64, false, Kind::Double)?)?;
        Ok(())
    }

    /// # Errors
    /// Too few latents, or channels that say the same, so that no map is the nearest.
    pub(super) fn solve(&self) -> wan_alpha_core::Result<Map> {
        let z = LATENT_CHANNELS;
        let solution = Tensor::f_linalg_solve(&self.own, &self.cross, true).map_err(|_| {
            wan_alpha_core::Error::Input(
                "task.align: no one map brings the latents of so few clips back; give more".into(),
            )
        })?;
        // |y|² − 2·y·(Wᵀx) + |Wᵀx|², and for W that solves own·W = cross the last two are one.
        let left = self
            .squares
            .f_sum(Kind::Double)?
            .f_sub(&solution.f_mul(&self.cross)?.f_sum(Kind::Double)?)?;
        let count = self.own.f_double_value(&[z, z])?;
        let sums = self.cross.f_select(0, z)?;
        let spread = self.squares.f_sub(&sums.f_square()?.f_div_scalar(count)?)?;
        let spread = spread.f_sum(Kind::Double)?.f_double_value(&[])?;
        Ok(Map {
            matrix: solution.f_narrow(0, 0, z)?.f_tr()?.f_contiguous()?,
            offset: solution.f_select(0, z)?,
            explained: 1.0 - left.f_double_value(&[])? / spread,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_between_latents_is_found_again() {
        let options = (Kind::Double, Device::Cpu);
        let matrix = Tensor::eye(16, options) + Tensor::randn([16, 16], options) * 0.1;
        let offset = Tensor::randn([16], options);
        let mut fit = MapFit::new().unwrap();
        let mut noisy = MapFit::new().unwrap();
        for _ in 0..3 {
            let latents = Tensor::randn([1, 2, 4, 6, 16], options);
            let wanted = latents.matmul(&matrix.tr()) + &offset;
            fit.add(&latents, &wanted).unwrap();
            noisy.add(&latents, &(&wanted + wanted.randn_like())).unwrap();
        }
        let map = fit.solve().unwrap();
        let off = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
        assert!(off(&map.matrix, &matrix) < 1e-9 && off(&map.offset, &offset) < 1e-9);
        assert!((map.explained - 1.0).abs() < 1e-9, "{}", map.explained);
        let half = noisy.solve().unwrap().explained;
        assert!((0.3..0.8).contains(&half), "{half}");
        let nothing = MapFit::new().unwrap().solve();
        let error = nothing.err().unwrap().to_string();
        assert!(error.contains("give more"), "{error}");
    }
}

//! What the networks make of what is held out, as contact sheets: the way a person sees a run.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Result;
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::sampling::{Contexts, SamplingNoise, SamplingOptions, sample};
use wan_alpha_core::image_condition::ImageCondition;
use wan_alpha_core::noise::shift_mean_batch;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::train::{
    BaseVae, LatentBatch, RgbaClips, RgbaVae, StepRng, Texts, Transformer,
};
use wan_alpha_core::vae::{Corner, Film, LATENT_CHANNELS, RgbaDecoder};
use wan_alpha_core::weights::Decoders;
use wan_alpha_take::Solver;
use wan_alpha_take::frame::Frame;

use super::batch_source::BatchSource;
use super::clips::ClipFeed;
use super::latent_statistics::{MapFit, moments, over_clips};
use super::numbers;
use super::run::TaskHooks;
use super::settings::{self, Settings};
use crate::media::png::encode_sheet_of;

/// Sheets, at most, of each time.
const SHEETS: i64 = 4;
/// How a sample is denoised: in few steps, and without guidance.
const SAMPLING: SamplingOptions =
    SamplingOptions { solver: Solver::UniPc, steps: 8, shift: 5.0, guidance: 1.0 };

type Sheets = Result<Vec<(String, Vec<u8>)>>;

/// Of a base autoencoder: films, opaque.
pub(super) struct Films<'a> {
    pub(super) feed: &'a ClipFeed<Tensor>,
    pub(super) settings: &'a Settings,
    pub(super) about: &'a settings::BaseVae,
}

impl TaskHooks<BaseVae> for Films<'_> {
    fn samples(&self, task: &BaseVae, watch: &dyn Watch) -> Sheets {
        if self.feed.eval_batches() == 0 {
            return Ok(Vec::new());
        }
        let batch =
            self.feed.batch(&self.feed.measure(0)?, &StepRng::new(self.settings.seed, 0))?;
        let made = || {
            let made = task.reconstruct(&batch, watch)?;
            let alpha = made.f_narrow(-1, 0, 1)?.f_ones_like()?;
            Ok::<_, wan_alpha_core::Error>(Tensor::f_cat(&[made, alpha], -1)?)
        };
        sheets(&made()?)
    }

    /// Measures mean and deviation of the latents, and folds them in.
    fn finish(&self, task: &BaseVae, watch: &dyn Watch) -> Result<Option<String>> {
        let latent = |batch: &Tensor, _: &StepRng| task.latent(batch, watch);
        if let Some((mean, std)) = moments(self.feed, self.settings, self.about.calibrate, latent)?
        {
            task.calibrate(&mean, &std)?;
        }
        Ok(None)
    }
}

/// Of an RGBA autoencoder: what it makes of clips.
pub(super) struct Reconstructions<'a> {
    pub(super) feed: &'a ClipFeed<RgbaClips>,
    pub(super) settings: &'a Settings,
    pub(super) about: &'a settings::RgbaVae,
    /// The autoencoder as the run begins, where its latents are wanted back.
    pub(super) start: Option<RgbaVae>,
}

impl TaskHooks<RgbaVae> for Reconstructions<'_> {
    fn samples(&self, task: &RgbaVae, watch: &dyn Watch) -> Sheets {
        if self.feed.eval_batches() == 0 {
            return Ok(Vec::new());
        }
        let clips =
            self.feed.batch(&self.feed.measure(0)?, &StepRng::new(self.settings.seed, 0))?;
        let made = || {
            let (color, alpha) = task.reconstruct(&clips, Corner::WHITE, watch)?;
            let alpha = alpha.f_mean_dim(-1i64, true, alpha.kind())?;
            Ok::<_, wan_alpha_core::Error>(Tensor::f_cat(&[color, alpha], -1)?)
        };
        sheets(&made()?)
    }

    /// As [`Films::finish`], of merged latents; or brings them back to what they were at the start.
    fn finish(&self, task: &RgbaVae, watch: &dyn Watch) -> Result<Option<String>> {
        let latent =
            |batch: &RgbaClips, rng: &StepRng| task.encode(batch, rng.corner("encode"), watch);
        if let Some((mean, std)) = moments(self.feed, self.settings, self.about.calibrate, latent)?
        {
            task.calibrate(&mean, &std)?;
        }
        let Some(start) = &self.start else { return Ok(None) };
        let mut fit = MapFit::new()?;
        over_clips(self.feed, self.settings, self.about.align, |batch, rng| {
            let background = rng.corner("encode");
            let now = task.encode(batch, background, watch)?;
            fit.add(&now, &start.encode(batch, background, watch)?)
        })?;
        let map = fit.solve()?;
        task.map_latents(&map.matrix, &map.offset)?;
        let percent = 100.0 * map.explained;
        Ok(Some(format!(
            "latents are back to those of task.start in {percent:.1} % of their variance"
        )))
    }
}

/// Of a transformer: takes, each with the text and the mask of something held out.
pub(super) struct Takes<'a, F> {
    pub(super) feed: &'a F,
    pub(super) settings: &'a Settings,
    pub(super) about: &'a settings::Transformer,
    pub(super) decoders: Option<RgbaDecoder>,
}

impl<F: BatchSource<Batch = LatentBatch>> TaskHooks<Transformer> for Takes<'_, F> {
    fn samples(&self, task: &Transformer, watch: &dyn Watch) -> Sheets {
        let Some(decoders) = self.decoders.as_ref().filter(|_| self.feed.eval_batches() > 0) else {
            return Ok(Vec::new());
        };
        let rng = StepRng::new(self.settings.seed, 0);
        let batch = self.feed.batch(&self.feed.measure(0)?, &rng)?;
        sheets(&self.takes(task, decoders, &batch, &rng, watch)?)
    }
}

impl<F> Takes<'_, F> {
    /// A take with the text and the mask of each of the first latents of a batch: `[b, t, h, w, 4]`
    /// in [−1, 1].
    fn takes(
        &self,
        task: &Transformer,
        decoders: &RgbaDecoder,
        batch: &LatentBatch,
        rng: &StepRng,
        watch: &dyn Watch,
    ) -> wan_alpha_core::Result<Tensor> {
        let _guard = wan_alpha_core::tch::no_grad_guard();
        let dit = task.network()?;
        let contexts = match &batch.texts {
            Texts::Contexts(contexts) => contexts.iter().map(Tensor::shallow_clone).collect(),
            Texts::Tokens(tokens) => {
                let tokens: Vec<&[i64]> = tokens.iter().map(Vec::as_slice).collect();
                task.text()?.encode(&tokens, watch)?
            }
        };
        let shape = batch.latents.size();
        let mut takes = Vec::new();
        for (index, prompt) in (0..shape[0].min(SHEETS)).zip(contexts) {
            let size = [1, LATENT_CHANNELS, shape[2], shape[3], shape[4]];
            let noise = rng.normal(dit.device(), &format!("sample {index}"), &size)?;
            let noise = match &batch.masks {
                Some(masks) => {
                    shift_mean_batch(&noise, &masks.f_narrow(0, index, 1)?, self.about.mu)?
                }
                None => noise,
            };
            let image = batch.images.as_ref().and_then(|images| images.get(index as usize));
            let image = image.map(ImageCondition::shallow_clone);
            let contexts = Contexts { prompt, negative: None, image };
            let mut noise = SamplingNoise { first: noise.f_squeeze_dim(0)?, fresh: None };
            let latent = sample(&dit, &contexts, &mut noise, &SAMPLING, None, watch)?;
            let frames = decoders.decode(&latent, &mut Film::default(), watch)?.rgba()?;
            takes.push(frames.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?);
        }
        Ok(Tensor::f_stack(&takes, 0)?)
    }
}

/// The decoders that a transformer's samples are looked at with.
pub(super) fn decoders(
    paths: &[PathBuf],
    device: Device,
    watch: &dyn Watch,
) -> Result<Option<RgbaDecoder>> {
    if paths.is_empty() {
        return Ok(None);
    }
    Ok(Some(RgbaDecoder::load(&Decoders::find(paths)?, device, watch)?))
}

/// A contact sheet of each clip of `[b, t, h, w, 4]`, in [−1, 1].
fn sheets(clips: &Tensor) -> Sheets {
    let size = clips.size();
    let [_, frames, height, width] = [0, 1, 2, 3].map(|axis| size[axis] as usize);
    let unit = || -> wan_alpha_core::Result<Vec<Vec<f32>>> {
        let unit = clips.f_mul_scalar(0.5)?.f_add_scalar(0.5)?.f_clamp(0.0, 1.0)?;
        (0..size[0].min(SHEETS)).map(|index| numbers(&unit.f_select(0, index)?)).collect()
    };
    let clips = unit()?;
    let sheet = |(index, rgba): (usize, &Vec<f32>)| {
        let frames = rgba.chunks_exact(height * width * 4).take(frames).enumerate();
        let frames = frames.map(|(index, rgba)| Frame { index, width, height, rgba });
        Ok((index.to_string(), encode_sheet_of(frames)?))
    };
    clips.iter().enumerate().map(sheet).collect()
}

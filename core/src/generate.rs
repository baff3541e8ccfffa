//! The whole path: prompt → context → noise → latent → frames.

use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use wan_alpha_take::{Mask, Precision, TakeRequest};

use crate::dit::{Dit, DitConfig};
use crate::sampler::Sampler;
use crate::text::{TEXT_LENGTH, Tokenizer, Tokens, Umt5};
use crate::vae::{DecodedFrames, Film, LATENT_CHANNELS, RgbaDecoder};
use crate::weights::{ModelFiles, Strengths, Weights, is_finite};
use crate::{Error, Result, Stage, Watch, noise};

/// The negative prompt the base model was released with.
pub const NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，\
    画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，\
    画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，\
    背景人很多，倒着走";

/// Transformers of fewer parameters compute in float32 unless told otherwise.
const SMALL_MODEL: u64 = 3_000_000_000;

/// One frame of a take.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// 0-based take frame.
    pub index: usize,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Straight, display-referred RGBA in [0, 1], row 0 on top. Colour under alpha 0 is arbitrary.
    pub rgba: &'a [f32],
}

/// An error of a [`Sink`].
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Receives what a take is made of, as soon as it is there.
pub trait Sink {
    /// The next frame.
    ///
    /// # Errors
    /// Ends the take.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError>;

    /// Whether [`Sink::tensor`] wants to see intermediate results; the decoded videos are then
    /// kept in memory until the end.
    fn wants_tensors(&self) -> bool {
        false
    }

    /// An intermediate result: `token_ids`, `context`, `mask`, `noise`, `noise.shifted`,
    /// `timesteps`, `sigmas`, `latent.stepN`, `latent.final`, `video.fgr`, `video.pha`,
    /// `video.rgba`; with guidance also `negative_token_ids` and `negative_context`.
    ///
    /// # Errors
    /// Ends the take.
    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), SinkError> {
        let _ = (name, tensor);
        Ok(())
    }
}

/// What a model does where a request is silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Sampling steps.
    pub steps: u32,
    /// Classifier-free guidance; 1 is none.
    pub guidance: f64,
    /// Precision of the large matrices.
    pub precision: Precision,
}

/// A model that has been found, on a device, ready to make takes.
///
/// Parts are loaded when a take needs them and freed after: the text encoder block by block, the
/// transformer for sampling, the decoders for decoding.
#[derive(Debug)]
pub struct Pipeline {
    files: ModelFiles,
    config: DitConfig,
    device: Device,
}

impl Pipeline {
    /// Finds a model's parts among `paths` and checks that they fit together.
    ///
    /// # Errors
    /// As [`ModelFiles::find`] and [`DitConfig::infer`].
    pub fn open(
        paths: &[PathBuf],
        strengths: Strengths,
        device: Device,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let files = ModelFiles::find(paths, strengths, watch)?;
        let config = DitConfig::infer(&files.dit, files.config.as_deref())?;
        check_text_width(&files, &config)?;
        Ok(Self { files, config, device })
    }

    /// What the model does where a request is silent.
    pub fn defaults(&self) -> Defaults {
        let (steps, guidance) = if self.files.is_distilled() { (4, 1.0) } else { (50, 5.0) };
        let small = self.files.dit.parameters() < SMALL_MODEL;
        Defaults {
            steps,
            guidance,
            precision: if small { Precision::F32 } else { Precision::Bf16 },
        }
    }

    /// Its parts.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// Makes a take. `request` has been accepted ([`TakeRequest::accept`]); `mask`, if given,
    /// stands in for the request's ellipse, one frame for each latent frame.
    ///
    /// # Errors
    /// Anything the parts report; [`Error::Cancelled`] within one block of `watch` saying so.
    pub fn make(
        &self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        sink: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let noise = self.noise(request, mask, sink).map_err(|error| error.during(Stage::Text))?;
        let contexts =
            self.read_prompt(request, sink, watch).map_err(|error| error.during(Stage::Text))?;
        let dit =
            self.load_dit(request.precision, watch).map_err(|error| error.during(Stage::Load))?;
        let latent = sample(&dit, request, &contexts, &noise, sink, watch)
            .map_err(|error| error.during(Stage::Sample))?;
        drop(dit);
        emit(sink, "latent.final", &latent)?;
        let decoder = RgbaDecoder::load(&self.files.decoders, self.device, watch)
            .map_err(|error| error.during(Stage::Load))?;
        decode(&decoder, &latent, sink, watch).map_err(|error| error.during(Stage::Decode))
    }

    /// Loads the transformer, adapters merged.
    ///
    /// # Errors
    /// Its weights are damaged or memory runs out, or `watch` cancels.
    pub fn load_dit(&self, precision: Precision, watch: &dyn Watch) -> Result<Dit> {
        let weights = self.weights(&self.files.dit, precision, self.files.adapters.clone());
        let dit = Dit::load(&weights, self.config.clone(), watch)?;
        if let [first, ..] = self.files.dit.unused()[..] {
            watch.warn(&format!(
                "{} tensors of the transformer have no place in it, the first is `{first}`",
                self.files.dit.unused().len()
            ));
        }
        Ok(dit)
    }

    fn weights(
        &self,
        set: &std::sync::Arc<crate::weights::TensorSet>,
        precision: Precision,
        adapters: Vec<crate::weights::Adapter>,
    ) -> Weights {
        let kind = if precision == Precision::F32 { Kind::Float } else { Kind::BFloat16 };
        Weights::new(set.clone(), adapters, kind, self.device)
    }

    /// `[16, frames, h, w]`: noise whose mean is raised outside the ellipse.
    fn noise(
        &self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        sink: &mut dyn Sink,
    ) -> Result<Tensor> {
        let frames = request.latent_frames();
        let (width, height) = request.latent_size();
        let mask = match mask {
            Some(mask) if mask.shape()[0] != frames => {
                return Err(Error::Input(format!(
                    "the mask has {} frames, the take has {frames} latent frames ({} frames of \
                     video); one mask frame is needed for each",
                    mask.shape()[0],
                    request.frames
                )));
            }
            Some(mask) => noise::mask_on_grid(mask, height as i64, width as i64)?,
            None => {
                let mask = Mask::gaussian(&request.ellipse, width, height);
                noise::mask_on_grid(&mask, height as i64, width as i64)?
            }
        };
        let shape = [LATENT_CHANNELS, frames as i64, height as i64, width as i64];
        let noise = noise::draw(request.seed, &shape)?;
        let shift: Vec<f64> = request.mu.iter().map(|mu| mu * request.mu_scale).collect();
        let shifted = noise::shift_mean(&noise, &mask, &shift)?;
        emit(sink, "mask", &mask)?;
        emit(sink, "noise", &noise)?;
        emit(sink, "noise.shifted", &shifted)?;
        Ok(shifted)
    }

    fn read_prompt(
        &self,
        request: &TakeRequest,
        sink: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<Contexts> {
        let tokenizer = Tokenizer::open(&self.files.tokenizer)?;
        let prompt = tokenizer.encode(&request.prompt)?;
        warn_cut(&prompt, "prompt", watch);
        emit(sink, "token_ids", &padded_ids(&prompt)?)?;
        let negative = if request.guidance == 1.0 {
            None
        } else {
            let text = request.negative_prompt.as_deref().unwrap_or(NEGATIVE_PROMPT);
            let tokens = tokenizer.encode(text)?;
            warn_cut(&tokens, "negative prompt", watch);
            emit(sink, "negative_token_ids", &padded_ids(&tokens)?)?;
            Some(tokens)
        };
        let encoder = Umt5::new(self.weights(&self.files.text, request.precision, vec![]))?;
        let prompts: Vec<&[i64]> = [Some(&prompt), negative.as_ref()]
            .into_iter()
            .flatten()
            .map(|tokens| &tokens.ids[..])
            .collect();
        let mut encoded = encoder.encode(&prompts, watch)?.into_iter();
        let missing = || Error::Input("the text encoder gave no context".into());
        let prompt = encoded.next().ok_or_else(missing)?;
        emit(sink, "context", &prompt)?;
        let negative = encoded.next();
        if let Some(negative) = &negative {
            emit(sink, "negative_context", negative)?;
        }
        Ok(Contexts { prompt, negative })
    }
}

/// Both networks are found one by one; that they belong together shows in their widths.
fn check_text_width(files: &ModelFiles, config: &DitConfig) -> Result<()> {
    let (embedding, path, name) = files.text.find("token_embedding.weight")?;
    let width = embedding.shape.last().copied().unwrap_or(0);
    if width == config.text_dim {
        return Ok(());
    }
    Err(Error::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        expected: format!("{} channels, which the transformer attends to", config.text_dim),
        found: format!("{width}; text encoder and transformer are of different models"),
    })
}

/// What the transformer attends to: `[tokens, text_dim]`; the second with guidance only.
struct Contexts {
    prompt: Tensor,
    negative: Option<Tensor>,
}

/// From noise to a latent `[16, frames, h, w]`.
fn sample(
    dit: &Dit,
    request: &TakeRequest,
    contexts: &Contexts,
    noise: &Tensor,
    sink: &mut dyn Sink,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let steps = request.steps as usize;
    let mut sampler = Sampler::new(request.solver, steps, request.shift);
    let schedule = sampler.schedule();
    emit(sink, "timesteps", &as_f32(schedule.timesteps())?)?;
    emit(sink, "sigmas", &as_f32(schedule.levels())?)?;

    let size = noise.size();
    let rope = dit.rope([size[1], size[2], size[3]])?;
    let mut prompt = dit.prompt(&contexts.prompt)?;
    let mut negative = contexts.negative.as_ref().map(|context| dit.prompt(context)).transpose()?;
    let mut x = noise.f_unsqueeze(0)?.f_to_device(dit.device())?;
    watch.progress(Stage::Sample, 0, steps);
    let mut step = 0;
    while let Some(timestep) = sampler.timestep() {
        let mut velocity = dit.forward(&x, &[timestep], &mut prompt, &rope, watch)?;
        if let Some(negative) = &mut negative {
            // v = v₋ + g·(v₊ − v₋)
            let without = dit.forward(&x, &[timestep], negative, &rope, watch)?;
            velocity = without.f_add(&velocity.f_sub(&without)?.f_mul_scalar(request.guidance)?)?;
        }
        if !is_finite(&velocity)? {
            return Err(Error::Torch {
                doing: format!("sampling, step {} of {steps}", step + 1),
                detail:
                    "the transformer gave numbers that are not finite; with --dtype f32 it may not"
                        .into(),
            });
        }
        x = sampler.step(&x, &velocity)?;
        emit(sink, &format!("latent.step{step}"), &x.f_squeeze_dim(0)?)?;
        step += 1;
        watch.progress(Stage::Sample, step, steps);
    }
    Ok(x.f_squeeze_dim(0)?)
}

/// Decodes latent frame by latent frame and hands every frame on at once.
fn decode(
    decoder: &RgbaDecoder,
    latent: &Tensor,
    sink: &mut dyn Sink,
    watch: &dyn Watch,
) -> Result<()> {
    let latent_frames = latent.size()[1];
    let mut film = Film::default();
    let mut kept = Kept::default();
    let mut index = 0;
    watch.progress(Stage::Decode, 0, latent_frames as usize);
    for k in 0..latent_frames {
        let decoded = decoder.decode(&latent.f_narrow(1, k, 1)?, &mut film, watch)?;
        let rgba = decoded.rgba()?;
        hand_on(&rgba, &mut index, sink)?;
        if sink.wants_tensors() {
            kept.keep(&decoded, rgba)?;
        }
        watch.progress(Stage::Decode, k as usize + 1, latent_frames as usize);
    }
    kept.emit(sink)
}

/// `rgba`: `[t, h, w, 4]`.
fn hand_on(rgba: &Tensor, index: &mut usize, sink: &mut dyn Sink) -> Result<()> {
    let rgba = rgba.f_to_device(Device::Cpu)?.f_contiguous()?;
    let &[frames, height, width, channels] = &rgba.size()[..] else {
        return Ok(());
    };
    let mut pixels = vec![0f32; (height * width * channels) as usize];
    for frame in 0..frames {
        rgba.f_get(frame)?.f_copy_data(&mut pixels, (height * width * channels) as usize)?;
        sink.frame(Frame {
            index: *index,
            width: width as usize,
            height: height as usize,
            rgba: &pixels,
        })
        .map_err(Error::Sink)?;
        *index += 1;
    }
    Ok(())
}

/// Decoded chunks kept for a sink that wants whole videos.
#[derive(Default)]
struct Kept {
    colour: Vec<Tensor>,
    alpha: Vec<Tensor>,
    rgba: Vec<Tensor>,
}

impl Kept {
    fn keep(&mut self, decoded: &DecodedFrames, rgba: Tensor) -> Result<()> {
        self.colour.push(decoded.colour.f_to_device(Device::Cpu)?);
        self.alpha.push(decoded.alpha.f_to_device(Device::Cpu)?);
        self.rgba.push(rgba.f_to_device(Device::Cpu)?);
        Ok(())
    }

    fn emit(self, sink: &mut dyn Sink) -> Result<()> {
        for (name, chunks) in
            [("video.fgr", self.colour), ("video.pha", self.alpha), ("video.rgba", self.rgba)]
        {
            if !chunks.is_empty() {
                // [t, h, w, c] → [c, t, h, w]
                emit(sink, name, &Tensor::f_cat(&chunks, 0)?.f_permute([3, 0, 1, 2])?)?;
            }
        }
        Ok(())
    }
}

fn emit(sink: &mut dyn Sink, name: &str, tensor: &Tensor) -> Result<()> {
    if sink.wants_tensors() {
        sink.tensor(name, tensor).map_err(Error::Sink)?;
    }
    Ok(())
}

fn as_f32(values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?)
}

fn padded_ids(tokens: &Tokens) -> Result<Tensor> {
    let mut ids = tokens.ids.clone();
    ids.resize(TEXT_LENGTH, 0);
    Ok(Tensor::f_from_slice(&ids)?)
}

fn warn_cut(tokens: &Tokens, what: &str, watch: &dyn Watch) {
    if let Some(tail) = &tokens.cut_after {
        watch.warn(&format!(
            "the {what} has more than {TEXT_LENGTH} tokens; it is cut after “…{tail}”, and what follows is not seen"
        ));
    }
}

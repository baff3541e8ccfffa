//! The whole path: prompt → context → noise → latent → frames.

mod arithmetic;
mod chunk_spool;
mod context_cache;
mod decode_settings;
mod decoding;
mod images;
mod loaded_dit;
mod negative_prompt;
mod once;
mod pausing;
mod placing;
mod prompt;
pub mod sampling;

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};
use wan_alpha_take::counted::counted;
use wan_alpha_take::frame::Frame;
use wan_alpha_take::models::Defaults;
use wan_alpha_take::{Fingerprint, Guide, Mask, Precision, TakeRequest};

use crate::device::Device;
use crate::device_memory::with_free_memory;
use crate::dit::{AttentionKernel, DitConfig, attention_kernel};
use crate::noise::{self, ShiftedNoise};
use crate::plan::DecodePlan;
use crate::shim::Switch;
use crate::vae::{LATENT_CHANNELS, RgbaDecoder};
use crate::weights::{FurtherLora, MergedTransformer, ModelFiles, Strengths, Weights};
use crate::{Error, ErrorKind, MemoryContext, Result, Stage, Watch, give_back};
pub use arithmetic::{Arithmetic, ModelWidths};
pub use decode_settings::DecodeSettings;
pub use decoding::{DecodeWay, decode, decode_by};
use images::RememberedCondition;
pub use images::TakeInputs;
use loaded_dit::LoadedDit;
pub use negative_prompt::{NEGATIVE_PROMPT, RELEASED_NEGATIVE_PROMPT};
use once::Once;
pub use placing::{HostMemory, MemoryLimits};
use prompt::{Memory, TextModel, kind_of};
use sampling::SamplingNoise;

/// Transformers of fewer parameters compute in float32 unless told otherwise.
const SMALL_MODEL: u64 = 3_000_000_000;

/// An error of a [`FrameSink`].
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Receives what a take is made of, as soon as it is there.
pub trait FrameSink {
    /// The next frame.
    ///
    /// # Errors
    /// Ends the take.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError>;

    /// Whether [`FrameSink::tensor`] wants to see intermediate results; the decoded videos are then
    /// kept in memory until the end.
    fn wants_tensors(&self) -> bool {
        false
    }

    /// An intermediate result: `token_ids`, `context`, `mask`, `noise`, `noise.shifted`,
    /// `timesteps`, `sigmas`, `noise.stepN` (what a step adds, before its mean is raised), `latent.stepN`,
    /// `latent.final`, `video.fgr`, `video.pha`,
    /// `video.rgba`; with guidance also `negative_token_ids` and `negative_context`.
    ///
    /// # Errors
    /// Ends the take.
    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), SinkError> {
        let _ = (name, tensor);
        Ok(())
    }
}

/// What stays in memory between takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Each part only while it is used: one take, and the least memory.
    Nothing,
    /// Transformer, decoders and contexts: the next take starts at once.
    Everything,
}

/// A model that has been found, on a device, ready to make takes.
///
/// The text encoder is read block by block and never stays; the transformer and the decoders are
/// loaded when a take needs them, and stay or go as [`Keep`] says.
#[derive(Debug)]
pub struct Pipeline {
    files: ModelFiles,
    config: DitConfig,
    device: Device,
    keep: Keep,
    dit: Option<LoadedDit>,
    decoder: Option<RgbaDecoder>,
    attention: Option<AttentionKernel>,
    contexts: Memory,
    /// Of the images of the last take.
    condition: Option<RememberedCondition>,
    strengths: Strengths,
    merged: Option<MergedTransformer>,
    limits: Option<MemoryLimits>,
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
        keep: Keep,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let files = ModelFiles::find(paths, strengths, watch)?;
        let config = DitConfig::infer(&files.dit, files.config.as_deref())?;
        check_text_width(&files, &config)?;
        let contexts = Memory::default();
        Ok(Self {
            files,
            config,
            device,
            keep,
            dit: None,
            decoder: None,
            attention: None,
            contexts,
            condition: None,
            strengths,
            merged: None,
            limits: None,
        })
    }

    /// Has LoRAs merged that are no part of the model, after its own adapters and in this order.
    ///
    /// # Errors
    /// As [`ModelFiles::add_loras`].
    pub fn add_loras(&mut self, loras: &[FurtherLora], watch: &dyn Watch) -> Result<()> {
        self.dit = None;
        self.files.add_loras(loras, watch)
    }

    /// Loads the transformer from a copy that was made of this model, whose fingerprint is `source`,
    /// with the adapters merged: where the copy has the precision of the request, and the adapters are
    /// of full strength. Takes are the same.
    ///
    /// # Errors
    /// As [`MergedTransformer::open`]; the model is used without the copy then.
    pub fn use_merged(
        &mut self,
        path: &Path,
        source: Fingerprint,
        precision: Precision,
    ) -> Result<()> {
        let kind = kind_of(precision);
        self.merged = Some(MergedTransformer::open(path, &self.files, source, kind)?);
        Ok(())
    }

    /// Keeps the contexts of prompts in a folder of this user, which it makes, and finds there what
    /// earlier processes have kept: requests that name their model's fingerprint then need the text
    /// encoder once for each prompt. The folder stays below 256 MB, has no prompt in clear, and may be
    /// deleted at any time.
    pub fn keep_contexts(&mut self, folder: PathBuf) {
        self.contexts.keep_in(folder);
    }

    /// What the model does where a request and its record are silent, by what its parts are: how it is
    /// sampled, precision, and of the released model the negative prompt.
    pub fn defaults(&self) -> Defaults {
        let small = self.files.dit.parameters() < SMALL_MODEL;
        let released = self.files.has_dora() && self.config.is_wan_14b();
        let own = Defaults {
            precision: Some(if small { Precision::F32 } else { Precision::Bf16 }),
            negative_prompt: released.then(|| RELEASED_NEGATIVE_PROMPT.to_owned()),
            ..Defaults::default()
        };
        self.sampled_by(self.files.preset().preset, &own)
    }

    /// The files of the model's parts.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// Asks libtorch which kernel computes attention in the take of a request, once per take: logged,
    /// and kept for its record. Nothing needs to be loaded for it.
    ///
    /// # Errors
    /// A GPU would compute attention over more than 4,096 tokens in memory quadratic in them.
    fn choose_attention(&mut self, request: &TakeRequest) -> Result<()> {
        let (width, height) = request.latent_size();
        let grid = [request.latent_frames() as i64, height as i64, width as i64];
        let kernel = attention_kernel(&self.config, grid, kind_of(request.precision), self.device)
            .map_err(|error| error.during(Stage::Sample))?;
        self.attention = Some(kernel);
        Ok(())
    }

    /// The kernel that computed attention in the last take, once there has been one.
    pub fn attention_kernel(&self) -> Option<AttentionKernel> {
        self.attention
    }

    /// Makes a take: [`Pipeline::latent`], then [`Pipeline::decode`].
    ///
    /// # Errors
    /// Anything the parts report; [`Error::Cancelled`] within one block of `watch` saying so.
    pub fn make(
        &mut self,
        request: &TakeRequest,
        inputs: TakeInputs<'_>,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<()> {
        let latent = self.latent(request, inputs, sink, watch)?;
        self.decode(&latent, DecodeSettings::of(request), sink, watch)
    }

    /// The take as a latent `[16, frames, h, w]`, float32. `request` has been accepted
    /// ([`TakeRequest::accept`]); `inputs` are what it refers to and does not hold.
    ///
    /// # Errors
    /// As [`Pipeline::make`].
    pub fn latent(
        &mut self,
        request: &TakeRequest,
        inputs: TakeInputs<'_>,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let device = self.device;
        self.latent_unmeasured(request, inputs, sink, watch)
            .map_err(|error| with_free_memory(error, device))
    }

    fn latent_unmeasured(
        &mut self,
        request: &TakeRequest,
        inputs: TakeInputs<'_>,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        self.check_images(request, inputs)?;
        let plan = self.plan(request)?;
        if let Some(plan) = &plan {
            log::info!("memory: {plan}");
            self.check_disk(request.precision, plan)?;
        }
        self.choose_attention(request)?;
        let mut noise =
            self.noise(request, inputs.mask, sink).map_err(|error| error.during(Stage::Text))?;
        let Self { files, config, contexts, device, dit, .. } = self;
        let length = config.text_tokens();
        // A tokenizer is read anew for each take.
        files.tokenizer_unchanged()?;
        let weights = |kind| Weights::new(files.text.clone(), vec![], kind, *device);
        let text = TextModel {
            tokenizer: &files.tokenizer,
            weights: &weights,
            length,
            device: device.tch(),
            slots: plan.as_ref().map_or(2, |plan| plan.text_slots),
        };
        let stays = plan.as_ref().is_none_or(|plan| plan.text_beside_transformer);
        let make_room = &mut || {
            if !stays && dit.take().is_some() {
                give_back(*device)?;
            }
            Ok(())
        };
        let mut contexts = contexts
            .contexts(&text, request, make_room, sink, watch)
            .map_err(|error| error.during(Stage::Text))?;
        // Nor has it been written over while it was read.
        files.tokenizer_unchanged()?;
        let image_beside = plan.as_ref().is_none_or(|plan| plan.condition_beside_transformer);
        contexts.image = self
            .image_condition(request, inputs, image_beside, sink, watch)
            .map_err(|error| error.during(Stage::Encode))?;
        let latent = self.denoise(request, (&contexts, &mut noise), plan, sink, watch)?;
        if self.keep == Keep::Nothing {
            self.unload()?;
        }
        emit(sink, "latent.final", &latent)?;
        Ok(latent)
    }

    /// Decodes a latent `[16, frames, h, w]` and hands every frame to `sink` as soon as it is
    /// there, once. Where memory runs out beside the transformer, that is freed and decoding begins
    /// again.
    ///
    /// # Errors
    /// As [`Pipeline::make`].
    pub fn decode(
        &mut self,
        latent: &Tensor,
        settings: DecodeSettings,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<()> {
        self.pause_before_decoding(latent.size()[1] as usize, watch)?;
        let tf32 = self.decodes_in_tf32(settings.precision);
        if tf32 {
            log::info!("the decoders' convolutions multiply float32 as TF32");
            Switch::Tf32Convolutions.set(true)?;
        }
        let decoded = self.decode_twice(latent, settings, sink, watch);
        if tf32 {
            Switch::Tf32Convolutions.set(false)?;
        }
        decoded
    }

    /// Whether the decoders, whose weights are float32, compute with ten bits of mantissa: on a GPU,
    /// for takes whose large matrices are not float32 either.
    pub fn decodes_in_tf32(&self, precision: Precision) -> bool {
        self.device.is_cuda() && precision != Precision::F32
    }

    /// Once more without the transformer, where memory runs out.
    fn decode_twice(
        &mut self,
        latent: &Tensor,
        settings: DecodeSettings,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<()> {
        let mut sink = Once::new(sink);
        match self.try_decode(latent, settings, &mut sink, watch) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory && self.dit.is_some() => {
                watch.warn(&format!(
                    "{}: the transformer is let go, and decoding begins again",
                    error.what()
                ));
                self.dit = None;
                give_back(self.device)?;
                self.try_decode(latent, settings, &mut sink, watch)
            }
            decoded => decoded,
        }
    }

    fn try_decode(
        &mut self,
        latent: &Tensor,
        settings: DecodeSettings,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let take = settings.sizes(latent);
        let DecodePlan { together, beside_transformer } = self.decode_plan(&take)?;
        if !beside_transformer && self.dit.take().is_some() {
            log::info!("the transformer makes room for the decoders");
            give_back(self.device)?;
        }
        if !together || settings.tiled {
            return self.decode_in_turn(latent, settings, sink, watch);
        }
        let kind = settings.kind();
        let decoder = match self.decoder.take().filter(|decoder| decoder.kind() == kind) {
            Some(decoder) => decoder,
            None => RgbaDecoder::load_in(kind, &self.files.decoders, self.device, watch)
                .map_err(|error| error.during(Stage::Load))?,
        };
        let decoded = decoding::decode_together(&decoder, latent, sink, watch);
        let decoded =
            decoded.map_err(|error| with_free_memory(error.during(Stage::Decode), self.device));
        if self.keeps_decoders() {
            self.decoder = Some(decoder);
            return decoded;
        }
        drop(decoder);
        decoded.and_then(|()| give_back(self.device))
    }

    /// One decoder after the other, which takes the memory of one; color waits on the host's side.
    fn decode_in_turn(
        &mut self,
        latent: &Tensor,
        settings: DecodeSettings,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<()> {
        self.decoder = None;
        let folder = self.limits.as_ref().and_then(|limits| limits.folder.clone());
        let way =
            DecodeWay { kind: settings.kind(), together: false, tiled: settings.tiled, folder };
        decode_by(&self.files.decoders, self.device, latent, &way, sink, watch)
            .map_err(|error| with_free_memory(error, self.device))?;
        give_back(self.device)
    }

    /// Whether anything of it is in the device's memory.
    pub fn is_loaded(&self) -> bool {
        self.dit.is_some() || self.decoder.is_some()
    }

    /// Frees what is loaded, for other programs too. Contexts stay.
    ///
    /// # Errors
    /// As [`give_back`].
    pub fn unload(&mut self) -> Result<()> {
        self.dit = None;
        self.decoder = None;
        give_back(self.device)
    }

    /// What a request of this precision asks of the device's memory.
    fn asked(&self, precision: Precision) -> MemoryContext {
        let bytes = self.sizes(precision).map(|sizes| sizes.transformer(sizes.layers)).ok();
        MemoryContext { float32: precision == Precision::F32, model: bytes }
    }

    /// Noise `[16, frames, h, w]` whose mean is raised outside the ellipse.
    fn noise(
        &self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        sink: &mut dyn FrameSink,
    ) -> Result<SamplingNoise> {
        let frames = request.latent_frames();
        let (width, height) = request.latent_size();
        let guide = match mask {
            Some(mask) if mask.shape()[0] != frames => {
                return Err(Error::Input(format!(
                    "the mask has {}, the take has {} ({} of video); one mask frame is needed for each: \
                     give as many, or ask for {} (--frames)",
                    counted(mask.shape()[0], "frame"),
                    counted(frames, "latent frame"),
                    counted(request.frames, "frame"),
                    counted(mask.shape()[0].max(1) * 4 - 3, "frame")
                )));
            }
            Some(mask) => Guide::Map(mask.clone()),
            None => Guide::Ellipses(request.ellipse.clone()),
        };
        let mask = guide.on_grid(width, height);
        let mask = noise::mask_on_grid(self.device, &mask, height as i64, width as i64)?;
        let shape = [LATENT_CHANNELS, frames as i64, height as i64, width as i64];
        let shift: Vec<f64> = request.mu.iter().map(|mu| mu * request.mu_scale).collect();
        let mut noises = ShiftedNoise::new(self.device, request.seed, &shape, &mask, &shift)?;
        let noise = noises.draw()?;
        let first = noises.raise(&noise)?;
        emit(sink, "mask", &mask)?;
        emit(sink, "noise", &noise)?;
        emit(sink, "noise.shifted", &first)?;
        Ok(SamplingNoise { first, fresh: Some(noises) })
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

fn emit(sink: &mut dyn FrameSink, name: &str, tensor: &Tensor) -> Result<()> {
    if sink.wants_tensors() {
        sink.tensor(name, tensor).map_err(Error::Sink)?;
    }
    Ok(())
}

fn as_f32(values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?)
}

//! `wan-alpha train`: one TOML file, one folder, one command that begins a run and goes on with it.
//!
//! [`settings`] says what a run is, [`run`] is its loop, [`folder`] its place on disk; [`feed`] and
//! its kinds bring the batches, [`samples`] the pictures. The arithmetic is core's
//! ([`wan_alpha_core::train`]).

#![forbid(unsafe_code)]

mod batch_source;
mod batches_by_shape;
mod clip_shapes;
mod clips;
mod folder;
mod latent_statistics;
mod latents;
mod log;
mod log_line;
mod on_the_fly_latents;
mod plot;
mod run;
mod samples;
mod settings;
mod tensorboard;

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::device::has_bfloat16;
use wan_alpha_core::dit::Dit;
use wan_alpha_core::tch::{Device, Kind, Tensor};
use wan_alpha_core::text::{EMBEDDING, Tokenizer, Umt5};
use wan_alpha_core::train::{
    AuxiliaryNetworks, BaseVae, ComputeOptions, FrozenDit, Losses, Origin, RgbaVae, Transformer,
    Vgg, tokenizer,
};
use wan_alpha_core::weights::{
    TensorFile, TensorSet, Weights, find_base_autoencoder, find_text_encoder, find_tokenizer,
    find_transformer,
};
use wan_alpha_take::Precision;

use crate::args::Train;
use crate::context::CommandContext;
use crate::data::procedural::{DrawnStream, Scene};
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::stdout::print_lines;
use crate::stoppable;
use clips::{ClipFeed, Clips};
use folder::RunFolder;
use latents::LatentFeed;
use on_the_fly_latents::LiveFeed;
use run::TrainRun;
use settings::{Settings, Task};

/// The most drawn clips whose captions a tokenizer is learned from: a few seconds to draw, and many times
/// what the words of drawn scenes need.
const MOST_CAPTIONED: u64 = 1_000_000;

/// Trains what `args` name.
pub(crate) fn run(args: &Train, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let mut settings = Settings::read(&args.settings, console).or_exit(Exit::BadInput)?;
    if let Some(steps) = args.steps {
        settings.steps = steps;
    }
    let device = device::open(&args.computing(), environment, console)?.device;
    let kind = match settings.precision {
        Precision::Bf16 if !has_bfloat16(device) => {
            console.warn(
                "this processor has no instructions for bfloat16, in which precision = \"bf16\" would \
                 take many times as long: computing in float32",
            );
            Kind::Float
        }
        Precision::Bf16 => Kind::BFloat16,
        _ => Kind::Float,
    };
    let bench =
        TaskBench { settings: &settings, compute: ComputeOptions { kind, device }, watch: console };
    let folder = RunFolder::open(&args.out, &settings)?;
    let run = TrainRun { device, settings: &settings, folder: &folder, progress, watch: console };
    let measured = match &settings.task {
        Task::Tokenizer(task) => learn_pieces(task.vocabulary, &settings, &folder, console),
        Task::BaseVae(task) => bench.base_vae(task, &run),
        Task::RgbaVae(task) => bench.rgba_vae(task, &run),
        Task::Transformer(task) => bench.transformer(task, true, &run),
        Task::Dora(task) => bench.transformer(task, false, &run),
    }?;
    progress.done();
    if let Some(losses) = measured {
        let terms = losses.0.iter().map(|loss| format!("{} {:.5}", loss.name, loss.value));
        progress.remark(format!("held out: {}", terms.collect::<Vec<_>>().join(", ")));
    }
    print_lines(&[folder.model().display().to_string()])?;
    Ok(())
}

/// A tokenizer: nothing that goes in steps.
fn learn_pieces(
    pieces: usize,
    settings: &Settings,
    folder: &RunFolder,
    watch: &dyn Watch,
) -> Result<Option<Losses>> {
    let clips = settings.steps.checked_mul(settings.clips_per_step());
    let clips = clips
        .filter(|clips| *clips <= MOST_CAPTIONED)
        .with_context(|| {
            format!(
                "steps × batch × accumulate is the number of drawn clips whose captions a tokenizer is \
                 learned from: expected at most {MOST_CAPTIONED}"
            )
        })
        .or_exit(Exit::BadInput)?;
    let drawn = settings.data.drawn(DrawnStream::Training, settings.seed)?;
    let languages = settings.data.language.all();
    let captions = (0..clips).map(|index| Scene::draw(&drawn, index));
    let captions = captions.flat_map(|scene| {
        let each = languages
            .iter()
            .map(move |&language| [scene.caption(language), scene.short_caption(language)]);
        each.flatten().collect::<Vec<_>>()
    });
    let captions: Vec<String> = captions.collect();
    let learned =
        stoppable::run("learning the tokenizer", watch, move || tokenizer(&captions, pieces))??;
    learned.write(&folder.model())?;
    Ok(None)
}

/// What a task is built from.
struct TaskBench<'a> {
    settings: &'a Settings,
    compute: ComputeOptions,
    watch: &'a dyn Watch,
}

impl TaskBench<'_> {
    fn base_vae(&self, about: &settings::BaseVae, run: &TrainRun<'_>) -> Result<Option<Losses>> {
        let origin = match about.config() {
            Some(config) => Origin::Nothing { config, seed: self.settings.seed },
            None => Origin::Files(find_base_autoencoder(&about.start)?),
        };
        let vgg = self.vgg(about.vgg.as_deref(), about.perceptual)?;
        let task = BaseVae::new(&origin, about.settings(), vgg, self.compute);
        let feed = ClipFeed::films(Clips::open(self.settings).or_exit(Exit::BadInput)?);
        let extras = samples::Films { feed: &feed, settings: self.settings, about };
        run.train(&mut task?, &feed, &extras)
    }

    fn rgba_vae(&self, about: &settings::RgbaVae, run: &TrainRun<'_>) -> Result<Option<Losses>> {
        let base = find_base_autoencoder(&about.base)?;
        let frozen_dit = self.frozen_dit(about)?;
        let vgg = self.vgg(about.vgg.as_deref(), about.perceptual)?;
        let seed = self.settings.seed;
        let begin = |auxiliary| -> wan_alpha_core::Result<RgbaVae> {
            let task = RgbaVae::new(&base, about.settings(), auxiliary, seed, self.compute)?;
            if let Some(start) = &about.start {
                task.start_from(&TensorFile::open(start)?)?;
            }
            Ok(task)
        };
        let mut task = begin(AuxiliaryNetworks { vgg, frozen_dit })?;
        let start = (about.align > 0).then(|| begin(AuxiliaryNetworks::default())).transpose();
        let start = start?;
        let feed = ClipFeed::rgba(Clips::open(self.settings).or_exit(Exit::BadInput)?);
        let extras =
            samples::Reconstructions { feed: &feed, settings: self.settings, about, start };
        run.train(&mut task, &feed, &extras)
    }

    fn transformer(
        &self,
        about: &settings::Transformer,
        whole: bool,
        run: &TrainRun<'_>,
    ) -> Result<Option<Losses>> {
        let seed = self.settings.seed;
        let (origin, config) = match &about.dit {
            Some(sizes) => (Origin::Nothing { config: (), seed }, sizes.config()),
            None => {
                let (set, config) = find_transformer(&about.base)?;
                (Origin::Files(set), config)
            }
        };
        let transformer = config.clone();
        let text = match (&about.text, about.text_base.as_slice()) {
            (Some(sizes), _) => Some(Origin::Nothing { config: sizes.config(), seed }),
            (None, []) => None,
            (None, files) => Some(Origin::Files(find_text_encoder(files)?)),
        };
        let settings = about.settings(whole);
        let task = Transformer::new(&origin, config, text.as_ref(), settings, seed, self.compute);
        let mut task = task?;
        if let Some(start) = &about.start {
            task.start_from(&TensorFile::open(start)?)?;
        }
        let tokenizer = about.tokenizer.as_deref().map(Tokenizer::open).transpose();
        let tokenizer = tokenizer?;
        if let (Some(tokenizer), Some(text)) = (&tokenizer, &text) {
            let rows = match text {
                Origin::Nothing { config, .. } => config.vocabulary,
                Origin::Files(set) => set.shape(EMBEDDING)?.first().copied().unwrap_or(0),
            };
            tokenizer.check_fits(rows).or_exit(Exit::BadInput)?;
        }
        let decoders = samples::decoders(&about.decoders, self.compute.device, self.watch)?;
        let settings = self.settings;
        if settings.data.procedural.is_some() {
            let feed =
                LiveFeed::open(settings, about, tokenizer, &transformer, self.compute, self.watch);
            let feed = feed.or_exit(Exit::BadInput)?;
            let extras = samples::Takes { feed: &feed, settings, about, decoders };
            run.train(&mut task, &feed, &extras)
        } else {
            let feed = LatentFeed::open(self.compute.device, settings, tokenizer, &transformer);
            let feed = feed.or_exit(Exit::BadInput)?;
            let extras = samples::Takes { feed: &feed, settings, about, decoders };
            run.train(&mut task, &feed, &extras)
        }
    }

    /// VGG16 for the perceptual loss, which nothing replaces.
    fn vgg(&self, path: Option<&Path>, weight: f64) -> Result<Option<Vgg>> {
        match path {
            Some(path) if weight != 0.0 => {
                let vgg = Vgg::open(path, Kind::Float, self.compute.device);
                Ok(vgg.map(Some)?)
            }
            Some(_) => Ok(None),
            None => {
                if weight != 0.0 {
                    self.watch.warn(
                        "no VGG16 is given (task.vgg): the perceptual loss counts nothing in this \
                         run",
                    );
                }
                Ok(None)
            }
        }
    }

    /// The frozen transformer of the bidirectional loss.
    fn frozen_dit(&self, about: &settings::RgbaVae) -> Result<Option<FrozenDit>> {
        if about.bidirectional == 0.0 {
            return Ok(None);
        }
        if about.dit.is_empty() {
            self.watch.warn(
                "no transformer is given (task.dit): the bidirectional loss counts nothing in this \
                 run",
            );
            return Ok(None);
        }
        let (set, config) = find_transformer(&about.dit)?;
        config.of_text_alone(&set)?;
        let text_dim = config.text_dim;
        let dit = Dit::load(&self.weights(set), config, self.watch)?;
        let context = if about.text.is_empty() {
            let ComputeOptions { kind, device } = self.compute;
            let zeros = device.zeros(&[1, text_dim], kind)?;
            zeros.f_to_device(device.tch()).map_err(wan_alpha_core::Error::from)?
        } else {
            self.empty_prompt(&about.text)?
        };
        Ok(Some(FrozenDit { dit, context }))
    }

    /// The context of the empty prompt, `[tokens, text_dim]`, of the text encoder among `paths`.
    fn empty_prompt(&self, paths: &[std::path::PathBuf]) -> Result<Tensor> {
        let set = find_text_encoder(paths)?;
        let path = find_tokenizer(paths)?;
        let tokenizer = Tokenizer::of_encoder(&path, set.shape(EMBEDDING)?, self.watch)?;
        let tokens = tokenizer.encode("")?;
        let text = Umt5::new(self.weights(set))?;
        let contexts = text.encode(&[&tokens.ids], self.watch)?;
        contexts.into_iter().next().ok_or_else(|| anyhow!("the text encoder gave no context"))
    }

    fn weights(&self, set: std::sync::Arc<TensorSet>) -> Weights {
        let ComputeOptions { kind, device } = self.compute;
        Weights::new(set, vec![], kind, device)
    }
}

/// float32 numbers of a tensor, on the CPU.
fn numbers(tensor: &Tensor) -> wan_alpha_core::Result<Vec<f32>> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    Ok(Vec::<f32>::try_from(tensor.f_contiguous()?.f_view([-1])?)?)
}

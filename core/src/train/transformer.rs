//! The diffusion transformer: flow matching from noise whose mean is raised outside the ellipse.
//!
//! Trained whole (with its text encoder, for models that start from nothing), or through a DoRA.
//!
//! Ports `Wan-Alpha-train/diffsynth/pipelines/wan_video_new_1010_ellipse.py:268` (`training_loss`);
//! the defaults are those of
//! `Wan-Alpha-train/examples/wanvideo/model_training/train_gauss_ellipse.py:37`.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::Tensor;

use super::export::{Content, Export};
use super::flow::{Flow, TimeRounding};
use super::init::{self, Umt5Config};
use super::losses::{self, Losses, Sum};
use super::parameters::Parameters;
use super::step_rng::StepRng;
use super::task::{self, ComputeOptions, NewAdapter, Origin, Task};
use crate::dit::{Dit, DitConfig, ImagePrompt};
use crate::image_condition::ImageCondition;
use crate::noise::shift_mean_batch;
use crate::text::Umt5;
use crate::weights::{MemorySet, TensorFile};
use crate::{Error, Result, Unwatched, Watch};

/// Modules the released DoRA changes, by the ends of their names.
pub const DORA_TARGETS: [&str; 6] = ["q", "k", "v", "o", "ffn.0", "ffn.2"];

/// What of the transformer is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Every tensor of the transformer.
    Whole,
    /// A DoRA beside each linear layer of the blocks whose name ends as one of `targets`.
    Dora {
        /// Of A and B; their product counts once.
        rank: i64,
        /// Ends of the names of layers, such as those of [`DORA_TARGETS`].
        targets: Vec<String>,
    },
}

/// How it is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerSettings {
    /// Which tensors are trained: all, or a DoRA's.
    pub trained: Trained,
    /// How much the noise's mean is raised where the mask is 0.
    pub mu: f64,
    /// Whether times are rounded.
    pub rounding: TimeRounding,
    /// Whether blocks keep only what they were given.
    pub recompute: bool,
}

impl Default for TransformerSettings {
    /// As the released DoRA was trained.
    fn default() -> Self {
        let targets = DORA_TARGETS.map(str::to_owned).into();
        Self {
            trained: Trained::Dora { rank: 32, targets },
            mu: 0.05,
            rounding: TimeRounding::None,
            recompute: false,
        }
    }
}

/// Latents with what they show.
#[derive(Debug)]
pub struct LatentBatch {
    /// `[b, 16, t, h, w]`, normalized; h and w even
    pub latents: Tensor,
    /// The Gaussian of each latent frame, `[b, t, h, w]` in [0, 1]; without one nothing is raised.
    pub masks: Option<Tensor>,
    /// One text for each.
    pub texts: Texts,
    /// What each begins with, for an image-to-video transformer.
    pub images: Option<Vec<ImageCondition>>,
}

/// Texts of a batch.
#[derive(Debug)]
pub enum Texts {
    /// Encoded beforehand: `[tokens, text_dim]` each.
    Contexts(Vec<Tensor>),
    /// Token ids, `</s>` included and padding not, for a text encoder that is trained along.
    Tokens(Vec<Vec<i64>>),
}

impl Texts {
    fn len(&self) -> usize {
        match self {
            Self::Contexts(texts) => texts.len(),
            Self::Tokens(texts) => texts.len(),
        }
    }
}

/// Training of a transformer.
#[derive(Debug)]
pub struct Transformer {
    settings: TransformerSettings,
    config: DitConfig,
    compute: ComputeOptions,
    set: Arc<MemorySet>,
    text: Option<Arc<MemorySet>>,
    parameters: Parameters,
    flow: Flow,
}

impl Transformer {
    /// Begins. With weights from files `config` is theirs ([`DitConfig::infer`]). A `text` encoder
    /// is trained along; without one batches bring contexts.
    ///
    /// # Errors
    /// Weights are missing or damaged, a target names nothing, or memory runs out.
    pub fn new(
        origin: &Origin<()>,
        config: DitConfig,
        text: Option<&Origin<Umt5Config>>,
        settings: TransformerSettings,
        seed: u64,
        compute: ComputeOptions,
    ) -> Result<Self> {
        let ComputeOptions { kind, device } = compute;
        if let Some(image) = &config.image
            && (settings.trained == Trained::Whole || image.tokens.is_some())
        {
            return Err(Error::Input(
                "of image-to-video transformers a DoRA is trained (kind = \"dora\"), and only of those whose \
                 takes begin with an image and end with none"
                    .into(),
            ));
        }
        // What is trained begins with all its digits.
        let held_dtype =
            if settings.trained == Trained::Whole { compute.master_dtype() } else { kind };
        let mut set = match origin {
            Origin::Files(set) => MemorySet::read_all(set, held_dtype, device)?,
            Origin::Nothing { seed, .. } => {
                init::dit(device, &config, *seed)?.to(held_dtype, device)?
            }
        };
        let mut parameters = Parameters::default();
        match &settings.trained {
            Trained::Whole => task::train(&mut set, "dit.", |_| true, &mut parameters)?,
            Trained::Dora { rank, targets } => {
                adapt(&mut set, *rank, targets, seed, compute, &mut parameters)?;
            }
        }
        let text = match text {
            Some(origin) => {
                let master_dtype = compute.master_dtype();
                let mut set = match origin {
                    Origin::Files(set) => MemorySet::read_all(set, master_dtype, device)?,
                    Origin::Nothing { config, seed } => {
                        init::umt5(device, config, *seed)?.to(master_dtype, device)?
                    }
                };
                task::train(&mut set, "text.", |_| true, &mut parameters)?;
                Some(Arc::new(set))
            }
            None => None,
        };
        let flow = Flow::new(settings.rounding)?;
        let set = Arc::new(set);
        let task = Self { settings, config, compute, set, text, parameters, flow };
        task.network()?;
        Ok(task)
    }

    /// Takes a DoRA (`….safetensors` as released, or of this program) as the first numbers.
    ///
    /// # Errors
    /// One of its tensors is missing or of another shape.
    pub fn start_from(&self, dora: &TensorFile) -> Result<()> {
        for (name, _) in self.parameters.iter() {
            let Some(module) = name.strip_prefix("dit.") else { continue };
            let spellings = [module.to_owned(), module.replace(".default.", ".")];
            let found =
                dora.names().find(|key| spellings.iter().any(|end| key.ends_with(end.as_str())));
            let key = found.unwrap_or(module);
            self.parameters.set(name, &dora.read(self.compute.device, key)?)?;
        }
        Ok(())
    }

    /// The sizes of the transformer.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// The transformer as it stands.
    ///
    /// # Errors
    /// As [`Dit::load`].
    pub fn network(&self) -> Result<Dit> {
        Dit::load(&self.compute.weights(&self.set), self.config.clone(), &Unwatched)
    }

    /// The text encoder that is trained along, as it stands.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&self) -> Result<Umt5> {
        let set = self.text.as_ref().ok_or_else(|| {
            Error::Input("no text encoder is trained along in this run; give contexts".into())
        })?;
        Umt5::new(self.compute.weights(set))
    }

    /// Contexts of the batch's texts, with gradients where the encoder is trained.
    fn contexts(&self, texts: &Texts, watch: &dyn Watch) -> Result<Vec<Tensor>> {
        match texts {
            Texts::Contexts(contexts) => Ok(contexts.iter().map(Tensor::shallow_clone).collect()),
            Texts::Tokens(tokens) => {
                let tokens: Vec<&[i64]> = tokens.iter().map(Vec::as_slice).collect();
                self.text()?.forward(&tokens, watch)
            }
        }
    }

    fn losses(
        &self,
        batch: &LatentBatch,
        rng: &StepRng,
        watch: &dyn Watch,
        backward: Option<f64>,
    ) -> Result<Losses> {
        let latents = self.compute.to_master(&batch.latents)?;
        let size = latents.size();
        let &[count, _, frames, height, width] = &size[..] else {
            return Err(Error::Input(format!("latents are [b, 16, t, h, w], not {size:?}")));
        };
        if batch.texts.len() as i64 != count {
            return Err(Error::Input(format!(
                "{} texts for {count} latents; each needs its own",
                batch.texts.len()
            )));
        }
        let noise = self.compute.normal(rng, "noise", &size)?;
        let noise = match &batch.masks {
            Some(masks) => {
                shift_mean_batch(&noise, &self.compute.to_master(masks)?, self.settings.mu)?
            }
            None => noise,
        };
        let times: Vec<_> = (0..count).map(|i| self.flow.draw(rng, &format!("time {i}"))).collect();
        let each = |values: Vec<f64>| -> Result<Tensor> {
            Ok(self.compute.to_master(&Tensor::f_from_slice(&values)?)?.f_view([-1, 1, 1, 1, 1])?)
        };
        let sigmas = each(times.iter().map(|time| time.sigma).collect())?;
        let rest = each(times.iter().map(|time| 1.0 - time.sigma).collect())?;
        let noisy = latents.f_mul(&rest)?.f_add(&noise.f_mul(&sigmas)?)?;
        let target = noise.f_sub(&latents)?;
        let timesteps: Vec<f64> = times.iter().map(|time| time.timestep).collect();
        let weights: Vec<f64> = times.iter().map(|time| time.weight).collect();

        let contexts = self.contexts(&batch.texts, watch)?;
        let dit = self.network()?;
        let rope = dit.rope([frames, height, width])?;
        let mut prompt = dit.prompts(&contexts.iter().collect::<Vec<_>>())?;
        let mut image = batch.images.as_deref().map(|images| embedded(&dit, images)).transpose()?;
        let sum = |velocity: &Tensor| {
            let mut sum = Sum::default();
            sum.add("velocity", losses::velocity(velocity, &target, &weights)?, 1.0)?;
            Ok::<_, Error>(sum)
        };
        match backward {
            Some(loss_scale) if self.settings.recompute => {
                let image = image.as_ref();
                let pass = dit.recomputed(&noisy, &timesteps, &prompt, image, &rope, watch)?;
                let losses = sum(pass.velocity())?.backward(loss_scale)?;
                pass.backward(watch)?;
                Ok(losses)
            }
            _ => {
                let image = image.as_mut();
                let velocity =
                    dit.forward_from(&noisy, &timesteps, &mut prompt, image, &rope, watch)?;
                let sum = sum(&velocity)?;
                match backward {
                    Some(loss_scale) => sum.backward(loss_scale),
                    None => sum.values(),
                }
            }
        }
    }
}

/// The images that the latents of a batch begin with, as the blocks see them.
fn embedded(dit: &Dit, images: &[ImageCondition]) -> Result<ImagePrompt> {
    let _guard = tch::no_grad_guard();
    let each: Vec<_> = images.iter().map(|image| (&image.feature, &image.channels)).collect();
    dit.images(&each)
}

/// Puts a DoRA beside every target.
fn adapt(
    set: &mut MemorySet,
    rank: i64,
    targets: &[String],
    seed: u64,
    compute: ComputeOptions,
    parameters: &mut Parameters,
) -> Result<()> {
    let meant = |name: &str, target: &str| {
        name.starts_with("blocks.")
            && name.strip_suffix(target).is_some_and(|before| before.ends_with('.'))
    };
    let matrices: Vec<String> =
        set.names().filter_map(|name| Some(name.strip_suffix(".weight")?.to_owned())).collect();
    for target in targets {
        let found = matrices.iter().filter(|name| meant(name, target));
        if found.filter(|name| is_matrix(set, name)).count() == 0 {
            return Err(Error::Input(format!(
                "the DoRA's target `{target}` is no linear layer of the transformer's blocks; there \
                 are {}",
                DORA_TARGETS.join(", ")
            )));
        }
    }
    for module in matrices.iter().filter(|name| targets.iter().any(|target| meant(name, target))) {
        if !is_matrix(set, module) {
            continue;
        }
        let name = format!("{module}.weight");
        let key = format!("dit.{module}");
        let rng = StepRng::new(seed, 0);
        let opened = compute.device;
        let adapter = NewAdapter { key: &key, rank, scale: 1.0, magnitude: true, rng, opened };
        let adapter = adapter.make(&set.get(&name)?, compute.master_dtype(), parameters)?;
        set.adapt(&name, adapter);
    }
    Ok(())
}

fn is_matrix(set: &MemorySet, module: &str) -> bool {
    set.shape(&format!("{module}.weight")).is_ok_and(|shape| shape.len() == 2)
}

impl Task for Transformer {
    type Batch = LatentBatch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn step(
        &self,
        batch: &LatentBatch,
        rng: &StepRng,
        loss_scale: f64,
        watch: &dyn Watch,
    ) -> Result<Losses> {
        self.losses(batch, rng, watch, Some(loss_scale))
    }

    fn evaluate(&self, batch: &LatentBatch, rng: &StepRng, watch: &dyn Watch) -> Result<Losses> {
        let _guard = tch::no_grad_guard();
        self.losses(batch, rng, watch, None)
    }

    /// The DoRA, or the whole transformer with its `config.json`; and the text encoder where it was
    /// trained.
    fn export(&self) -> Result<Vec<Export>> {
        let mut exports = Vec::new();
        let of_dit = super::export::stripped(&self.parameters, "dit.")?;
        if let Trained::Dora { .. } = self.settings.trained {
            let keyed = of_dit.into_iter().map(|(key, t)| (format!("diffusion_model.{key}"), t));
            let content = Content::Safetensors(keyed.collect());
            exports.push(Export { file: "wan-alpha-dora.safetensors", content });
        } else {
            let content = Content::Safetensors(of_dit);
            exports.push(Export { file: "diffusion_pytorch_model.safetensors", content });
            let content = Content::Text(super::export::config_json(&self.config));
            exports.push(Export { file: "config.json", content });
        }
        if self.text.is_some() {
            let tensors = super::export::stripped(&self.parameters, "text.")?;
            let content = Content::Pickle(tensors);
            exports.push(Export { file: "models_t5_umt5-xxl-enc-bf16.pth", content });
        }
        Ok(exports)
    }
}

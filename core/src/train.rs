//! Training: exact losses, trainable networks, the optimizer, and results in the released formats.
//!
//! Nothing here reads settings or data sets, keeps files of a run or knows the time; a runner does,
//! in this form:
//!
//! ```text
//! let mut task = RgbaVae::new(&base, settings, auxiliary, seed, compute)?;   // or another Task
//! let mut optimizer = Optimizer::new(OptimizerSettings { … }, task.parameters())?;
//! // resuming: optimizer.restore(task.parameters(), |name| file.read_if_there(name))?
//! loop {
//!     let rng = StepRng::new(seed, optimizer.step() + 1);
//!     task.parameters_mut().zero_gradients();
//!     for part in 0..accumulate {
//!         let losses = task.step(&batch, &rng.part(part), 1.0 / accumulate as f64, watch)?;
//!     }
//!     let update = optimizer.update(task.parameters_mut())?;  // clips, steps, averages, zeroes
//!     // checkpoint: write_safetensors(path, &optimizer.state(task.parameters())?, &remarks)?
//! }
//! optimizer.swap_ema_weights(task.parameters())?;              // averages in, where there are any
//! for export in task.export()? { export.write(folder)?; }      // also: evaluate, reconstruct
//! optimizer.swap_ema_weights(task.parameters())?;
//! ```
//!
//! A base autoencoder is brought to the released latents' scale at its end ([`BaseVae::calibrate`]),
//! which everything after it normalizes by; an RGBA autoencoder's latents may be mapped back to those
//! that a transformer has learned ([`RgbaVae::map_latents`]).
//!
//! | task | trains | batch |
//! |---|---|---|
//! | [`BaseVae`] | encoder and decoder, from nothing | `[b, t, h, w, 3]` |
//! | [`Transformer`], `Trained::Whole` | transformer (and text encoder), from nothing or from files | [`LatentBatch`] |
//! | [`RgbaVae`] | merge block and decoder LoRAs | [`RgbaClips`] |
//! | [`Transformer`], `Trained::Dora` | a DoRA | [`LatentBatch`] |
//!
//! Invariants:
//! - every random number follows from (run seed, step, part, purpose) through [`StepRng`];
//! - a step that meets a number that is not finite fails with [`crate::Error::Diverged`] before any
//!   parameter has changed;
//! - the state of [`Optimizer::state`], written and restored, gives the next losses bit for bit;
//! - networks are built anew for each step from [`Parameters`]: what a step changes in place, the
//!   next one computes with.

mod augment;
mod base_vae;
mod calibrate;
mod export;
mod flow;
pub mod init;
mod latent_encoder;
pub mod losses;
mod optimizer;
mod parameters;
mod perceptual;
mod region;
mod rgba_vae;
mod step_rng;
mod stride_losses;
mod task;
mod tokenizer;
mod transformer;

pub use augment::{RgbaClips, color_and_alpha_films};
pub use base_vae::{BaseVae, BaseVaeSettings};
pub use export::{Content, Export, write_pickle, write_safetensors};
pub use flow::{Flow, Time, TimeRounding};
pub use init::{Umt5Config, VaeConfig};
pub use latent_encoder::LatentEncoder;
pub use losses::{Bidirectional, Loss, Losses};
pub use optimizer::{Optimizer, OptimizerSettings, Schedule, Update};
pub use parameters::Parameters;
pub use perceptual::Vgg;
pub use region::region_mask;
pub use rgba_vae::{AuxiliaryNetworks, FrozenDit, HardAlpha, MergeStart, RgbaVae, RgbaVaeSettings};
pub use step_rng::StepRng;
pub use task::{ComputeOptions, Origin, Task};
pub use tokenizer::tokenizer;
pub use transformer::{
    DORA_TARGETS, LatentBatch, Texts, Trained, Transformer, TransformerSettings,
};

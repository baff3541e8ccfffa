//! The Wan-Alpha model on libtorch: from a prompt to frames with true transparency.
//!
//! A take is made in four stages ([`Stage`]): the text encoder turns the prompt into a context
//! ([`text`]), noise whose mean is raised outside an ellipse ([`noise`]) is denoised by the
//! diffusion transformer ([`dit`]) under a sampler ([`sampler`]), and the latent is decoded twice,
//! to color and to alpha ([`vae`]). [`generate`] is the whole path, [`encode`] the way back from a
//! clip to its latent, [`image_encoder`] what an image-to-video model
//! sees an image with, [`preview`] what a latent looks like without decoding it, [`image_condition`] what its transformer is given of it; [`weights`] finds and reads the model, [`train`] makes one, and [`metrics`]
//! says how near two pictures are. [`shim`] is what libtorch's binding leaves out.
//!
//! "Ports `file:line`" names the code of the authors that a module computes the same as: of
//! <https://github.com/WeChatCV/Wan-Alpha> at commit 5804410.
//!
//! Invariants:
//! - no weights file can run code (`weights::pickle`, its tests);
//! - layers never switch gradients off and change nothing in place that may need one: training
//!   sends gradients through a frozen transformer;
//! - nothing here prints, reads the environment or knows the time of day; progress and
//!   cancellation go through [`Watch`].

pub mod blocks;
mod clip_tower;
pub mod device;
mod device_memory;
mod direct_read;
pub mod dit;
pub mod encode;
mod error;
pub mod generate;
mod guarded_map;
pub mod image_condition;
pub mod image_encoder;
pub mod linear;
pub mod metrics;
pub mod noise;
mod pacer;
mod parallel;
pub mod plan;
pub mod preview;
pub mod sampler;
pub mod shim;
mod stage;
pub mod text;
pub mod train;
pub mod vae;
mod watch;
pub mod weights;

/// Re-exported so that everyone means the same libtorch.
pub use tch;

pub use device_memory::give_back;
pub use error::{Error, ErrorKind, MemoryContext, Result, Shortage, WeightFormat, plain_words};
pub use stage::Stage;
pub use watch::{Unwatched, Watch};

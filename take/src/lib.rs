//! What plug-in, engine and command agree on about a *take*, one generated RGBA clip: the request
//! that describes it, the file that it becomes, and how one process asks another to make it.
//!
//! A [`RequestDraft`] says what an artist asks for. Completed with what a model's record says, it is
//! a [`TakeRequest`], from which everything follows: the [`TakeKey`] that the take is found by in a
//! [`store`], and, through an [`engine`], the take itself.
//!
//! Read in this order.
//!
//! What a take is:
//! - [`TakeRequest`]: everything a take depends on; [`TakeRequest::accept`] is the only gate.
//! - [`MemoryLimit`]: the memory it may use, and what of its request follows from that.
//! - [`TakeKey`]: what a take is found by, made of the request alone ([`TakeRequest::key`]).
//! - [`frames`]: which take frames a latent frame stands for, and nothing else knows it.
//! - [`frame::Frame`]: one picture of a clip; [`color`]: its values as light, and in whole numbers.
//!
//! Where its subject is:
//! - [`Ellipse`]: the artist's ellipse; [`Ellipse::on_grid`] is the only place where it turns into
//!   the model's convention, a [`GridEllipse`].
//! - [`Track`]: an ellipse keyframed in time, sampled once per latent frame.
//! - [`Mask`]: the Gaussian G of the paper, a [`LatentGrid`].
//! - [`fit`]: the ellipse of an alpha, as the model was told in training.
//!
//! What it begins with:
//! - [`still_image`]: an image by its hash, and in the size of a take.
//!
//! What is to be known of a take:
//! - [`report`]: what a finished take came to; [`warning`]: what is said of it, before and after.
//!   [`TakeRequest::warnings`], [`key_warnings`] and [`TakeRequest::result_warnings`] say it.
//!
//! Where things are, and who makes them:
//! - [`models`]: models by name; [`environment`]: what variables and folders mean to us;
//!   [`machine`]: its name;
//!   [`log_file`]: where programs without a terminal say what they do.
//! - [`store`]: where takes are kept, one file for each, published once and never changed.
//! - [`engine`]: what engine and clients say to each other, where they meet, and both sides of it;
//!   [`visible_gpus`]: which cards an engine sees, so that those who mean the same share one;
//!   [`user_files`]: whose a file is.
//!
//! Invariants:
//! - No torch. The environment is read where a program's entry asks for it, and nowhere else
//!   (`environment/process.rs`); unsafe is one call, which registers a socket to wait for
//!   (`engine/transport/wait.rs`). Request, ellipse, mask and key are numbers in,
//!   numbers out: no threads, no files, no clock.
//! - Geometry is computed in `f64`; a mask becomes `f32` at its very end.
//! - An accepted request holds only multiples of 1e-6 and is accepted again unchanged.
//! - Nothing here panics on input: errors name the field, what was expected, what was found and
//!   what to do.
//!
//! ```
//! use wan_alpha_take::{Interpolation, Mask, Track, frames};
//!
//! let track = Track::parse("0: 0.3,0.5,0.6,1,0; 80: 0.7,0.5,0.6,1,0", Interpolation::Smooth)?;
//! let ellipses = track.at_latent_frames(frames::latent_frames(81)?);
//! let mask = Mask::gaussian(&ellipses, 832 / frames::CELL, 480 / frames::CELL);
//! assert_eq!(mask.shape(), [21, 60, 104]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]

mod choice;
mod codes;
pub mod color;
pub mod counted;
mod digest;
pub mod disk_space;
pub mod ellipse;
pub mod engine;
pub mod environment;
pub mod fit;
pub mod frame;
pub mod frames;
mod guide;
mod key;
mod latent_grid;
pub mod log_file;
pub mod machine;
pub mod mask;
mod memory_limit;
pub mod models;
mod problem;
pub mod report;
pub mod request;
pub mod retime;
pub mod rounding;
pub mod still_image;
pub mod store;
pub mod track;
pub mod user_files;
pub mod visible_gpus;
pub mod warning;

/// Which pixels our code makes. Raised whenever a change of it changes them: a take made by other
/// numerics is another take.
pub const NUMERICS: u32 = 3;

pub use choice::UnknownChoice;
pub use digest::{ContentHash, DigestError, Fingerprint};
pub use ellipse::{Ellipse, EllipseError, GridEllipse};
pub use frames::FrameCountError;
pub use guide::Guide;
pub use key::TakeKey;
pub use latent_grid::LatentGrid;
pub use mask::{Mask, MaskError};
pub use memory_limit::{CapSource, MemoryLimit, MemoryLimitError};
pub use report::{ReportMeter, TakeReport};
pub use request::{
    DecodePrecision, DecodeTiling, DraftError, ImageSource, LoraSource, LoraWord, LoraWordError,
    MaskSource, Precision, RequestDraft, RequestError, Solver, TakeRequest, key_warnings,
};
pub use still_image::StillImage;
pub use track::{Interpolation, Track, TrackError};
pub use warning::{Warning, WarningCode};

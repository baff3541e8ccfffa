//! What plug-in, engine and command agree on about a *take*, one generated RGBA clip: the request
//! that describes it, the ellipse that places its subject, and the mask that ellipse becomes.
//!
//! Read in this order:
//! - [`TakeRequest`]: everything a take depends on; [`TakeRequest::accept`] is the only gate.
//! - [`Ellipse`]: the artist's ellipse; [`Ellipse::on_grid`] is the only place where it turns into
//!   the model's convention, a [`GridEllipse`].
//! - [`Track`]: an ellipse keyframed in time, sampled once per latent frame.
//! - [`Mask`]: the Gaussian G of the paper, `[latent frames, latent height, latent width]`.
//! - [`frames`]: which take frames a latent frame stands for, and nothing else knows it.
//!
//! Invariants:
//! - No torch, no unsafe code, no threads, files, clock or environment: numbers in, numbers out.
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

#![forbid(unsafe_code)]

mod choice;
pub mod ellipse;
pub mod frames;
pub mod mask;
pub mod request;
pub mod rounding;
pub mod track;

pub use choice::UnknownChoice;
pub use ellipse::{Ellipse, EllipseError, GridEllipse};
pub use frames::FrameCountError;
pub use mask::{Mask, MaskError};
pub use request::{DecodeTiling, Precision, RequestError, Solver, TakeRequest};
pub use track::{Interpolation, Track, TrackError};

//! How near one picture is to another, how good it looks and how well it shows a text, as the
//! literature measures it.
//!
//! Invariant: SSIM, LPIPS and CLIP are the reference implementations' (`core/tests/metrics.rs`).

mod aesthetic;
mod clip;
mod lpips;
mod ssim;

pub use aesthetic::Aesthetic;
pub use clip::{Clip, TextFeatures, cosines};
pub use lpips::{Lpips, Trunk};
pub use ssim::{WINDOW as SSIM_WINDOW, ssim};

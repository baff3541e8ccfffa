//! How near one picture is to another, as the literature measures it.
//!
//! Invariant: SSIM and LPIPS are the reference implementations' (`core/tests/metrics.rs`).

mod lpips;
mod ssim;

pub use lpips::{Lpips, Trunk};
pub use ssim::{WINDOW as SSIM_WINDOW, ssim};

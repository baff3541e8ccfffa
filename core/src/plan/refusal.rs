//! Why a take does not fit into memory, and the nearest one that would.

#![forbid(unsafe_code)]

use std::fmt;

use super::{MemoryBudget, TakeSizes};
use crate::Stage;

/// A take that does not fit, however it is placed.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryRefusal {
    /// The stage that needs too much.
    pub stage: Stage,
    /// What it needs at least, in bytes.
    pub needed: u64,
    /// The memory that there is.
    pub budget: MemoryBudget,
    /// What would fit, if anything does.
    pub nearest: Option<SmallerTake>,
}

/// A take that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallerTake {
    /// Width of a frame in pixels.
    pub width: u32,
    /// Height of a frame in pixels.
    pub height: u32,
    /// Frames of video, 4n + 1.
    pub frames: u32,
    /// The decoders go over the picture in tiles, which the asked take has them not do.
    pub tiled: bool,
}

/// The largest take that fits: tiles first, which change next to nothing; then fewer frames; then a
/// smaller picture of the same shape.
pub(super) fn nearest(take: &TakeSizes, fits: impl Fn(&TakeSizes) -> bool) -> Option<SmallerTake> {
    let tilings = if take.tiled { vec![true] } else { vec![false, true] };
    let told = |take: &TakeSizes, tiled| SmallerTake {
        width: take.width,
        height: take.height,
        frames: take.frames,
        tiled,
    };
    for &tiled in &tilings {
        let same = TakeSizes { tiled, ..*take };
        if fits(&same) {
            return Some(told(&same, tiled && !take.tiled));
        }
    }
    // Sizes from nearly the asked one down to a fifth of it, frames 4n + 1 from all down to 5.
    for eighths in (2..=8u32).rev() {
        let side = |side: u32| (side * eighths / 8 / 16 * 16).max(16);
        for latent_frames in (2..=take.latent_frames()).rev() {
            for &tiled in &tilings {
                let smaller = TakeSizes {
                    width: side(take.width),
                    height: side(take.height),
                    frames: 4 * (latent_frames as u32 - 1) + 1,
                    tiled,
                    ..*take
                };
                if fits(&smaller) {
                    return Some(told(&smaller, tiled && !take.tiled));
                }
            }
        }
    }
    None
}

impl fmt::Display for MemoryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, needed, budget, .. } = self;
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let device = if budget.is_card { "the GPU" } else { "this machine" };
        write!(
            f,
            "{stage} needs {:.1} GB at least, {:.1} GB may be used, and {:.1} of {:.1} GB are free on \
             {device}",
            gigabytes(*needed),
            gigabytes(budget.device()),
            gigabytes(budget.free),
            gigabytes(budget.total),
        )
    }
}

impl MemoryRefusal {
    /// What fits, or what else helps.
    pub fn remedy(&self) -> String {
        match self.nearest {
            Some(SmallerTake { width, height, frames, tiled }) => format!(
                "{width}×{height} with {frames} frames{} fits; or free memory, or allow more of it",
                if tiled { " and decode tiling tiled" } else { "" }
            ),
            None => {
                "no smaller take fits either: free memory, allow more of it, or choose a smaller \
                     model"
                    .to_owned()
            }
        }
    }
}

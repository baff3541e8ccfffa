//! Why a take does not fit into memory, and the nearest one that would.

#![forbid(unsafe_code)]

use std::fmt;

use wan_alpha_take::counted::counted;

use super::CapSource;
use super::budget::{MemoryBound, MemoryBudget, rounded_down, rounded_up};
use super::sizes::TakeSizes;
use crate::Stage;

/// A take that does not fit, however it is placed.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryRefusal {
    /// The stage that needs too much.
    pub stage: Stage,
    /// What it needs at least, in bytes.
    pub needed: u64,
    /// Bytes of the transformer: those that must lie in memory while it samples, and are part of what is
    /// needed; in any other stage those that are let go of for it.
    pub transformer: u64,
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
/// smaller picture of the same shape, down to a sixteenth of its area; and a single frame where no film
/// fits.
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
    // Frames are 4n + 1.
    for latent_frames in [2..=take.latent_frames(), 1..=1] {
        for eighths in (2..=8u32).rev() {
            let side = |side: u32| (side * eighths / 8 / 16 * 16).max(16);
            for latent_frames in latent_frames.clone().rev() {
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
    }
    None
}

impl fmt::Display for MemoryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, needed, transformer, budget, .. } = self;
        write!(f, "{stage} needs {} at least", rounded_up(*needed))?;
        let weights = rounded_up(*transformer);
        match stage {
            _ if *transformer == 0 => {}
            Stage::Sample => write!(f, ", {weights} of it for weights of the transformer")?,
            _ => write!(f, ", once the {weights} of the transformer are let go of")?,
        }
        write!(f, ", and {} may be used: ", rounded_down(budget.device()))?;
        let device = if budget.is_card { "the GPU" } else { "this machine" };
        let free = format!(
            "{} of {} are free on {device}",
            rounded_down(budget.free),
            rounded_down(budget.total)
        );
        match (budget.bound(*needed), budget.cap) {
            (MemoryBound::Cap, Some(cap)) => write!(
                f,
                "{} is {}, of which the process itself takes {}; {free}",
                limit_name(budget.cap_by),
                rounded_down(cap),
                rounded_up(budget.process()),
            ),
            _ if budget.headroom == 0 => f.write_str(&free),
            _ => write!(
                f,
                "{free}, and WAN_ALPHA_HEADROOM leaves {} of them to others",
                rounded_up(budget.headroom)
            ),
        }
    }
}

fn limit_name(set_by: CapSource) -> &'static str {
    match set_by {
        CapSource::Variable => "WAN_ALPHA_MEMORY",
        CapSource::Flag => "`--memory`",
        CapSource::Parameter => "*Memory*",
    }
}

impl MemoryRefusal {
    /// What fits, or what else helps.
    pub fn remedy(&self) -> String {
        let more = self.more_memory();
        match self.nearest {
            Some(SmallerTake { width, height, frames, tiled }) => format!(
                "{width}×{height} with {}{} fits; or {more}",
                counted(frames, "frame"),
                if tiled { " and decode tiling tiled" } else { "" }
            ),
            None => format!("no smaller take fits either: {more}, or choose a smaller model"),
        }
    }

    /// What gives the take enough memory, in the words of who can do it; limits are in gigabytes.
    fn more_memory(&self) -> String {
        let Self { needed, budget, .. } = self;
        match budget.bound(*needed) {
            MemoryBound::Cap => {
                let tenths = (needed + budget.process()).div_ceil(100_000_000);
                format!("set {} to {} or more", limit_name(budget.cap_by), tenths as f64 / 10.0)
            }
            MemoryBound::Headroom => {
                let tenths = (budget.free - needed.min(&budget.free)) / 100_000_000;
                format!("set WAN_ALPHA_HEADROOM to {} or less", tenths as f64 / 10.0)
            }
            MemoryBound::Free if budget.is_card => "free memory of the GPU".to_owned(),
            MemoryBound::Free => "free memory".to_owned(),
        }
    }
}

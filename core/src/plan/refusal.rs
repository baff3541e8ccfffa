//! Why a take does not fit into memory, and the nearest one that would.

#![forbid(unsafe_code)]

use std::fmt;

use wan_alpha_take::counted::counted;

use super::CapSource;
use super::budget::{MemoryBudget, rounded_down, rounded_up};
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
    /// What the whole take needs at least, in bytes: as much as the stage that needs most.
    pub enough: u64,
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

/// Parts of width and height that a smaller picture has, the largest first; every side that there is gets down
/// to the 16 pixels that the smallest one has.
const SCALES: [[u32; 2]; 16] = [
    [8, 8],
    [7, 8],
    [6, 8],
    [5, 8],
    [4, 8],
    [3, 8],
    [2, 8],
    [1, 8],
    [1, 16],
    [1, 32],
    [1, 64],
    [1, 128],
    [1, 256],
    [1, 512],
    [1, 1024],
    [1, 4096],
];

/// The largest take that fits: tiles first, which change next to nothing; then fewer frames; then a
/// smaller picture of the same shape, as small as a picture can be; and a single frame where no film fits.
///
/// Where there is none, nothing fits that is smaller in any way, what the model itself asks for included.
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
        for [part, of] in SCALES {
            let side = |side: u32| (side * part / of / 16 * 16).max(16);
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
        let (name, process) = (limit_name(budget.cap_by), rounded_up(budget.process()));
        match budget.binding_cap() {
            Some(cap) if cap < budget.process() => write!(
                f,
                "{name} is {}, less than the {process} that the process alone needs; {free}",
                rounded_down(cap)
            ),
            Some(cap) => write!(
                f,
                "{name} is {}, of which the process itself takes {process}; {free}",
                rounded_down(cap)
            ),
            None if budget.headroom == 0 => f.write_str(&free),
            None => write!(
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
            None if self.budget.binding_cap().is_some_and(|cap| cap < self.budget.process()) => {
                format!("no take fits into that: {more}")
            }
            None => format!("no smaller take fits either: {more}, or choose a smaller model"),
        }
    }

    /// What gives the take enough memory for all of its stages, in the words of who can do it; limits are in
    /// gigabytes.
    fn more_memory(&self) -> String {
        let Self { enough, budget, .. } = self;
        let mut ways = Vec::new();
        if budget.capped().is_some_and(|capped| capped < *enough) {
            let tenths = (enough + budget.process()).div_ceil(100_000_000);
            let name = limit_name(budget.cap_by);
            ways.push(format!("set {name} to {} or more", tenths as f64 / 10.0));
        }
        if budget.left_free() < *enough {
            ways.push(if *enough <= budget.free {
                let tenths = (budget.free - enough) / 100_000_000;
                format!("set WAN_ALPHA_HEADROOM to {} or less", tenths as f64 / 10.0)
            } else if budget.is_card {
                "free memory of the GPU".to_owned()
            } else {
                "free memory".to_owned()
            });
        }
        ways.join(" and ")
    }
}

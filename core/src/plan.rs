//! Where each part of a model lies while a take is made, from what memory there is: told beforehand, with
//! the most that each stage holds, or refused with numbers.
//!
//! [`plan`] is a pure function. It moves parts and never changes what is computed: a take has the same
//! bits wherever its blocks lie.
//!
//! Invariants:
//! - with more memory no fewer blocks stay, and what fitted fits (properties in `plan::tests`);
//! - no stage of a plan holds more than there is (the same);
//! - what a stage is said to hold is what it holds (`core/tests/plan_peaks.rs`, counted by the shim).

mod budget;
mod peaks;
mod refusal;
mod sizes;

use std::fmt;

use serde::Serialize;
use wan_alpha_take::counted::counted;

use crate::Stage;
use crate::blocks::BlockStore;
use budget::rounded_up;
pub use budget::{Headroom, MemoryBudget, PROCESS_CPU};
pub use peaks::{condition_peak, decode_peak, sample_peak, text_peak};
pub use refusal::{MemoryRefusal, SmallerTake};
pub use sizes::{ModelSizes, TakeSizes};
pub use wan_alpha_take::CapSource;

/// Slots for blocks that come: one computes while another is read.
const SLOTS: usize = 2;

/// Where everything lies while a take is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryPlan {
    /// Blocks of the transformer.
    pub layers: usize,
    /// Those of them that stay in the device's memory.
    pub resident: usize,
    /// Blocks that the others have room for; 0 where all stay.
    pub slots: usize,
    /// Where the others come from.
    pub store: PlannedStore,
    /// Keys and values of the text stay from step to step, instead of being computed anew.
    pub keeps_text_keys: bool,
    /// Layers of the text encoder in memory at once.
    pub text_slots: usize,
    /// The transformer's blocks stay while the prompt is read; else they are let go of for it.
    pub text_beside_transformer: bool,
    /// The transformer's blocks stay while images are encoded; else they are let go of for it.
    pub condition_beside_transformer: bool,
    /// How the latent is decoded.
    pub decode: DecodePlan,
    /// Frames are decoded in tiles, as the request says.
    pub tiled: bool,
    /// The most that each stage holds, in bytes.
    pub peaks: PlannedPeaks,
    /// Bytes that come from elsewhere in each pass of the transformer.
    pub streamed: u64,
    /// What adapters have beside blocks that are kept quantized stays in the device's memory.
    pub keeps_adapters: bool,
    /// Bytes of it that are read from their files in each pass, where it does not stay.
    pub adapters_read: u64,
}

/// Where blocks come from that do not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedStore {
    /// Nowhere: all blocks stay.
    None,
    /// Memory of the host that the card reads by itself.
    Pinned,
    /// A file, which the system has room to keep in its cache.
    CachedFile,
    /// The same, in which the processor uses them where they lie: they take no slots.
    MappedFile,
    /// A file, past the system's cache.
    File,
}

/// How the two decoders share the device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DecodePlan {
    /// Both decoders go through the film together; else one after the other, and color waits.
    pub together: bool,
    /// The transformer stays in memory for the next take.
    pub beside_transformer: bool,
}

/// The most that each stage holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedPeaks {
    /// While the prompt is read.
    pub text: u64,
    /// While images are looked at and encoded; 0 where there are none.
    pub condition: u64,
    /// While the latent is denoised.
    pub sample: u64,
    /// While the latent is decoded.
    pub decode: u64,
}

impl PlannedPeaks {
    /// The most that any stage holds.
    pub fn most(&self) -> u64 {
        self.text.max(self.condition).max(self.sample).max(self.decode)
    }
}

impl MemoryPlan {
    /// Seconds of a pass of the transformer that computes for `computing` seconds, where blocks come at so
    /// many bytes a second: one waits for the other, but for the first blocks that come.
    pub fn pass_seconds(&self, computing: f64, bytes_per_second: f64) -> f64 {
        computing.max(self.streamed as f64 / bytes_per_second)
    }

    /// Where the blocks come from that do not stay.
    pub fn block_store(&self) -> BlockStore {
        block_store(self.store)
    }
}

fn block_store(store: PlannedStore) -> BlockStore {
    match store {
        PlannedStore::Pinned => BlockStore::Pinned,
        PlannedStore::None | PlannedStore::CachedFile | PlannedStore::MappedFile => {
            BlockStore::File { cached: true }
        }
        PlannedStore::File => BlockStore::File { cached: false },
    }
}

/// Places everything for a take of `take` sizes by a model of `model` sizes.
///
/// # Errors
/// It does not fit, however it is placed: with what would.
pub fn plan(
    model: &ModelSizes,
    take: &TakeSizes,
    budget: &MemoryBudget,
) -> Result<MemoryPlan, Box<MemoryRefusal>> {
    place(model, take, budget).map_err(|Misfit { stage, needed, transformer }| {
        let nearest = refusal::nearest(take, |take| place(model, take, budget).is_ok());
        let enough = least(model, take);
        Box::new(MemoryRefusal { stage, needed, transformer, enough, budget: *budget, nearest })
    })
}

/// How a latent is decoded beside `loaded` bytes of a transformer, which may be let go of.
///
/// # Errors
/// As [`plan`], of decoding alone.
pub fn plan_decoding(
    model: &ModelSizes,
    take: &TakeSizes,
    loaded: u64,
    budget: &MemoryBudget,
) -> Result<DecodePlan, Box<MemoryRefusal>> {
    let place = |take: &TakeSizes| place_decoders(model, take, loaded, budget.device());
    place(take).map_err(|Misfit { stage, needed, transformer }| {
        let nearest = refusal::nearest(take, |take| place(take).is_ok());
        let enough = needed;
        Box::new(MemoryRefusal { stage, needed, transformer, enough, budget: *budget, nearest })
    })
}

/// The stage that does not fit, and what it needs at least, in bytes.
#[derive(Debug)]
struct Misfit {
    stage: Stage,
    needed: u64,
    /// As [`MemoryRefusal::transformer`] has it.
    transformer: u64,
}

/// With what adapters have beside quantized blocks, where it costs nothing else its place.
fn place(
    model: &ModelSizes,
    take: &TakeSizes,
    budget: &MemoryBudget,
) -> Result<MemoryPlan, Misfit> {
    let plain = place_beside(model, take, budget)?;
    if model.adapters == 0 {
        return Ok(MemoryPlan { keeps_adapters: true, ..plain });
    }
    let with = ModelSizes { fixed: model.fixed + model.adapters, ..*model };
    let keeping = place_beside(&with, take, budget).ok();
    let keeping = keeping.map(|plan| MemoryPlan { keeps_adapters: true, ..plan });
    let costs_nothing = |plan: &MemoryPlan| {
        let places = |plan: &MemoryPlan| {
            let beside = (plan.text_beside_transformer, plan.condition_beside_transformer);
            (plan.resident, plan.slots, plan.keeps_text_keys, plan.text_slots, beside, plan.decode)
        };
        places(plan) == places(&plain)
    };
    let plan = keeping.filter(|keeping| keeping.slots == 0 && costs_nothing(keeping));
    Ok(plan.unwrap_or(MemoryPlan { adapters_read: model.adapters, ..plain }))
}

/// Without a look at adapters.
fn place_beside(
    model: &ModelSizes,
    take: &TakeSizes,
    budget: &MemoryBudget,
) -> Result<MemoryPlan, Misfit> {
    let most = budget.device();
    let Sampling { resident, slots, keeps_text_keys } = place_blocks(model, take, most)?;
    let kept = model.transformer(resident + slots);
    let (text_slots, text_beside_transformer) = place_text(model, take, kept, most)?;
    let condition_beside_transformer = place_condition(model, take, kept, most)?;
    let decode = place_decoders(model, take, kept, most)?;
    let streamed = if slots == 0 { 0 } else { (model.layers - resident) as u64 * model.block };
    let store = match budget.store_for(streamed) {
        PlannedStore::CachedFile if model.maps_blocks => PlannedStore::MappedFile,
        store => store,
    };
    // Room is found for what has slots: what is mapped holds less than there is.
    let held = model.transformer_by(resident, slots, block_store(store));
    let beside = |stays: bool| if stays { held } else { 0 };
    let peaks = PlannedPeaks {
        text: beside(text_beside_transformer) + text_peak(model, take, text_slots),
        condition: match condition_peak(model, take) {
            0 => 0,
            peak => beside(condition_beside_transformer) + peak,
        },
        sample: sample_peak(model, take, resident + slots, keeps_text_keys) - (kept - held),
        decode: beside(decode.beside_transformer) + decode_peak(model, take, decode.together),
    };
    Ok(MemoryPlan {
        layers: model.layers,
        resident,
        slots,
        store,
        keeps_text_keys,
        text_slots,
        text_beside_transformer,
        condition_beside_transformer,
        decode,
        tiled: take.tiled,
        peaks,
        streamed,
        keeps_adapters: false,
        adapters_read: 0,
    })
}

/// Bytes that a take needs at least: with so many [`place`] finds a place for every stage.
fn least(model: &ModelSizes, take: &TakeSizes) -> u64 {
    least_of_sampling(model, take)
        .max(text_peak(model, take, 1))
        .max(condition_peak(model, take))
        .max(decode_peak(model, take, false))
}

/// Sampling with one block, and keys that are computed anew; a transformer of one block stays as a whole,
/// and so do its keys.
fn least_of_sampling(model: &ModelSizes, take: &TakeSizes) -> u64 {
    sample_peak(model, take, 1.min(model.layers), model.layers <= 1)
}

struct Sampling {
    resident: usize,
    slots: usize,
    keeps_text_keys: bool,
}

/// As many blocks as fit; and if none does, less beside them.
fn place_blocks(model: &ModelSizes, take: &TakeSizes, most: u64) -> Result<Sampling, Misfit> {
    let needs = |blocks, keys| sample_peak(model, take, blocks, keys);
    if needs(model.layers, true) <= most {
        return Ok(Sampling { resident: model.layers, slots: 0, keeps_text_keys: true });
    }
    let slots = SLOTS.min(model.layers);
    let room = most.checked_sub(needs(slots, true)).map(|room| room / model.block.max(1));
    if let Some(room) = room {
        // With one more than fits into the slots, all would stay.
        let resident = (room as usize).min(model.layers.saturating_sub(slots + 1));
        return Ok(Sampling { resident, slots, keeps_text_keys: true });
    }
    for (slots, keeps_text_keys) in [(slots, false), (1, true), (1, false)] {
        if slots < model.layers && needs(slots, keeps_text_keys) <= most {
            return Ok(Sampling { resident: 0, slots, keeps_text_keys });
        }
    }
    let transformer = model.transformer(1.min(model.layers));
    Err(Misfit { stage: Stage::Sample, needed: least_of_sampling(model, take), transformer })
}

/// Layers of the text encoder at once, and whether the transformer stays meanwhile.
fn place_text(
    model: &ModelSizes,
    take: &TakeSizes,
    kept: u64,
    most: u64,
) -> Result<(usize, bool), Misfit> {
    for (beside, stays) in [(kept, true), (0, false)] {
        for slots in [2, 1] {
            if beside + text_peak(model, take, slots) <= most {
                return Ok((slots, stays));
            }
        }
    }
    Err(Misfit { stage: Stage::Text, needed: text_peak(model, take, 1), transformer: kept })
}

/// Whether the transformer stays while images are encoded.
fn place_condition(
    model: &ModelSizes,
    take: &TakeSizes,
    kept: u64,
    most: u64,
) -> Result<bool, Misfit> {
    let needed = condition_peak(model, take);
    if needed > most {
        return Err(Misfit { stage: Stage::Encode, needed, transformer: kept });
    }
    Ok(needed == 0 || kept + needed <= most)
}

fn place_decoders(
    model: &ModelSizes,
    take: &TakeSizes,
    kept: u64,
    most: u64,
) -> Result<DecodePlan, Misfit> {
    for (beside, beside_transformer) in [(kept, true), (0, false)] {
        for together in [true, false] {
            if beside + decode_peak(model, take, together) <= most {
                return Ok(DecodePlan { together, beside_transformer });
            }
        }
    }
    let needed = decode_peak(model, take, false);
    Err(Misfit { stage: Stage::Decode, needed, transformer: kept })
}

impl fmt::Display for MemoryPlan {
    /// `4.9 GB at most (prompt 820 MB, transformer 4.9 GB, decoders 3.1 GB); 7 of 40 blocks stay, …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlannedPeaks { text, condition, sample, decode } = self.peaks;
        let images = match condition {
            0 => String::new(),
            _ => format!("images {}, ", rounded_up(condition)),
        };
        let [most, text, sample, decode] =
            [self.peaks.most(), text, sample, decode].map(rounded_up);
        write!(
            f,
            "{most} at most (prompt {text}, {images}transformer {sample}, decoders {decode}); "
        )?;
        let Self { layers, resident, slots, .. } = *self;
        match self.store {
            PlannedStore::None if layers == 1 => f.write_str("its one block stays in memory")?,
            PlannedStore::None => write!(f, "all {layers} blocks stay in memory")?,
            PlannedStore::MappedFile => {
                let streamed = rounded_up(self.streamed);
                write!(
                    f,
                    "{resident} of {layers} blocks stay, {streamed} a pass are used where the system keeps \
                     their file in its cache"
                )?;
            }
            store => {
                let from = match store {
                    PlannedStore::Pinned => "pinned memory of the host",
                    PlannedStore::CachedFile => "a file that the system keeps in its cache",
                    _ => "a file",
                };
                let streamed = rounded_up(self.streamed);
                write!(
                    f,
                    "{resident} of {layers} blocks stay, {streamed} a pass come from {from} through {}",
                    counted(slots, "slot")
                )?;
            }
        }
        if self.adapters_read > 0 {
            let read = rounded_up(self.adapters_read);
            write!(f, ", {read} of adapters are read from their files in every pass")?;
        }
        if !self.keeps_text_keys {
            f.write_str(", keys of the text are computed in every pass")?;
        }
        if self.tiled {
            f.write_str(", frames are decoded in tiles")?;
        } else if !self.decode.together {
            f.write_str(", the decoders run one after the other")?;
        }
        if !self.decode.beside_transformer {
            f.write_str(", the transformer makes room for them")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

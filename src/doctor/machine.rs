//! Devices and memory.

use anyhow::Result;
use wan_alpha_core::device::{Card, Device, survey, usable_cards};
use wan_alpha_core::generate::{HostMemory, Keep, Pipeline};
use wan_alpha_core::plan::{
    Headroom, MemoryBudget, MemoryPlan, MemoryRefusal, ModelSizes, TakeSizes, plan,
};
use wan_alpha_core::weights::Strengths;
use wan_alpha_core::{Unwatched, tch};
use wan_alpha_take::Precision;
use wan_alpha_take::counted::counted;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{AUTO, NamedModel};

use super::DoctorFinding;
use crate::args::Threads;
use crate::{memory, threads};

pub(super) fn look(environment: &Environment) -> Vec<DoctorFinding> {
    vec![device(environment), memory(environment)]
}

fn device(environment: &Environment) -> DoctorFinding {
    const ABOUT: &str = "device";
    threads::set(Threads::default(), environment);
    let libraries = crate::device::libraries(environment);
    let survey = survey(libraries.visible.as_deref());
    let spoken = match (survey.driver, survey.runtime) {
        (Some(driver), Some(runtime)) => {
            format!("; the driver speaks CUDA {driver}, libtorch {runtime}")
        }
        _ => String::new(),
    };
    match usable_cards(&libraries) {
        Ok(cards) => {
            let cards: Vec<_> = cards.iter().map(Card::to_string).collect();
            DoctorFinding::ok(ABOUT, format!("{}{spoken}", cards.join(", ")))
        }
        Err(reason) if reason.is_plain_cpu_machine() => DoctorFinding::attention(
            ABOUT,
            format!(
                "the CPU, {}: fine for small models only ({reason})",
                counted(tch::get_num_threads(), "thread")
            ),
            "use a machine with an NVIDIA GPU for models of more than 2 billion parameters",
        ),
        Err(reason) => DoctorFinding::attention(
            ABOUT,
            format!("the CPU: {reason}{spoken}"),
            reason.remedy(&libraries.installation),
        ),
    }
}

fn memory(environment: &Environment) -> DoctorFinding {
    const ABOUT: &str = "memory";
    let Some(host) = memory::host() else {
        let says = "the system does not tell";
        return DoctorFinding::attention(ABOUT, says, "look at it with the system's own tools");
    };
    let HostMemory { free, total, .. } = host;
    let says = format!("{} of {} available", gigabytes(free), gigabytes(total));
    let planned = environment.models.find(AUTO).ok().and_then(|model| {
        let budget = budget(environment, host);
        let planned = planned(&model, &budget);
        planned.inspect_err(|error| log::info!("no take is planned: {error:#}")).ok()
    });
    match planned {
        None => DoctorFinding::ok(ABOUT, says),
        Some((take, Ok(plan))) => DoctorFinding::ok(ABOUT, format!("{says}; {take}: {plan}")),
        Some((take, Err(refusal))) => {
            let remedy = refusal.remedy();
            DoctorFinding::attention(ABOUT, format!("{says}; {take}: {refusal}"), remedy)
        }
    }
}

/// What the best card, or else the processor, may use. A card's free memory is not asked: that would take
/// some of it.
fn budget(environment: &Environment, host: HostMemory) -> MemoryBudget {
    let cards = usable_cards(&crate::device::libraries(environment)).unwrap_or_default();
    let card = cards.iter().map(|card| card.total_memory).max();
    let usual = if card.is_some() { Headroom::CARD } else { Headroom::CPU };
    MemoryBudget {
        is_card: card.is_some(),
        free: card.unwrap_or(host.free),
        total: card.unwrap_or(host.total),
        headroom: environment.headroom.unwrap_or(usual),
        cap: environment.memory,
        cap_by: environment.memory_by,
        host_free: host.free,
        host_total: host.total,
    }
}

/// The usual take of a model, in words, and its plan.
fn planned(
    model: &NamedModel,
    budget: &MemoryBudget,
) -> Result<(String, Result<MemoryPlan, Box<MemoryRefusal>>)> {
    let (keep, strengths) = (Keep::Nothing, Strengths::default());
    let pipeline = Pipeline::open(&model.paths(), strengths, Device::cpu(), keep, &Unwatched)?;
    let defaults = model.manifest.defaults.clone().or(pipeline.defaults());
    let precision = defaults.precision.unwrap_or(Precision::Bf16);
    let sizes = ModelSizes { is_card: budget.is_card, ..pipeline.sizes(precision)? };
    let [width, height] = defaults.size_or_released();
    let take = TakeSizes {
        width,
        height,
        frames: defaults.frames_or_released(),
        guided: defaults.guidance.is_some_and(|guidance| guidance != 1.0),
        tiled: false,
        decode_number: 4,
        images: u32::from(sizes.encoder > 0),
    };
    let name = &model.manifest.name;
    let words = format!("{width}×{height} with {} by {name}", counted(take.frames, "frame"));
    Ok((words, plan(&sizes, &take, budget)))
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

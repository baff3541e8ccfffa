//! Devices and memory.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use wan_alpha_core::device::{Card, survey, usable_cards};
use wan_alpha_core::tch;
use wan_alpha_take::Precision;
use wan_alpha_take::counted::counted;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{AUTO, Manifest};

use super::DoctorFinding;
use crate::args::Threads;
use crate::threads;

/// Beside the weights: activations and decoders at 832 × 480 × 81 (`docs/models-and-memory.md`).
const BESIDE_WEIGHTS: u64 = 12 << 30;

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
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = match System::new_with_specifics(what) {
        Ok(system) => system,
        Err(error) => {
            let says = format!("the system does not tell: {error:?}");
            return DoctorFinding::attention(ABOUT, says, "look at it with the system's own tools");
        }
    };
    let (total, available) = (system.total_memory(), system.available_memory());
    let says = format!("{} of {} available", gigabytes(available), gigabytes(total));
    let Ok(model) = environment.models.find(AUTO) else { return DoctorFinding::ok(ABOUT, says) };
    let needed = needed(&model.manifest);
    if needed <= available {
        return DoctorFinding::ok(ABOUT, says);
    }
    DoctorFinding::attention(
        ABOUT,
        format!(
            "{says}; {} needs about {} for takes of its size",
            model.manifest.name,
            gigabytes(needed)
        ),
        "close other programs, or choose a smaller model, size or number of frames",
    )
}

/// What the transformer takes, and what comes with a large one.
fn needed(model: &Manifest) -> u64 {
    let bytes = if model.defaults.precision == Some(Precision::F32) { 4 } else { 2 };
    let weights = model.parameters * bytes;
    weights + BESIDE_WEIGHTS.min(weights)
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

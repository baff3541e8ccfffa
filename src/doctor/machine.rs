//! Devices and memory.

use std::path::Path;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use wan_alpha_core::device::DeviceChoice;
use wan_alpha_core::tch::{self, Cuda};
use wan_alpha_take::Precision;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{AUTO, Manifest};

use super::Finding;

/// Beside the weights: activations and decoders at 832 × 480 × 81, see README.
const BESIDE_WEIGHTS: u64 = 12 << 30;

pub(super) fn look(environment: &Environment) -> Vec<Finding> {
    vec![device(environment), memory(environment)]
}

fn device(environment: &Environment) -> Finding {
    const ABOUT: &str = "device";
    let has_driver =
        ["/proc/driver/nvidia/version", "/dev/nvidiactl"].iter().any(|p| Path::new(p).exists());
    match DeviceChoice::Cuda(0).open(&environment.libraries) {
        Ok(_) => Finding::ok(ABOUT, format!("{} CUDA devices", Cuda::device_count())),
        Err(error) if has_driver => Finding::attention(
            ABOUT,
            format!("there is an NVIDIA driver, and CUDA is not used: {error}"),
            "cargo xtask setup --cuda, or a bundle made with --cuda",
        ),
        Err(_) => Finding::attention(
            ABOUT,
            format!("the CPU, {} threads: fine for small models only", tch::get_num_threads()),
            "use a machine with an NVIDIA GPU for models of more than 2 billion parameters",
        ),
    }
}

fn memory(environment: &Environment) -> Finding {
    const ABOUT: &str = "memory";
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = match System::new_with_specifics(what) {
        Ok(system) => system,
        Err(error) => {
            let says = format!("the system does not tell: {error:?}");
            return Finding::attention(ABOUT, says, "look at it with the system's own tools");
        }
    };
    let (total, available) = (system.total_memory(), system.available_memory());
    let says = format!("{} of {} available", gigabytes(available), gigabytes(total));
    let Ok(model) = environment.models.find(AUTO) else { return Finding::ok(ABOUT, says) };
    let needed = needed(&model.manifest);
    if needed <= available {
        return Finding::ok(ABOUT, says);
    }
    Finding::attention(
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

//! How much memory a take may use here, by the system and the environment.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use wan_alpha_core::generate::{HostMemory, MemoryLimits, Pipeline};
use wan_alpha_core::plan::CapSource;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::environment::Environment;

/// What models keep to: `WAN_ALPHA_MEMORY`, `WAN_ALPHA_HEADROOM`, and what is free when they ask.
pub(crate) fn limits(environment: &Environment) -> MemoryLimits {
    MemoryLimits {
        cap: environment.memory,
        cap_by: CapSource::Variable,
        headroom: environment.headroom,
        host,
        folder: environment.cache.as_ref().map(|folder| folder.join("blocks")),
    }
}

/// The memory of this machine, or of the part of it that this process may use.
pub(crate) fn host() -> Option<HostMemory> {
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = match System::new_with_specifics(what) {
        Ok(system) => system,
        Err(error) => {
            log::info!("the system does not tell its memory: {error:?}");
            return None;
        }
    };
    let (free, total) = (system.available_memory(), system.total_memory());
    match system.cgroup_limits() {
        // What it says is free does not count files in the cache, which give way.
        Some(limits) if limits.total_memory < total => Some(HostMemory {
            free: free.min(limits.total_memory.saturating_sub(limits.rss)),
            total: limits.total_memory,
        }),
        _ => Some(HostMemory { free, total }),
    }
}

/// `; memory: …` of the take of a request, for the line that tells of it before it is made.
pub(crate) fn told(pipeline: &Pipeline, request: &TakeRequest) -> String {
    match pipeline.plan(request) {
        Ok(Some(plan)) => format!("; memory: {plan}"),
        // Nothing is known, or the take is refused in a moment, with the same words.
        Ok(None) | Err(_) => String::new(),
    }
}

//! How much memory a take may use here, by the system and the environment.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{HostMemory, MemoryLimits, Pipeline};
use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::message::MemoryTerms;
use wan_alpha_take::environment::Environment;

use crate::device;

/// What models keep to: `WAN_ALPHA_MEMORY`, `WAN_ALPHA_HEADROOM`, and what is free when they ask.
pub(crate) fn limits(environment: &Environment) -> MemoryLimits {
    MemoryLimits {
        cap: environment.memory,
        cap_by: environment.memory_by,
        headroom: environment.headroom,
        host,
        folder: environment.cache.as_ref().map(|folder| folder.join("blocks")),
    }
}

/// The same where whoever wants a take has said what it may use.
pub(crate) fn limits_by(environment: &Environment, terms: Option<MemoryTerms>) -> MemoryLimits {
    let own = limits(environment);
    match terms {
        Some(MemoryTerms { limit, limit_by, headroom }) => {
            MemoryLimits { cap: limit, cap_by: limit_by, headroom, ..own }
        }
        None => own,
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
    let (free, total, own) = (system.available_memory(), system.total_memory(), own());
    match system.cgroup_limits() {
        // What it says is free does not count files in the cache, which give way.
        Some(limits) if limits.total_memory < total => Some(HostMemory {
            free: free.min(limits.total_memory.saturating_sub(limits.rss)),
            total: limits.total_memory,
            own,
        }),
        _ => Some(HostMemory { free, total, own }),
    }
}

/// Bytes of anonymous and shared memory of this process, where the system tells.
fn own() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    1024 * (kilobytes("RssAnon:") + kilobytes("RssShmem:"))
}

/// What any program may still take of a device's memory; of a processor's, the machine's.
pub(crate) fn free(device: Device) -> Option<u64> {
    if device.is_cuda() {
        return device::memory(device).map(|memory| memory.free);
    }
    host().map(|host| host.free)
}

/// `; memory: …` of the take of a request, for the line that tells of it before it is made.
pub(crate) fn told(pipeline: &Pipeline, request: &TakeRequest) -> String {
    match pipeline.plan(request) {
        Ok(Some(plan)) => format!("; memory: {plan}"),
        // Nothing is known, or the take is refused in a moment, with the same words.
        Ok(None) | Err(_) => String::new(),
    }
}

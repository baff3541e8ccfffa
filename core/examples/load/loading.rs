//! What of this program depends on the library's version: `bundle/bench/before/loading.rs` stands in
//! its place where the program is compiled against an earlier commit.

use tch::Kind;
use wan_alpha_core::Unwatched;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::shim::{KEPT_MEMORY, keep_freed_memory};
use wan_alpha_core::weights::{ModelFiles, Weights};

use super::Error;

/// What the command sets before it makes a tensor.
pub(super) fn prepare() -> Result<(), Error> {
    Ok(keep_freed_memory(KEPT_MEMORY)?)
}

/// The transformer in bfloat16, adapters merged.
pub(super) fn load(files: ModelFiles, config: DitConfig) -> Result<Dit, Error> {
    let weights = Weights::new(
        files.dit,
        files.adapters,
        Kind::BFloat16,
        wan_alpha_core::device::Device::cpu(),
    );
    Ok(Dit::load(&weights, config, &Unwatched)?)
}

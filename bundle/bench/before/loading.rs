//! Loading with the library of commit 7783599: `cargo xtask bench` compiles it into `core/examples/load`
//! there.

use tch::{Device, Kind};
use wan_alpha_core::Unwatched;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::weights::{ModelFiles, Weights};

use super::Error;

/// That commit sets nothing of memory.
pub(super) fn prepare() -> Result<(), Error> {
    Ok(())
}

/// The transformer in bfloat16, adapters merged.
pub(super) fn load(files: ModelFiles, config: DitConfig) -> Result<Dit, Error> {
    let weights = Weights::new(files.dit, files.adapters, Kind::BFloat16, Device::Cpu);
    Ok(Dit::load(&weights, config, &Unwatched)?)
}

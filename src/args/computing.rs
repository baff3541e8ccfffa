//! Where and on how much of a machine something is computed: the same for every verb.

use clap::Args;
use wan_alpha_core::device::DeviceChoice;

use super::within;

/// A device, and threads.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Computing {
    /// Where to compute: auto, cpu, cuda:N or a card's UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,

    #[command(flatten)]
    pub(crate) threads: Threads,
}

/// Threads alone, where only the processor computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Threads {
    /// Processor threads [default: OMP_NUM_THREADS, else as many as this process may use]
    #[arg(long, value_name = "N", value_parser = within(1..=1024_u32))]
    #[arg(allow_negative_numbers = true)]
    pub(crate) threads: Option<u32>,
}

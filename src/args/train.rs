//! The syntax of `wan-alpha train`.

use std::path::PathBuf;

use clap::Args;

use wan_alpha_core::device::DeviceChoice;

use super::{Computing, Threads};

/// Said wherever somebody asks for several GPUs.
pub(crate) const ONE_GPU: &str = "a run computes on one GPU; for the batch of N GPUs set \
    accumulate = N, for their memory recompute = true and precision = \"bf16\", and for their time \
    let N runs go at once, each with a --device of its own (docs/training.md, Several GPUs)";

/// A run to begin or to go on with.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// The run: what is trained, on what, how long (TOML)
    #[arg(value_name = "RUN.toml")]
    pub(crate) settings: PathBuf,

    /// A folder for states, log, curves, samples and results; a run that is in it goes on
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Steps in all, instead of the run's own
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,

    /// Where to compute: auto, cpu, cuda:N or a card's UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long, value_name = "DEVICE", value_parser = one_device)]
    device: Option<DeviceChoice>,

    #[command(flatten)]
    threads: Threads,

    /// Refused with what to use instead
    #[arg(long, value_name = "N", hide = true, value_parser = several_gpus)]
    #[arg(alias = "num-gpus", alias = "devices", alias = "nproc-per-node")]
    #[allow(dead_code, reason = "whatever is given, its parser refuses it")]
    gpus: Option<String>,
}

impl Train {
    /// What computes, and with how many threads.
    pub(crate) fn computing(&self) -> Computing {
        Computing { device: self.device.clone(), threads: self.threads }
    }
}

fn one_device(text: &str) -> Result<DeviceChoice, String> {
    let choice = text.parse::<DeviceChoice>();
    choice.map_err(|error| if text.contains(',') { format!("{error}; {ONE_GPU}") } else { error })
}

fn several_gpus(_: &str) -> Result<String, String> {
    Err(ONE_GPU.to_owned())
}

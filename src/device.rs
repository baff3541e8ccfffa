//! The device that a verb computes on: opened in one way by all of them, and told.

use anyhow::{Result, anyhow};
use wan_alpha_core::device::{
    Device, DeviceChoice, Installation, Libraries, Opened, has_driver, open as open_device,
};
use wan_alpha_core::shim::{MemoryInfo, memory_info};
use wan_alpha_core::tch;
use wan_alpha_core::{Error, Watch};
use wan_alpha_take::counted::counted;
use wan_alpha_take::engine::message::{DeviceMemory, DeviceReport};
use wan_alpha_take::environment::Environment;

use crate::args::Computing;
use crate::console::Console;
use crate::exit::{Exit, OrExit};
use crate::threads;

/// Sets the threads, and opens what `--device` says, or else `WAN_ALPHA_DEVICE`, or else the best card
/// there is. Whatever computes is told; an unused card with what keeps it unused and what mends it.
///
/// # Errors
/// A card was asked for and cannot be used, or `WAN_ALPHA_DEVICE` names none.
pub(crate) fn open(
    computing: &Computing,
    environment: &Environment,
    console: &Console<'_>,
) -> Result<Opened> {
    let opened = open_untold(computing, environment)?;
    if !warn_of_unused(&opened, environment, console) {
        console.remark(&describe(&opened, environment));
    }
    Ok(opened)
}

/// Warns of a card that could be used and is not; whether there is one.
pub(crate) fn warn_of_unused(
    opened: &Opened,
    environment: &Environment,
    console: &Console<'_>,
) -> bool {
    let mendable = opened.unused.as_ref().is_some_and(|reason| !reason.is_plain_cpu_machine());
    if mendable {
        console.warn(&format!("computing on the CPU: {}", unused(opened, environment)));
    }
    mendable
}

/// The same, for who tells it in another way.
pub(crate) fn open_untold(computing: &Computing, environment: &Environment) -> Result<Opened> {
    threads::set(computing.threads, environment);
    let Some(choice) = &computing.device else {
        let choice = of_environment(environment)?;
        return open_device(&choice, &libraries(environment)).map_err(|error| match error {
            // Nobody has typed the option.
            Error::Input(text) => {
                Error::Input(text.replacen("--device ", "WAN_ALPHA_DEVICE=", 1)).into()
            }
            other => other.into(),
        });
    };
    Ok(open_device(choice, &libraries(environment))?)
}

/// The device that the variable `WAN_ALPHA_DEVICE` asks for; automatic where it is not set.
pub(crate) fn of_environment(environment: &Environment) -> Result<DeviceChoice> {
    let Some(text) = &environment.gpus.device else { return Ok(DeviceChoice::Auto) };
    text.parse::<DeviceChoice>()
        .map_err(|problem| anyhow!("WAN_ALPHA_DEVICE: {problem}; correct it, or unset it"))
        .or_exit(Exit::BadInput)
}

/// Where CUDA's half of libtorch may lie, and what remedies may speak of.
pub(crate) fn libraries(environment: &Environment) -> Libraries {
    let installation =
        if environment.in_bundle { Installation::Bundle } else { Installation::Checkout };
    Libraries {
        folders: environment.libraries.clone(),
        installation,
        visible: environment.gpus.mask.clone(),
    }
}

/// `computing on NVIDIA H200 (…), 16 threads`, or on the CPU, with why.
pub(crate) fn describe(opened: &Opened, environment: &Environment) -> String {
    let threads = tch::get_num_threads();
    let why = unused(opened, environment);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("computing on {opened}, {}{why}", counted(threads, "thread"))
}

/// Why no card computes, and what to do; empty where the CPU was asked for.
pub(crate) fn unused(opened: &Opened, environment: &Environment) -> String {
    let installation = libraries(environment).installation;
    opened.unused.as_ref().map(|reason| reason.with_remedy(&installation)).unwrap_or_default()
}

/// What is about to be opened, in a word: where there is no driver, nobody waits for CUDA.
pub(crate) fn wanted(choice: Option<&DeviceChoice>, environment: &Environment) -> &'static str {
    match choice.cloned().or_else(|| of_environment(environment).ok()) {
        Some(DeviceChoice::Cpu) => "the CPU",
        Some(DeviceChoice::Auto) if !has_driver() => "the CPU",
        _ => "CUDA",
    }
}

/// What is told of a device that is open.
pub(crate) fn report(opened: &Opened, environment: &Environment) -> DeviceReport {
    let reason = opened.unused.as_ref();
    DeviceReport {
        unused: reason.map(|_| unused(opened, environment)),
        is_mendable: reason.is_some_and(|reason| !reason.is_plain_cpu_machine()),
        memory: memory(opened.device),
        ..DeviceReport::open(opened.to_string())
    }
}

/// What is left of a device's own memory.
pub(crate) fn memory(device: Device) -> Option<DeviceMemory> {
    if !device.is_cuda() {
        return None;
    }
    match memory_info(device.tch()) {
        Ok(MemoryInfo { free, total }) => Some(DeviceMemory { free, total }),
        Err(error) => {
            log::warn!("{device} does not tell its free memory: {error}");
            None
        }
    }
}

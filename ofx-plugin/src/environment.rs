//! Reads what surrounds the plug-in; nothing else in it looks at the environment.

#![forbid(unsafe_code)]

use std::env;

use wan_alpha_take::environment::{Environment, Surroundings};

/// What variables and folders of this user and machine say, all of it.
pub(crate) fn read() -> Environment {
    // The program is the host's; ours is the file that this code was loaded from.
    Environment::of(Surroundings::of_this_process(process_path::get_dylib_path()))
}

/// Whether this host renders for a farm, whatever it says of itself; asked before a node has any
/// reason to look at more.
pub(crate) fn is_batch() -> bool {
    env::var_os("WAN_ALPHA_BATCH").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Whether this process is MLT's own renderer, in which nobody edits anything: what editors start to
/// write a film.
pub(crate) fn is_melt() -> bool {
    let program = env::current_exe().ok();
    let name = program.as_deref().and_then(|program| program.file_stem()?.to_str());
    name.is_some_and(|name| matches!(name, "melt" | "melt-7" | "qmelt"))
}

//! Reads what surrounds the program, once; nothing else in it looks at the environment.

use std::env;

use directories::ProjectDirs;
use wan_alpha_take::environment::{Environment, Surroundings};

/// What the environment says.
pub(crate) fn read() -> Environment {
    let folders = ProjectDirs::from("org", "wanalpha", "wan-alpha");
    let folders = folders.as_ref();
    Environment::of(Surroundings {
        variables: env::vars_os().collect(),
        data: folders.map(|folders| folders.data_dir().to_owned()),
        state: folders.map(|f| f.state_dir().unwrap_or(f.data_local_dir()).to_owned()),
        cache: folders.map(|folders| folders.cache_dir().to_owned()),
        temporary: env::temp_dir(),
        working: env::current_dir().ok(),
        program: env::current_exe().ok(),
        host: host_name(),
    })
}

/// The name of this machine, as `uname -n` says it.
#[cfg(unix)]
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of this machine.
#[cfg(windows)]
pub(crate) fn host_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// The value of a variable that the user names, such as one that holds a key.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

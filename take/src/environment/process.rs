//! The process as it finds itself: the one place of this library that asks for variables and folders,
//! once, when a program or the plug-in says so at its entry.

use std::env;
use std::path::PathBuf;

use directories::ProjectDirs;

use super::Surroundings;
use crate::machine::host_name;

impl Surroundings {
    /// Of this process. `program` is the file that our code was loaded from: in a host's process the
    /// plug-in's, elsewhere the program's own.
    #[must_use]
    pub fn of_this_process(program: Option<PathBuf>) -> Self {
        let folders = ProjectDirs::from("org", "wanalpha", "wan-alpha");
        let folders = folders.as_ref();
        Self {
            variables: env::vars_os().collect(),
            data: folders.map(|folders| folders.data_dir().to_owned()),
            state: folders.map(|f| f.state_dir().unwrap_or(f.data_local_dir()).to_owned()),
            cache: folders.map(|folders| folders.cache_dir().to_owned()),
            temporary: env::temp_dir(),
            working: env::current_dir().ok(),
            program,
            host: host_name(),
        }
    }
}

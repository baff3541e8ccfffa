//! The host against a plug-in that keeps every rule, or breaks the one that it is told to break.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod loading;
mod overlay;
mod panel;
mod pictures;
mod profiles;
mod projects;
mod rules;
mod threads;

use std::path::PathBuf;

use wan_alpha_test_bad_plugin::MISCHIEFS;
use wan_alpha_test_host::{Context, Host, Node, Plugin, Profile, Project};

/// The file that cargo built beside this test.
fn file() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = test.parent().unwrap().join("libwan_alpha_test_bad_plugin.so");
    assert!(file.is_file(), "{} is not there: cargo builds it with the tests", file.display());
    file
}

/// The option of `mischief` of that name.
fn mischief(name: &str) -> i32 {
    let found = MISCHIEFS.iter().position(|mischief| *mischief == name);
    i32::try_from(found.unwrap_or_else(|| panic!("there is no mischief {name:?}"))).unwrap()
}

/// A small project with one node. Dropped in this order.
struct Scene {
    node: Node,
    project: Project,
    plugin: Plugin,
    host: Host,
}

impl Scene {
    fn new(profile: Profile) -> Self {
        Self::of(Host::new(profile.sized(64.0, 32.0)), None)
    }

    fn collecting(profile: Profile) -> Self {
        Self::of(Host::new(profile.sized(64.0, 32.0)).collecting(), None)
    }

    fn of(host: Host, context: Option<Context>) -> Self {
        let plugin = host.load(file()).unwrap();
        let project = plugin.project();
        let node = match context {
            Some(context) => project.add(context).unwrap(),
            None => project.add_preferred().unwrap(),
        };
        Self { node, project, plugin, host }
    }

    fn with(self, name: &str) -> Self {
        self.node.set("mischief", mischief(name));
        self
    }
}

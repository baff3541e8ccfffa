//! The built plug-in, used as hosts use it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod actions;
mod binary;
mod colors;
mod describe;
mod golden;
mod quiet;
mod smoke;
mod table;

use std::path::PathBuf;

use wan_alpha_test_host::{Context, Host, Node, Plugin, Profile, Project};

/// The file that cargo built beside this test.
fn file() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = test.parent().unwrap().join("libwan_alpha_ofx.so");
    assert!(file.is_file(), "{} is not there: cargo builds it with the tests", file.display());
    file
}

/// A project with one node in it. Dropped in this order.
struct Scene {
    node: Node,
    project: Project,
    plugin: Plugin,
    _host: Host,
}

impl Scene {
    fn new(profile: Profile, context: Context) -> Self {
        Self::of(Host::new(profile), context)
    }

    fn of(host: Host, context: Context) -> Self {
        let plugin = host.load(file()).unwrap();
        let project = plugin.project();
        let node = project.add(context).unwrap();
        Self { node, project, plugin, _host: host }
    }
}

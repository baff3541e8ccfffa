//! What the node logs, and where.

use std::fs;
use std::path::PathBuf;

use wan_alpha_test_host::{Profile, RenderAsk};

use crate::workshop::{Workshop, alone, plain_node};

/// Words that the log must not have.
const PROMPT: &str = "a secret prompt";

fn log(workshop: &Workshop) -> PathBuf {
    workshop.at("state/wan-alpha/node.log")
}

/// A batch render that fails.
fn refused(workshop: &Workshop) -> String {
    let (_host, plugin) = workshop.load(Profile::nuke().in_background());
    let project = plugin.project();
    let node = project.add_preferred().unwrap();
    plain_node(&node, PROMPT);
    node.set("missing", 2);
    let frame = node.render(&RenderAsk::at(0.0).for_a_file());
    assert!(frame.failed());
    frame.says().to_owned()
}

alone! {
    fn what_a_render_refuses_is_logged_privately(workshop) {
        let says = refused(workshop);
        let text = fs::read_to_string(log(workshop)).unwrap();
        let line = text.lines().find(|line| line.contains("ERROR")).unwrap();
        assert!(line.ends_with(&says) && !text.contains(PROMPT), "{text}");
        assert!(!text.contains("INFO"), "{text}");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(log(workshop)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    fn the_variable_turns_it_off(workshop, "WAN_ALPHA_LOG" = "off") {
        refused(workshop);
        assert!(!log(workshop).exists());
    }

    fn the_variable_has_it_say_more(workshop, "WAN_ALPHA_LOG" = "info") {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, PROMPT);
        node.set("missing", 3);
        let _ = node.render(&RenderAsk::at(0.0));
        assert!(!log(workshop).exists(), "opened before a take is asked for");
        node.press("generateAndWait");
        let text = fs::read_to_string(log(workshop)).unwrap();
        let asked = format!("take {}: asked for", node.text("takeKey"));
        assert!(text.contains(&asked) && !text.contains(PROMPT), "{text}");
    }

    fn a_batch_host_has_the_warnings_in_its_output(workshop) {
        if std::env::var_os("WAN_ALPHA_TEST_INNER").is_some() {
            refused(workshop);
            return;
        }
        let inner = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::a_batch_host_has_the_warnings_in_its_output", "--nocapture"])
            .env("WAN_ALPHA_TEST_INNER", "1")
            .output()
            .unwrap();
        let complained = String::from_utf8_lossy(&inner.stderr);
        assert!(inner.status.success(), "{complained}");
        let lines: Vec<_> = complained.lines().filter(|line| line.contains(" ERROR ")).collect();
        assert_eq!(lines.len(), 1, "{complained}");
    }
}

//! A project file is somebody else's: whatever its texts hold, they are read as texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};
use wan_alpha_take::TakeRequest;
use wan_alpha_test_host::{Profile, RenderAsk};

use crate::drawn::wanted;
use crate::workshop::{Workshop, alone, until_status};

/// Texts in the place of a request, and a word of what is said about each.
fn texts(like: &TakeRequest) -> Vec<(String, &'static str)> {
    let spelled = |change: &dyn Fn(&mut Value)| {
        let mut json = serde_json::to_value(like).unwrap();
        change(&mut json);
        encoded(json.to_string().as_bytes())
    };
    let named = |name: &str| spelled(&|json| json["model"] = json!(name));
    vec![
        ("no base64 at all!".to_owned(), "takerequest"),
        ("AAAA".to_owned(), "readable"),
        (encoded(b"\xff\xfe\x00"), "readable"),
        (encoded(b"{}"), "readable"),
        (encoded(b"[[[[[[[["), "readable"),
        (encoded("[".repeat(100_000).as_bytes()), "readable"),
        ("A".repeat(3_000_000), "bytes long"),
        (encoded(&vec![b' '; 2_250_000]), "bytes long"),
        (named("../../../../etc/passwd"), "no path"),
        (named("/etc/passwd"), "no path"),
        (named("C:\\Windows"), "no path"),
        (named(".hidden"), "no path"),
        (named("nul\u{0}byte"), "no path"),
        (named(&"m".repeat(5000)), "no path"),
        (spelled(&|json| json["version"] = json!(9)), "version 9"),
        (spelled(&|json| json["frames"] = json!(4_000_000_001_u32)), "frames"),
        (spelled(&|json| json["width"] = json!(1 << 30)), "width"),
        (spelled(&|json| json["mu"] = json!([1e300])), "mu"),
        (spelled(&|json| json["surprise"] = json!("rm -rf")), "surprise"),
        (spelled(&|json| json["line\n".repeat(3000)] = json!(1)), "line"),
        (spelled(&|json| json["model_fingerprint"] = Value::Null), "fingerprint"),
    ]
}

fn encoded(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - three.len()));
        for letter in 0..=three.len() {
            text.push(LETTERS[(bits >> (18 - 6 * letter)) as usize & 63].into());
        }
    }
    text
}

/// A project whose node has these texts.
fn write_project(workshop: &Workshop, from: &Path, request: &str, key: &str) -> std::path::PathBuf {
    let mut project: Value = serde_json::from_slice(&fs::read(from).unwrap()).unwrap();
    let parameters = &mut project["nodes"][0]["parameters"];
    for (id, text) in
        [("takeRequest", request), ("takeKey", key), ("heldRequest", request), ("heldKey", key)]
    {
        parameters[id] = json!({ "value": { "text": text } });
    }
    let path = workshop.at("hostile.json");
    fs::write(&path, project.to_string()).unwrap();
    path
}

/// Every file around, with its time, but for what the test and its host write.
fn files(folder: &Path, into: &mut BTreeMap<String, SystemTime>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, about) = (entry.path(), entry.metadata().unwrap());
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["host-cache", "hostile.json", "state"].contains(&&*name) {
            continue;
        }
        if about.is_dir() {
            files(&path, into);
        } else {
            into.insert(path.display().to_string(), about.modified().unwrap());
        }
    }
}

alone! {
    fn an_artist_sees_a_placeholder_and_the_reason(workshop) {
        let saved = workshop.at("shot.json");
        let (_host, plugin) = workshop.load(Profile::plain().sized(320.0, 180.0));
        let like = {
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            let like = wanted(workshop, &node);
            project.save(&saved);
            like
        };
        assert_eq!(encoded(like.to_canonical().as_bytes()), like.to_parameter());
        workshop.install_engine();
        let mut before = BTreeMap::new();
        files(&workshop.at("."), &mut before);
        for (text, word) in texts(&like) {
            let about = text.chars().take(60).collect::<String>();
            for key in ["", "../../../../etc/passwd", "0"] {
                let path = write_project(workshop, &saved, &text, key);
                let project = plugin.open(&path).unwrap();
                let node = project.nodes().remove(0);
                let frame = node.view(1.0);
                assert!(frame.image().pixels().any(|pixel| pixel[3] > 0.5), "{about}");
                let status = until_status(&node, "told", |status| !status.is_empty());
                assert!(status.to_lowercase().contains(word), "{about}: {status}");
                assert!(status.len() < 1000 && !status.contains(char::is_control), "{about}");
                for button in ["refresh", "revert", "cancel"] {
                    node.press(button);
                }
                assert_eq!(node.text("takeKey"), key, "{about}");
                let mut after = BTreeMap::new();
                files(&workshop.at("."), &mut after);
                assert_eq!(before, after, "{about}");
            }
        }
        assert!(workshop.engines().is_empty());
        // The next Generate works.
        let path = write_project(workshop, &saved, &texts(&like)[8].0, "");
        let project = plugin.open(&path).unwrap();
        let node = project.nodes().remove(0);
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_batch_render_fails_with_the_reason(workshop) {
        let saved = workshop.at("shot.json");
        let (_host, plugin) = workshop.load(Profile::plain().in_background());
        let like = {
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            let like = wanted(workshop, &node);
            project.save(&saved);
            like
        };
        workshop.install_engine();
        for (text, word) in texts(&like) {
            let path = write_project(workshop, &saved, &text, "");
            let project = plugin.open(&path).unwrap();
            let node = project.nodes().remove(0);
            let frame = node.render(&RenderAsk::at(1.0).for_a_file());
            let about = text.chars().take(60).collect::<String>();
            let says = frame.says();
            assert!(frame.failed() && says.to_lowercase().contains(word), "{about}: {says}");
            assert!(says.len() < 1000 && !says.contains(char::is_control), "{about}");
        }
        assert!(workshop.engines().is_empty());
    }
}

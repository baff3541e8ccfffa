//! The node with the real engine: what a host reads of a take is what the command writes of it, and
//! what is typed and drawn in a node is what is typed on a command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::studio::Studio;
use wan_alpha_take::{Ellipse, TakeRequest};
use wan_alpha_test_host::{Context, Host, Profile, RenderAsk};

/// Where the half of the test that is a host's process finds its folder.
const ROOM: &str = "WAN_ALPHA_TEST_ROOM";

const SIZE: [u32; 2] = [64, 64];
const FRAMES: u32 = 9;
/// Where the take begins, in frames of the host, of which 24 are 16 of the take.
const START: f64 = 12.0;

/// Off-center, not round, turned, and on its way.
const KEYS: [(f64, Ellipse); 2] = [
    (0.0, Ellipse { x: 0.31, y: 0.62, a: 0.35, b: 0.8, angle: 25.0 }),
    (8.0, Ellipse { x: 0.71, y: 0.38, a: 0.55, b: 0.6, angle: -40.0 }),
];

#[test]
fn a_host_reads_what_the_command_writes() {
    if let Some(room) = std::env::var_os(ROOM) {
        return in_a_host(&PathBuf::from(room));
    }
    let studio = Studio::new();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_host_reads_what_the_command_writes", "--nocapture"])
        .env_clear()
        .envs(studio.environment("run"))
        .env("WAN_ALPHA_ENGINE", env!("CARGO_BIN_EXE_wan-alpha"))
        .env(ROOM, studio.path(""))
        .output()
        .unwrap();
    support::studio::told(child);
    let text = fs::read_to_string(studio.path("request")).unwrap();
    let request = TakeRequest::from_parameter(&text).unwrap();
    let key = request.key().unwrap().to_string();

    let exported = studio.path("exported");
    studio.ok(&["take", "export", &key, "--out", exported.to_str().unwrap()]);
    assert_same(&studio, &exported, 1.5 / 65535.0);

    let track = studio.path("track.json");
    fs::write(&track, serde_json::to_string(&request.ellipse).unwrap()).unwrap();
    let typed: Vec<_> = KEYS.iter().map(|(frame, ellipse)| format!("{frame}: {ellipse}")).collect();
    let typed = typed.join("; ");
    for (name, place) in [
        ("typed", ["--ellipse", &typed]),
        ("tracked", ["--ellipse-track", track.to_str().unwrap()]),
    ] {
        let out = studio.path(name);
        let mut arguments = vec!["render", "--model", "tiny", "--prompt", "a ring of smoke"];
        arguments.extend(["--seed", "7", "--width", "64", "--height", "64", "--frames", "9"]);
        arguments.extend([
            "--steps",
            "4",
            "--mu",
            "0.3",
            "--no-store",
            "--out",
            out.to_str().unwrap(),
        ]);
        arguments.extend(place);
        studio.ok(&arguments);
        // Rounded to half floats on its way through the store.
        assert_same(&studio, &out, 1e-3);
        let take: Value =
            serde_json::from_str(&fs::read_to_string(out.join("take.json")).unwrap()).unwrap();
        let found = TakeRequest::from_json(&take["request"].to_string()).unwrap();
        assert_eq!((&found, found.key().unwrap().to_string()), (&request, key.clone()), "{name}");
    }
    // The same take again, as a farm makes it ahead, is the one that is there.
    let (made, _) = studio.ok(&["take", "make", &text]);
    assert!(made.contains(&key), "{made}");
    assert_eq!(studio.takes().len(), 1);
}

/// Every frame, as 16-bit straight PNG, is what the host has read.
#[track_caller]
fn assert_same(studio: &Studio, folder: &Path, tolerance: f32) {
    let seen = fs::read(studio.path("frames")).unwrap();
    let seen: Vec<f32> =
        seen.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let [width, height] = SIZE.map(|side| side as usize);
    for (frame, seen) in seen.chunks_exact(width * height * 4).enumerate() {
        let image = image::open(folder.join(format!("rgba.{frame:04}.png"))).unwrap().into_rgba16();
        assert_eq!(image.dimensions(), (SIZE[0], SIZE[1]));
        for (index, (seen, written)) in seen.iter().zip(image.as_raw()).enumerate() {
            let written = f32::from(*written) / 65535.0;
            let seen = seen.clamp(0.0, 1.0);
            assert!(
                (seen - written).abs() <= tolerance,
                "{}: frame {frame}, value {index}: {seen} in the host, {written} written",
                folder.display()
            );
        }
    }
}

/// Generates in a host, and leaves what it has read in the room.
fn in_a_host(room: &Path) {
    let host = Host::new(Profile::plain().sized(160.0, 120.0));
    let plugin = host.load(plugin()).unwrap();
    let project = plugin.project();
    let node = project.add(Context::Generator).unwrap();
    for (id, value) in [("seed", 7), ("frames", 9), ("steps", 4), ("resolution", 7)] {
        node.set(id, value);
    }
    for (id, value) in [("width", 64), ("height", 64), ("startFrame", START as i32)] {
        node.set(id, value);
    }
    // As it was generated, straight, pixel for pixel.
    for (id, value) in [("transfer", 1), ("alphaMode", 1), ("fit", 3)] {
        node.set(id, value);
    }
    node.set("prompt", "a ring of smoke");
    node.set("mu", 0.3);
    for (frame, ellipse) in KEYS {
        let time = START + frame * 1.5;
        node.key("ellipseCenter", time, [ellipse.x, ellipse.y]);
        node.key("ellipseAxes", time, [ellipse.a, ellipse.b]);
        node.key("ellipseAngle", time, ellipse.angle);
    }
    node.press("generateAndWait");
    let status = node.text("status");
    assert!(status.starts_with("Ready: 9 frames of 64x64, model tiny, seed 7."), "{status}");
    host.world_changed();
    let mut values = Vec::new();
    for frame in 0..FRAMES {
        let shown = node.render(&RenderAsk::at(START + (f64::from(frame) * 1.5).round()));
        let (left, bottom) = ((160 - SIZE[0] as i32) / 2, (120 - SIZE[1] as i32) / 2);
        for row in (0..SIZE[1] as i32).rev() {
            for column in 0..SIZE[0] as i32 {
                values.extend(shown.pixel(left + column, bottom + row).map(f32::to_le_bytes));
            }
        }
    }
    fs::write(room.join("frames"), values.concat()).unwrap();
    fs::write(room.join("request"), node.text("takeRequest")).unwrap();
}

/// The plug-in that cargo built with this test.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("libwan_alpha_ofx{}", std::env::consts::DLL_SUFFIX);
    let found = test.parent().unwrap().join(name);
    assert!(found.is_file(), "{} is not there", found.display());
    found
}

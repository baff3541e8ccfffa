//! The demo's host: every frame that it writes is what the plug-in rendered into an image of the
//! host, and is the take that the engine made.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::workshop::{FRAMES, Workshop, alone, built};

/// Of the project and of its take: no smaller than the panel allows.
const SIZE: [u32; 2] = [96, 64];

fn demo(workshop: &Workshop, out: &Path) -> Output {
    let [width, height] = SIZE.map(|side| side.to_string());
    Command::new(built("demo-host"))
        .arg(workshop.bundle())
        .args(["--prompt", "a bubble", "--width", &width, "--height", &height])
        .args(["--frames", &FRAMES.to_string(), "--seed", "7", "--patience", "120", "--out"])
        .arg(out)
        .output()
        .unwrap()
}

alone! {
    fn every_frame_is_read_back_and_written(workshop) {
        workshop.script(&json!({ "step_ms": 60 }));
        let out = workshop.at("out");
        let output = demo(workshop, &out);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        for line in ["the prompt is typed: a bubble", "keyed at frame 4", "Generate is pressed", "left", "Ready: 9 frames of 96x64"] {
            assert!(told.contains(line), "{line} is not in {told}");
        }
        let written: Value = serde_json::from_slice(&output.stdout).unwrap();
        let key = workshop.takes()[0];
        assert_eq!((&written["frames"], &written["take"]), (&json!(FRAMES), &json!(key.to_string())));
        let take = workshop.store().find(&key).take.unwrap();
        for (kind, count) in [("exr", FRAMES), ("png", FRAMES)] {
            let files = written[kind].as_array().unwrap();
            assert_eq!(files.len(), count as usize);
            assert!(files.iter().all(|file| Path::new(file.as_str().unwrap()).is_file()));
        }
        for index in [0, FRAMES - 1] {
            let source = take.frame(index).unwrap();
            let png = image::open(out.join(format!("png/demo.{index:04}.png"))).unwrap().to_rgba16();
            assert_eq!(png.dimensions(), (SIZE[0], SIZE[1]));
            let (x, y) = (SIZE[0] * (index + 2) / (FRAMES + 3), SIZE[1] / 3);
            let at = ((y * SIZE[0] + x) * 4) as usize;
            assert!(source[at + 3].to_f32() > 0.05, "there is nothing to compare at {x}, {y}");
            for channel in 0..4 {
                let wanted = source[at + channel].to_f32();
                let found = f32::from(png.get_pixel(x, y)[channel]) / 65535.0;
                assert!((wanted - found).abs() < 4e-3, "frame {index}: {wanted} {found}");
            }
        }
        let sheet = image::open(written["contact_sheet"].as_str().unwrap()).unwrap().to_rgb8();
        assert_eq!(sheet.width(), 8 + 6 * (3 * SIZE[0] + 8));
    }

    fn what_keeps_the_take_from_being_made_ends_the_demo_in_words(workshop) {
        let what = json!({ "fail": { "code": "x", "message": "the GPU has no room", "remedy": "use fewer frames" } });
        workshop.fault("sampling", 1, 9, what);
        let out = workshop.at("out");
        let output = demo(workshop, &out);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("GPU has no room"), "{told}");
        assert!(output.stdout.is_empty() && !out.join("contact-sheet.png").exists());
    }
}

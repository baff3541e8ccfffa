//! Clips and takes measured through the command.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::model::{DECODERS, VAE, write_merge_block};
use support::reference::Case;
use support::room::Room;
#[cfg(unix)]
use support::studio::Studio;
use wan_alpha_core::device::Device;
use wan_alpha_core::metrics::{Aesthetic, Clip, cosines};
use wan_alpha_core::tch::Tensor;

/// Nine frames of 96 × 64 with a disc or a ring of a color, moving evenly right from a place.
fn draw(room: &Room, folder: &str, kind: &str, [r, g, b]: [u8; 3], [x, y]: [f64; 2], way: f64) {
    fs::create_dir_all(room.path(folder)).unwrap();
    for frame in 0..9_u32 {
        let center = [x + way * f64::from(frame) / 8.0, y];
        let pixel = |x: u32, y: u32| {
            let far = (f64::from(x) - center[0]).hypot(f64::from(y) - center[1]);
            let seen = if kind == "ring" { (9.0..=13.0).contains(&far) } else { far <= 13.0 };
            image::Rgba(if seen { [r, g, b, 255] } else { [0; 4] })
        };
        let image = image::RgbaImage::from_fn(96, 64, pixel);
        image.save(room.path(folder).join(format!("f.{frame:02}.png"))).unwrap();
    }
}

/// Pixels as an ellipse of the artist's.
fn ellipse([x, y]: [f64; 2]) -> Value {
    json!({ "x": (x + 0.5) / 96.0, "y": 1.0 - (y + 0.5) / 64.0, "a": 0.5, "b": 0.5, "angle": 0 })
}

/// Six labeled takes of two kinds, of which the last is not what it says.
fn labeled(room: &Room) {
    let takes = [
        ("ball", "red", [220, 30, 30], [24.0, 24.0], 32.0),
        ("ball", "blue", [30, 60, 230], [60.0, 30.0], 0.0),
        ("ball", "green", [30, 180, 50], [40.0, 40.0], 0.0),
        ("ring", "red", [220, 30, 30], [30.0, 40.0], 24.0),
        ("ring", "blue", [30, 60, 230], [66.0, 24.0], 0.0),
        ("ring", "cyan", [250, 220, 30], [50.0, 32.0], 0.0),
    ];
    let mut lines = String::new();
    for (index, (kind, color, rgb, [x, y], way)) in takes.into_iter().enumerate() {
        let folder = format!("takes/{index}");
        draw(room, &folder, kind, rgb, [x, y], way);
        // The middle of the take frames that each latent frame stands for.
        let track = [0.0, 2.5, 6.5].map(|frame| ellipse([x + way * frame / 8.0, y]));
        let labels = json!({ "kind": kind, "colour": color });
        let prompt = format!("a {color} {kind}");
        let line =
            json!({ "folder": folder, "prompt": prompt, "labels": labels, "ellipse": track });
        lines += &format!("{line}\n");
    }
    fs::write(room.path("asked.jsonl"), lines).unwrap();
}

#[test]
fn labeled_takes_are_where_they_were_asked_to_be_in_their_colors_and_kinds() {
    let room = Room::new();
    labeled(&room);
    let lines = room.ok(&[
        "eval",
        "takes",
        "--asked",
        "asked.jsonl",
        "--json",
        "out.json",
        "--html",
        "out.html",
    ]);
    assert!(lines.contains("color right, %") && lines.contains("note: smoothness"), "{lines}");
    let out = room.json("out.json");
    let of = |id: &str| {
        out["summary"][id]["value"].as_f64().unwrap_or_else(|| panic!("{id}: {}", out["summary"]))
    };
    // Cells of 8 pixels say it to an eighth of the frame's height at worst.
    assert!(of("centre_distance") < 0.06, "{}", of("centre_distance"));
    assert!(of("centre_correlation_x") > 0.98 && of("centre_correlation_y") > 0.98);
    assert!(of("follows") > 0.98);
    assert_eq!(out["summary"]["follows"]["clips"], 2);
    assert_eq!((of("leak"), of("kind_right")), (0.0, 100.0));
    assert!((of("colour_right") - 500.0 / 6.0).abs() < 1e-9);
    let last = &out["clips"][5];
    assert_eq!((&last["colour"], &last["asked"]["colour"]), (&json!("yellow"), &json!("cyan")));
    assert_eq!((&last["nearest_kind"], &last["prompt"]), (&json!("ring"), &json!("a cyan ring")));
    assert!(last["holes"].as_f64().unwrap() > 0.3 && out["clips"][0]["holes"] == 0.0);
    assert_eq!(last["found_ellipses"].as_array().unwrap().len(), 3);
    let page = fs::read_to_string(room.path("out.html")).unwrap();
    assert!(page.contains("a cyan ring") && page.matches("data:image/png;base64,").count() == 24);
}

#[test]
fn nothing_to_be_seen_has_no_scores_and_is_in_no_mean() {
    let room = Room::new();
    draw(&room, "takes/a", "ring", [220, 30, 30], [40.0, 30.0], 0.0);
    // The disc lies outside the frame.
    draw(&room, "takes/b", "ball", [220, 30, 30], [-50.0, 30.0], 0.0);
    let lines = room.ok(&["eval", "takes", "takes", "--json", "out.json", "--html", "out.html"]);
    assert!(
        lines.contains("note: 1 of 2 clips is empty (alpha covers less than 0.2 %)"),
        "{lines}"
    );
    let out = room.json("out.json");
    let [ring, empty] = &out["clips"].as_array().unwrap()[..] else { panic!("{out}") };
    assert_eq!((&ring["empty"], &empty["empty"]), (&json!(false), &json!(true)));
    assert_eq!(empty["coverage"], 0.0);
    for id in ["temporal_flickering", "smoothness", "holes", "leak", "alpha_flicker"] {
        assert_eq!(empty[id], Value::Null, "{id}");
    }
    assert_eq!(out["summary"]["coverage"]["value"], ring["coverage"]);
    assert_eq!(out["summary"]["temporal_flickering"]["clips"], 1);
    assert!(fs::read_to_string(room.path("out.html")).unwrap().contains("1 of 2 clips is empty"));

    // Nor is an empty clip given back without a fault.
    room.ok(&["eval", "reconstruction", "takes/b", "takes/b", "--json", "same.json"]);
    let same = room.json("same.json");
    assert_eq!(same["clips"][0]["alpha_psnr"], Value::Null);
    assert!(same["notes"].to_string().contains("1 of 1 clip is empty"), "{same}");
}

#[test]
fn a_folder_of_clips_of_another_system_is_measured_without_a_table() {
    let room = Room::new();
    draw(&room, "other/a", "ball", [220, 30, 30], [40.0, 30.0], 0.0);
    draw(&room, "other/b", "ball", [220, 30, 30], [20.0, 30.0], 48.0);
    fs::write(room.path("other/a/prompt.txt"), "a red ball\n").unwrap();
    let track = json!(vec![ellipse([40.0, 30.0]); 3]);
    fs::write(room.path("other/a/track.json"), track.to_string()).unwrap();
    // 8 frames: 4n+1 is the model's affair.
    fs::remove_file(room.path("other/b/f.08.png")).unwrap();
    room.ok(&["eval", "takes", "other", "--json", "out.json"]);
    let out = room.json("out.json");
    let clips = out["clips"].as_array().unwrap();
    assert_eq!((&clips[0]["name"], &clips[0]["prompt"]), (&json!("a"), &json!("a red ball")));
    assert_eq!(clips[0]["temporal_flickering"], 1.0);
    assert!(clips[0]["ellipse_iou"].as_f64().unwrap() > 0.3);
    assert_eq!(clips[1]["shape"]["frames"], 8);
    assert_eq!((&clips[1]["leak"], &clips[1]["ellipse_iou"]), (&Value::Null, &Value::Null));
    // 6 pixels a frame, all of them foretold.
    assert!(clips[1]["temporal_flickering"].as_f64().unwrap() < 0.99);
    assert_eq!(clips[1]["smoothness"], 1.0);
    assert!(out["summary"].get("kind_right").is_none());
}

#[test]
fn a_clip_is_compared_with_another_of_its_shape() {
    let room = Room::new();
    draw(&room, "truth", "ball", [220, 30, 30], [40.0, 30.0], 8.0);
    draw(&room, "moved", "ball", [220, 30, 30], [44.0, 30.0], 8.0);
    room.ok(&["eval", "reconstruction", "truth", "truth", "--json", "same.json"]);
    let same = room.json("same.json");
    assert_eq!(same["clips"][0]["colour_psnr"], "inf");
    assert!((same["clips"][0]["alpha_ssim"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert!(same["notes"].to_string().contains("LPIPS is left out"), "{same}");
    assert!(same["clips"][0].get("colour_lpips").is_none());

    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/tests/metrics");
    let file = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let [trunk, heads] = [file("vgg.pth"), file("vgg-heads.pth")];
    let line =
        ["eval", "reconstruction", "truth", "moved", "--over", "white", "--json", "out.json"];
    let lines = room.ok(&[&line[..], &["--lpips", &trunk, &heads, "--html", "out.html"]].concat());
    assert!(lines.contains("alpha LPIPS") && lines.contains("over white"), "{lines}");
    let out = &room.json("out.json")["clips"][0];
    let of = |id: &str| out[id].as_f64().unwrap();
    assert!((5.0..20.0).contains(&of("alpha_psnr")) && of("colour_psnr") > of("alpha_psnr"));
    assert!((0.2..0.98).contains(&of("colour_ssim")));
    assert!(of("colour_lpips") > 1e-4 && of("alpha_lpips") > 1e-4);
    let page = fs::read_to_string(room.path("out.html")).unwrap();
    assert!(page.contains(">truth</span>") && page.contains(">made</span>"));
}

#[test]
fn a_model_s_autoencoder_is_measured_as_decode_measures_it() {
    let room = Room::new();
    fs::create_dir(room.path("model")).unwrap();
    let from = Case::named("t2v-euler").model();
    for part in [VAE, DECODERS] {
        fs::copy(from.join(part), room.path("model").join(part)).unwrap();
    }
    write_merge_block(&room.path("model").join("Wan-Alpha-v2-VAE.safetensors"));
    draw(&room, "clip", "ball", [220, 30, 30], [40.0, 30.0], 8.0);

    let model = ["--model", "model"];
    room.ok(&[&["eval", "reconstruction", "clip", "--json", "out.json"][..], &model].concat());
    room.ok(&[&["encode", "clip", "--out", "l.safetensors"][..], &model].concat());
    let decode = ["decode", "l.safetensors", "--out", "back", "--compare", "clip"];
    room.ok(&[&decode[..], &model].concat());
    let (found, known) = (room.json("out.json"), room.json("back/take.json"));
    for id in ["colour_psnr", "alpha_psnr"] {
        let [found, known] = [&found["clips"][0][id], &known["reconstruction"][id]];
        let error = found.as_f64().unwrap() - known.as_f64().unwrap();
        assert!(error.abs() < 1e-3, "{id}: {found} for {known}");
    }
    // What was decoded is a take without a request.
    room.ok(&["eval", "takes", "back"]);
}

#[test]
fn takes_are_scored_by_the_networks_that_are_given() {
    let room = Room::new();
    for name in ["still", "silent"] {
        draw(&room, &format!("takes/{name}"), "ball", [220, 30, 30], [40.0, 30.0], 0.0);
    }
    let prompt = "a red ball of smoke";
    fs::write(room.path("takes/still/prompt.txt"), prompt).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/tests/metrics");
    let [folder, head] = ["clip", "aesthetic.pth"].map(|name| data.join(name));
    let texts = [&folder, &head].map(|path| path.to_str().unwrap());
    let by = ["--clip", texts[0], "--aesthetic", texts[1]];
    let lines = room.ok(&[&["eval", "takes", "takes", "--json", "out.json"][..], &by].concat());
    assert!(lines.contains("aesthetic") && lines.contains("text is CLIP's"), "{lines}");

    // A still clip is as good as one of its frames, over white.
    let image = image::open(room.path("takes/still/f.00.png")).unwrap().to_rgba32f();
    let plane = |channel: usize| {
        image.pixels().map(move |pixel| pixel[channel] * pixel[3] + 1.0 - pixel[3])
    };
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    let picture = Tensor::from_slice(&values).view([1, 3, 64, 96]);
    let clip = Clip::open(&folder, Device::cpu()).unwrap();
    let features = clip.pictures(&picture).unwrap();
    let aesthetic = Aesthetic::open(&head, clip.width(), Device::cpu()).unwrap();
    let out = room.json("out.json");
    let of = |place: usize, id: &str| out["clips"][place][id].as_f64();
    let near = |found: Option<f64>, expected: &[f64]| {
        let error = (found.unwrap() - expected[0]).abs();
        assert!(error < 1e-5, "{found:?} for {expected:?}");
    };
    near(of(1, "text"), &cosines(&features, &clip.text(prompt).unwrap()).unwrap());
    near(of(1, "aesthetic"), &aesthetic.scores(&features).unwrap());
    near(of(0, "aesthetic"), &aesthetic.scores(&features).unwrap());
    assert_eq!((of(0, "text"), &out["summary"]["text"]["clips"]), (None, &json!(1)));

    // Without networks there are no such columns, and a prompt that is too long is said to be.
    let lines = room.ok(&["eval", "takes", "takes"]);
    assert!(!lines.contains("aesthetic  ") && lines.contains("give --clip"), "{lines}");
    fs::write(room.path("takes/still/prompt.txt"), "ball ".repeat(40)).unwrap();
    let output = room.run(&[&["eval", "takes", "takes"][..], &by[..2]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("longer than CLIP reads"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_take_of_the_store_and_its_exported_files_are_measured_alike() {
    let studio = Studio::new();
    let (path, _) = studio.ok(&["take", "make", &studio.request("a.json", 1, 5)]);
    let key = Path::new(path.trim()).file_stem().unwrap().to_str().unwrap()[..10].to_owned();
    let [folder, asked, out] = ["files", "asked.jsonl", "out.json"]
        .map(|name| studio.path(name).to_str().unwrap().to_owned());
    studio.ok(&["take", "export", &key, "--out", &folder]);
    fs::write(&asked, json!({ "take": key, "labels": { "colour": "red" } }).to_string()).unwrap();
    studio.ok(&["eval", "takes", &key, &folder, "--asked", &asked, "--json", &out]);
    let out: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    let [stored, exported] = [&out["clips"][0], &out["clips"][1]];
    assert_eq!((&stored["name"], &exported["name"]), (&json!(path_key(&path)), &json!("files")));
    for id in ["prompt", "asked_ellipses", "found_ellipses", "colour", "shape"] {
        assert_eq!(stored[id], exported[id], "{id}");
    }
    for id in ["temporal_flickering", "coverage", "smoothness"] {
        let error = stored[id].as_f64().unwrap() - exported[id].as_f64().unwrap();
        assert!(error.abs() < 2e-3, "{id}: {} and {}", stored[id], exported[id]);
    }
    // The table is about one of them.
    assert_eq!(out["summary"]["colour_right"]["clips"], 1);
}

#[cfg(unix)]
fn path_key(path: &str) -> &str {
    &Path::new(path.trim()).file_stem().unwrap().to_str().unwrap()[..12]
}

#[test]
fn mistakes_are_bad_input_in_words() {
    let room = Room::new();
    draw(&room, "a", "ball", [220, 30, 30], [40.0, 30.0], 0.0);
    draw(&room, "b", "ball", [220, 30, 30], [40.0, 30.0], 0.0);
    fs::remove_file(room.path("b/f.08.png")).unwrap();
    fs::create_dir(room.path("empty")).unwrap();
    room.refuses(&["eval", "reconstruction", "a"], 2, &["TRUTH MADE", "--model"]);
    room.refuses(&["eval", "reconstruction", "a", "b"], 2, &["8 frames", "9 frames", "alike"]);
    room.refuses(&["eval", "takes", "empty"], 2, &["empty has neither"]);
    room.refuses(&["eval", "takes", "no-such"], 2, &["neither a folder nor"]);
    room.refuses(&["eval", "takes", "abcd1234"], 2, &["abcd1234"]);
    room.refuses(&["eval", "takes"], 2, &["no takes are named", "--asked"]);
    room.refuses(&["eval", "takes", "a", "--asked", "none.jsonl"], 2, &["none.jsonl"]);
    fs::write(room.path("t.jsonl"), "\n{\"folder\":\"a\",\"colour\":\"mauve\"}\n").unwrap();
    let line = ["eval", "takes", "--asked", "t.jsonl"];
    room.refuses(&line, 2, &["t.jsonl", "line 2", "mauve"]);
    let short = json!({ "folder": "a", "ellipse": [ellipse([40.0, 30.0])] });
    fs::write(room.path("t.jsonl"), short.to_string()).unwrap();
    room.refuses(&line, 2, &["1 ellipse was", "9 frames are 3 latent frames"]);
    fs::write(room.path("weights.pth"), "no weights").unwrap();
    let lpips = ["eval", "reconstruction", "a", "a", "--lpips", "weights.pth", "weights.pth"];
    room.refuses(&lpips, 4, &["weights.pth"]);
    room.refuses(&["eval", "takes", "a", "--clip", "empty"], 4, &["empty", "no config.json"]);
    room.refuses(&["eval", "takes", "a", "--aesthetic", "weights.pth"], 2, &["--clip"]);
}

//! `wan-alpha data`: sets drawn, checked and cached through the command.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use exr::prelude::WritableImage;
use image::{GrayImage, Luma, Rgba, RgbaImage};
use serde_json::Value;
use support::model::{TOKENIZER, write_merge_block};
use support::reference::Case;
use support::render::names;
use support::room::Room;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Kind;
use wan_alpha_core::weights::TensorFile;
use wan_alpha_take::{Mask, Track};

/// With a drawn set of `count` clips of 48 × 32 and 5 frames, called `set`.
fn with_set(count: u32, more: &[&str]) -> Room {
    let room = Room::of("data");
    let count = count.to_string();
    let line = ["procedural", "--count", &count, "--size", "48x32", "--frames", "5"];
    room.ok(&[&line[..], &["--out", "set"], more].concat());
    room
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(
                files(&path).into_iter().map(|(at, bytes)| (Path::new(&name).join(at), bytes)),
            );
        } else {
            found.push((PathBuf::from(&name), fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn a_drawn_set_is_the_same_again_and_has_nothing_wrong_with_it() {
    let room = with_set(12, &["--language", "both"]);
    room.ok(&[
        "procedural",
        "--count",
        "12",
        "--size",
        "48x32",
        "--frames",
        "5",
        "--out",
        "again",
        "--language",
        "both",
    ]);
    assert_eq!(files(&room.path("set")), files(&room.path("again")));
    let said = room.ok(&["check", "set", "--out", "report"]);
    // Their own ellipses are used, so that clips too thin to fit one to are no cause for a warning.
    let expected = "24 rows, 12 clips of 12 sources, 60 frames: 0 errors, 0 warnings\n";
    assert_eq!(said, expected);
    let report = room.json("report/report.json");
    assert_eq!(report["summary"]["languages"], serde_json::json!({"Chinese": 12, "English": 12}));
    let row = &report["rows"][0];
    assert_eq!(
        (&row["frames"], &row["width"], &row["height"]),
        (&5.into(), &48.into(), &32.into())
    );
    let shares =
        ["clear", "opaque", "soft"].map(|share| row["statistics"][share].as_f64().unwrap());
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let page = fs::read_to_string(room.path("report/report.html")).unwrap();
    assert_eq!(page.matches("<tr data-worst").count(), 24);
    assert_eq!(page.matches("data:image/png;base64,").count(), 24);
    for outside in ["http:", "https:", "src=\"/"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The ellipses of each clip are a track.
    let track = fs::read_to_string(room.path("set/clip-000000/track.json")).unwrap();
    assert_eq!(wan_alpha_take::Track::from_json(&track, 2).unwrap().len(), 2);
    let text = fs::read_to_string(room.path("set/table.csv")).unwrap();
    assert!(text.starts_with("colour,caption,caption_short,kind,labels,track\n"), "{text}");
    let other = with_set(12, &["--held-out"]);
    assert_ne!(files(&room.path("set")), files(&other.path("set")));
}

#[test]
fn drawing_leaves_the_files_of_others_alone_and_replaces_its_own() {
    let room = Room::of("data");
    fs::create_dir(room.path("mine")).unwrap();
    fs::write(room.path("mine/notes.txt"), "x").unwrap();
    let said = room.fails(&["procedural", "--count", "1", "--out", "mine"], 2);
    assert!(said.contains("already holds notes.txt"), "{said}");
    assert_eq!(names(&room.path("mine")), ["notes.txt"]);
    // What a stopped run left.
    fs::create_dir_all(room.path("half/clip-000000")).unwrap();
    fs::write(room.path("half/clip-000000/rgba.0099.png"), "broken").unwrap();
    room.ok(&["procedural", "--count", "1", "--frames", "1", "--out", "half"]);
    assert_eq!(names(&room.path("half/clip-000000")), ["rgba.0000.png", "track.json"]);
    for (wrong, words) in [
        (["--count", "1", "--size", "50x50"], "multiples of 16"),
        (["--count", "1", "--frames", "4"], "expected 4n+1"),
        (["--count", "0", "--frames", "5"], "--count"),
    ] {
        let said = room.fails(&[&["procedural", "--out", "o"][..], &wrong].concat(), 2);
        assert!(said.contains(words), "{said}");
    }
}

/// Rows with everything that can be wrong with one.
fn faulty() -> Room {
    let room = Room::of("data");
    let folder = |name: &str| {
        fs::create_dir_all(room.path("set").join(name)).unwrap();
        room.path("set").join(name)
    };
    let disc = |x: u32, y: u32| {
        let (dx, dy) = (f64::from(x) - 24.0, f64::from(y) - 16.0);
        if dx * dx + dy * dy < 100.0 { 255 } else { 0 }
    };
    let rgba = |path: PathBuf, alpha: &dyn Fn(u32, u32) -> u8| {
        RgbaImage::from_fn(48, 32, |x, y| Rgba([x as u8, y as u8, 9, alpha(x, y)]))
            .save(path)
            .unwrap();
    };
    let good = folder("good");
    let copy = folder("copy");
    let four = folder("four");
    let torn = folder("torn");
    let matte = folder("matte");
    for frame in 0..5 {
        let name = format!("f.{frame:03}.png");
        rgba(good.join(&name), &disc);
        rgba(copy.join(&name), &disc);
        rgba(torn.join(&name), &disc);
        if frame < 4 {
            rgba(four.join(&name), &disc);
        }
        GrayImage::from_fn(32, 32, |x, y| Luma([disc(x, y)])).save(matte.join(&name)).unwrap();
    }
    let bytes = fs::read(torn.join("f.003.png")).unwrap();
    fs::write(torn.join("f.003.png"), &bytes[..bytes.len() / 2]).unwrap();
    rgba(room.path("set/opaque.png"), &|_, _| 255);
    rgba(room.path("set/empty.png"), &|_, _| 0);
    rgba(room.path("set/thin.png"), &|x, y| disc(x, y) / 3);
    let rgb = image::RgbImage::from_pixel(48, 32, image::Rgb([1, 2, 3]));
    rgb.save(room.path("set/rgb.png")).unwrap();
    let said = "A ball before a transparent background";
    fs::write(
        room.path("set/table.csv"),
        format!(
            "colour,alpha,caption,kind,captoin\n\
             good,,{said},moving,\n\
             torn,,{said},,\n\
             good,matte,{said},,\n\
             gone,,{said},,\n\
             four,,{said},,\n\
             opaque.png,,{said},,\n\
             empty.png,,{said},,\n\
             rgb.png,,{said},,\n\
             thin.png,,{said},,\n\
             copy,,{said},,\n\
             good,,,still,\n\
             good,,Красный шар,,x\n\
             four,good,{said},,\n"
        ),
    )
    .unwrap();
    room
}

#[test]
fn what_is_wrong_with_a_set_is_named_by_row_and_file() {
    let room = faulty();
    let said = room.fails(&["check", "set", "--out", "report"], 2);
    for (severity, row, words) in [
        ("error", 2, "f.003.png"),
        ("error", 3, "is 48 × 32, but frame 0 of the alpha is 32 × 32"),
        ("error", 4, "gone does not exist"),
        ("warning", 5, "it has 4 frames: the transformer is trained on 4n+1"),
        ("error", 6, "opaque throughout"),
        ("error", 7, "alpha is 0 throughout"),
        ("error", 8, "it has no alpha channel"),
        ("warning", 9, "1 of its 1 latent frames have no ellipse"),
        ("warning", 10, "clip and captions are those of row 1"),
        ("warning", 10, "the same as row 1 (good), but as another source"),
        ("error", 11, "it has no caption"),
        ("error", 11, "said to be still, but has 5 frames"),
        ("warning", 12, "neither English nor Chinese: “Красный шар”"),
        ("warning", 12, "does not say that the background is transparent"),
        ("error", 13, "4 frames, but alpha good has 5"),
    ] {
        let start = format!("{severity}: row {row} (line {} of ", row + 1);
        let found = said.lines().any(|line| line.starts_with(&start) && line.contains(words));
        assert!(found, "`{start}` … `{words}` is not in:\n{said}");
    }
    assert!(said.contains("the column `captoin` means nothing here"), "{said}");
    assert!(!said.contains("row 1 (line 2"), "{said}");
    assert!(said.contains("9 errors"), "{said}");
    let report = room.json("report/report.json");
    assert_eq!(report["summary"]["errors"], 9);
    let codes = report["rows"][9]["findings"].as_array().unwrap();
    let codes: Vec<_> = codes.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["duplicate", "split"]);
    let ellipse = &report["rows"][0]["ellipses"][0];
    let center = ["x", "y"].map(|axis| ellipse[0][axis].as_f64().unwrap());
    assert!((center[0] - 0.5).abs() < 0.05 && (center[1] - 0.5).abs() < 0.07, "{ellipse}");
    assert!(ellipse[1].as_f64().unwrap() >= 0.98, "{ellipse}");
}

#[test]
fn a_set_that_cannot_be_opened_is_refused_in_words() {
    let room = Room::of("data");
    assert!(room.fails(&["check", "nowhere"], 2).contains("nowhere does not exist"));
    fs::create_dir(room.path("empty")).unwrap();
    assert!(room.fails(&["check", "empty"], 2).contains("has no table"));
    fs::write(room.path("t.csv"), "alpha\nx\n").unwrap();
    let said = room.fails(&["check", "t.csv"], 2);
    assert!(said.contains("line 2: it has no color"), "{said}");
    fs::write(room.path("v.csv"), "colour,caption\nclip.mov,transparent\n").unwrap();
    fs::write(room.path("clip.mov"), b"\0\0\0\x14ftypqt  a video.\0\0\0\x08moov").unwrap();
    let mut command = room.command(&["check", "v.csv"]);
    let output = command.env("PATH", "").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("clip.mov") && said.contains("ffmpeg") && said.contains("not on PATH"),
        "{said}"
    );
}

/// Color and alpha as videos, each by a stand-in for ffmpeg that sends what it should.
#[cfg(unix)]
#[test]
fn videos_are_read_through_ffmpeg() {
    use std::os::unix::fs::PermissionsExt;
    let room = Room::of("data");
    let script = "#!/bin/sh\nwhile [ \"$1\" != -i ]; do shift; done\nshift\n\
                  exec cat \"${1#file:}\"\n";
    fs::write(room.path("ffmpeg"), script).unwrap();
    fs::set_permissions(room.path("ffmpeg"), fs::Permissions::from_mode(0o755)).unwrap();
    let pam = |depth: usize, sample: &dyn Fn(usize, usize) -> [u8; 4]| {
        let mut bytes = Vec::new();
        for frame in 0..5 {
            let head = format!("P7\nWIDTH 32\nHEIGHT 32\nDEPTH {depth}\nMAXVAL 255\nENDHDR\n");
            bytes.extend(head.into_bytes());
            for place in 0..32 * 32 {
                let samples = sample(frame, place);
                bytes.extend_from_slice(&samples[..depth]);
            }
        }
        bytes
    };
    let inside = |frame: usize, place: usize| {
        let (x, y) = (place % 32, place / 32);
        if (6 + frame..20 + frame).contains(&x) && (8..24).contains(&y) { 255 } else { 0 }
    };
    let color = |_: usize, place: usize| [8 * (place % 32) as u8, 0, 9, 255];
    fs::write(room.path("colour.mov"), pam(4, &color)).unwrap();
    fs::write(room.path("matte.mov"), pam(2, &|frame, place| [inside(frame, place), 255, 0, 0]))
        .unwrap();
    let both = |frame: usize, place: usize| {
        let [r, g, b, _] = color(frame, place);
        [r, g, b, inside(frame, place)]
    };
    fs::write(room.path("both.mov"), pam(4, &both)).unwrap();
    let said = "transparent";
    let table = format!("colour,alpha,caption\ncolour.mov,matte.mov,{said}\nboth.mov,,{said}\n");
    fs::write(room.path("table.csv"), table).unwrap();
    let mut command = room.command(&["check", "table.csv", "--out", "report"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", room.folder().display()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let report = room.json("report/report.json");
    let [apart, within] = [0, 1].map(|row| &report["rows"][row]);
    assert_eq!(apart["frames"], 5);
    assert_eq!(apart["hash"], within["hash"]);
}

/// A reference model, complete with the training case's merge block.
fn with_model(room: &Room) {
    fs::create_dir(room.path("model")).unwrap();
    let from = Case::named("t2v-euler").model();
    for name in names(&from).iter().filter(|name| *name != "google") {
        fs::copy(from.join(name), room.path("model").join(name)).unwrap();
    }
    fs::copy(from.join(TOKENIZER), room.path("model/tokenizer.json")).unwrap();
    write_merge_block(&room.path("model/merge.safetensors"));
}

#[test]
fn a_cached_row_is_its_latent_its_contexts_and_its_mask() {
    let room = with_set(3, &["--language", "both"]);
    with_model(&room);
    let line = ["cache", "set", "--model", "model", "--out", "cache"];
    let output = room.run(&line);
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = "6 rows of 3 clips (48 × 32: 6): 3 clips and the captions of 6 rows are new";
    assert!(output.status.success() && note.contains(words), "{note}");
    assert!(!note.contains("enlarges"), "{note}");
    let index = fs::read_to_string(room.path("cache/index.jsonl")).unwrap();
    let lines: Vec<Value> = index.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    // One file for a clip, whatever is said of it.
    assert!(lines.chunks(2).all(|pair| pair[0]["file"] == pair[1]["file"]), "{index}");
    assert_eq!(names(&room.path("cache")).len(), 3 + 6 + 1);
    for line in lines.iter().step_by(2) {
        let file = room.path("cache").join(line["file"].as_str().unwrap());
        let file = TensorFile::open(&file).unwrap();
        let latent = file.read(Device::cpu(), "latent").unwrap();
        assert_eq!((latent.size(), latent.kind()), (vec![16, 2, 4, 6], Kind::Float));
        // As `encode` makes it of the same frames.
        let clip = format!("set/{}", line["colour"].as_str().unwrap());
        let background = line["background"].as_str().unwrap();
        let mut encode = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        encode.current_dir(room.folder()).env("OMP_NUM_THREADS", "1");
        encode.args(["encode", &clip, "--model", "model", "--out", "one.safetensors"]);
        assert!(encode.args(["--background", background]).output().unwrap().status.success());
        let alone = TensorFile::open(&room.path("one.safetensors"))
            .unwrap()
            .read(Device::cpu(), "latent")
            .unwrap();
        assert_eq!(latent, alone);
        let mask = file.read(Device::cpu(), "mask").unwrap();
        assert_eq!(mask.size(), [2, 4, 6]);
        // Of the clip's own ellipses.
        let track = fs::read_to_string(room.path(&clip).join("track.json")).unwrap();
        let track = Track::from_json(&track, 2).unwrap();
        let values: Vec<f32> = mask.flatten(0, 2).try_into().unwrap();
        assert_eq!(values, Mask::gaussian(&track, 6, 4).values());
        // The long caption and the short one, of real tokens alone.
        let texts = TensorFile::open(&room.path("cache").join(line["text"].as_str().unwrap()));
        let texts = texts.unwrap();
        let [long, short] =
            [0, 1].map(|which| texts.read(Device::cpu(), &format!("context.{which}")).unwrap());
        assert!(long.size()[0] > short.size()[0] && short.size()[0] > 3);
        assert!(texts.entry("context.2").is_none());
    }
    let before = files(&room.path("cache"));
    let output = room.run(&line);
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(note.contains("0 clips and the captions of 0 rows are new"), "{note}");
    assert_eq!(files(&room.path("cache")), before);
    // One that is gone is made again, the same.
    let gone = room.path("cache").join(lines[1]["file"].as_str().unwrap());
    fs::remove_file(&gone).unwrap();
    fs::remove_file(room.path("cache/index.jsonl")).unwrap();
    let note = String::from_utf8_lossy(&room.run(&line).stderr).into_owned();
    assert!(note.contains("1 clip and the captions of 0 rows are new"), "{note}");
    assert_eq!(files(&room.path("cache")), before);
    // Another caption costs no clip, another track does.
    let table = fs::read_to_string(room.path("set/table.csv")).unwrap();
    fs::write(room.path("set/table.csv"), table.replacen("video", "clip", 1)).unwrap();
    let note = String::from_utf8_lossy(&room.run(&line).stderr).into_owned();
    assert!(note.contains("0 clips and the captions of 1 row are new"), "{note}");
    fs::copy(room.path("set/clip-000001/track.json"), room.path("set/clip-000002/track.json"))
        .unwrap();
    let note = String::from_utf8_lossy(&room.run(&line).stderr).into_owned();
    assert!(note.contains("1 clip and the captions of 0 rows are new"), "{note}");
}

/// Rows that choose another layer of the same file show something else.
#[test]
fn two_layers_of_one_file_are_two_clips() {
    let room = Room::of("data");
    with_model(&room);
    let disc = |place: usize| f32::from((place % 48).abs_diff(24) + (place / 48).abs_diff(16) < 12);
    let channels = ["beauty", "specular"].iter().zip([1.0, 0.5]).flat_map(|(layer, light)| {
        ["A", "B", "G", "R"].map(|name| {
            let light = if name == "A" { 1.0 } else { light };
            let values = (0..48 * 32).map(|place| disc(place) * light).collect();
            let name = format!("{layer}.{name}");
            exr::image::AnyChannel::new(&*name, exr::image::FlatSamples::F32(values))
        })
    });
    let channels = exr::image::AnyChannels::sort(channels.collect());
    exr::image::Image::from_channels((48, 32), channels)
        .write()
        .to_file(room.path("f.exr"))
        .unwrap();
    let row = |layer: &str| format!("f.exr,{layer},A ball before a transparent background,s\n");
    let rows = ["beauty", "specular", "beauty"].map(row).concat();
    fs::write(room.path("table.csv"), format!("colour,layer,caption,source\n{rows}")).unwrap();
    let said = room.ok(&["check", "table.csv"]);
    assert!(said.contains("3 rows, 2 clips of 1 source,"), "{said}");
    assert!(!said.contains("row 2") && said.contains("row 3"), "{said}");
    room.ok(&["cache", "table.csv", "--model", "model", "--out", "cache"]);
    let index = fs::read_to_string(room.path("cache/index.jsonl")).unwrap();
    let line = |line| serde_json::from_str::<Value>(line).unwrap()["file"].clone();
    let files: Vec<Value> = index.lines().map(line).collect();
    assert!(files[0] != files[1] && files[0] == files[2], "{index}");
}

#[test]
fn a_clip_is_enlarged_only_where_an_area_asks_for_it_and_that_is_said() {
    let room = with_set(2, &[]);
    with_model(&room);
    let line = ["cache", "set", "--model", "model", "--out", "cache", "--area", "96x64"];
    let note = String::from_utf8_lossy(&room.run(&line).stderr).into_owned();
    let words = "--area enlarges 2 clips, the first is clip-000000: 48 × 32 to 96 × 64";
    assert!(note.contains(words) && note.contains("(96 × 64: 2)"), "{note}");
}

#[test]
fn a_track_of_another_clip_or_length_is_found() {
    let room = with_set(4, &[]);
    let away = r#"[{"x":0.01,"y":0.01,"a":0.02,"b":0.02,"angle":0}"#;
    let track = |clip: usize| room.path(&format!("set/clip-{clip:06}/track.json"));
    for clip in 0..4 {
        fs::write(track(clip), format!("{away},{}]", &away[1..])).unwrap();
    }
    let said = room.ok(&["check", "set"]);
    assert!(said.contains("in 2 of its 2 latent frames the ellipse of its track covers"), "{said}");
    fs::write(track(0), format!("{away}]")).unwrap();
    let said = room.fails(&["check", "set"], 2);
    assert!(said.contains("error: row 1") && said.contains("1 entry: expected 2"), "{said}");
    with_model(&room);
    let said = room.fails(&["cache", "set", "--model", "model", "--out", "cache"], 2);
    assert!(said.contains("row 1") && said.contains("cannot use its track"), "{said}");
}

#[test]
fn what_cannot_be_cached_is_named_before_anything_is_computed() {
    let room = faulty();
    with_model(&room);
    let said = "A ball before a transparent background";
    for (row, words) in [
        (format!("four,,{said}"), "4 frames, expected 4n+1"),
        (format!("torn,,{said}\ngone,,{said}"), "gone does not exist"),
        ("good,,".to_owned(), "it has no caption"),
    ] {
        fs::write(
            room.path("set/table.csv"),
            format!("colour,alpha,caption\ngood,,{said}\n{row}\n"),
        )
        .unwrap();
        let line = ["cache", "set", "--model", "model", "--out", "cache", "--area", "48x32"];
        let said = room.fails(&line, 2);
        assert!(
            said.contains(words) && (said.contains("row 2") || said.contains("row 3")),
            "{said}"
        );
        assert!(names(&room.path("cache")).is_empty());
    }
    // A frame that is torn is only found when it is read; what was cached before it stays.
    fs::write(room.path("set/table.csv"), format!("colour,caption\ngood,{said}\ntorn,{said}\n"))
        .unwrap();
    let line = ["cache", "set", "--model", "model", "--out", "cache", "--area", "48x32"];
    let said = room.fails(&line, 2);
    assert!(said.contains("row 2") && said.contains("f.003.png"), "{said}");
    // The first clip, and the captions, which are the same.
    assert_eq!(names(&room.path("cache")).len(), 2);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_clips_and_no_table() {
    let room = Room::of("data");
    let line =
        ["procedural", "--count", "100000", "--size", "48x32", "--frames", "5", "--out", "set"];
    let (code, said) = room.interrupted(&line, "drawing 0/");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("cancelled while drawing") && !said.contains("panicked"), "{said}");
    for name in names(&room.path("set")) {
        assert!(name.starts_with("clip-"), "{name}");
        assert_eq!(names(&room.path("set").join(name)).len(), 6);
    }
    // The same folder, and fewer: what is there is no hindrance.
    room.ok(&["procedural", "--count", "40", "--size", "48x32", "--frames", "5", "--out", "set"]);
}

#[test]
fn a_report_that_cannot_be_written_is_said() {
    let room = with_set(2, &[]);
    // A folder stands where the report should go.
    fs::create_dir_all(room.path("report/report.html")).unwrap();
    let said = room.fails(&["check", "set", "--out", "report"], 1);
    assert!(said.contains("cannot write report/report.html"), "{said}");
}

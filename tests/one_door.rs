//! One clip in the forms that pipelines hand over, through every command: all of them must see the same
//! color, alpha and order, and say the same of it.
//!
//! The clip as plain sRGB is the reference. Beside it lies the same as 16-bit PNG in Display P3, numbered
//! across 0 under names that are no UTF-8, and as EXR with two layers and a depth, in ACEScg.

// A test says what is wrong by panicking.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use exr::prelude::{AnyChannel, AnyChannels, FlatSamples, Image, WritableImage};
use png::{BitDepth, ColorType, Encoder, chunk::ChunkType};
use serde_json::Value;
use support::model::{TOKENIZER, write_merge_block};
use support::reference::{Case, relative_error};
use support::render::names;
use support::room::Room;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::weights::TensorFile;

const SIZE: [usize; 2] = [48, 32];
/// Frames, which are as many latent frames of a mask for 17.
const FRAMES: i32 = 5;
/// The forms but the plain one.
const FORMS: [&str; 2] = ["p3", "layers"];
/// What every command has to say of the layers.
const SAID: &str = "it has several pictures: beauty is read, not specular; --layer chooses";

/// Straight color of sRGB as light, and alpha as 16 bits have it: a ball that moves.
fn pixel(frame: i32, x: usize, y: usize) -> ([f64; 3], f64) {
    let (across, down) = (x as f64 - 14.0 - 4.0 * f64::from(frame), y as f64 - 16.0);
    let alpha = ((11.0 - across.hypot(down)) / 3.0).clamp(0.0, 1.0);
    let alpha = (alpha * 65535.0).round() / 65535.0;
    ([0.15 + 0.014 * x as f64, 0.7 - 0.015 * y as f64, 0.1 + 0.04 * f64::from(frame)], alpha)
}

fn from_light(light: f64) -> f64 {
    if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

/// To a space with other primaries: rows of a matrix from light of Rec.709, as OpenColorIO 2.6 has them.
fn through(rows: [[f64; 3]; 3], light: [f64; 3]) -> [f64; 3] {
    rows.map(|row| row.iter().zip(light).map(|(factor, value)| factor * value).sum())
}

const TO_P3: [[f64; 3]; 3] = [
    [0.822_461_97, 0.177_538_03, 0.0],
    [0.033_194_20, 0.966_805_80, 0.0],
    [0.017_082_63, 0.072_397_44, 0.910_519_93],
];
const TO_AP1: [[f64; 3]; 3] = [
    [0.613_097_40, 0.339_523_15, 0.047_379_45],
    [0.070_193_72, 0.916_353_88, 0.013_452_40],
    [0.020_615_59, 0.109_569_77, 0.869_814_63],
];

fn write_png(path: &Path, frame: i32, rows: Option<[[f64; 3]; 3]>) {
    let mut samples = Vec::new();
    for place in 0..SIZE[0] * SIZE[1] {
        let (light, alpha) = pixel(frame, place % SIZE[0], place / SIZE[0]);
        let color = rows.map_or(light, |rows| through(rows, light)).map(from_light);
        for value in color.into_iter().chain([alpha]) {
            samples.extend(((value * 65535.0).round() as u16).to_be_bytes());
        }
    }
    let mut encoder = Encoder::new(File::create(path).unwrap(), SIZE[0] as u32, SIZE[1] as u32);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    if rows.is_some() {
        writer.write_chunk(ChunkType(*b"cICP"), &[12, 13, 0, 1]).unwrap();
    }
    writer.write_image_data(&samples).unwrap();
}

fn write_exr(path: &Path, frame: i32) {
    let pixels: Vec<_> = (0..SIZE[0] * SIZE[1])
        .map(|place| {
            let (light, alpha) = pixel(frame, place % SIZE[0], place / SIZE[0]);
            let [r, g, b] = through(TO_AP1, light).map(|value| value * alpha);
            [r, g, b, alpha].map(|value| value as f32)
        })
        .collect();
    let layer = |name: &str, factor: f32| {
        let plane = |channel: usize| pixels.iter().map(|pixel| pixel[channel] * factor).collect();
        let channel = |(index, base): (usize, &str)| {
            AnyChannel::new(&*format!("{name}.{base}"), FlatSamples::F32(plane(index)))
        };
        ["R", "G", "B", "A"].into_iter().enumerate().map(channel).collect::<Vec<_>>()
    };
    let depth = AnyChannel::new("depth.Z", FlatSamples::F32(vec![0.5; pixels.len()]));
    let channels = [layer("specular", 0.25), layer("beauty", 1.0), vec![depth]].concat();
    let channels = AnyChannels::sort(channels.into_iter().collect());
    let mut image = Image::from_channels((SIZE[0], SIZE[1]), channels);
    let white = exr::math::Vec2(0.32168, 0.33767);
    image.attributes.chromaticities = Some(exr::meta::attribute::Chromaticities {
        red: exr::math::Vec2(0.713, 0.293),
        green: exr::math::Vec2(0.165, 0.830),
        blue: exr::math::Vec2(0.128, 0.044),
        white,
    });
    image.write().to_file(path).unwrap();
}

/// A file's name, of which a letter is no UTF-8.
fn name(frame: i32) -> OsString {
    let number = frame - 2;
    let sign = if number < 0 { "-" } else { "" };
    let number = number.abs();
    OsString::from_iter([
        OsStr::from_bytes(b"gr\xfcn."),
        OsStr::new(&format!("{sign}{number:03}.png")),
    ])
}

/// The clip in its forms, and a model for all that needs one.
fn with_forms() -> Room {
    let room = Room::new();
    for folder in ["plain", "steps", "model"].iter().chain(&FORMS) {
        fs::create_dir(room.path(folder)).unwrap();
    }
    for frame in 0..FRAMES {
        write_png(&room.path(&format!("plain/f.{frame:04}.png")), frame, None);
        write_png(&room.path("p3").join(name(frame)), frame, Some(TO_P3));
        write_exr(&room.path(&format!("layers/f.{:04}.exr", 1000 + frame)), frame);
        // In steps of four across 0, as latent frames.
        let number = 4 * frame - 8;
        let sign = if number < 0 { "-" } else { "" };
        write_png(&room.path(&format!("steps/f.{sign}{:03}.png", number.abs())), frame, None);
    }
    let from = Case::named("t2v-euler").model();
    for part in names(&from).iter().filter(|part| *part != "google") {
        fs::copy(from.join(part), room.path("model").join(part)).unwrap();
    }
    fs::copy(from.join(TOKENIZER), room.path("model/tokenizer.json")).unwrap();
    write_merge_block(&room.path("model/merge.safetensors"));
    room
}

/// What a call prints and says; it has to succeed, and to say of the layers what there is to say.
#[track_caller]
fn said(room: &Room, form: &str, arguments: &[&str]) -> String {
    let output = room.run(arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    assert_eq!(said.contains(SAID), form == "layers", "{arguments:?}: {said}");
    said
}

fn tensor(path: &Path) -> Tensor {
    TensorFile::open(path).unwrap().read(Device::cpu(), "latent").unwrap()
}

#[test]
fn all_commands_read_the_same_of_one_clip_in_all_its_forms() {
    let room = with_forms();
    let model = ["--model", "model"];

    // As pictures: latents, and how near decoded frames are.
    let encoded = |form: &str| {
        let out = format!("{form}.safetensors");
        said(&room, form, &[&["encode", form, "--out", &out][..], &model].concat());
        tensor(&room.path(&out))
    };
    let plain = encoded("plain");
    let decoded = |form: &str| {
        let out = format!("{form}-back");
        let line = ["decode", "plain.safetensors", "--compare", form, "--out", &out];
        said(&room, form, &[&line[..], &model].concat());
        room.json(&format!("{out}/take.json"))["reconstruction"].clone()
    };
    let plain_psnr = decoded("plain");
    for form in FORMS {
        let error = relative_error(&encoded(form), &plain);
        assert!(error < 1e-3, "{form}: {error}");
        let psnr = decoded(form);
        for id in ["colour_psnr", "alpha_psnr"] {
            let [found, known] = [&psnr[id], &plain_psnr[id]].map(|it| it.as_f64().unwrap());
            assert!((found - known).abs() < 0.01, "{form}: {id} {found}, not {known}");
        }
        let line = ["eval", "reconstruction", "plain", form, "--json", "near.json"];
        said(&room, form, &line);
        let near = room.json("near.json");
        for id in ["colour_psnr", "alpha_psnr"] {
            let db = near["clips"][0][id].as_f64().unwrap_or(f64::INFINITY);
            assert!(db > 75.0, "{form}: {id} {db}");
        }
    }

    // As masks: tracks, and what a take was placed by.
    let fitted = |form: &str| {
        said(&room, form, &["ellipse", "fit", form, "--out", "track.json"]);
        room.json("track.json")
    };
    let placed = |form: &str| {
        let out = format!("{form}-take");
        let line = ["render", "--prompt", "a ball", "--frames", "17", "--width", "48", "--height"];
        let more = ["32", "--steps", "1", "--no-store", "--format", "png", "--mask", form];
        said(&room, form, &[&line[..], &more, &["--out", &out], &model].concat());
        room.json(&format!("{out}/take.json"))["request"]["mask"].clone()
    };
    let (track, mask) = (fitted("plain"), placed("plain"));
    assert!(mask["blake3"].is_string() && track.as_array().unwrap().len() == 2, "{mask} {track}");
    for form in FORMS {
        assert_eq!(fitted(form), track, "{form}");
        assert_eq!(placed(form), mask, "{form}");
    }
    assert_eq!(placed("steps"), mask);
    room.refuses(
        &["ellipse", "fit", "steps"],
        2,
        &["lacks number -7", "steps of four are for masks"],
    );
}

#[test]
fn data_sets_read_the_same_of_one_clip_in_all_its_forms() {
    let room = with_forms();
    let caption = "The background of this video is transparent. A ball moves to the right.";
    let mut reports: Vec<Value> = Vec::new();
    let mut latents: Vec<Tensor> = Vec::new();
    for form in ["plain", "p3", "layers"] {
        let table = format!("{form}.csv");
        fs::write(room.path(&table), format!("colour,caption\n{form},\"{caption}\"\n")).unwrap();
        let report = format!("{form}-report");
        let words = said(&room, form, &["data", "check", &table, "--out", &report]);
        assert!(words.contains("0 errors"), "{words}");
        reports.push(room.json(&format!("{report}/report.json"))["rows"][0].clone());
        let cache = format!("{form}-cache");
        let line = ["data", "cache", &table, "--model", "model", "--out", &cache, "--seed", "3"];
        said(&room, form, &line);
        let line = fs::read_to_string(room.path(&cache).join("index.jsonl")).unwrap();
        let line: Value = serde_json::from_str(line.trim()).unwrap();
        // The corner color of a clip is drawn by what its files are; each has its own.
        let background = line["background"].as_str().unwrap();
        let out = format!("{form}-{background}.safetensors");
        let encode = ["encode", "plain", "--background", background, "--out", &out];
        room.ok(&[&encode[..], &["--model", "model"]].concat());
        let cached = tensor(&room.path(&cache).join(line["file"].as_str().unwrap()));
        let error = relative_error(&cached, &tensor(&room.path(&out)));
        assert!(error < 1e-3, "{form}: {error}");
        latents.push(cached);
    }
    let [plain, others @ ..] = reports.as_slice() else { panic!("no reports") };
    for (other, form) in others.iter().zip(FORMS) {
        for part in ["frames", "width", "height", "statistics", "latent", "ellipses"] {
            assert_eq!(other[part], plain[part], "{form}: {part}");
        }
    }
}

#[test]
fn training_reads_the_same_of_one_clip_in_all_its_forms() {
    let room = with_forms();
    let losses = |form: &str| {
        fs::write(room.path("table.csv"), format!("colour\n{form}\n{form}\n")).unwrap();
        let settings = r#"
            seed = 1
            steps = 1
            batch = 1
            [task]
            kind = "rgba-vae"
            base = ["model/Wan2.1_VAE.pth"]
            rank = 2
            [data]
            set = "table.csv"
            frames = 5
            height = 32
            width = 32
        "#;
        fs::write(room.path("run.toml"), settings).unwrap();
        let out = format!("{form}-run");
        said(&room, form, &["train", "run.toml", "--out", &out, "--device", "cpu"]);
        let log = fs::read_to_string(room.path(&out).join("log.jsonl")).unwrap();
        let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        line["losses"].as_object().unwrap().clone()
    };
    let plain = losses("plain");
    assert!(plain.len() > 3, "{plain:?}");
    for form in FORMS {
        let found = losses(form);
        for (term, known) in &plain {
            let [found, known] = [&found[term], known].map(|it| it.as_f64().unwrap());
            assert!((found - known).abs() <= 2e-3 * known.abs(), "{form}: {term} {found}, {known}");
        }
    }
}

/// A stand-in for ffmpeg: says of a movie what lies beside it in `tags`, and sends what the movie holds.
fn with_movie(room: &Room) {
    use std::os::unix::fs::PermissionsExt;
    let script = "#!/bin/sh\nwhile [ \"$1\" != -i ]; do shift; done\nshift\n\
                  cat \"$(dirname \"$0\")/tags\" >&2\nexec cat \"${1#file:}\"\n";
    fs::write(room.path("ffmpeg"), script).unwrap();
    fs::set_permissions(room.path("ffmpeg"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut frames = Vec::new();
    for frame in 0..FRAMES {
        let head =
            format!("P7\nWIDTH {}\nHEIGHT {}\nDEPTH 4\nMAXVAL 255\nENDHDR\n", SIZE[0], SIZE[1]);
        frames.extend(head.into_bytes());
        for place in 0..SIZE[0] * SIZE[1] {
            let (light, alpha) = pixel(frame, place % SIZE[0], place / SIZE[0]);
            let color = light.map(from_light).into_iter().chain([alpha]);
            frames.extend(color.map(|value| (value * 255.0).round() as u8));
        }
    }
    fs::write(room.path("clip.mov"), frames).unwrap();
}

#[test]
fn a_movie_that_is_tagged_or_described_anew_is_cached_anew_and_read_otherwise() {
    let room = with_forms();
    with_movie(&room);
    let caption = "The background of this video is transparent. A ball moves to the right.";
    let cached = |tags: &str, space: &str| {
        let stream = format!("Stream #0:0: Video: ffv1, bgra({tags}), 48x32, SAR 1:1 DAR 3:2");
        let said = format!("Output #0, null, to 'pipe:':\n    {stream}\n");
        fs::write(room.path("tags"), said).unwrap();
        let table = format!("colour,color_space,caption\nclip.mov,{space},\"{caption}\"\n");
        fs::write(room.path("table.csv"), table).unwrap();
        let line = ["data", "cache", "table.csv", "--model", "model", "--out", "cache"];
        let mut command = room.command(&line);
        command.env("PATH", format!("{}:/usr/bin:/bin", room.folder().display()));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let index = fs::read_to_string(room.path("cache/index.jsonl")).unwrap();
        let line: Value = serde_json::from_str(index.trim()).unwrap();
        line["file"].as_str().unwrap().to_owned()
    };
    let plain = cached("pc, gbr/unknown/unknown, progressive", "");
    assert_eq!(cached("pc, gbr/bt709/bt709, progressive", ""), plain, "which changes no value");
    let wide = cached("pc, gbr/bt2020/bt2020-10, progressive", "");
    assert_ne!(wide, plain);
    assert_eq!(cached("pc, gbr/unknown/unknown, progressive", "rec2020"), wide);
    assert_ne!(cached("pc, gbr/unknown/unknown, premultiplied", ""), plain);
    assert_eq!(cached("pc, gbr/unknown/unknown, progressive", ""), plain);
}

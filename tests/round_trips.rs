//! Every form of file that is written, as programs read it that know nothing of this one: what was measured
//! (`tests/data/round-trips`) against what must hold, and the tables of `docs/round-trips.md`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::panic, reason = "a test that cannot go on fails")]

mod support;

#[path = "round_trips/traps.rs"]
mod traps;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use support::exported::{Exported, FRAMES, HEIGHT, LEVELS, WIDTH, said};
use support::ffmpeg;
use traps::TRAPS;

/// What a program has read of a file, or why it has not.
#[derive(Debug, Deserialize)]
struct Reading {
    file: String,
    by: String,
    #[serde(default)]
    refused: Option<String>,
    /// Width and height in pixels.
    #[serde(default)]
    size: [usize; 2],
    #[serde(default)]
    frames: usize,
    /// Frames per second, where the program tells.
    #[serde(default)]
    rate: Option<String>,
    #[serde(default)]
    says: String,
    /// In the middle of each of the eight columns of alpha, of `of`.
    #[serde(default)]
    alpha: Vec<u32>,
    #[serde(default)]
    of: u32,
    /// The largest difference over red and over cyan, of 255.
    #[serde(default)]
    color: [f64; 2],
}

/// A form of frames, and how its files are called here.
const FRAME_FORMS: [(&str, &[&str]); 10] = [
    ("linear.exr", &[]),
    ("float.exr", &["--exr-samples", "float", "--exr-compression", "zips"]),
    ("dwaa.exr", &["--exr-compression", "dwaa"]),
    ("straight.exr", &["--exr-alpha", "straight"]),
    ("acescg.exr", &["--exr-color", "acescg"]),
    ("as-generated.exr", &["--exr-color", "as-generated"]),
    ("16-bits.png", &[]),
    ("8-bits.png", &["--png-depth", "8"]),
    ("cicp.png", &["--png-color", "cicp"]),
    ("moving.apng", &[]),
];

/// The movies, and what they end in.
const MOVIES: [(&str, &str); 6] = [
    ("prores", "mov"),
    ("ffv1", "mkv"),
    ("png-mov", "mov"),
    ("webm", "webm"),
    ("webp", "webp"),
    ("hevc", "mov"),
];

/// Files that are named by how they begin, with what alpha may be off by, of 65535, and color, of 255: the step
/// of the form, where it has one.
const STEPS: [(&str, u32, f64); 16] = [
    ("linear.exr", 1, 0.5),
    ("float.exr", 1, 0.5),
    ("dwaa.exr", 1, 2.0),
    ("straight.exr", 1, 0.5),
    ("acescg.exr", 1, 1.0),
    ("as-generated.exr", 1, 0.5),
    ("16-bits.png", 1, 0.5),
    ("8-bits.png", 257, 1.0),
    ("cicp.png", 1, 0.5),
    ("moving.apng", 257, 1.0),
    ("ffv1", 1, 0.5),
    ("png-mov", 1, 0.5),
    ("prores", 64, 2.0),
    ("webp", 257, 1.6),
    ("webm", 257, 16.0),
    ("hevc", 257, 16.0),
];

fn measured() -> Vec<Reading> {
    serde_json::from_str(include_str!("data/round-trips/measured.json")).unwrap()
}

/// The files that are measured: each form of frames, and each movie by every ffmpeg, whose version stands in
/// its name.
#[test]
fn files_of_every_form_are_made_to_be_measured() {
    let Some(files) = std::env::var_os("WAN_ALPHA_ROUND_TRIPS").map(PathBuf::from) else {
        eprintln!("skipped: tests/data/round-trips/measure.py names a folder to measure files in");
        return;
    };
    std::fs::create_dir_all(&files).unwrap();
    let take = Exported::new();
    let copy = |from: &str, to: &str| std::fs::copy(take.out(from), files.join(to)).unwrap();
    for (name, more) in FRAME_FORMS {
        let kind = name.rsplit('.').next().unwrap();
        take.ok("frames", &[&["--format", kind], more].concat(), &take.out("nowhere"));
        let from =
            if kind == "apng" { "rgba.apng".to_owned() } else { format!("rgba.0000.{kind}") };
        copy(&format!("frames/{from}"), name);
    }
    for one in ffmpeg::all() {
        let version = one.version.split_whitespace().nth(2).unwrap().trim_start_matches('n');
        let version = version.split('.').next().unwrap();
        for (format, kind) in MOVIES {
            let made = take.command("movie", &["--format", format], one.path()).output().unwrap();
            // The old one's encoder of HEVC knows no alpha, which is refused.
            if format != "hevc" || made.status.success() {
                said(&made);
                copy(&format!("movie/rgba.{kind}"), &format!("{format}-by-{version}.{kind}"));
            }
        }
    }
}

/// Alpha of the columns, of 65535, as the store keeps it.
fn levels() -> [f64; 8] {
    LEVELS.map(|level| f64::from(half::f16::from_f32(level).to_f32()) * 65535.0)
}

#[test]
fn every_form_is_read_by_every_program_as_it_was_written() {
    for reading in measured() {
        let Reading { file, by, .. } = &reading;
        if reading.refused.is_some() || TRAPS.iter().any(|trap| (trap.excuses)(&reading)) {
            continue;
        }
        let step = STEPS.iter().find(|(begin, ..)| file.starts_with(begin));
        let (_, alpha_step, color_step) = step.unwrap_or_else(|| panic!("{file} has no step"));
        let is_movie = !file.ends_with(".exr") && !file.ends_with(".png");
        assert_eq!(reading.size, [WIDTH, HEIGHT], "{file} by {by}");
        let first_alone = by.starts_with("Chromium") || !is_movie;
        assert_eq!(reading.frames, if first_alone { 1 } else { FRAMES }, "{file} by {by}");
        if let Some(rate) = &reading.rate {
            let (of, by_of) = rate.split_once('/').unwrap_or((rate, "1"));
            let rate = of.parse::<f64>().unwrap() / by_of.parse::<f64>().unwrap();
            // WebP counts milliseconds.
            assert!((rate - 16.0).abs() < 0.15, "{file} by {by}: {rate} frames per second");
        }
        let of = f64::from(reading.of) / 65535.0;
        for (found, level) in reading.alpha.iter().zip(levels()) {
            let off = (f64::from(*found) / of - level).abs();
            let least = 0.51 / of;
            assert!(
                off <= least.max(f64::from(*alpha_step)),
                "{file} by {by}: alpha {found} is off by {off:.0} of 65535"
            );
        }
        let [red, cyan] = reading.color;
        // Who reads 8 bits sees no more; ffmpeg's light in 16 bits is coarse where little of it is.
        let is_light = file.ends_with(".exr") && by.starts_with("ffmpeg");
        let reader_step = if is_light {
            2.5
        } else if reading.of == 255 {
            1.0
        } else {
            0.0
        };
        assert!(red.max(cyan) <= color_step.max(reader_step), "{file} by {by}: {red}, {cyan}");
    }
}

#[test]
fn every_form_is_read_by_the_programs_that_read_its_kind() {
    let measured = measured();
    let names = |begin: &str| -> Vec<&str> {
        let read =
            measured.iter().filter(|one| one.file.starts_with(begin) && one.refused.is_none());
        read.map(|one| one.by.split(' ').next().unwrap()).collect()
    };
    for (begin, programs) in [
        ("linear.exr", &["OpenEXR", "OpenImageIO", "ffmpeg", "ffmpeg"][..]),
        ("16-bits.png", &["OpenImageIO", "Pillow", "Chromium", "ffmpeg", "ffmpeg"]),
        ("moving.apng", &["Pillow", "Chromium", "ffmpeg", "ffmpeg"]),
        ("webp-by-9", &["Pillow", "Chromium", "ffmpeg"]),
        ("webm-by-9", &["Chromium", "ffmpeg", "ffmpeg", "ffmpeg", "ffmpeg"]),
        ("prores-by-9", &["ffmpeg", "ffmpeg"]),
        ("ffv1-by-9", &["ffmpeg", "ffmpeg"]),
    ] {
        assert_eq!(names(begin), programs, "{begin}");
    }
    for (name, _) in FRAME_FORMS {
        assert!(!names(name).is_empty(), "{name}");
    }
    for (format, _) in MOVIES {
        assert!(!names(&format!("{format}-by-9")).is_empty(), "{format}");
    }
}

#[test]
fn every_trap_is_there_and_passed_by() {
    let measured = measured();
    for trap in TRAPS {
        assert!((trap.is_passed)(&measured), "not so any more, or not measured: {}", trap.known);
    }
}

/// The table of readings.
fn readings() -> String {
    let mut table =
        "| file | read by | size | frames | rate | says | alpha in eight columns | off over red / \
                     cyan |\n|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for one in measured() {
        let Reading { file, by, size, frames, says, alpha, color, .. } = &one;
        table += &match &one.refused {
            Some(why) => format!("| {file} | {by} | not read: {why} | | | | | |\n"),
            None => {
                let alpha = alpha.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
                let rate = one.rate.as_deref().unwrap_or_default();
                let ([width, height], [red, cyan]) = (size, color);
                format!(
                    "| {file} | {by} | {width}×{height} | {frames} | {rate} | {says} | {alpha} | {red:.1} / \
                     {cyan:.1} |\n"
                )
            }
        };
    }
    table
}

fn traps() -> String {
    let mut table =
        "| what is known of these programs | what is done about it | where it is seen |\n|---|---|---|\n"
            .to_owned();
    for trap in TRAPS {
        table += &format!("| {} | {} | {} |\n", trap.known, trap.done, trap.seen);
    }
    table
}

#[test]
fn the_documents_have_both_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/round-trips.md");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (name, table) in [("readings", readings()), ("traps", traps())] {
        let marks = ["begin", "end"].map(|place| format!("<!-- {place} of the {name} -->\n"));
        let (before, rest) = text.split_once(&marks[0]).unwrap();
        let (_, after) = rest.split_once(&marks[1]).unwrap();
        text = [before, &marks[0], &table, &marks[1], after].concat();
    }
    if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let remedy = "WAN_ALPHA_WRITE_DOCS=1 cargo test -p wan-alpha --test round_trips";
    assert!(std::fs::read_to_string(&path).unwrap() == text, "write the tables anew: {remedy}");
}

//! What a take leaves on disk and says on stdout: the frames are the decoded video, the same
//! request leaves the same bytes.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use exr::prelude::{Compression, FlatSamples, Text, read_first_flat_layer_from_file};
use serde_json::Value;
use support::reference::Case;
use support::render::{Done, Render, files, names};
use wan_alpha_core::tch::Tensor;

/// A whole reference take, and its video: `[frames, height, width, 4]`, straight RGBA.
fn take_of(case: &str) -> (Case, Done, Tensor) {
    let case = Case::named(case);
    let done = case.render([case.model()]).run().succeeded();
    let video = done
        .dump()
        .read(wan_alpha_core::device::Device::cpu(), "video.rgba")
        .unwrap()
        .permute([1, 2, 3, 0])
        .contiguous();
    (case, done, video)
}

fn pixels(video: &Tensor, frame: i64) -> Vec<[f64; 4]> {
    let values = Vec::<f32>::try_from(video.get(frame).flatten(0, -1)).unwrap();
    values.as_chunks::<4>().0.iter().map(|pixel| pixel.map(f64::from)).collect()
}

#[test]
fn a_take_is_frames_a_sheet_and_a_description() {
    let (case, done, _) = take_of("t2v");
    let mut expected: Vec<String> = (0..13)
        .flat_map(|frame| ["exr", "png"].map(|kind| format!("rgba.{frame:04}.{kind}")))
        .chain(["contact-sheet.png", "take.json"].map(str::to_owned))
        .collect();
    expected.sort();
    assert_eq!(names(&done.out()), expected);

    let take = done.take();
    assert_eq!(take["state"], "complete");
    assert_eq!(take["request"]["prompt"], case.text("prompt"));
    assert_eq!(take["request"]["seed"], *case.setting("seed"));
    assert_eq!(take["request"]["ellipse"][3], case.setting("ellipse_track")[3]);
    assert_eq!(take["request"]["shift"], 5.0);
    assert!(take["versions"]["libtorch"].is_string() && take["versions"]["wan-alpha"].is_string());
    for stage in ["load", "text", "sample", "decode", "total"] {
        assert!(take["timings"][stage].as_f64().is_some_and(|s| s > 0.0), "{stage}");
    }
    assert_eq!(done.warnings(), [""; 0]);

    // A column for each of six frames, a row for each ground and for alpha.
    let sheet = image::open(done.out().join("contact-sheet.png")).unwrap().into_rgb8();
    let (width, height) = sheet.dimensions();
    assert!(width >= 6 * 80 && height >= 4 * 48, "{width} × {height}");
    let tones: std::collections::BTreeSet<_> = sheet.pixels().map(|pixel| pixel.0).collect();
    assert!(tones.len() > 100, "{} tones", tones.len());
}

#[test]
fn exr_frames_are_linear_premultiplied_halves() {
    // Its prompt is Chinese, and the header of the files says it.
    let (case, done, video) = take_of("t2v-guided");
    for frame in [0, 16] {
        let path = done.out().join(format!("rgba.{frame:04}.exr"));
        let layer = read_first_flat_layer_from_file(path).unwrap().layer_data;
        assert_eq!((layer.size.0, layer.size.1), (64, 64));
        assert_eq!(layer.encoding.compression, Compression::ZIP16);
        let channels = &layer.channel_data.list;
        let names: Vec<_> = channels.iter().map(|channel| channel.name.to_string()).collect();
        assert_eq!(names, ["A", "B", "G", "R"]);
        let planes = [3, 2, 1, 0].map(|place| match &channels[place].sample_data {
            FlatSamples::F16(values) => values,
            _ => panic!("not halves"),
        });
        for (place, [r, g, b, a]) in pixels(&video, frame).into_iter().enumerate() {
            let linear = |v: f64| {
                if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            let expected = [linear(r) * a, linear(g) * a, linear(b) * a, a];
            for (plane, expected) in planes.iter().zip(expected) {
                let found = plane[place].to_f64();
                // A half has eleven bits; below 2⁻¹⁴ its steps are 2⁻²⁴.
                let step = (expected / 2048.0).max(1.0 / f64::from(1 << 24));
                assert!((found - expected).abs() <= step, "{found} for {expected}");
            }
        }
        let attributes = &layer.attributes;
        let utf8 = |text: &Text| String::from_utf8(text.bytes().to_vec()).unwrap();
        let said = |name: &str| utf8(attributes.other[&Text::from(name)].to_text().unwrap());
        let recipe = said("wanAlphaRecipe");
        assert_eq!(said("colorInteropID"), "lin_rec709_scene");
        assert!(said("Iptc4xmpExt:DigitalSourceType").ends_with("/trainedAlgorithmicMedia"));
        let recipe: Value = serde_json::from_str(&recipe).unwrap();
        assert_eq!(recipe, done.take()["request"]);
        assert_eq!(utf8(attributes.comments.as_ref().unwrap()), case.text("prompt"));
        assert_eq!(attributes.frames_per_second, Some((16, 1)));
    }
}

#[test]
fn png_frames_are_straight_in_16_bits() {
    let (_, done, video) = take_of("t2v");
    for frame in [0, 12] {
        let path = done.out().join(format!("rgba.{frame:04}.png"));
        let image::DynamicImage::ImageRgba16(image) = image::open(&path).unwrap() else {
            panic!("not 16-bit RGBA");
        };
        assert_eq!(image.dimensions(), (80, 48));
        let mut soft = 0;
        for (found, expected) in image.pixels().zip(pixels(&video, frame)) {
            for (found, expected) in found.0.into_iter().zip(expected) {
                let error = f64::from(found) / 65535.0 - expected;
                assert!(error.abs() <= 0.51 / 65535.0, "{found} for {expected}");
            }
            soft += usize::from((0.1..0.9).contains(&expected[3]));
        }
        assert!(soft > 100, "where alpha is 0 or 1, straight and premultiplied are one");
    }
}

#[test]
fn formats_are_those_asked_for() {
    let model = Case::named("t2v-euler").model();
    for kind in ["exr", "png"] {
        let done = Render::of(&model).with("--format", kind).run().succeeded();
        let frame = format!("rgba.0000.{kind}");
        assert_eq!(names(&done.out()), ["contact-sheet.png", &frame, "take.json"]);
    }
}

#[test]
fn the_same_request_leaves_the_same_bytes() {
    let case = Case::named("t2v-guided");
    let make = |threads: &str| {
        let done = case.render([case.model()]).with("--threads", threads).run().succeeded();
        let dump = fs::read(done.path("dump.safetensors")).unwrap();
        let mut take = done.take();
        assert!(take.as_object_mut().unwrap().remove("timings").is_some());
        let mut files = files(&done.out());
        files.remove("take.json");
        assert_eq!(files.len(), 2 * 17 + 1);
        (dump, take, files)
    };
    for threads in ["1", "2"] {
        let (first, second) = (make(threads), make(threads));
        assert!(first.0 == second.0, "the dumps differ with {threads} threads");
        assert_eq!(first.1, second.1, "take.json differs beyond its timings");
        for (name, content) in &first.2 {
            assert!(second.2[name] == *content, "{name} differs with {threads} threads");
        }
    }
}

#[test]
fn another_seed_is_another_take_of_the_same_placement() {
    let model = Case::named("t2v-euler").model();
    let make = |seed: &str| Render::of(&model).size(32, 32, 5).with("--seed", seed).dumped();
    let [first, second] = ["1", "2"].map(|seed| make(seed).run().succeeded().dump());
    let same = |name: &str| {
        first.read(wan_alpha_core::device::Device::cpu(), name).unwrap()
            == second.read(wan_alpha_core::device::Device::cpu(), name).unwrap()
    };
    assert!(same("mask") && same("context") && !same("noise") && !same("video.rgba"));
}

#[test]
fn a_new_take_replaces_the_old_one_and_nothing_else() {
    let model = Case::named("t2v-euler").model();
    let render = Render::of(&model).over_a_previous_take().with("--format", "png");
    let done = render.run().succeeded();
    let expected = ["contact-sheet.png", "notes.txt", "rgba.0000.png", "take.json"];
    assert_eq!(names(&done.out()), expected);
}

#[test]
fn progress_goes_to_stderr_with_stage_and_step() {
    let done = Render::of(Case::named("t2v").model()).with("--steps", "3").run().succeeded();
    for line in ["reading the prompt 0/2", "loading the model 3/3", "sampling 3/3", "decoding 1/1"]
    {
        assert!(done.stderr.lines().any(|said| said == line), "no `{line}` in {}", done.stderr);
    }
    assert!(done.stderr.contains("sampling 1/3, "), "{}", done.stderr);
}

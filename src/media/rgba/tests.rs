use super::*;
use crate::exit::Exit;
use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, WritableImage,
};
use std::path::PathBuf;
use tempfile::TempDir;
use wan_alpha_core::encode::{ClipReader, ClipShape};
use wan_alpha_take::color::to_linear;

const PIXELS: [[f32; 4]; 4] =
    [[0.2, 0.5, 0.8, 1.0], [0.4, 0.6, 1.0, 0.5], [0.3, 0.3, 0.3, 0.25], [0.9, 0.8, 0.7, 0.0]];

fn exr(path: &Path, names: &[&str], pixels: &[[f32; 4]; 4]) {
    let plane = |place: usize| pixels.iter().map(|pixel| pixel[place]).collect();
    let channels = names
        .iter()
        .enumerate()
        .map(|(place, name)| AnyChannel::new(*name, FlatSamples::F32(plane(place))))
        .collect();
    let attributes = LayerAttributes::default();
    let layer = Layer::new((2, 2), attributes, Encoding::UNCOMPRESSED, AnyChannels::sort(channels));
    Image::from_layer(layer).write().to_file(path).unwrap();
}

fn png(path: &Path, pixels: &[[f32; 4]; 4]) {
    let raw = pixels.iter().flatten().map(|value| (value * 65535.0).round() as u16).collect();
    image::ImageBuffer::<image::Rgba<u16>, Vec<u16>>::from_raw(2, 2, raw)
        .unwrap()
        .save(path)
        .unwrap();
}

fn premultiplied(pixels: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    pixels.map(|[r, g, b, a]| [r * a, g * a, b * a, a])
}

fn linear(pixels: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    pixels.map(|[r, g, b, a]| [to_linear(r), to_linear(g), to_linear(b), a])
}

#[track_caller]
fn reading(alpha: Option<Association>) -> PictureReading {
    PictureReading { alpha, ..PictureReading::default() }
}

#[track_caller]
fn same(path: &Path, alpha: Option<Association>) {
    let mut clip = RgbaSequence::find(&[path.to_owned()], &reading(alpha)).unwrap();
    assert_eq!(clip.shape(), ClipShape { frames: 1, width: 2, height: 2 });
    let mut frame = vec![0.0; 16];
    clip.frame(&mut frame).unwrap();
    // Color that nobody sees may be anything.
    for (found, expected) in frame.as_chunks::<4>().0.iter().zip(&PIXELS) {
        let seen = if expected[3] == 0.0 { 3.. } else { 0.. };
        for (found, expected) in found[seen.clone()].iter().zip(&expected[seen]) {
            assert!((found - expected).abs() < 5e-5, "{frame:?}");
        }
    }
    assert!(clip.warnings().is_empty());
}

#[test]
fn every_kind_of_file_is_read_as_straight_display_values() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    exr(&path("a.exr"), &["R", "G", "B", "A"], &premultiplied(linear(PIXELS)));
    same(&path("a.exr"), None);
    same(&path("a.exr"), Some(Association::Premultiplied));
    exr(&path("b.exr"), &["R", "G", "B", "A"], &linear(PIXELS));
    same(&path("b.exr"), Some(Association::Straight));
    png(&path("a.png"), &PIXELS);
    same(&path("a.png"), None);
    png(&path("b.png"), &premultiplied(PIXELS));
    same(&path("b.png"), Some(Association::Premultiplied));
}

#[test]
fn what_no_display_shows_is_clipped_and_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("glow.exr");
    let mut pixels = linear(PIXELS);
    pixels[0] = [4.0, -1.0, 0.5, 1.5];
    exr(&path, &["R", "G", "B", "A"], &pixels);
    let mut clip = RgbaSequence::find(&[path], &reading(Some(Association::Straight))).unwrap();
    let frame = clip.read_next().unwrap();
    assert_eq!((frame[0], frame[1], frame[3]), (1.0, 0.0, 1.0));
    let words = clip.warnings().remove(0);
    assert!(words.starts_with("3 values of the clip, from -12.92 to 1.8"), "{words}");
}

#[test]
fn images_that_are_no_clip_are_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refused = |paths: &[PathBuf], words: &[&str]| {
        let mut clip = match RgbaSequence::find(paths, &PictureReading::default()) {
            Ok(clip) => clip,
            Err(error) => return check(&error.into(), words),
        };
        let mut frame = vec![0.0; 16];
        let error = (0..paths.len()).find_map(|_| clip.frame(&mut frame).err());
        // As the encoder hands it on.
        check(&wan_alpha_core::Error::Sink(error.unwrap()).into(), words);
    };
    image::RgbImage::new(2, 2).save(path("rgb.png")).unwrap();
    refused(&[path("rgb.png")], &["rgb.png", "no alpha channel"]);
    exr(&path("rgb.exr"), &["R", "G", "B"], &PIXELS);
    refused(&[path("rgb.exr")], &["rgb.exr", "no alpha channel, only B, G, R"]);
    exr(&path("yca.exr"), &["Y", "C", "B", "A"], &PIXELS);
    refused(&[path("yca.exr")], &["no red, green and blue", "only A, B, C, Y"]);
    let mut pixels = PIXELS;
    pixels[2][1] = f32::NAN;
    exr(&path("nan.exr"), &["R", "G", "B", "A"], &pixels);
    png(&path("good.png"), &PIXELS);
    refused(&[path("good.png"), path("nan.exr")], &["nan.exr", "NaN"]);
    for (place, name) in [(0, "R"), (2, "B"), (3, "A")] {
        let mut pixels = PIXELS;
        pixels[1][place] = f32::NAN;
        exr(&path("nan.exr"), &["R", "G", "B", "A"], &pixels);
        let words = format!("channel {name} is NaN at column 1, row 0");
        refused(&[path("nan.exr")], &["nan.exr", &words]);
    }
    image::RgbaImage::new(4, 2).save(path("wide.png")).unwrap();
    refused(&[path("good.png"), path("wide.png")], &["wide.png is 4 × 2", "good.png is 2 × 2"]);
    std::fs::write(path("cut.png"), b"\x89PNG").unwrap();
    refused(&[path("cut.png")], &["cannot read the frame", "cut.png"]);
    refused(&[path("clip.mov")], &["the clip", "does not exist"]);
    refused(&[path("none.####.exr")], &["no file matches the clip pattern"]);
}

#[track_caller]
fn check(error: &anyhow::Error, words: &[&str]) {
    let text = format!("{error:#}");
    assert_eq!(Exit::of(error), Exit::BadInput, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

//! `wan-alpha ellipse`: from alphas to tracks that a render takes, and to pictures of them.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgba, RgbaImage};
use support::reference::Case;
use support::render::Render;
use tempfile::{TempDir, tempdir};
use wan_alpha_take::{Ellipse, Track};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 96;

fn command(verb: &str) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
    command.args(["ellipse", verb]);
    command
}

/// Whether a pixel is within the drawn ellipse: 64 × 40 pixels, moving right by 4 pixels a frame.
fn inside(frame: u32, x: u32, y: u32) -> bool {
    let (x, y) = (f64::from(x) - 60.0 - 4.0 * f64::from(frame), f64::from(y) - 48.0);
    (x / 32.0).powi(2) + (y / 20.0).powi(2) <= 1.0
}

/// A matte in gray, of some frames.
fn matte(frames: u32) -> TempDir {
    let folder = tempdir().unwrap();
    for frame in 0..frames {
        GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([u8::from(inside(frame, x, y)) * 255]))
            .save(folder.path().join(format!("matte.{frame:04}.png")))
            .unwrap();
    }
    folder
}

fn fitted(args: &[&Path], latent_frames: usize) -> Vec<Ellipse> {
    let output = command("fit").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Track::from_json(&String::from_utf8(output.stdout).unwrap(), latent_frames).unwrap()
}

#[track_caller]
fn refused(command: &mut assert_cmd::Command, words: &[&str]) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

#[test]
fn a_matte_becomes_a_track_that_a_render_takes() {
    let matte = matte(5);
    let render = Render::of(Case::named("t2v-euler").model()).size(32, 16, 5);
    let track = render.path("track.json");
    let output =
        command("fit").arg(matte.path()).arg("-v").arg("--out").arg(&track).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("latent frame 0") && said.contains("latent frame 1"), "{said}");
    let ellipses = Track::from_json(&fs::read_to_string(&track).unwrap(), 2).unwrap();
    // The middle of the first frame, and of frames 1 to 4.
    for (ellipse, x) in ellipses.iter().zip([60.0, 70.0]) {
        assert!((ellipse.x - (x + 0.5) / 160.0).abs() < 0.01, "{ellipse}");
        assert!((ellipse.y - 0.5).abs() < 0.01, "{ellipse}");
        assert!(ellipse.a > ellipse.b && ellipse.angle.abs() < 3.0, "{ellipse}");
        assert!((0.55..1.0).contains(&ellipse.a), "{ellipse}");
    }
    let output = render.with("--ellipse-track", &track).command().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn alpha_or_gray_files_or_folder_are_the_same() {
    let matte = matte(5);
    let by_folder = fitted(&[matte.path()], 2);
    let files: Vec<_> =
        (0..5).map(|frame| matte.path().join(format!("matte.{frame:04}.png"))).collect();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    assert_eq!(fitted(&files, 2), by_folder);
    assert_eq!(fitted(&[&matte.path().join("matte.####.png")], 2), by_folder);
    let rgba = tempdir().unwrap();
    for frame in 0..5 {
        RgbaImage::from_fn(WIDTH, HEIGHT, |x, y| {
            Rgba([255, 0, 0, u8::from(inside(frame, x, y)) * 255])
        })
        .save(rgba.path().join(format!("{frame}.png")))
        .unwrap();
    }
    assert_eq!(fitted(&[rgba.path()], 2), by_folder);
}

#[test]
fn an_empty_latent_frame_has_its_neighbors_ellipse_and_an_empty_clip_none() {
    let matte = matte(5);
    GrayImage::new(WIDTH, HEIGHT).save(matte.path().join("matte.0000.png")).unwrap();
    let output = command("fit").arg(matte.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("latent frames [0] have no subject"), "{said}");
    let track = Track::from_json(&String::from_utf8(output.stdout).unwrap(), 2).unwrap();
    assert_eq!(track[0], track[1]);
    for frame in 1..5 {
        GrayImage::new(WIDTH, HEIGHT)
            .save(matte.path().join(format!("matte.{frame:04}.png")))
            .unwrap();
    }
    refused(command("fit").arg(matte.path()), &["no subject in any frame", "--threshold"]);
}

#[test]
fn what_cannot_be_fitted_is_refused_in_words() {
    refused(command("fit").arg(matte(4).path()), &["4 frames: expected 4n+1", "use 1 or 5"]);
    refused(command("fit").arg("nowhere.png"), &["nowhere.png does not exist"]);
    refused(command("fit").arg(matte(1).path()).args(["--threshold", "1"]), &["--threshold is 1"]);
    refused(
        command("fit").arg(matte(1).path()).args(["--threshold", "nan"]),
        &["--threshold is NaN"],
    );
    let small = tempdir().unwrap();
    GrayImage::new(7, 9).save(small.path().join("a.png")).unwrap();
    refused(command("fit").arg(small.path()), &["7 x 9 pixels: expected at least 8 x 8"]);
}

/// A stand-in for ffmpeg that says and does what is given.
#[cfg(unix)]
fn with_ffmpeg(script: &str) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let path = folder.path().join("ffmpeg");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("clip.mov"), b"\0\0\0\x0cftypqt  \0\0\0\x08moov").unwrap();
    folder
}

#[cfg(unix)]
#[test]
fn a_video_is_read_by_ffmpeg_or_refused_in_its_words() {
    let matte = matte(5);
    let fit = |folder: &TempDir| {
        let mut command = command("fit");
        command.arg(folder.path().join("clip.mov"));
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
        command
    };
    let video = with_ffmpeg("exec cat \"$(dirname \"$0\")/frames.pam\"");
    let mut frames = Vec::new();
    for frame in 0..5 {
        frames.extend_from_slice(
            b"P7\nWIDTH 160\nHEIGHT 96\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n",
        );
        for at in 0..WIDTH * HEIGHT {
            let alpha = u8::from(inside(frame, at % WIDTH, at / WIDTH)) * 255;
            frames.extend_from_slice(&[9, alpha]);
        }
    }
    fs::write(video.path().join("frames.pam"), &frames).unwrap();
    let output = fit(&video).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let track = Track::from_json(&String::from_utf8(output.stdout).unwrap(), 2).unwrap();
    assert_eq!(track, fitted(&[matte.path()], 2));

    let broken = with_ffmpeg("echo 'moov atom not found' >&2; exit 1");
    refused(
        &mut fit(&broken),
        &["none of the frames of", "clip.mov", "(reason: moov atom not found)"],
    );
    refused(&mut fit(&with_ffmpeg("exit 0")), &["clip.mov has no picture"]);
    refused(&mut fit(&with_ffmpeg("echo nonsense")), &["clip.mov", "no PAM picture"]);
    let mut none = fit(&broken);
    none.env("PATH", "");
    refused(&mut none, &["clip.mov", "ffmpeg", "not on PATH", "install ffmpeg"]);
}

#[test]
fn tracks_ellipses_and_masks_are_drawn() {
    let room = tempdir().unwrap();
    let picture = |args: &[&str]| {
        let out = room.path().join("look.png");
        let done =
            command("show").args(args).arg("--out").arg(&out).current_dir(&room).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        image::open(out).unwrap().into_rgb8()
    };
    let track: Vec<Ellipse> =
        [0.25, 0.75].map(|x| Ellipse { x, a: 0.3, b: 0.3, ..Ellipse::default() }).to_vec();
    fs::write(room.path().join("track.json"), serde_json::to_string(&track).unwrap()).unwrap();
    let bright = |picture: &image::RgbImage, x| picture.get_pixel(x, picture.height() / 2)[0];
    let first = picture(&["track.json", "--size", "320x160"]);
    assert_eq!(first.dimensions(), (320, 160));
    assert!(bright(&first, 80) > bright(&first, 240) + 40);
    let last = picture(&["track.json", "--size", "320x160", "--frame", "4"]);
    assert!(bright(&last, 240) > bright(&last, 80) + 40);
    let still = picture(&["--ellipse", "0.25,0.5,0.3,0.3,0"]);
    assert_eq!(still.dimensions(), (832, 480));
    let plate = RgbaImage::from_pixel(64, 48, Rgba([0, 0, 255, 255]));
    plate.save(room.path().join("plate.png")).unwrap();
    let mask = Case::named("t2v").mask_file();
    let over = picture(&[mask.to_str().unwrap(), "--over", "plate.png"]);
    assert_eq!(over.dimensions(), (64, 48));
    assert!(over.pixels().any(|pixel| pixel[0] > 100) && over.pixels().any(|pixel| pixel[2] > 200));
}

#[test]
fn what_cannot_be_drawn_is_refused_in_words() {
    let room = tempdir().unwrap();
    fs::write(
        room.path().join("track.json"),
        serde_json::to_string(&[Ellipse::default()]).unwrap(),
    )
    .unwrap();
    fs::write(room.path().join("bad.json"), "[1]").unwrap();
    let show = |args: &[&str]| {
        let mut command = command("show");
        command.args(args).args(["--out", "look.png"]).current_dir(&room);
        command
    };
    refused(&mut show(&["track.json", "--frame", "1"]), &["--frame is 1", "take frames 0 to 0"]);
    refused(&mut show(&["bad.json"]), &["bad.json", "not readable"]);
    refused(&mut show(&["gone.json"]), &["cannot read gone.json"]);
    refused(&mut show(&["--ellipse", "0.5,0.5,9,1,0"]), &["axis a is 9"]);
    refused(&mut show(&["track.json", "--over", "track.json"]), &["cannot be read as PNG"]);
    refused(&mut show(&["track.json", "--size", "7x9"]), &["expected WxH"]);
    refused(&mut show(&[]), &["TRACK|MASK"]);
    assert!(!room.path().join("look.png").exists());
}

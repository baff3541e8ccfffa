//! Movies with alpha through every command that reads pictures, and movies that do not say how their YUV
//! was made.
//!
//! What ffmpeg says and sends of `tests/data/pictures` is kept beside them (`movies.py`), and a stand-in for
//! ffmpeg plays it. `FFMPEG_FOLDER` names a folder with a real one, 8.0 or later, which is then asked. What is
//! damaged, to be turned or of several movies is made and read by the real ones that are found here.

// A test says what is wrong by panicking.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::ffmpeg::{self, asked, made};
use support::model::{TOKENIZER, write_merge_block};
use support::reference::{Case, relative_error};
use support::render::names;
use support::room::Room;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::weights::TensorFile;

/// Without loss: what the others are compared with.
const PLAIN: &str = "ffv1.mkv";
/// The same clip, by codecs that keep alpha each in its own way.
const OTHERS: [&str; 4] = ["prores.mov", "hevc.mov", "vp8.webm", "vp9.webm"];

/// The plain one's values, with tags of other colors.
const TAGGED: [&str; 2] = ["rec2020.mkv", "pq.mkv"];

/// Sends what was kept of a movie, by decoder, matrix and format; without a format it says what was said.
const STAND_IN: &str = r#"#!/bin/sh
movie= decoder= matrix= format=
while [ $# -gt 0 ]; do
    case "$1" in
        -i) movie=$(readlink -f "${2#file:}") ;;
        -c:v) [ -n "$movie" ] || decoder=.$2 ;;
        -vf) case "$2" in setparams=*) matrix=${2%%,*}; matrix=.${matrix#setparams=colorspace=} ;; esac ;;
        -pix_fmt) format=.$2 ;;
    esac
    shift
done
[ -n "$format" ] || { cat "$movie.ffmpeg-9.0.txt" >&2; exit 1; }
exec gzip -dc "$movie$decoder$matrix$format.gz"
"#;

/// The movies, and ffmpeg or what stands in for it.
fn with_movies() -> Room {
    let room = Room::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
    for file in names(&data) {
        if [PLAIN].iter().chain(&OTHERS).chain(&TAGGED).any(|movie| file.starts_with(movie)) {
            fs::copy(data.join(&file), room.path(&file)).unwrap();
        }
    }
    fs::create_dir(room.path("bin")).unwrap();
    fs::write(room.path("bin/ffmpeg"), STAND_IN).unwrap();
    fs::set_permissions(room.path("bin/ffmpeg"), fs::Permissions::from_mode(0o755)).unwrap();
    room
}

fn run(room: &Room, arguments: &[&str]) -> Output {
    let own = room.path("bin").display().to_string();
    let folder = std::env::var("FFMPEG_FOLDER").unwrap_or(own);
    room.command(arguments).env("PATH", format!("{folder}:/usr/bin:/bin")).output().unwrap()
}

/// All that a call prints and says; it has to succeed.
#[track_caller]
fn said(room: &Room, arguments: &[&str]) -> String {
    let output = run(room, arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// How near a movie is to the plain one: color and alpha, in dB.
fn nearness(room: &Room, movie: &str, more: &[&str]) -> ([f64; 2], String) {
    let line = ["eval", "reconstruction", PLAIN, movie, "--json", "near.json"];
    let words = said(room, &[&line[..], more].concat());
    let near = room.json("near.json");
    let psnr = |id: &str| near["clips"][0][id].as_f64().unwrap_or(f64::INFINITY);
    (["colour_psnr", "alpha_psnr"].map(psnr), words)
}

fn fitted(room: &Room, movie: &str) -> Vec<Value> {
    said(room, &["ellipse", "fit", movie, "--out", "track.json"]);
    room.json("track.json").as_array().unwrap().clone()
}

#[test]
fn movies_with_alpha_keep_it_as_images_and_as_masks() {
    let room = with_movies();
    let track = fitted(&room, PLAIN);
    for movie in OTHERS {
        let ([color, alpha], _) = nearness(&room, movie, &[]);
        assert!(color > 40.0 && alpha > 45.0, "{movie}: {color} dB, alpha {alpha} dB");
        let found = fitted(&room, movie);
        assert_eq!(found.len(), track.len(), "{movie}");
        for (found, known) in found.iter().zip(&track) {
            for axis in ["x", "y", "a", "b"] {
                let [found, known] = [found, known].map(|ellipse| ellipse[axis].as_f64().unwrap());
                assert!((found - known).abs() < 0.01, "{movie}: {axis} {found}, not {known}");
            }
        }
    }
}

#[test]
fn movies_with_alpha_keep_it_in_data_sets() {
    let room = with_movies();
    let caption = "The background of this video is transparent. An orange ball moves to the right.";
    let report = |movie: &str| {
        fs::write(room.path("table.csv"), format!("colour,caption\n{movie},\"{caption}\"\n"))
            .unwrap();
        let out = format!("{movie}-report");
        let words = said(&room, &["data", "check", "table.csv", "--out", &out]);
        assert!(words.contains("0 errors"), "{movie}: {words}");
        room.json(&format!("{out}/report.json"))["rows"][0].clone()
    };
    let plain = report(PLAIN);
    for movie in OTHERS {
        let found = report(movie);
        for part in ["frames", "width", "height", "latent"] {
            assert_eq!(found[part], plain[part], "{movie}: {part}");
        }
        // Of an opaque one it is 1.
        let [found, known] =
            [&found, &plain].map(|row| row["statistics"]["mean"].as_f64().unwrap());
        assert!((found - known).abs() < 0.01, "{movie}: alpha of {found}, not {known}");
    }
}

#[test]
fn movies_with_alpha_keep_it_in_latents() {
    let room = with_movies();
    fs::create_dir(room.path("model")).unwrap();
    let from = Case::named("t2v-euler").model();
    for part in names(&from).iter().filter(|part| *part != "google") {
        fs::copy(from.join(part), room.path("model").join(part)).unwrap();
    }
    fs::copy(from.join(TOKENIZER), room.path("model/tokenizer.json")).unwrap();
    write_merge_block(&room.path("model/merge.safetensors"));
    let encoded = |movie: &str| -> Tensor {
        let out = format!("{movie}.safetensors");
        said(&room, &["encode", movie, "--out", &out, "--model", "model"]);
        TensorFile::open(&room.path(&out)).unwrap().read(Device::cpu(), "latent").unwrap()
    };
    let plain = encoded(PLAIN);
    for movie in OTHERS {
        let error = relative_error(&encoded(movie), &plain);
        // HEVC, the most lossy of them, is off by 0.09.
        assert!(error < 0.15, "{movie}: {error}");
    }
}

#[test]
fn a_movie_s_color_is_converted_or_refused_and_a_person_has_the_last_word() {
    let room = with_movies();
    let ([color, alpha], _) = nearness(&room, "rec2020.mkv", &[]);
    assert!(color < 40.0 && alpha.is_infinite(), "{color} dB, alpha {alpha} dB");
    for movie in TAGGED {
        let ([color, _], _) = nearness(&room, movie, &["--color", "srgb"]);
        assert!(color.is_infinite(), "{movie}: {color} dB");
    }
    let output = run(&room, &["eval", "reconstruction", PLAIN, "pq.mkv"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("pq.mkv") && said.contains("of high dynamic range"), "{said}");
}

#[test]
fn a_movie_that_names_no_matrix_is_told_and_a_person_says_which() {
    let room = with_movies();
    let words = ["vp9.webm: it does not say by which matrix", "BT.601 is taken", "--color rec709"];
    let ([color, alpha], told) = nearness(&room, "vp9.webm", &[]);
    assert!(words.iter().all(|word| told.matches(word).count() == 1), "{told}");
    let ([other, same], told) = nearness(&room, "vp9.webm", &["--color", "rec709"]);
    assert!(!told.contains("matrix"), "{told}");
    // It was made by BT.601.
    assert!(color > other + 6.0 && alpha == same, "{color} dB and {other} dB");
    // VP8 has one by its standard, ProRes says it, and FFV1 is of RGB.
    for movie in ["vp8.webm", "prores.mov", PLAIN] {
        let (_, told) = nearness(&room, movie, &[]);
        assert!(!told.contains("matrix"), "{movie}: {told}");
    }
    // As a mask nothing of its color counts.
    let told = said(&room, &["ellipse", "fit", "vp9.webm", "--out", "track.json"]);
    assert!(!told.contains("matrix"), "{told}");
}

/// A clip of 17 frames with alpha, as ffmpeg draws it.
const DRAWN: [&str; 4] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=64x48:rate=16:duration=1.0625,format=rgba,colorchannelmixer=aa=0.5",
];

/// The same in each container that is read, and how ffmpeg is told to write it.
const CONTAINERS: [(&str, &[&str]); 15] = [
    ("p.mov", &["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"]),
    ("first.mp4", &["-c:v", "mpeg4", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]),
    ("png.mov", &["-c:v", "png", "-pix_fmt", "rgba"]),
    ("p.mkv", &["-c:v", "ffv1", "-pix_fmt", "gbrap", "-slicecrc", "1"]),
    ("p.webm", &["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"]),
    ("p.avi", &["-c:v", "png", "-pix_fmt", "rgba"]),
    ("p.gif", &[]),
    ("p.apng", &["-f", "apng"]),
    ("p.webp", &["-c:v", "libwebp_anim", "-lossless", "1"]),
    ("p.y4m", &["-pix_fmt", "yuv420p"]),
    ("p.ivf", &["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p"]),
    ("p.ogv", &["-c:v", "libtheora", "-pix_fmt", "yuv420p"]),
    ("p.dv", &["-vf", "scale=720:576", "-r", "25", "-pix_fmt", "yuv420p"]),
    ("p.ts", &["-c:v", "mpeg2video", "-q:v", "2"]),
    ("p.wmv", &["-c:v", "wmv2", "-pix_fmt", "yuv420p"]),
];

#[test]
fn a_movie_that_is_cut_off_or_damaged_is_refused_whatever_holds_it() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        for (name, how) in CONTAINERS {
            let more = [how, &[name]].concat();
            if !made(&room, ffmpeg, &[&DRAWN[..], &more].concat()) {
                continue;
            }
            // Animated WebP is younger than some versions, and builds without shared libraries have crashed on
            // every transport stream.
            if !made(&room, ffmpeg, &["-i", name, "-f", "null", "-"]) {
                continue;
            }
            let fit =
                |name: &str| asked(&room, ffmpeg, &["ellipse", "fit", name, "--out", "track.json"]);
            let (_, said) = fit(name);
            assert!(!said.contains("damaged") && !said.contains("cut off"), "{name}: {said}");
            let whole = fs::read(room.path(name)).unwrap();
            let cut = format!("cut-{name}");
            for part in [3, 6, 9] {
                fs::write(room.path(&cut), &whole[..whole.len() * part / 10]).unwrap();
                let (code, said) = fit(&cut);
                assert_eq!(code, Some(2), "{}: {cut}: {said}", ffmpeg.version);
                let words = [cut.as_str(), "write it again"];
                assert!(words.iter().all(|word| said.contains(word)), "{cut}: {said}");
                assert!(!said.contains("@ 0x"), "{said}");
            }
            fs::write(room.path("t.csv"), format!("colour,caption\n{cut},a ball\n")).unwrap();
            let (code, said) = asked(&room, ffmpeg, &["data", "check", "t.csv", "--out", "report"]);
            assert!(code == Some(2) && said.contains("error: row 1"), "{cut}: {said}");
        }
    }
}

/// A place within a frame is written over, so that its container is whole.
#[test]
fn a_movie_with_damaged_frames_is_refused_with_how_many_are_whole() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        for (name, how) in &CONTAINERS[..4] {
            let more = [*how, &[*name]].concat();
            if *name == "first.mp4" || !made(&room, ffmpeg, &[&DRAWN[..], &more].concat()) {
                continue;
            }
            let mut bytes = fs::read(room.path(name)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 60].iter_mut().for_each(|byte| *byte ^= 0x5a);
            let bad = format!("bad-{name}");
            fs::write(room.path(&bad), bytes).unwrap();
            let line = ["eval", "reconstruction", name, &bad, "--json", "near.json"];
            let (code, said) = asked(&room, ffmpeg, &line);
            assert_eq!(code, Some(2), "{}: {bad}: {said}", ffmpeg.version);
            for words in [bad.as_str(), "is damaged", "could be decoded, of about 17", "(reason: "]
            {
                assert!(said.contains(words), "`{words}` is not in {said}");
            }
        }
    }
}

#[test]
fn a_movie_that_is_to_be_turned_is_read_as_it_lies_and_told() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        let (name, how) = CONTAINERS[0];
        assert!(made(&room, ffmpeg, &[&DRAWN[..], how, &[name]].concat()));
        let turn = ["-display_rotation", "90", "-i", name, "-c", "copy", "turned.mov"];
        if !made(&room, ffmpeg, &turn) {
            continue;
        }
        let line = ["eval", "reconstruction", name, "turned.mov", "--json", "near.json"];
        let (code, said) = asked(&room, ffmpeg, &line);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            room.json("near.json")["clips"][0]["colour_psnr"].as_f64().is_none_or(f64::is_infinite)
        );
        assert!(said.contains("turned.mov: it is to be turned or mirrored"), "{said}");
    }
}

#[test]
fn of_several_movies_the_first_is_read_and_told_and_a_cover_is_none() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        let (name, how) = CONTAINERS[3];
        assert!(made(&room, ffmpeg, &[&DRAWN[..], how, &[name]].concat()));
        let red = ["-f", "lavfi", "-i", "color=red:size=32x32:rate=16:duration=1.0625"];
        assert!(made(&room, ffmpeg, &[&red[..], &["-c:v", "ffv1", "red.mkv"]].concat()));
        assert!(made(&room, ffmpeg, &[&red[..], &["-frames:v", "1", "red.png"]].concat()));
        let fit = |name: &str| asked(&room, ffmpeg, &["ellipse", "fit", name, "--out", "t.json"]).1;

        let both = ["-i", name, "-i", "red.mkv", "-map", "0", "-map", "1", "-c", "copy", "two.mkv"];
        assert!(made(&room, ffmpeg, &both));
        let said = fit("two.mkv");
        for words in
            ["two.mkv: it holds 2 movies", "is read (ffv1, 64x48)", "the next (ffv1, 32x32)"]
        {
            assert!(said.contains(words), "`{words}` is not in {said}");
        }

        let sound = ["-f", "lavfi", "-i", "sine=duration=1"];
        let cover = ["-i", "red.png", "-map", "0", "-map", "1", "-c:v", "png"];
        let own = ["-disposition:v:0", "attached_pic", "song.m4a"];
        assert!(made(&room, ffmpeg, &[&sound[..], &["sound.wav"]].concat()));
        assert!(fit("sound.wav").contains("sound.wav: it holds sound, and no picture"));
        if made(&room, ffmpeg, &[&sound[..], &cover, &own].concat()) {
            assert!(
                fit("song.m4a").contains("song.m4a: of pictures it holds no more than a cover")
            );
        }
    }
}

#[test]
fn a_movie_s_brightness_is_a_mask_only_where_its_alpha_says_nothing_and_that_is_told() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        let gray = "color=black:size=64x48:rate=16:duration=1.0625,drawbox=x=16:y=8:w=24:h=24:c=white:t=fill";
        let source = ["-f", "lavfi", "-i", gray];
        for (name, how, words) in [
            ("opaque.mkv", &["-c:v", "ffv1", "-pix_fmt", "bgra"][..], "its alpha is 1 everywhere"),
            ("none.mkv", &["-c:v", "ffv1", "-pix_fmt", "gray"], "it has no alpha"),
        ] {
            assert!(made(&room, ffmpeg, &[&source[..], how, &[name]].concat()));
            let line = ["ellipse", "fit", name, "--out", "track.json"];
            let (code, said) = asked(&room, ffmpeg, &line);
            assert_eq!(code, Some(0), "{said}");
            let told = format!("{name}: {words}");
            assert!(
                said.matches(&told).count() == 1 && said.contains("its brightness is taken"),
                "{said}"
            );
        }
    }
}

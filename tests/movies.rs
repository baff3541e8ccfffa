//! A take of the store as frames and movies, in every format, and what the files say of themselves.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::exported::{Exported, FRAMES, LEVELS, pixel, said};
use support::ffmpeg::{self, FfmpegFolder};
use support::render::names;

#[test]
fn frames_say_their_origin_and_are_called_as_asked() {
    let take = Exported::new();
    let nowhere = take.out("nowhere");
    let more = ["--name", "fox_###", "--start", "1001", "--owner", "A & B", "--mark", "china"];
    take.ok("fox", &more, &nowhere);
    let expected: Vec<String> = (1001..1006)
        .flat_map(|number| ["exr", "png"].map(|kind| format!("fox_{number}.{kind}")))
        .chain(["contact-sheet.png", "take.json"].map(str::to_owned))
        .collect();
    let mut sorted = expected.clone();
    sorted.sort();
    assert_eq!(names(&take.out("fox")), sorted);
    for name in ["fox_1001.exr", "fox_1005.png", "contact-sheet.png"] {
        let path = take.out("fox").join(name);
        take.says_its_origin(&path);
        let about = take.inspected(&path).to_string();
        assert!(about.contains("A & B") && about.contains("ContentProducer"), "{about}");
        assert!(about.contains("2026-11-30T17:39:28Z") || about.contains("2026:11:30 17:39:28"));
    }
    // The same folder again: the old frames go, whatever they were called.
    take.ok(
        "fox",
        &["--format", "png", "--no-recipe", "--alpha-only", "--png-depth", "8"],
        &nowhere,
    );
    assert_eq!(names(&take.out("fox")).len(), FRAMES + 2);
    let path = take.out("fox").join("rgba.0000.png");
    let about = take.inspected(&path);
    assert_eq!(about["recipe"], Value::Null);
    assert!(!about.to_string().contains("玻璃") && about["source_type"].is_string(), "{about}");
    let image::DynamicImage::ImageLuma8(alpha) = image::open(&path).unwrap() else {
        panic!("not gray in 8 bits");
    };
    let row: Vec<u8> = (0..8).map(|column| alpha.get_pixel(column * 8 + 4, 2).0[0]).collect();
    assert_eq!(row, LEVELS.map(|level| (level * 255.0 + 0.5) as u8));
    // A take's own file has a recipe too, and nothing of the marks.
    let file = take.studio.path("takes").join(format!("{}.take", take.key));
    let mut again = take.studio.command("run", &["take", "make", file.to_str().unwrap()]);
    assert!(said(&again.output().unwrap()).contains(&take.key));
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(16).any(|part| part == b"trainedAlgorithm"));
}

#[test]
fn an_animated_png_needs_no_other_program_and_has_every_frame_as_it_was() {
    let take = Exported::new();
    take.ok("a", &["--format", "apng"], &take.out("nowhere"));
    let path = take.out("a/rgba.apng");
    take.says_its_origin(&path);
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let decoder = image::codecs::png::PngDecoder::new(file).unwrap();
    let frames = image::AnimationDecoder::into_frames(decoder.apng().unwrap());
    let frames = frames.collect_frames().unwrap();
    assert_eq!(frames.len(), FRAMES);
    for (frame, found) in frames.iter().enumerate() {
        // 1000 / 16 milliseconds.
        assert_eq!(found.delay().numer_denom_ms(), (125, 2));
        for (x, y, found) in found.buffer().enumerate_pixels() {
            let expected = pixel(frame, x as usize, y as usize);
            let near = found.0.iter().zip(expected).all(|(found, expected)| {
                expected * expected == 0.0 || (f32::from(*found) / 255.0 - expected).abs() < 0.004
            });
            assert!(near || found.0 == [0; 4], "{x}, {y}: {found:?} for {expected:?}");
            assert_eq!(found.0[3], (expected[3] * 255.0 + 0.5) as u8);
        }
    }
}

#[test]
fn every_ffmpeg_writes_every_movie_as_it_is_read_back() {
    let take = Exported::new();
    for one in ffmpeg::all() {
        let FfmpegFolder { version, .. } = &one;
        for (format, name) in [
            ("prores", "rgba.mov"),
            ("ffv1", "rgba.mkv"),
            ("png-mov", "rgba.mov"),
            ("webm", "rgba.webm"),
            ("webp", "rgba.webp"),
        ] {
            let more = ["--format", format, "--verify", "all"];
            let output = take.command(format, &more, one.path()).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{format} by {version}: {told}");
            let expected = ["contact-sheet.png", name, "take.json"];
            assert_eq!(names(&take.out(format)), expected, "{format} by {version}");
            take.says_its_origin(&take.out(format).join(name));
            let first = std::fs::read(take.out(format).join(name)).unwrap();
            take.ok(format, &more, one.path());
            let second = std::fs::read(take.out(format).join(name)).unwrap();
            assert!(first == second, "{format} by {version} is another file each time");
        }
        let hevc = take.command("hevc", &["--format", "hevc"], one.path()).output().unwrap();
        let told = String::from_utf8_lossy(&hevc.stderr).into_owned();
        if hevc.status.success() {
            take.says_its_origin(&take.out("hevc/rgba.mov"));
        } else {
            assert!(
                told.contains("which keeps alpha") && told.contains("prores"),
                "{version}: {told}"
            );
        }
        // Frames that are put over a color are opaque.
        take.ok("over", &["--format", "webp,webm", "--over", "#00ffff"], one.path());
        println!("{version}: tested");
    }
}

#[test]
fn an_ffmpeg_that_is_absent_old_or_unable_is_told_with_what_to_install() {
    let take = Exported::new();
    let prores = ["--format", "prores"];
    let install = ["ffmpeg 6 or later", "imageio-ffmpeg"];
    take.refused("a", &prores, &take.out("nowhere"), 2, &[&["not on PATH"][..], &install].concat());
    let old = FfmpegFolder::stand_in("echo ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright");
    take.refused(
        "a",
        &prores,
        old.path(),
        2,
        &[&["this is ffmpeg version 4.4.2"][..], &install].concat(),
    );
    let poor = FfmpegFolder::stand_in(
        "[ \"$2\" = -hide_banner ] && [ \"$3\" = -version ] && echo ffmpeg version 7.1 Copyright",
    );
    take.refused("a", &prores, poor.path(), 2, &["encoder prores_ks", "built without"]);
    assert!(!take.out("a").exists(), "nothing is written");
    let both = ["--format", "prores,png-mov"];
    take.refused("a", &both, poor.path(), 2, &["encoder prores_ks"]);
}

#[test]
fn a_movie_that_is_not_read_back_as_it_was_written_is_refused() {
    let take = Exported::new();
    let Some(real) = ffmpeg::all().into_iter().next() else { return };
    let real = real.path().join("ffmpeg");
    let real = real.canonicalize().unwrap();
    let real = real.display();
    // Says other tags of what it wrote.
    let tags = FfmpegFolder::stand_in(&format!(
        "case \"$*\" in\n*-version*|*encoder=*|*rawvideo*) exec {real} \"$@\";;\nesac\n\
         echo '  Stream #0:0: Video: prores (4444), yuva444p12le(tv, smpte170m, progressive), 64x48' >&2\nexit 1"
    ));
    let more = ["--format", "prores"];
    take.refused(
        "a",
        &more,
        tags.path(),
        1,
        &["its color is to be bt709", "smpte170m", "rgba.mov"],
    );
    assert!(!take.out("a/rgba.mov").exists());
    // Sends other pixels than were given.
    let other = FfmpegFolder::stand_in(&format!(
        "case \"$*\" in\n*passthrough*) exec {real} -v error -f lavfi -i color=red:64x48:r=16,format=gbrap16le \
         -frames:v 5 -f rawvideo -;;\nesac\nexec {real} \"$@\""
    ));
    let words = ["frame 0 is not read back as it was given", "rgba.mkv"];
    take.refused("b", &["--format", "ffv1"], other.path(), 1, &words);
    take.ok("b", &["--format", "ffv1", "--verify", "none"], other.path());
}

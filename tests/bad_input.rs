//! Requests that cannot be met: each is refused in its own words, with exit code 2, before anything
//! of the take that is there already is touched.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use support::archive;
use support::reference::Case;
use support::render::Render;

fn model() -> PathBuf {
    Case::named("t2v-euler").model()
}

/// A take of two latent frames, on a grid of 4 × 2 cells.
fn render() -> Render {
    Render::of(model()).size(32, 16, 5).over_a_previous_take()
}

#[track_caller]
fn refused(render: Render, words: &[&str]) {
    render.run().failed(2, words).kept_the_previous_take();
}

#[test]
fn sizes_that_are_no_multiple_of_16() {
    for (flag, value, words) in [
        ("--width", "40", ["width is 40", "a multiple of 16", "use 32 or 48"]),
        ("--height", "17", ["height is 17", "a multiple of 16", "use 16 or 32"]),
        ("--width", "0", ["width is 0", "16 to 4096", "832 x 480"]),
        ("--height", "4112", ["height is 4112", "16 to 4096", "832 x 480"]),
    ] {
        refused(render().with(flag, value), &words);
    }
    for value in ["-16", "16.5", "wide", "4294967296"] {
        let words = ["invalid value", "--width", value, "a multiple of 16 from 16 to 4096"];
        refused(render().with("--width", value), &words);
    }
}

#[test]
fn numbers_of_frames_that_are_not_4n_plus_1() {
    for (frames, words) in [
        ("2", ["2 frames", "expected 4n+1", "use 1 or 5"]),
        ("80", ["80 frames", "expected 4n+1", "use 77 or 81"]),
        ("0", ["frames is 0", "expected 1 to 257", "81 frames"]),
        ("261", ["frames is 261", "expected 1 to 257", "81 frames"]),
        // 4n+1, and an ellipse for each latent frame would be 43 GB.
        ("4294967293", ["frames is 4294967293", "expected 1 to 257", "81 frames"]),
    ] {
        refused(render().with("--frames", frames), &words);
    }
}

#[test]
fn prompts_that_say_nothing() {
    for prompt in ["", "   ", "\n\t\u{3000}"] {
        refused(render().with("--prompt", prompt), &["prompt is empty", "a description"]);
    }
    let long = "a".repeat(65_537);
    refused(render().with("--prompt", long), &["prompt is 65537 bytes long", "at most 65536"]);
}

#[test]
fn prompt_files_that_cannot_be_read() {
    let at = |path: &Path| format!("@{}", path.display());
    let missing = render().path("nowhere.txt");
    for flag in ["--prompt", "--negative"] {
        let words = [flag, "nowhere.txt", "No such file"];
        refused(render().with(flag, at(&missing)), &words);
    }
    refused(render().with("--prompt", "@"), &["--prompt @ needs a file name"]);
    let render = render();
    let latin = render.file("latin-1.txt", b"a caf\xe9");
    let words = ["latin-1.txt", "not UTF-8", "byte 5"];
    refused(render.with("--prompt", at(&latin)), &words);
}

#[test]
fn an_empty_prompt_file() {
    let render = render();
    let empty = render.file("empty.txt", "\n");
    refused(render.with("--prompt", format!("@{}", empty.display())), &["prompt is empty"]);
}

#[test]
fn mu_out_of_range() {
    for (mu, found) in [
        ("1.1", "1.1"),
        ("-2", "-2"),
        ("NaN", "NaN"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("1e300", "1000"),
    ] {
        let found = format!("mu of latent frame 0 is {found}");
        refused(render().with("--mu", mu), &[&found, "expected -1 to 1", "0.05 is normal"]);
    }
    refused(render().with("--mu", "strong"), &["--mu", "strong", "expected a number, -1 to 1"]);
}

#[test]
fn sampling_out_of_range() {
    for (flag, value, words) in [
        ("--steps", "0", ["steps is 0", "expected 1 to 1000"]),
        ("--steps", "1001", ["steps is 1001", "expected 1 to 1000"]),
        ("--shift", "0", ["shift is 0", "more than 0, at most 100"]),
        ("--shift", "NaN", ["shift is NaN", "more than 0, at most 100"]),
        ("--guidance", "-1", ["guidance is -1", "expected 0 to 30"]),
        ("--guidance", "inf", ["guidance is inf", "expected 0 to 30"]),
        ("--dora-strength", "2.5", ["DoRA strength is 2.5", "expected 0 to 2"]),
        ("--distill-strength", "NaN", ["distillation strength is NaN", "expected 0 to 2"]),
        ("--solver", "heun", ["heun", "unipc, dpm++, euler, lcm, rcm"]),
        ("--dtype", "fp4", ["fp4", "f32, bf16, fp8"]),
        ("--steps", "-4", ["--steps", "-4"]),
        ("--threads", "0", ["--threads", "1 to 1024"]),
        ("--seed", "-1", ["--seed", "-1"]),
        ("--seed", "18446744073709551616", ["--seed", "expected a whole number"]),
        ("--format", "tiff", ["tiff", "exr, png"]),
    ] {
        refused(render().with(flag, value), &words);
    }
}

#[test]
fn ellipses_that_are_none() {
    for (ellipse, words) in [
        ("0.5,0.5,0,1,0", ["axis a is 0", "expected 0.002 to 6"]),
        ("0.5,0.5,1,-1,0", ["axis b is -1", "expected 0.002 to 6"]),
        ("0.5,0.5,1,6.1,0", ["axis b is 6.1", "expected 0.002 to 6"]),
        ("0.5,0.5,NaN,1,0", ["axis a is NaN", "expected 0.002 to 6"]),
        ("3.5,0.5,1,1,0", ["center x is 3.5", "expected -2 to 3"]),
        ("0.5,NaN,1,1,0", ["center y is NaN", "expected -2 to 3"]),
        ("-inf,0.5,1,1,0", ["center x is -inf", "expected -2 to 3"]),
        ("0.5,0.5,1,1,inf", ["angle is inf", "expected a finite number of degrees"]),
        ("0.5,0.5,1,1", ["has 4 values", "expected five"]),
        ("0.5,0.5,1,1,0,0", ["has 6 values", "expected five"]),
        ("0.5,left,1,1,0", ["y is \"left\"", "expected a number"]),
        ("", ["the ellipse", "x,y,a,b,angle"]),
    ] {
        refused(render().with("--ellipse", ellipse), &words);
    }
}

#[test]
fn keys_that_are_out_of_order_or_place() {
    let still = "0.5,0.5,1,1,0";
    for (keys, words) in [
        (format!("4: {still}; 0: {still}"), ["key \"0: ", "expected a later frame"]),
        (format!("2: {still}; 2: {still}"), ["follows key \"2: ", "expected a later frame"]),
        (format!("0: {still}; {still}"), ["has no frame", "expected \"frame: x,y,a,b,angle\""]),
        (format!("-1: {still}; 4: {still}"), ["at frame \"-1\"", "expected a number, 0 or more"]),
        (format!("0: {still}; x: {still}"), ["at frame \"x\"", "expected a number, 0 or more"]),
        (format!("0: {still}; 4: 0.5,0.5,0,1,0"), ["key \"4: ", "axis a is 0"]),
    ] {
        refused(render().with("--ellipse", keys), &words);
    }
}

#[test]
fn ellipse_tracks_of_another_length_or_form() {
    let entry = r#"{"x": 0.5, "y": 0.5, "a": 1, "b": 1, "angle": 0}"#;
    for (content, words) in [
        (format!("[{entry}]"), ["track has 1 entry", "expected 2, one per latent frame"]),
        (
            format!("[{entry}, {entry}, {entry}]"),
            ["track has 3 entries", "expected 2, one per latent frame"],
        ),
        ("[]".to_owned(), ["track has 0 entries", "expected 2"]),
        (
            format!("[{entry}, {}]", entry.replace("\"a\": 1", "\"a\": 0")),
            ["entry 1 of the ellipse track", "axis a is 0"],
        ),
        (
            format!("[{entry}, {}]", entry.replace("\"x\": 0.5", "\"x\": NaN")),
            ["track is not readable", "line 1"],
        ),
        (
            format!("[{entry}, {}]", entry.replace("angle", "angel")),
            ["track is not readable", "angel"],
        ),
        ("a prompt".to_owned(), ["track is not readable", "expected a JSON list"]),
        (
            r#"{"program": "wan-alpha", "request": {}}"#.to_owned(),
            ["the record of a take, not a list of ellipses", "`--from` makes that take again"],
        ),
    ] {
        let render = render();
        let track = render.file("track.json", content);
        refused(render.with("--ellipse-track", track), &words);
    }
    let missing = render().path("nowhere.json");
    let words = ["--ellipse-track", "nowhere.json", "No such file"];
    refused(render().with("--ellipse-track", missing), &words);
}

#[test]
fn masks_of_another_length_or_form() {
    let good = [0.5f32; 16];
    for (content, words) in [
        (archive::bare_tensor(&good[..8], &[1, 2, 4]), ["has 1 frame,", "expected 2"]),
        (archive::bare_tensor(&[0.5; 24], &[3, 2, 4]), ["has 3 frames", "--frames 9"]),
        (archive::bare_tensor(&good, &[4, 4]), ["[frames, height, width]", "[4, 4]"]),
        (archive::bare_tensor(&[], &[0, 2, 4]), ["[frames, height, width]", "[0, 2, 4]"]),
        (
            archive::dictionary("mask", &good, &[2, 2, 4]),
            ["expected one tensor", "found a dictionary"],
        ),
        (b"\x80\x02a pickle".to_vec(), ["expected one tensor", "not a torch.save archive"]),
        (b"a prompt".to_vec(), ["mask is text", "a folder or a pattern"]),
        (Vec::new(), ["mask is empty (0 bytes)", "copy or write it again"]),
    ] {
        let render = render();
        let mask = render.file("mask", content);
        refused(render.with("--mask", mask), &words);
    }
    let text = render();
    let mask = text.file("notes.txt", b"a note");
    let words =
        ["notes.txt is text", "a movie, or as a tensor [frames, height, width] that torch.save"];
    refused(text.with("--mask", mask), &words);
    refused(render().with("--mask", "nowhere"), &["nowhere", "No such file"]);
    refused(render().with("--mask", "nowhere.png"), &["nowhere.png", "does not exist"]);
}

#[test]
fn masks_with_values_that_are_none() {
    for (value, found) in
        [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-0.25, "-0.25"), (1.5, "1.5")]
    {
        let mut values = [0.5f32; 16];
        values[8 + 6] = value;
        let render = render();
        let mask = render.file("mask", archive::bare_tensor(&values, &[2, 2, 4]));
        let found = format!("is {found} at frame 1, row 1, column 2");
        refused(render.with("--mask", mask), &[&found, "expected 0 to 1"]);
    }
}

#[test]
fn mask_sequences_with_images_missing_or_unlike() {
    let image = |width, height| {
        let gray = image::GrayImage::from_pixel(width, height, image::Luma([128]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        gray.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let good = image(4, 2);
    for (files, words) in [
        (vec![("m.0.png", &good)], ["has 1 frame,", "expected 2"]),
        (
            vec![("m.0.png", &good), ("m.1.png", &good), ("m.2.png", &good)],
            ["has 3 frames", "expected 2"],
        ),
        (vec![("m.0.png", &good), ("m.2.png", &good)], ["lacks number 1", "m.2.png"]),
        (vec![("m.0.png", &good), ("m.1.png", &image(8, 2))], ["m.1.png is 8 × 2", "one size"]),
        (vec![("m.0.png", &good), ("m.1.png", &b"?".to_vec())], ["cannot read", "m.1.png"]),
        (vec![("m.0.png", &good), ("m.1.png", &good[..40].to_vec())], ["cannot read", "m.1.png"]),
        (vec![("m.0.txt", &good)], ["has no .png or .exr file", "masks"]),
    ] {
        let render = render();
        for (name, content) in files {
            render.file(&format!("masks/{name}"), content);
        }
        let masks = render.path("masks");
        refused(render.with("--mask", masks), &words);
    }
}

#[test]
fn a_device_that_is_not_there() {
    // What is said beside the name depends on the machine; that something is to be done does not.
    let done = render().with("--device", "cuda:99").run().failed(2, &["cuda"]);
    let said = &done.stderr;
    assert!(said.contains("--device cuda:99: ") && said.contains("; "), "{said}");
    done.kept_the_previous_take();
    refused(render().with("--device", "gpu"), &["gpu", "auto, cpu, cuda:N"]);
}

#[test]
fn two_ways_to_place_the_subject() {
    let words = ["--ellipse", "--mask", "cannot be used with"];
    refused(render().with("--ellipse", "0.5,0.5,1,1,0").with("--mask", "m"), &words);
}

#[test]
fn numbers_that_are_none_are_told_what_is_expected() {
    for (flag, value, words) in [
        ("--frames", "a", "expected a whole number of frames, 4n+1 from 1 to 257"),
        ("--steps", "1.5", "expected a whole number of steps, 1 to 1000"),
        ("--guidance", "much", "expected a number, 0 to 30"),
        ("--shift", "five", "expected a number above 0, at most 100"),
        ("--threads", "0", "expected a whole number, 1 to 1024"),
    ] {
        let done = render().with(flag, value).run().failed(2, &[flag, value, words]);
        assert!(
            !done.stderr.contains("digit") && !done.stderr.contains("literal"),
            "{}",
            done.stderr
        );
        done.kept_the_previous_take();
    }
}

#[test]
fn a_dump_into_a_folder_that_is_not_there() {
    let words =
        ["cannot write the dump nodir/x.safetensors", "there is no folder nodir; make it first"];
    refused(render().with("--dump", "nodir/x.safetensors"), &words);
}

#[test]
fn a_shift_that_counts_for_nothing_is_told() {
    let with =
        |solver: &str| render().with("--solver", solver).with("--steps", "1").with("--shift", "3");
    let done = with("rcm").run().succeeded();
    assert!(done.stderr.contains("--shift 3 changes nothing: the solver rcm"), "{}", done.stderr);
    let done = with("euler").run().succeeded();
    assert!(!done.stderr.contains("changes nothing"), "{}", done.stderr);
}

//! An RGBA clip to a latent and back, through the command.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::model::{DECODERS, VAE, write_merge_block};
use support::reference::{Case, relative_error};
use support::render::names;
use support::room::Room;
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{self, Kind, Tensor};
use wan_alpha_core::vae::{Corner, RgbaEncoder, RgbaFilm};
use wan_alpha_core::weights::{EncoderFiles, TensorFile};

const MERGE: &str = "Wan-Alpha-v2-VAE.safetensors";

/// A room with a model that decodes and encodes, a reference model's autoencoder and decoder LoRAs and
/// a merge block; and a latent.
fn with_model() -> Room {
    let room = Room::new();
    fs::create_dir(room.path("model")).unwrap();
    let from = Case::named("t2v-euler").model();
    for part in [VAE, DECODERS] {
        fs::copy(from.join(part), room.path("model").join(part)).unwrap();
    }
    write_merge_block(&room.path("model").join(MERGE));
    // The latent of a take, as a render dumps it.
    let latent = Case::named("t2v-euler").golden("latent.final");
    let file = room.path("golden.safetensors");
    Tensor::write_safetensors(&[("latent.final", latent)], file).unwrap();
    room
}

/// Frames of the take beside the model: `clip/rgba.####.png` and `.exr`.
fn with_clip() -> Room {
    let room = with_model();
    room.ok(&["decode", "golden.safetensors", "--model", "model", "--out", "clip"]);
    room
}

fn latent(room: &Room, name: &str) -> Tensor {
    TensorFile::open(&room.path(name))
        .unwrap()
        .read(wan_alpha_core::device::Device::cpu(), "latent")
        .unwrap()
}

/// `count` frames with alpha, of one size and all alike: a frame's path, again and again.
fn still(room: &Room, width: u32, height: u32, count: usize) -> Vec<String> {
    let path = room.path(&format!("still-{width}x{height}.png"));
    let pixel = |x, y| image::Rgba([x as u8, y as u8, (x + y) as u8, (x * y) as u8]);
    image::RgbaImage::from_fn(width, height, pixel).save(&path).unwrap();
    vec![path.to_str().unwrap().to_owned(); count]
}

/// Straight RGBA of a PNG sequence, `[t, h, w, 4]` in [0, 1].
fn frames(folder: &Path, count: usize) -> Tensor {
    let frame = |index: usize| {
        let image = image::open(folder.join(format!("rgba.{index:04}.png"))).unwrap().to_rgba16();
        let (width, height) = (i64::from(image.width()), i64::from(image.height()));
        let values: Vec<f32> =
            image.into_raw().into_iter().map(|value| f32::from(value) / 65535.0).collect();
        Tensor::from_slice(&values).view([height, width, 4])
    };
    Tensor::stack(&(0..count).map(frame).collect::<Vec<_>>(), 0)
}

#[test]
fn a_dumped_latent_decodes_to_the_frames_of_the_take() {
    let room = with_clip();
    let case = Case::named("t2v-euler");
    let expected = case.golden("video.rgba").permute([1, 2, 3, 0]);
    let found = frames(&room.path("clip"), 5);
    let alpha = |x: &Tensor| x.narrow(-1, 3, 1);
    // Color under alpha 0 is not kept.
    let seen = alpha(&expected).gt(1e-4);
    let error = ((&found - &expected) * seen).abs().max().double_value(&[]);
    assert!(error < 1e-4, "{error:e}");
    assert!(names(&room.path("clip")).contains(&"contact-sheet.png".to_owned()));
    let take = fs::read_to_string(room.path("clip/take.json")).unwrap();
    assert!(take.contains("\"state\": \"complete\"") && take.contains("\"blake3\""), "{take}");

    // Measured against itself only the files' 16 bits are lost.
    let lines = room.ok(&[
        "decode",
        "golden.safetensors",
        "--model",
        "model",
        "--out",
        "again",
        "--compare",
        "clip/rgba.####.png",
    ]);
    let [_, color, alpha] = psnr(&lines);
    assert!(color > 95.0 && alpha > 95.0, "{lines}");
}

/// Of the line that `--compare` adds: the folder's line, color and alpha in decibels.
#[track_caller]
fn psnr(lines: &str) -> [f64; 3] {
    let line = lines.lines().nth(1).unwrap_or_else(|| panic!("one line: {lines}"));
    assert!(line.contains("softly over the 8 corner colors"), "{line}");
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    // The third number is the count of colors.
    let (color, count, alpha) =
        (numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap());
    [count, color, alpha]
}

#[test]
fn a_clip_is_encoded_as_the_model_encodes_it_and_can_be_measured() {
    let room = with_clip();
    let encode = |frames: &str, out: &str, more: &[&str]| {
        let line = ["encode", frames, "--model", "model", "--out", out];
        assert_eq!(room.ok(&[&line[..], more].concat()), format!("{out}\n"));
    };
    encode("clip/rgba.####.png", "png.safetensors", &[]);
    let files = EncoderFiles::find(&[room.path("model")]).unwrap();
    let encoder = RgbaEncoder::load(&files, Kind::Float, Device::cpu(), &Unwatched).unwrap();
    let clip = frames(&room.path("clip"), 5);
    let with = |corner| {
        let mut film = RgbaFilm::default();
        let encoded = encoder.encode(&clip, corner, &mut film, &Unwatched).unwrap();
        encoded.normalized().unwrap()
    };
    let found = latent(&room, "png.safetensors");
    assert_eq!((found.size(), found.kind()), (vec![16, 2, 4, 6], Kind::Float));
    let error = relative_error(&found, &with(Corner::WHITE));
    assert!(error < 2e-5, "{error:e}");

    // An EXR has halves, in linear light and premultiplied.
    encode("clip/rgba.%04d.exr", "exr.safetensors", &[]);
    let error = relative_error(&latent(&room, "exr.safetensors"), &found);
    assert!(error < 2e-2, "{error:e}");
    encode("clip/rgba.####.png", "half.safetensors", &["--dtype", "bf16"]);
    let error = relative_error(&latent(&room, "half.safetensors"), &found);
    assert!(error < 5e-2 && error > 1e-4, "{error:e}");
    encode("clip/rgba.####.png", "wrong.safetensors", &["--alpha", "premultiplied"]);
    assert!(relative_error(&latent(&room, "wrong.safetensors"), &found) > 1e-3);

    let file = TensorFile::open(&room.path("png.safetensors")).unwrap();
    for (key, value) in [
        ("wan-alpha.kind", "rgba-normalised"),
        ("wan-alpha.frames", "5"),
        ("wan-alpha.width", "48"),
        ("wan-alpha.height", "32"),
        ("wan-alpha.background", "white"),
    ] {
        assert_eq!(file.metadata(key), Some(value), "{key}");
    }
    let fingerprint = files.fingerprint(&Unwatched).unwrap().to_string();
    assert_eq!(file.metadata("wan-alpha.encoder"), Some(fingerprint.as_str()));
    // Equal clips give equal files.
    encode("clip/rgba.####.png", "once-more.safetensors", &[]);
    let bytes = |name: &str| fs::read(room.path(name)).unwrap();
    assert!(bytes("png.safetensors") == bytes("once-more.safetensors"));

    let lines = room.ok(&[
        "decode",
        "png.safetensors",
        "--model",
        "model",
        "--out",
        "back",
        "--format",
        "png",
        "--compare",
        "clip/rgba.####.png",
    ]);
    assert!(lines.starts_with("back\n"), "{lines}");
    let [_, color, alpha] = psnr(&lines);
    let back = frames(&room.path("back"), 5);
    let error = |x: Tensor| x.square().mean(Kind::Double).double_value(&[]);
    let expected = -10.0 * error((&back - &clip).narrow(-1, 3, 1)).log10();
    assert!((alpha - expected).abs() < 0.02, "{alpha} for {expected}");
    let over = |rgba: &Tensor, background: f64| {
        let a = rgba.narrow(-1, 3, 1);
        rgba.narrow(-1, 0, 3) * &a + (1.0 - a) * background
    };
    let mean = [0.0, 1.0].map(|b| error(over(&back, b) - over(&clip, b))).iter().sum::<f64>() / 2.0;
    let expected = -10.0 * mean.log10();
    assert!((color - expected).abs() < 0.02, "{color} for {expected}");
    let take: serde_json::Value =
        serde_json::from_slice(&fs::read(room.path("back/take.json")).unwrap()).unwrap();
    let kept = take["reconstruction"]["alpha_psnr"].as_f64().unwrap();
    assert!((kept - alpha).abs() <= 0.005 + 1e-9, "{take}");
}

#[test]
fn the_background_shows_where_alpha_is_nothing() {
    let room = with_model();
    let frames = still(&room, 32, 32, 1);
    let latent = |background: &str| {
        let out = format!("{background}.safetensors");
        let line = ["encode", &frames[0], "--model", "model", "--out", &out];
        room.ok(&[&line[..], &["--background", background]].concat());
        latent(&room, &out)
    };
    assert!(relative_error(&latent("black"), &latent("white")) > 1e-3);
}

#[test]
fn a_model_that_cannot_encode_says_which_file_is_missing() {
    let room = with_model();
    let frame = &still(&room, 32, 32, 1)[0];
    let encode = ["encode", frame.as_str(), "--model", "model", "--out", "x.safetensors"];
    let decode = ["decode", "golden.safetensors", "--model", "model", "--out", "x"];
    let merge = room.path("model").join(MERGE);
    let block = fs::read(&merge).unwrap();
    fs::remove_file(&merge).unwrap();
    room.refuses(&encode, 4, &["no merge block", "Wan-Alpha-v2-VAE.bin", "model"]);
    room.ok(&decode);
    fs::write(&merge, &block[..block.len() / 2]).unwrap();
    // What is torn is passed over, and then lacking.
    room.refuses(&encode, 4, &["no merge block", MERGE, "not a whole safetensors file"]);
    // Of a wider autoencoder.
    let wide = Tensor::zeros([96, 192, 1, 1, 1], (Kind::Float, tch::Device::Cpu));
    Tensor::write_safetensors(&[("middle.block.conv1.weight", wide)], &merge).unwrap();
    room.refuses(&encode, 4, &[MERGE, "middle.block.conv1.weight", "[16, 32, 1, 1, 1]"]);
    fs::write(&merge, block).unwrap();
    fs::remove_file(room.path("model").join(DECODERS)).unwrap();
    room.refuses(
        &["decode", "golden.safetensors", "--model", "model", "--out", "y"],
        4,
        &["no decoder LoRAs", "decoder.bin"],
    );
    room.ok(&encode);
    fs::remove_file(room.path("model").join(VAE)).unwrap();
    room.refuses(&encode, 4, &["no autoencoder", VAE]);
}

#[test]
fn clips_that_cannot_be_encoded() {
    let room = with_model();
    let fails = |frames: &[String], code: i32, words: &[&str]| {
        let mut line = vec!["encode"];
        line.extend(frames.iter().map(String::as_str));
        line.extend(["--model", "model", "--out", "x.safetensors"]);
        room.refuses(&line, code, words);
    };
    fails(&still(&room, 32, 32, 4), 2, &["the clip has 4 frames, expected 4n+1", "make it 1 or 5"]);
    fails(&still(&room, 40, 32, 1), 2, &["width is 40", "multiple of 16", "32 or 48"]);
    fails(&still(&room, 4, 32, 1), 2, &["width is 4,", "multiple of 16: pad it to 16"]);
    let mut mixed = still(&room, 32, 32, 4);
    mixed.extend(still(&room, 48, 32, 1));
    fails(&mixed, 2, &["still-48x32.png is 48 × 32", "all must be of one size"]);
    let opaque = room.path("opaque.png");
    image::RgbImage::new(32, 32).save(&opaque).unwrap();
    fails(&[opaque.to_str().unwrap().to_owned()], 2, &["opaque.png", "no alpha channel"]);
    fs::create_dir(room.path("empty")).unwrap();
    fails(&["empty".to_owned()], 2, &["the clip folder empty has no .png or .exr file"]);
    fails(&["nowhere".to_owned()], 2, &["the clip nowhere does not exist"]);
    let good = still(&room, 32, 32, 1);
    let line = |more: [&str; 2]| {
        let line = ["encode", good[0].as_str(), "--model", "model"];
        [&line[..], &more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let refused = |line: Vec<String>, words: &[&str]| {
        room.refuses(&line.iter().map(String::as_str).collect::<Vec<_>>(), 2, words);
    };
    refused(line(["--out", "model"]), &["cannot write the latent model", "a folder"]);
    let words = ["cannot write the latent no/where", "there is no folder no; make it first"];
    refused(line(["--out", "no/where"]), &words);
    refused(line(["--background", "grey"]), &["grey", "magenta"]);
}

/// As a folder that another process writes.
#[test]
fn a_file_that_another_process_writes_is_refused() {
    let room = with_model();
    let still = still(&room, 32, 32, 1);
    let frame = still[0].as_str();
    for (name, line) in [
        ("x.safetensors", &["encode", frame, "--model", "model", "--out", "x.safetensors"][..]),
        ("track.json", &["ellipse", "fit", frame, "--out", "track.json"]),
        ("look.png", &["ellipse", "show", "--ellipse", "0.5,0.5,0.3,0.3,0", "--out", "look.png"]),
    ] {
        let path = room.path(&format!(".wan-alpha-{name}.lock"));
        fs::write(&path, r#"{"host":"studio","pid":7}"#).unwrap();
        let lock = fs::File::options().read(true).write(true).open(&path).unwrap();
        lock.lock().unwrap();
        room.refuses(line, 2, &[name, "is being written to by process 7 on studio"]);
        drop(lock);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn latents_that_cannot_be_decoded() {
    let room = with_clip();
    let before = names(&room.path("clip"));
    let refused = |name: &str, words: &[&str], more: &[&str]| {
        let line = ["decode", name, "--model", "model", "--out", "clip"];
        room.refuses(&[&line[..], more].concat(), 2, words);
        assert_eq!(names(&room.path("clip")), before);
    };
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, tch::Device::Cpu));
    for (name, tensor, words) in [
        ("noise", zeros(&[16, 2, 4, 6]), "it has no tensor `latent` or `latent.final`, but noise"),
        ("latent", zeros(&[8, 2, 4, 6]), "its sizes are [8, 2, 4, 6], expected [16, frames"),
        ("latent", zeros(&[16, 2, 3, 6]), "both even"),
        ("latent", zeros(&[16, 2, 4, 6]) / 0.0, "not finite"),
    ] {
        Tensor::write_safetensors(&[(name, tensor)], room.path("bad.safetensors")).unwrap();
        refused("bad.safetensors", &["bad.safetensors", words], &[]);
    }
    fs::write(room.path("bad.safetensors"), b"cut").unwrap();
    refused("bad.safetensors", &["not a whole safetensors file", "Make it again"], &[]);
    refused("clip/rgba.0000.png", &["as a latent", "`wan-alpha encode`", "a PNG picture"], &[]);
    refused("none.safetensors", &["none.safetensors", "No such file"], &[]);
    let words = ["1 frame of 48 × 32", "the latent decodes to 5 frames of 48 × 32"];
    refused("golden.safetensors", &words, &["--compare", "clip/rgba.0000.png"]);

    // What is wrong with a frame of it is found while frames are written, and is bad input all the same.
    let other = still(&room, 32, 32, 1).remove(0);
    let frames = ["clip/rgba.0000.png"; 4].into_iter().chain([other.as_str()]).collect::<Vec<_>>();
    let line =
        ["decode", "golden.safetensors", "--model", "model", "--out", "compared", "--compare"];
    let refused = room.command(&[&line[..], &frames].concat()).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("is 32 × 32") && said.contains("all must be of one size"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn encoding_stops_soon_and_leaves_nothing() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use std::time::Duration;

    use support::pace::worked;

    let room = with_model();
    let frames = still(&room, 256, 256, 33);
    let before = names(room.folder());
    let mut line = vec!["encode"];
    line.extend(frames.iter().map(String::as_str));
    line.extend(["--model", "model", "--out", "x.safetensors"]);
    let mut child = room.command(&line).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("encoding 1/9")));
    let worked_before = worked(child.id());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let last = lines.last().unwrap();
    let worked_on = worked(child.id()) - worked_before;
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    assert!(worked_on < Duration::from_secs(3), "{worked_on:?}");
    assert!(last.contains("cancelled while encoding"), "{last}");
    assert_eq!(names(room.folder()), before);
}

#[cfg(target_os = "linux")]
#[test]
fn encoding_takes_no_more_memory_for_more_frames() {
    let room = with_model();
    let peak = |count| {
        let frames = still(&room, 256, 256, count);
        let mut line = vec!["encode"];
        line.extend(frames.iter().map(String::as_str));
        line.extend(["--model", "model", "--out", "x.safetensors"]);
        // Every large piece of memory goes back to the system when it is freed; which ones the C
        // library would keep for later differs by tens of megabytes from run to run.
        let mut command = room.command(&line);
        command.env("MALLOC_MMAP_THRESHOLD_", "131072");
        support::running::peak(command)
    };
    let (short, long) = (peak(9), peak(49));
    println!("9 frames: {} MB, 49 frames: {} MB", short >> 20, long >> 20);
    // Kept, the 40 frames more would take 40 MB, and what any one layer makes of them as much again.
    assert!(long <= short + (16 << 20), "{short} bytes grew to {long}");
}

#[test]
fn a_named_model_says_that_it_can_encode() {
    let room = with_model();
    let model = Case::named("t2v-euler").model();
    let (model, merge) = (model.to_str().unwrap(), format!("model/{MERGE}"));
    let said = room.ok(&["model", "add", "plain", model]);
    assert!(said.contains("can make: text to RGBA video\n"), "{said}");
    let said = room.ok(&["model", "add", "both", model, &merge]);
    assert!(said.contains("can make: text to RGBA video, RGBA clips to latents\n"), "{said}");
    assert!(said.contains("merge block") && said.contains("33 tensors matched"), "{said}");
    let frame = &still(&room, 32, 32, 1)[0];
    room.ok(&["encode", frame, "--model", "both", "--out", "x.safetensors"]);
    room.refuses(
        &["encode", frame, "--model", "plain", "--out", "y.safetensors"],
        4,
        &["no merge block", "Wan-Alpha-v2-VAE.bin"],
    );
}

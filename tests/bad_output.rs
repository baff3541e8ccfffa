//! Places that cannot be written to: the command says so, with the place and what to do, as early
//! as it can be known, and never replaces what is not its own.

#![cfg(unix)]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::reference::Case;
use support::render::{Render, files, names};
use support::studio::{Studio, told};

fn model() -> PathBuf {
    Case::named("t2v-euler").model()
}

#[test]
fn a_file_where_the_folder_should_be() {
    for below in ["", "/deeper"] {
        let render = Render::of(model());
        let file = render.file("out", "somebody's");
        let path = format!("{}{below}", file.display());
        let done = render.with("--out", &path).run();
        let done =
            done.failed(2, &["cannot write", &path, "a file, not a folder", "another place"]);
        assert_eq!(fs::read(done.out()).unwrap(), b"somebody's");
        // Known before the model is even looked into for its weights.
        assert!(!done.stderr.contains("reading the prompt"), "{}", done.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_made() {
    // Even root makes no folder there.
    let words = ["cannot write /proc/take", "choose another place"];
    Render::of(model()).with("--out", "/proc/take").run().failed(2, &words);
    let words = ["cannot write /proc/self", "choose another place"];
    Render::of(model()).with("--out", "/proc/self").run().failed(2, &words);
}

#[test]
fn files_of_others_under_our_names() {
    for there in [&["rgba.0000.exr", "rgba.0007.png"][..], &["contact-sheet.png"], &["take.json"]] {
        let render = Render::of(model());
        for name in there {
            render.file(&format!("out/{name}"), "somebody's");
        }
        let done = render.run().failed(2, &["already holds", there[0], "choose another --out"]);
        assert_eq!(names(&done.out()), there);
        assert!(files(&done.out()).values().all(|content| content == b"somebody's"));
    }
}

#[test]
fn a_disk_that_is_full_for_a_frame() {
    // take.json fits, a frame of 64 × 64 halves does not.
    let render = Render::of(model()).size(64, 64, 5).with("--format", "exr").largest_file(8 << 10);
    let done =
        render.run().failed(1, &["cannot write", "rgba.0000.exr", "ulimit -f", "another place"]);
    assert_eq!(names(&done.out()), ["take.json"]);
    assert_eq!(done.take()["state"], "unfinished");
}

#[test]
fn a_disk_that_is_full_in_the_middle() {
    let render = || Render::of(model()).size(32, 32, 5).with("--format", "exr");
    let whole = files(&render().run().succeeded().out());
    let size = |frame| whole[frame].len() as u64;
    let room = size("rgba.0000.exr");
    assert!(size("rgba.0001.exr") > room, "frame 1 must be the first that does not fit");

    let done = render().largest_file(room).run();
    let done = done.failed(1, &["cannot write", "rgba.0001.exr", "ulimit -f", "another place"]);
    assert_eq!(names(&done.out()), ["rgba.0000.exr", "take.json"]);
    assert_eq!(files(&done.out())["rgba.0000.exr"], whole["rgba.0000.exr"]);
    assert_eq!(done.take()["state"], "unfinished");
}

#[test]
fn a_disk_that_is_full_for_the_dump() {
    let render = Render::of(model()).size(32, 32, 5).with("--format", "exr").dumped();
    let dump = render.file("dump.safetensors", "an earlier dump");
    // All of the take fits, its sheet included.
    let done = render.largest_file(200 << 10).run();
    let done = done.failed(1, &["cannot write the dump", "dump.safetensors"]);
    assert!(done.stderr.contains("full") || done.stderr.contains("large"), "{}", done.stderr);
    assert_eq!(fs::read(dump).unwrap(), b"an earlier dump");
    assert!(done.out().join("rgba.0004.exr").exists());
    assert_eq!(done.take()["state"], "unfinished");
}

#[test]
fn a_dump_where_nothing_can_be_written() {
    let render = Render::of(model()).over_a_previous_take();
    let missing = render.path("nowhere/dump.safetensors");
    let done = render.with("--dump", &missing).run();
    let words = ["cannot write the dump", "nowhere/dump.safetensors", "make it first"];
    done.failed(2, &words).kept_the_previous_take();

    let render = Render::of(model()).over_a_previous_take();
    let folder = render.path("tmp");
    let done = render.with("--dump", &folder).run();
    done.failed(2, &["cannot write the dump", "tmp", "a folder"]).kept_the_previous_take();
}

#[test]
fn a_dump_does_not_replace_a_device_or_a_pipe() {
    // A rename would; as root it would even replace /dev/full.
    let render = Render::of(model()).over_a_previous_take();
    let pipe = render.path("pipe");
    make_pipe(&pipe);
    let done = render.with("--dump", &pipe).run();
    done.failed(2, &["cannot write the dump", "pipe", "not a file"]).kept_the_previous_take();

    let render = Render::of(model()).with("--dump", "/dev/full");
    render.run().failed(2, &["cannot write the dump /dev/full", "not a file"]);
    assert!(fs::metadata("/dev/full").is_ok_and(|full| full.file_type().is_char_device()));
}

#[test]
fn what_is_written_may_be_read_as_the_umask_says() {
    let done = Render::of(model()).dumped().run().succeeded();
    let ordinary = done.path("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode();
    let expected = mode(ordinary);
    assert_eq!(mode(done.path("dump.safetensors")), expected);
    for name in names(&done.out()) {
        assert_eq!(mode(done.out().join(&name)), expected, "{name}");
    }
}

#[allow(unsafe_code)]
fn make_pipe(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name ends in the zero byte that the call looks for, and outlives it.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

/// A render of `tiny` into a folder of the studio.
fn tiny<'a>(out: &'a str, steps: &'a str) -> Vec<&'a str> {
    let take = ["render", "--model", "tiny", "--prompt", "fire", "--width", "32", "--height", "32"];
    let rest = ["--frames", "1", "--threads", "1", "--no-store", "--steps", steps, "--out", out];
    [&take[..], &rest].concat()
}

/// Code and words of a command that fails.
fn failed(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !said.contains("panicked"), "{said}");
    assert!(!said.contains(".wan-alpha-"), "{said}");
    (output.status.code(), said)
}

#[test]
fn two_commands_do_not_mix_their_files_and_a_killed_one_holds_nothing() {
    let studio = Studio::new();
    let out = studio.path("out");
    let folder = out.to_str().unwrap();
    let latent = studio.path("latent.safetensors");
    let dump = [&tiny("elsewhere", "1")[..], &["--dump", latent.to_str().unwrap()]].concat();
    told(studio.command("run", &dump).current_dir(studio.path("")).output().unwrap());

    let long = tiny(folder, "1000").into_iter().map(|word| if word == "32" { "96" } else { word });
    let mut first = studio.command("run", &long.collect::<Vec<_>>());
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !names(&out).iter().any(|name| name.starts_with(".wan-alpha-lock")) {
        assert!(first.try_wait().unwrap().is_none(), "it has ended without a lock");
        std::thread::sleep(Duration::from_millis(5));
    }
    let latent = latent.to_str().unwrap();
    let decode = ["decode", latent, "--model", "tiny", "--out", folder];
    for second in [&tiny(folder, "1")[..], &decode] {
        let output = studio.run(second);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let words = format!("is being written to by process {}", first.id());
        assert!(said.contains(&words), "{second:?}: {said}");
    }
    // Without a chance to take its lock away.
    first.kill().unwrap();
    first.wait().unwrap();
    studio.ok(&tiny(folder, "1"));
    let expected = ["contact-sheet.png", "rgba.0000.exr", "rgba.0000.png", "take.json"];
    assert_eq!(names(&out), expected);
}

/// The words of each verb that writes, up to its output, and the lock of that.
fn writing<'a>(
    [draft, request, set, clip, take]: [&'a str; 5],
) -> Vec<(Vec<&'a str>, &'static str)> {
    let seeds = ["--seeds", "1..2", "--sheet"];
    let service = ["--endpoint", "http://localhost:9/v1", "--model", "m", "--out"];
    let words: [(&[&[&'a str]], _); 15] = [
        (&[&["model", "pack", "x", draft, "--out"]], "packed/.wan-alpha-lock"),
        (&[&["model", "export", draft, "--diffusers"]], "exported/.wan-alpha-lock"),
        (&[&["model", "export", draft, "--comfyui"]], ".wan-alpha-comfy.safetensors.lock"),
        (
            &[&["model", "quantize", "tiny", "--to", "q8_0", "--name"]],
            "models/small/.wan-alpha-lock",
        ),
        (&[&["take", "make", request], &seeds], ".wan-alpha-sheet.png.lock"),
        (&[&["take", "export", take, "--out"]], "frames/.wan-alpha-lock"),
        (&[&["take", "gallery", "--out"]], "gallery/.wan-alpha-lock"),
        (&[&["encode", clip, "--model", draft, "--out"]], ".wan-alpha-latent.safetensors.lock"),
        (&[&["ellipse", "fit", clip, "--out"]], ".wan-alpha-track.json.lock"),
        (&[&["eval", "takes", clip, "--json"]], ".wan-alpha-takes.json.lock"),
        (&[&["data", "check", set, "--out"]], "report/.wan-alpha-lock"),
        (&[&["data", "cache", set, "--model", draft, "--out"]], "cache/.wan-alpha-lock"),
        (&[&["data", "caption", set], &service], ".wan-alpha-captioned.csv.lock"),
        (&[&["data", "procedural", "--count", "1", "--out"]], "drawn/.wan-alpha-lock"),
        (&[&["man", "--out"]], "pages/.wan-alpha-lock"),
    ];
    words.into_iter().map(|(words, lock)| (words.concat(), lock)).collect()
}

#[test]
fn what_another_process_writes_is_refused_with_its_number_and_machine() {
    let studio = Studio::new();
    let path = |name: &str| studio.path(name).to_str().unwrap().to_owned();
    let draft = concat!(env!("CARGO_MANIFEST_DIR"), "/resources/draft-model");
    let (request, set, clip) = (studio.request("a.json", 1, 5), path("set.csv"), path("clip"));
    studio.ok(&["take", "make", &request]);
    let take = studio.takes()[0].0.file_stem().unwrap().to_str().unwrap().to_owned();
    fs::create_dir(&clip).unwrap();
    image::RgbaImage::new(32, 32).save(studio.path("clip/f.0001.png")).unwrap();
    fs::write(&set, "colour,caption\nclip,transparent\n").unwrap();
    let lock = "{\"host\":\"another-machine\",\"pid\":7}";
    for (arguments, held) in writing([draft, &request, &set, &clip, &take]) {
        let out = match held.strip_prefix(".wan-alpha-").and_then(|name| name.strip_suffix(".lock"))
        {
            Some(file) => path(file),
            None if held.starts_with("models") => "small".to_owned(),
            None => path(held.split('/').next().unwrap()),
        };
        let held = studio.path(held);
        fs::create_dir_all(held.parent().unwrap()).unwrap();
        fs::write(&held, lock).unwrap();
        let output = studio.run(&[&arguments[..], &[&out]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        let words = "is being written to by process 7 on another-machine: wait until it has ended";
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(fs::read_to_string(&held).unwrap(), lock, "{arguments:?}");
        assert!(!Path::new(&out).is_file(), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_printed_is_an_error() {
    let studio = Studio::empty();
    for arguments in
        [&["take", "where"][..], &["take", "list"], &["model", "list"], &["--help"], &["--version"]]
    {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = failed(studio.command("run", arguments).stdout(full));
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to the standard output"), "{said}");
    }
}

#[test]
fn places_of_results_are_tried_before_anything_is_computed() {
    let studio = Studio::new();
    let path = |name: &str| studio.path(name).to_str().unwrap().to_owned();
    let clip = path("clip");
    studio.ok(&tiny(&clip, "1"));
    let frame = path("clip/rgba.0000.png");
    let nowhere = path("nowhere/result");
    let draft = concat!(env!("CARGO_MANIFEST_DIR"), "/resources/draft-model");
    let refused = |arguments: &[&str], words: &[&str]| {
        let (code, said) = failed(&mut studio.command("run", arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
    };
    for arguments in [
        &["eval", "takes", &clip, "--json"][..],
        &["eval", "reconstruction", &clip, &clip, "--html"],
        &["ellipse", "fit", &frame, "--out"],
        &["ellipse", "show", "--ellipse", "0.5,0.5,0.5,0.5,0", "--out"],
        &["encode", &clip, "--model", draft, "--out"],
    ] {
        refused(&[arguments, &[&nowhere]].concat(), &["cannot write", "nowhere/result"]);
    }
    refused(&["ellipse", "fit", &frame, "--out", "/dev/null"], &["cannot write /dev/null"]);
    // What is read is not written over.
    refused(&["ellipse", "fit", &frame, "--out", &frame], &["--out", "which is read"]);
    let model = ["--model", draft, "--out", &frame];
    refused(&[&["encode", &frame][..], &model].concat(), &["which is read"]);
    refused(&["eval", "takes", &clip, "--json", &path("clip/rgba.0000.exr")], &["which is read"]);
    let prompt = path("prompt.txt");
    fs::write(&prompt, "fire").unwrap();
    let asked = format!("@{prompt}");
    let render =
        ["render", "--model", "tiny", "--prompt", &asked, "--out", &clip, "--dump", &prompt];
    refused(&render, &["--dump", "which is read"]);
    assert_eq!(fs::read(&prompt).unwrap(), b"fire");

    let request = studio.request("a.json", 1, 5);
    for (name, more) in [("WAN_ALPHA_STORE", &[][..]), ("WAN_ALPHA_RUN", &["--engine"])] {
        let mut command = studio.command("run", &[&["take", "make", &request][..], more].concat());
        let (code, said) = failed(command.env(name, &prompt));
        assert_eq!(code, Some(2), "{name}: {said}");
    }
}

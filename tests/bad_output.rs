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

use support::reference::Case;
use support::render::{Render, files, names};

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
        let done = done.failed(2, &["cannot write", &path, "a file, not a folder", "--out"]);
        assert_eq!(fs::read(done.out()).unwrap(), b"somebody's");
        // Known before the model is even looked into for its weights.
        assert!(!done.stderr.contains("reading the prompt"), "{}", done.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_made() {
    // Even root makes no folder there.
    let words = ["cannot write /proc/take", "choose another --out"];
    Render::of(model()).with("--out", "/proc/take").run().failed(2, &words);
    let words = ["cannot write /proc/self", "choose another --out"];
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
    let done = render.run().failed(1, &["cannot write", "rgba.0000.exr", "ulimit -f", "--out"]);
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
    let done = done.failed(1, &["cannot write", "rgba.0001.exr", "ulimit -f", "--out"]);
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
    let words = ["cannot write the dump", "nowhere/dump.safetensors", "No such file"];
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

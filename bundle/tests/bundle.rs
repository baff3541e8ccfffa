//! The real bundle, made by the command and carried away.
//!
//! Takes minutes where nothing is built yet: the engine is compiled for release, and the plug-in is
//! linked by zig, which set-up fetches (103 MB). Seconds after that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NAME: &str = "WanAlpha.ofx.bundle";

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    output
}

/// What a program says in an environment with nothing in it but `variables`.
fn says(program: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables.iter().copied());
    String::from_utf8(run(&mut command).stdout).unwrap()
}

/// How many plug-ins a file says it holds, asked as a host asks.
#[allow(unsafe_code)]
fn number_of_plugins(plugin: &Path) -> i32 {
    // SAFETY: the plug-in of this project, whose initialisers do nothing but what Rust's standard
    // library does; the function has the signature that OpenFX gives it.
    unsafe {
        let library = libloading::Library::new(plugin).unwrap();
        let number: libloading::Symbol<'_, unsafe extern "C" fn() -> i32> =
            library.get(b"OfxGetNumberOfPlugins").unwrap();
        number()
    }
}

/// Libraries that a program really loads, by the loader's own word.
fn loaded(program: &Path, variables: &[(&str, &Path)]) -> Vec<PathBuf> {
    let mut command = Command::new(program);
    command.arg("--version").env_clear().env("LD_TRACE_LOADED_OBJECTS", "1");
    let output = run(command.envs(variables.iter().copied()));
    let text = String::from_utf8(output.stdout).unwrap();
    let path = |line: &str| Some(PathBuf::from(line.split(" => ").nth(1)?.split(" (").next()?));
    text.lines().filter_map(path).collect()
}

#[test]
fn the_real_bundle_works_wherever_it_is_carried() {
    let made = tempfile::tempdir().unwrap();
    let out = made.path().join("made");
    let output = run(xtask(&["bundle", "--to"]).arg(&out));
    let said = String::from_utf8_lossy(&output.stderr);
    let row = said.lines().find(|line| line.contains("Linux-x86-64/WanAlpha.ofx")).unwrap();
    assert!(row.contains(" 2.28  "), "the plug-in is linked for glibc 2.28: {row}");

    // Carried away; what it was made from stays behind under its old name.
    let carried = made.path().join("else where");
    fs::create_dir(&carried).unwrap();
    fs::rename(out.join(NAME), carried.join(NAME)).unwrap();
    let binaries = carried.join(NAME).join("Contents/Linux-x86-64");
    let engine = binaries.join("wan-alpha");
    let version = concat!("wan-alpha ", env!("CARGO_PKG_VERSION"));
    assert_eq!(says(&engine, &["--version"], &[]).trim(), version);
    let told = says(&engine, &["engine", "status"], &[]);
    assert!(!told.trim().is_empty(), "engine status says something");
    assert_eq!(number_of_plugins(&binaries.join("WanAlpha.ofx")), 1);

    // A host's LD_LIBRARY_PATH with another libtorch in it changes nothing.
    let theirs = made.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    for name in ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13"] {
        fs::write(theirs.join(name), "no library").unwrap();
    }
    let host = [("LD_LIBRARY_PATH", theirs.as_path())];
    assert_eq!(says(&engine, &["--version"], &host).trim(), version);
    let libraries = loaded(&engine, &host);
    for name in ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13"] {
        let found = libraries.iter().find(|path| path.ends_with(name)).unwrap();
        assert_eq!(
            found.canonicalize().unwrap(),
            binaries.join("lib").join(name).canonicalize().unwrap()
        );
    }

    // Installed from there, and gone again.
    let place = made.path().join("OFX/Plugins");
    let to = place.to_str().unwrap();
    run(xtask(&["install", "--to", to, "--from"]).arg(carried.join(NAME)));
    let installed = place.join(NAME).join("Contents/Linux-x86-64/wan-alpha");
    assert_eq!(says(&installed, &["--version"], &[]).trim(), version);
    run(&mut xtask(&["uninstall", "--to", to]));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}

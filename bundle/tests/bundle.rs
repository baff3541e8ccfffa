//! The real bundle, made by the command, carried away, installed, and shown by the demo.
//!
//! Compiled as the tests are, whose crates the engine shares; what is released differs in how far it is
//! optimized. Takes minutes where nothing is built yet: the plug-in's crates are compiled for the system that zig
//! links it for, which set-up fetches (103 MB). Seconds after that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "WanAlpha.ofx.bundle";

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

/// Runs to the end. What it says meanwhile, of crates that are compiled for minutes, is said on: whoever
/// runs the tests takes silence for a test that hangs.
fn run(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut answers = child.stdout.take().unwrap();
    let answered = thread::spawn(move || {
        let mut stdout = Vec::new();
        answers.read_to_end(&mut stdout).map(|_| stdout)
    });
    let mut stderr = Vec::new();
    let mut words = BufReader::new(child.stderr.take().unwrap());
    let mut end = 0;
    while words.read_until(b'\n', &mut stderr).unwrap() > 0 {
        // Not by `print!`, which is kept back until a test has failed.
        std::io::stdout().write_all(&stderr[end..]).unwrap();
        end = stderr.len();
    }
    let stdout = answered.join().unwrap().unwrap();
    let output = Output { status: child.wait().unwrap(), stdout, stderr };
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
    // SAFETY: the plug-in of this project, whose initializers do nothing but what Rust's standard
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
    let output = run(xtask(&["bundle", "--profile", "dev", "--to"]).arg(&out));
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
    let told = says(&engine, &["doctor"], &[("HOME", made.path())]);
    assert!(told.contains("is the one that this program lies in"), "{told}");

    // What shells and `man` read is in it, and the terms of all that it holds.
    let resources = carried.join(NAME).join("Contents/Resources");
    for (file, words) in [
        ("completions/wan-alpha.bash", "--prompt"),
        ("completions/_wan-alpha", "--prompt"),
        ("completions/wan-alpha.fish", "prompt"),
        ("man/man1/wan-alpha.1", "render"),
        ("man/man1/wan-alpha-model-get.1", "token"),
        ("licences/crates.txt", "\ntch "),
        ("licences/libtorch-parts.txt", "third_party/fbgemm"),
        ("licences/noto-font.txt", "SIL OPEN FONT LICENSE"),
    ] {
        let text = fs::read_to_string(resources.join(file)).unwrap();
        assert!(text.contains(words), "{file} has no `{words}`");
    }

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

    // It makes a take there, and signs it by the library that it has beside it.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/t2v/model");
    let out = made.path().join("take");
    let mut line = vec!["render", "--model", model.to_str().unwrap(), "--prompt", "a bubble"];
    line.extend(["--width", "64", "--height", "64", "--frames", "1", "--steps", "1"]);
    line.extend(["--no-store", "--out", out.to_str().unwrap()]);
    let signing = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/signing");
    let [chain, key] = ["es256.pem", "es256.key"].map(|name| signing.join(name));
    line.extend(["--sign", chain.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    says(&engine, &line, &[]);
    assert!(out.join("rgba.0000.exr").is_file() && out.join("contact-sheet.png").is_file());
    let frame = out.join("rgba.0000.png");
    let told = says(&engine, &["inspect", frame.to_str().unwrap()], &[]);
    assert!(told.contains("holds, by Signer es256"), "{told}");

    // The check for a card runs to its end on it, as where there is no driver.
    let no_driver = made.path().join("no driver");
    fs::create_dir(&no_driver).unwrap();
    let driver = no_driver.join("nvidia-smi");
    fs::write(&driver, "#!/bin/sh\nexit 9\n").unwrap();
    fs::set_permissions(&driver, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = [no_driver].into_iter().chain(std::env::split_paths(&path));
    let results = made.path().join("check");
    let mut check = xtask(&["gpu-check", "--minutes", "30", "--bundle"]);
    check.arg(carried.join(NAME)).arg("--out").arg(&results);
    run(check.env("PATH", std::env::join_paths(path).unwrap()));
    let page = fs::read_to_string(results.join("gpu-check.md")).unwrap();
    for row in ["| machine | done |", "| take | left out |", "| large | left out |"] {
        assert!(page.contains(row), "{page}");
    }
    assert_eq!(fs::read_dir(&results).unwrap().count(), 2, "lines and page, and nothing else");
    assert_eq!(processes_of(made.path()), [""; 0]);

    // Installed from there, twice, beside another version, and gone again.
    let place = made.path().join("OFX/Plugins");
    let install = || {
        let mut command = xtask(&["install", "--to"]);
        command.arg(&place).arg("--from").arg(carried.join(NAME));
        command
    };
    let installed = |folder: &str| place.join(folder).join(NAME).join("Contents/Linux-x86-64");
    run(&mut install());
    let said = String::from_utf8(run(&mut install()).stderr).unwrap();
    assert!(said.contains("in the place of") && said.contains("OFX_PLUGIN_PATH"), "{said}");
    let only_here = resources.join("THIS-MACHINE-ONLY.txt").is_file();
    assert_eq!(said.contains("warning: this bundle may not run on other machines"), only_here);
    assert_eq!(says(&installed("").join("wan-alpha"), &["--version"], &[]).trim(), version);
    run(xtask(&["uninstall", "--to"]).arg(&place));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);

    run(install().arg("--keep-old"));
    let plist = carried.join(NAME).join("Contents/Info.plist");
    let text = fs::read_to_string(&plist).unwrap();
    fs::write(&plist, text.replace(env!("CARGO_PKG_VERSION"), "99.0.0")).unwrap();
    run(install().arg("--keep-old"));
    let both = [env!("CARGO_PKG_VERSION"), "99.0.0"].map(|version| format!("WanAlpha-{version}"));
    for folder in &both {
        let binaries = installed(folder);
        assert_eq!(number_of_plugins(&binaries.join("WanAlpha.ofx")), 1);
        let libraries = loaded(&binaries.join("wan-alpha"), &[]);
        let torch = libraries.iter().find(|path| path.ends_with("libtorch_cpu.so")).unwrap();
        assert!(torch.canonicalize().unwrap().starts_with(&binaries), "{}", torch.display());
    }
    let output = xtask(&["uninstall", "--to"]).arg(&place).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("0.1.0, 99.0.0"), "{said}");
    run(xtask(&["uninstall", "--version", "99.0.0", "--to"]).arg(&place));
    assert!(installed(&both[0]).is_dir() && !place.join(&both[1]).exists());
}

/// Processes that were started with this folder in their environment, or in their command line.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let known = processes.filter_map(|process| {
        let text = |file: &str| {
            let bytes = fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let line = text("cmdline");
        (line.contains(needle) || text("environ").contains(needle))
            .then(|| format!("{}: {line}", process.display()))
    });
    known.collect()
}

#[test]
fn the_demo_leaves_frames_and_no_process() {
    let made = tempfile::tempdir().unwrap();
    let out = made.path().join("demo");
    let output = run(xtask(&["demo", "--profile", "dev", "--out"]).arg(&out));
    assert_eq!(processes_of(made.path()), [""; 0]);
    let page = String::from_utf8(output.stdout).unwrap();
    for words in ["The take is made: 17 frames of 96x96", "contact-sheet.png", "DRAFT", "install"] {
        assert!(page.contains(words), "{words} is not in:\n{page}");
    }
    for (kind, count) in [("exr", 17), ("png", 17)] {
        assert_eq!(fs::read_dir(out.join(kind)).unwrap().count(), count);
    }

    // Broken off as soon as the engine is there, by a signal that nothing can be done about.
    let mut demo =
        xtask(&["demo", "--profile", "dev", "--out"]).arg(&out).process_group(0).spawn().unwrap();
    let log = out.join("state/wan-alpha/engine.log");
    let deadline = Instant::now() + Duration::from_secs(600);
    // The earlier one goes first.
    while out.join("exr").exists() || !log.exists() {
        assert!(demo.try_wait().unwrap().is_none(), "the demo ended before its engine began");
        assert!(Instant::now() < deadline, "the engine does not begin");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!processes_of(made.path()).is_empty());
    let group = format!("-{}", demo.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    demo.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while !processes_of(made.path()).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes_of(made.path()));
        thread::sleep(Duration::from_millis(100));
    }
}

//! Which device computes, and what is said where it cannot be a card: against stand-ins for CUDA's
//! half of libtorch and for CUDA's runtime, since no machine of these tests has a card.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use support::stand_in::{StandIn, built, compile};
use wan_alpha_take::engine::server::start_thread;

/// What a render of the draft model's smallest take says; on a stand-in it ends where the card would
/// have to compute.
fn render(stand_in: &StandIn, device: &[&str], environment: &[(&str, &str)]) -> (String, Output) {
    let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let out = stand_in.path("out");
    let (draft, out) = (draft.to_str().unwrap(), out.to_str().unwrap());
    let given = ["render", "--model", draft, "--prompt", "a ball", "--out", out, "--frames", "1"];
    let given = given.into_iter().chain(["--width", "64", "--height", "64", "--steps", "1"]);
    let mut command = stand_in.command(&given.chain(device.iter().copied()).collect::<Vec<_>>());
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    (said, output)
}

#[test]
fn a_card_is_chosen_by_its_free_memory_or_by_name() {
    let stand_in = StandIn::new();
    let cuda2 = "GPU-12121212-1212-1212-1212-121212121212";
    for (device, environment, card) in [
        (&[][..], &[][..], 1),
        (&["--device", "auto"], &[("STAND_IN_FREE", "9,8,23")], 2),
        (&[], &[("STAND_IN_DISPLAY", "1")], 2),
        (&[], &[("STAND_IN_CARDS", "1")], 0),
        (&["--device", "cuda:0"], &[], 0),
        (&["--device", "2"], &[], 2),
        (&["--device", cuda2], &[], 2),
        (&["--device", "MIG-1212"], &[("STAND_IN_MIG", "1")], 2),
        (&[], &[("WAN_ALPHA_DEVICE", "MIG-10101010"), ("STAND_IN_MIG", "1")], 0),
        (&[], &[("WAN_ALPHA_DEVICE", "cuda:0")], 0),
        (&["--device", "cuda:2"], &[("WAN_ALPHA_DEVICE", "cuda:0")], 2),
    ] {
        let (said, output) = render(&stand_in, device, environment);
        let part = if environment.contains(&("STAND_IN_MIG", "1")) { " MIG 1g.10gb" } else { "" };
        let told =
            format!("computing on Stand-in {card}{part} (cuda:{card}, compute capability 9.0");
        assert!(said.contains(&told), "{device:?} {environment:?}: {said}");
        assert!(said.contains("[stand-in for libtorch_cuda is loaded]"), "{said}");
        assert!(!output.status.success() && output.status.signal().is_none(), "{said}");
    }
}

#[test]
fn only_the_chosen_card_keeps_a_context() {
    let stand_in = StandIn::new();
    let (said, _) = render(&stand_in, &[], &[]);
    let given_back = |card: u8| said.contains(&format!("[card {card} is given back]"));
    assert!(given_back(0) && !given_back(1) && given_back(2), "{said}");
    let (said, _) = render(&stand_in, &["--device", "cuda:0"], &[]);
    assert!(!said.contains("is given back"), "{said}");
}

#[test]
fn a_card_that_is_not_there_is_refused_with_those_that_are() {
    let stand_in = StandIn::new();
    for (name, environment, words) in [
        ("cuda:3", &[][..], &["--device cuda:3", "3 cards are visible", "Stand-in 2 (cuda:2"][..]),
        ("GPU-ff", &[("CUDA_VISIBLE_DEVICES", "0,1,2")], &["CUDA_VISIBLE_DEVICES is `0,1,2`"]),
        ("cuda:0", &[("STAND_IN_CAPABILITY", "75")], &["7.5", "8.0", "Ampere"]),
    ] {
        let (said, output) = render(&stand_in, &["--device", name], environment);
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
    let (said, output) = render(&stand_in, &[], &[("WAN_ALPHA_DEVICE", "gpu")]);
    assert!(said.contains("WAN_ALPHA_DEVICE") && said.contains("`gpu`"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}

/// How a machine is made unable, the words for it, and the words of the remedy.
type Lack = (fn() -> StandIn, &'static [(&'static str, &'static str)], &'static [&'static str]);

const LACKS: [Lack; 10] = [
    (that_is_cut_short, &[], &["is cut short", "setup --cuda"]),
    (StandIn::new, &[("STAND_IN_DRIVER", "0")], &["no NVIDIA driver", "580"]),
    (StandIn::new, &[("STAND_IN_DRIVER", "12040")], &["CUDA 12.4", "CUDA 13.0", "too old", "580"]),
    (StandIn::new, &[("STAND_IN_CARDS", "0")], &["shows no card", "nvidia-smi -L"]),
    (
        StandIn::new,
        &[("STAND_IN_CARDS", "0"), ("CUDA_VISIBLE_DEVICES", "7")],
        &["CUDA_VISIBLE_DEVICES is `7`", "unset CUDA_VISIBLE_DEVICES"],
    ),
    (
        StandIn::new,
        &[("STAND_IN_BROKEN", "802")],
        &["cudaErrorSystemNotReady", "802", "not yet initialized", "nvidia-smi"],
    ),
    (StandIn::new, &[("STAND_IN_CAPABILITY", "61")], &["6.1", "bfloat16", "Ampere"]),
    (StandIn::without_cuda, &[], &["libtorch_cuda.so", "is not in", "cargo xtask setup --cuda"]),
    (of_another_build, &[], &["1.0.0+cu90", "cargo xtask setup --cuda` again"]),
    (that_fails_to_load, &[], &["cannot be opened", "nowhere_to_be_found", "setup --cuda"]),
];

fn of_another_build() -> StandIn {
    let stand_in = StandIn::new();
    stand_in.say_build("1.0.0+cu90");
    stand_in
}

fn that_is_cut_short() -> StandIn {
    let stand_in = StandIn::new();
    let library = fs::File::options().write(true).open(stand_in.lib.join("libtorch_cuda.so"));
    library.unwrap().set_len(20_000).unwrap();
    stand_in
}

fn that_fails_to_load() -> StandIn {
    let stand_in = StandIn::new();
    let source = stand_in.path("broken.c");
    fs::write(&source, "void nowhere_to_be_found(void); void f(void) { nowhere_to_be_found(); }")
        .unwrap();
    // Every symbol must be there when it is opened.
    let flags = ["-Wl,-z,now".to_owned()];
    compile(&stand_in.lib, source.to_str().unwrap(), "libtorch_cuda.so", &flags);
    stand_in
}

#[test]
fn what_keeps_a_card_unused_is_told_with_what_mends_it() {
    for (make, environment, words) in LACKS {
        let stand_in = make();
        // Asked for by name it is an error …
        let (said, output) = render(&stand_in, &["--device", "cuda:0"], environment);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
        // … by itself the CPU computes, and says why.
        let (said, output) = render(&stand_in, &[], environment);
        assert!(said.contains("computing on the CPU"), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(output.status.success(), "{said}");
        let record = fs::read_to_string(stand_in.path("out/take.json")).unwrap();
        let plain = environment.contains(&("STAND_IN_DRIVER", "0"));
        assert_eq!(record.contains("computing on the CPU"), !plain, "{record}");
        // … and doctor says it before anything is waited for, but for what shows only in opening.
        if words.contains(&"nowhere_to_be_found") {
            continue;
        }
        let mut doctor = stand_in.command(&["doctor"]);
        let output = doctor.envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let device = said.split("device ").nth(1).unwrap_or_default();
        assert!(words.iter().all(|word| device.contains(word) || *word == "580"), "{said}");
    }
}

#[test]
fn a_bundle_is_mended_by_a_bundle() {
    let mut stand_in = StandIn::without_cuda();
    let folder = stand_in.path("WanAlpha.ofx.bundle/Contents/Linux-x86-64");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("wan-alpha");
    fs::rename(&stand_in.program, &program).unwrap();
    stand_in.program = program;
    let (said, _) = render(&stand_in, &["--device", "cuda:0"], &[]);
    assert!(said.contains("cargo xtask bundle --cuda") && !said.contains("xtask setup"), "{said}");
}

#[test]
fn libraries_beside_the_program_win_over_those_of_the_host() {
    let stand_in = StandIn::new();
    let host = stand_in.path("host");
    fs::create_dir(&host).unwrap();
    let part = |of: &str| [format!("-DPART=\"{of}\"")];
    compile(&host, "cudnn.c", "libcudnn_graph.so.9", &part("the host"));
    compile(&stand_in.lib, "cudnn.c", "libcudnn_graph.so.9", &part("the bundle"));
    // As NVIDIA builds it: its own folder comes after LD_LIBRARY_PATH.
    let late = ["-Wl,--enable-new-dtags,-rpath,$ORIGIN".to_owned()];
    compile(&host, "cudnn.c", "libcudnn.so.9", &late);
    compile(&stand_in.lib, "cudnn.c", "libcudnn.so.9", &late);
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join(".setup/libtorch/include");
    let mut flags = ["-std=c++20", "-O0", "-I", include.to_str().unwrap(), "-Wl,--no-as-needed"]
        .map(String::from)
        .to_vec();
    flags.extend(late);
    flags.extend([format!("-L{}", stand_in.lib.display()), "-l:libcudnn.so.9".to_owned()]);
    fs::remove_file(stand_in.lib.join("libtorch_cuda.so")).unwrap();
    compile(&stand_in.lib, "libtorch_cuda.cpp", "libtorch_cuda.so", &flags);

    let host = host.to_str().unwrap();
    let (said, _) = render(&stand_in, &["--device", "cuda:0"], &[("LD_LIBRARY_PATH", host)]);
    assert!(said.contains("[cuDNN of the bundle]"), "{said}");
}

#[test]
fn nothing_is_asked_of_libtorch_before_cuda_is_open() {
    let stand_in = StandIn::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let model = data.join("t2v-euler/model");
    let model = model.to_str().unwrap();
    let here = |name: &str| stand_in.path(name).to_str().unwrap().to_owned();
    let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let draft = draft.to_str().unwrap();

    // On the CPU, what the verbs need: a clip, its latent, a set.
    let plain = |arguments: &[&str]| {
        let output = stand_in.command(arguments).env("STAND_IN_DRIVER", "0").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    };
    let size = ["--frames", "1", "--width", "64", "--height", "64", "--steps", "1"];
    let take = here("take");
    let rendered = [
        "render",
        "--model",
        draft,
        "--prompt",
        "a ball",
        "--no-store",
        "--out",
        &take,
        "--format",
        "png",
    ];
    plain(&rendered.into_iter().chain(size).collect::<Vec<_>>());
    let (frames, latent) = (here("take/rgba.####.png"), here("latent.safetensors"));
    plain(&["encode", &frames, "--model", draft, "--out", &latent]);
    plain(&["model", "add", "tiny", model]);
    plain(&["model", "add", "draft", draft]);
    let (out, set) = (here("out"), here("set"));
    plain(&[
        "data",
        "procedural",
        "--count",
        "1",
        "--size",
        "64x64",
        "--frames",
        "1",
        "--out",
        &set,
    ]);
    let settings = here("settings.toml");
    fs::write(&settings, SETTINGS).unwrap();
    let table = here("set/table.csv");

    let render: Vec<&str> = ["render", "--model", draft, "--prompt", "a", "--out", &out]
        .into_iter()
        .chain(size)
        .collect();
    let request = here("take/take.json");
    let again = here("again.safetensors");
    for arguments in [
        &render[..],
        &["take", "make", &request],
        &["encode", &frames, "--model", draft, "--out", &again],
        &["decode", &latent, "--model", draft, "--out", &out],
        &["eval", "reconstruction", &frames, "--model", draft],
        &["data", "cache", &table, "--model", draft, "--out", &out, "--area", "64x64"],
        &["train", &settings, "--out", &out],
    ] {
        let mut command = stand_in.command(arguments);
        command.args(["--device", "cuda:1"]).env("STAND_IN_GUARD", "1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("[guard:"), "{arguments:?}: {said}");
        assert!(said.contains("computing on Stand-in 1"), "{arguments:?}: {said}");
    }
    // The guard itself: CUDA's half is not there, and the CPU computes.
    let missing = StandIn::without_cuda();
    let mut command = missing.command(&render);
    let output = command.env("STAND_IN_GUARD", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("[guard:") && output.status.signal().is_some(), "{said}");
    let _ = built();
}

/// A run that begins from nothing.
const SETTINGS: &str = r#"
seed = 1
steps = 1
batch = 1
[task]
kind = "base-vae"
dim = 16
perceptual = 0.0
[data]
procedural = 1
frames = 1
height = 64
width = 64
"#;

/// A script to be started as the engine: the program where CUDA is played, as it is told to be. What
/// starts an engine hands on neither LD_PRELOAD nor what the stand-ins are told. `before` are lines
/// that come first.
fn engine_program(stand_in: &StandIn, told: &[(&str, &str)], before: &str) -> String {
    let script = stand_in.path("engine");
    let told: String = told.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    let preload = built().join("libcudart.so");
    let (preload, program) = (preload.display(), stand_in.program.display());
    let text = format!("#!/bin/sh\n{before}{told}LD_PRELOAD='{preload}' exec '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

/// What `engine status --json` says once `is_so`, as long as the engine, or who has it started, lives.
#[track_caller]
fn status(stand_in: &StandIn, starter: &mut Child, is_so: impl Fn(&Value) -> bool) -> Value {
    /// Longer than anything takes; only a failure lasts so long.
    const PATIENCE: Duration = Duration::from_secs(600);
    let begun = Instant::now();
    loop {
        let output = stand_in.command(&["engine", "status", "--json"]).output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if is_so(&report) {
            return report;
        }
        let ended = starter.try_wait().unwrap();
        if ended.is_some() || begun.elapsed() > PATIENCE {
            let read = |name: &str| fs::read_to_string(stand_in.path(name)).unwrap_or_default();
            panic!(
                "the engine never says so. Its status: {report}, {}\nWho started it ({ended:?}) said: \
                 {}\nThe engine's log: {}",
                String::from_utf8_lossy(&output.stderr),
                read(SAID),
                read("run/wan-alpha/engine.log")
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Where a command that is not waited for leaves what it says.
const SAID: &str = "said";

/// Starts a command that is not waited for.
fn begin(stand_in: &StandIn, command: &mut Command) -> Child {
    let said = fs::File::create(stand_in.path(SAID)).unwrap();
    command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

#[test]
fn an_engine_opens_its_card_in_the_same_way_and_tells_it() {
    let stand_in = StandIn::new();
    for (device, environment, said) in [
        (&[][..], &[][..], "Stand-in 1 (cuda:1"),
        (&["--device", "cuda:0"], &[], "Stand-in 0 (cuda:0"),
        (&["--device", "cuda:2"], &[], "Stand-in 2 (cuda:2"),
        (&[], &[("STAND_IN_DRIVER", "12040")], "the CPU"),
        (&[], &[("STAND_IN_DRIVER", "0")], "the CPU"),
    ] {
        let arguments: Vec<_> = ["engine", "run"].iter().chain(device).collect();
        let arguments: Vec<_> = arguments.into_iter().copied().collect();
        let mut command = stand_in.command(&arguments);
        let mut engine = begin(&stand_in, command.envs(environment.iter().copied()));
        let report = status(&stand_in, &mut engine, |report| {
            report["device"].is_string() && report["opening_seconds"].is_null()
        });
        assert!(report["device"].as_str().unwrap().contains(said), "{said}: {report}");
        let unused = report["unused"].as_str().unwrap_or_default();
        let told = |driver: &str| environment.contains(&("STAND_IN_DRIVER", driver));
        assert_eq!(unused.contains("CUDA 12.4"), told("12040"), "{report}");
        let log = fs::read_to_string(stand_in.path("run/wan-alpha/engine.log")).unwrap();
        assert!(log.contains(said), "{log}");
        // Where there is no driver nobody is told to wait for CUDA.
        let opens = log
            .lines()
            .rev()
            .find_map(|line| line.split_once("wan_alpha::engine] opening "))
            .unwrap()
            .1;
        assert_eq!(opens, if told("0") { "the CPU" } else { "CUDA" }, "{log}");
        let stopped = stand_in.command(&["engine", "stop"]).output().unwrap();
        assert!(stopped.status.success());
        engine.wait().unwrap();
    }
    let output = stand_in.command(&["engine", "run", "--device", "cuda:3"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--device cuda:3: 3 cards are visible"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}

#[test]
fn an_engine_that_opens_for_half_a_minute_is_waited_for_and_says_so() {
    let stand_in = StandIn::new();
    let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let out = stand_in.path("out");
    let (draft, out) = (draft.to_str().unwrap(), out.to_str().unwrap());
    let add = ["model", "add", "draft", draft];
    assert!(stand_in.command(&add).output().unwrap().status.success());
    let mut render = stand_in.command(&[
        "render", "--engine", "--model", "draft", "--prompt", "a ball", "--out", out, "--frames",
        "1", "--width", "64", "--height", "64", "--steps", "1",
    ]);
    let told = [("STAND_IN_LOAD_SECONDS", "30")];
    // Its files lie on a slow folder.
    let engine = engine_program(&stand_in, &told, "sleep 7\n");
    let mut render = begin(&stand_in, render.env("WAN_ALPHA_ENGINE", engine));
    let opening =
        status(&stand_in, &mut render, |report| report["opening_seconds"].as_u64() >= Some(2));
    assert_eq!(opening["device"], "CUDA", "{opening}");
    let text = stand_in.command(&["engine", "status"]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("opening") && text.contains("CUDA"), "{text}");
    let status = render.wait().unwrap();
    let said = fs::read_to_string(stand_in.path(SAID)).unwrap();
    assert!(
        said.contains("the engine is not ready 5 s after its start, and is waited for"),
        "{said}"
    );
    assert!(said.contains("the engine opens CUDA"), "{said}");
    // The stand-in computes nothing: the take fails, where and because the card would compute.
    assert!(!status.success() && !said.contains("did not listen"), "{said}");
    let _ = stand_in.command(&["engine", "stop"]).output();
}

#[test]
fn an_engine_that_still_opens_its_card_ends_when_it_is_told_to() {
    let stand_in = StandIn::new();
    let mut command = stand_in.command(&["engine", "run"]);
    let mut engine = begin(&stand_in, command.env("STAND_IN_LOAD_SECONDS", "100"));
    status(&stand_in, &mut engine, |report| report["opening_seconds"].as_u64() >= Some(1));
    let begun = Instant::now();
    let stopped = stand_in.command(&["engine", "stop"]).output().unwrap();
    let said = String::from_utf8_lossy(&stopped.stderr);
    assert!(stopped.status.success(), "{said}");
    assert_eq!(engine.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// Tells that it is being opened, and is so until somebody answers.
const SLOW_LIBRARY: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int answered;
__attribute__((constructor)) static void opened(void) {
  close(open(FOLDER "/opening", O_CREAT | O_WRONLY, 0600));
  for (int tenths = 0; tenths < 300 && !answered; ++tenths) {
    usleep(100000);
    answered = access(FOLDER "/answer", F_OK) == 0;
  }
}
"#;

#[test]
#[allow(unsafe_code)]
fn a_thread_of_the_engine_goes_on_while_a_library_is_being_opened() {
    let room = tempfile::tempdir().unwrap();
    let [source, opening, answer] =
        ["slow.c", "opening", "answer"].map(|name| room.path().join(name));
    fs::write(&source, SLOW_LIBRARY).unwrap();
    let folder = [format!("-DFOLDER=\"{}\"", room.path().display())];
    compile(room.path(), source.to_str().unwrap(), "libslow.so", &folder);
    let work = move || {
        while !opening.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // As a lock does that somebody else has.
        let mutex = Mutex::new(());
        let _ = Condvar::new().wait_for(&mut mutex.lock(), Duration::from_millis(1));
        fs::write(&answer, "").unwrap();
    };
    let thread = start_thread("tested", work).unwrap();
    // SAFETY: its one initialiser, above, makes a file and waits.
    let library = unsafe { libloading::Library::new(room.path().join("libslow.so")) }.unwrap();
    // SAFETY: the symbol is an int.
    let answered = unsafe { **library.get::<*const i32>(b"answered").unwrap() };
    thread.join().unwrap();
    assert_eq!(answered, 1, "the thread was held up until the library was open");
}

#[test]
fn doctor_says_at_once_why_its_engine_ends() {
    let stand_in = StandIn::new();
    for (device, words) in [("gpu", "found `gpu`"), ("cuda:9", "WAN_ALPHA_DEVICE=cuda:9")] {
        let mut doctor = stand_in.command(&["doctor"]);
        let output = doctor.env("WAN_ALPHA_DEVICE", device).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let engine = said.split("engine ").nth(1).unwrap_or_default();
        assert!(engine.contains(words), "{said}");
    }
}

#[test]
fn an_engine_without_the_card_it_was_asked_for_says_why_to_who_waits() {
    let stand_in = StandIn::new();
    let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let (draft, out) = (draft.to_str().unwrap(), stand_in.path("out"));
    assert!(stand_in.command(&["model", "add", "draft", draft]).output().unwrap().status.success());
    let mut render = stand_in.command(&[
        "render",
        "--engine",
        "--model",
        "draft",
        "--prompt",
        "a ball",
        "--frames",
        "1",
        "--width",
        "64",
        "--height",
        "64",
        "--steps",
        "1",
        "--out",
        out.to_str().unwrap(),
    ]);
    let told = [("STAND_IN_DRIVER", "12040")];
    render.env("WAN_ALPHA_ENGINE", engine_program(&stand_in, &told, ""));
    let output = render.env("WAN_ALPHA_DEVICE", "cuda:0").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("CUDA 12.4") && said.contains("580"), "{said}");
    assert!(!output.status.success(), "{said}");
}

//! Which device computes, and what is said where it cannot be a card: against stand-ins for CUDA's
//! half of libtorch and for CUDA's runtime, since no machine of these tests has a card.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;

use support::stand_in::{StandIn, built, compile};

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

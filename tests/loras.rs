//! LoRAs by what they are, and any number of them beside a model: by name and by file, in place and by
//! the engine.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::json;
use support::model::{self, DISTILL, Tensors};
use support::reference::{Case, relative_error};
use support::render::{Done, Render};
use support::room::Room;
use support::studio::Studio;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_take::TakeRequest;

const TARGETS: [&str; 3] =
    ["blocks.0.self_attn.q", "blocks.1.cross_attn.v", "blocks.1.self_attn.o"];

/// What is recorded of a LoRA, in the folder of its name.
const RECORD: &str = "wan-alpha-lora.json";

fn case() -> Case {
    Case::named("t2v-euler")
}

/// The tensors of the reference's transformer.
fn transformer() -> Tensors {
    model::Parts::of(&case()).dit
}

/// A LoRA of rank 2 that changes three layers, by a number.
fn lora(seed: i64) -> Tensors {
    let dit = transformer();
    let mut number = seed;
    let mut random = |shape: [i64; 2]| {
        let count: i64 = shape.iter().product();
        let mut next = || {
            number = (number * 48_271) % 2_147_483_647;
            number as f32 / 2_147_483_647.0 - 0.5
        };
        let numbers: Vec<f32> = (0..count).map(|_| next()).collect();
        Tensor::from_slice(&numbers).reshape(shape) * 0.5
    };
    let mut tensors = Tensors::new();
    for target in TARGETS {
        let shape = dit[&format!("{target}.weight")].size();
        let (down, up) = (random([2, shape[1]]), random([shape[0], 2]));
        tensors.insert(format!("diffusion_model.{target}.lora_A.weight"), down);
        tensors.insert(format!("diffusion_model.{target}.lora_B.weight"), up);
    }
    tensors
}

fn write(folder: &Path, name: &str, seed: i64) -> PathBuf {
    let path = folder.join(name);
    model::write(&path, &lora(seed));
    path
}

fn latent(done: &Done) -> Tensor {
    done.dump().read(Device::cpu(), "latent.final").unwrap()
}

fn key(done: &Done) -> String {
    let request = TakeRequest::from_json(&done.take()["request"].to_string()).unwrap();
    request.key().unwrap().to_string()
}

/// The reference model with all of its adapters merged by the program, and LoRAs by this test.
fn write_merged(case: &Case, bare: &Path, loras: &[(i64, f64)]) {
    let room = Room::new();
    let merged = room.path("merged.safetensors");
    let source = case.model();
    let paths = [source.to_str().unwrap(), "--out", merged.to_str().unwrap(), "--dtype", "f32"];
    room.ok(&[&["model", "merge"][..], &paths].concat());
    model::Parts::of(case).write_single_files(bare);
    for name in ["dora.safetensors", "distill.safetensors"] {
        std::fs::remove_file(bare.join(name)).unwrap();
    }
    let mut tensors = model::read(&merged);
    for (seed, strength) in loras {
        let lora = lora(*seed);
        for target in TARGETS {
            let half = |half: &str| &lora[&format!("diffusion_model.{target}.lora_{half}.weight")];
            let change = half("B").matmul(half("A")) * *strength;
            let name = format!("{target}.weight");
            let sum = tensors[&name].to_kind(Kind::Float) + change;
            tensors.insert(name, sum);
        }
    }
    model::write(&bare.join("wan2.1_t2v.safetensors"), &tensors);
}

#[test]
fn two_loras_make_the_take_of_weights_merged_beforehand() {
    let case = case();
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = [("ink.safetensors", 7), ("smoke.safetensors", 11)]
        .map(|(n, s)| write(folder.path(), n, s));
    let words = |list: [(&PathBuf, &str); 2]| {
        list.map(|(path, strength)| format!("{}:{strength}", path.display()))
    };
    let take = |words: [String; 2]| {
        let words = [words[0].as_str(), words[1].as_str()];
        case.render([case.model()]).with_all("--lora", &words).run().succeeded()
    };
    let both = take(words([(&one, "0.7"), (&other, "-0.4")]));
    assert_eq!(both.warnings(), [""; 0]);

    let bare = tempfile::tempdir().unwrap();
    write_merged(&case, bare.path(), &[(7, 0.7), (11, -0.4)]);
    let beforehand = case.render([bare.path()]).run().succeeded();
    let error = relative_error(&latent(&both), &latent(&beforehand));
    assert!(error <= 1e-5, "{error:e}");
    let without = case.render([case.model()]).run().succeeded();
    assert!(relative_error(&latent(&without), &latent(&beforehand)) > 1e-2);

    // Order and strengths are part of the take's name; without LoRAs the request is of version 1.
    let keys = [
        key(&both),
        key(&take(words([(&other, "-0.4"), (&one, "0.7")]))),
        key(&take(words([(&one, "0.7"), (&other, "-0.3")]))),
        key(&without),
    ];
    assert!((0..4).all(|i| (0..i).all(|j| keys[i] != keys[j])), "{keys:?}");
    assert_eq!(without.take()["request"]["version"], 1);
    let request = &both.take()["request"];
    assert_eq!(
        (&request["version"], &request["loras"][1]["strength"]),
        (&2.into(), &(-0.4).into())
    );
    assert_eq!(request["model_fingerprint"], without.take()["request"]["model_fingerprint"]);
    // One of strength 0 is none.
    let off = case.render([case.model()]).with("--lora", format!("{}:0", one.display()));
    assert_eq!(key(&off.run().succeeded()), key(&without));
}

#[test]
fn a_lora_is_step_distillation_only_where_something_says_so() {
    let model = model::Copy::of("t2v-euler").remove(DISTILL);
    let style = write(model.folder(), "my_style_lora.safetensors", 3);
    let render = || Render::of(model.folder()).with("--steps", "9");
    let done = render().run().succeeded();
    let request = &done.take()["request"];
    assert_eq!(request["guidance"], 5.0);
    let [warning] = &done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(
        warning.contains("my_style_lora") && warning.contains("step distillation"),
        "{warning}"
    );
    // Both at once: the second is known by its name.
    std::fs::rename(&style, model.path("style.safetensors")).unwrap();
    write(model.folder(), "wan_4steps_lora.safetensors", 5);
    let done = Render::of(model.folder()).run().succeeded();
    assert_eq!(done.take()["request"]["guidance"], 1.0);
    assert_eq!(done.warnings(), [""; 0]);
    let room = Room::new();
    let added = room.ok(&["model", "add", "both", model.folder().to_str().unwrap()]);
    assert!(added.contains("step distillation by its name (`4step`)"), "{added}");
    assert!(
        added.contains("LoRA") && added.contains("nothing in it says step distillation"),
        "{added}"
    );
}

#[test]
fn a_file_goes_beside_the_model_that_ships_and_keeps_its_defaults() {
    let room = Room::new();
    let ones = |size: [i64; 2]| Tensor::ones(size, (Kind::Float, Device::cpu().tch()));
    let module = "diffusion_model.blocks.0.self_attn.q";
    let pair = Tensors::from([
        (format!("{module}.lora_A.weight"), ones([2, 256])),
        (format!("{module}.lora_B.weight"), ones([256, 2])),
    ]);
    model::write(&room.path("style.safetensors"), &pair);
    let request = |out: &str, model: &[&str]| {
        let line = ["render", "--prompt", "a ball", "--frames", "1", "--steps", "1", "--out", out];
        room.ok(&[&line[..], &["--no-store", "--format", "png", "--model"], model].concat());
        room.json(&format!("{out}/take.json"))["request"].clone()
    };
    let plain = request("plain", &["draft"]);
    let styled = request("styled", &["draft", "style.safetensors"]);
    assert_ne!(plain["model_fingerprint"], styled["model_fingerprint"]);
    // So it does beside the folder of a model with a record, and where both are given a name.
    let ships = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let beside = request("beside", &[ships.to_str().unwrap(), "style.safetensors"]);
    room.ok(&["model", "add", "inked", ships.to_str().unwrap(), "style.safetensors"]);
    let named = request("named", &["inked"]);
    for default in ["width", "height", "shift", "guidance", "mu_scale", "solver"] {
        for with in [&styled, &beside, &named] {
            assert_eq!(plain[default], with[default], "{default}");
        }
    }
    assert_eq!(styled["model_fingerprint"], named["model_fingerprint"]);
}

#[test]
fn what_is_of_wan_2_2_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["style_high_noise.safetensors", "Wan2.2-T2V-lightning.safetensors"] {
        let path = write(folder.path(), name, 3);
        let words = [name, "is of Wan2.2", "Wan2.1 T2V"];
        Render::of(case().model()).with("--lora", &path).run().failed(4, &words);
        Render::of_files([&case().model(), &path]).run().failed(4, &words);
        // Beside a whole model it does no harm.
        let model = model::Copy::of("t2v-euler");
        std::fs::copy(&path, model.path(name)).unwrap();
        let done = Render::of(model.folder()).run().succeeded();
        assert!(done.warnings()[0].contains("is of Wan2.2"), "{:?}", done.warnings());
    }
}

#[test]
fn what_is_no_lora_is_refused_and_unknown_names_are_listed() {
    let render = || Render::of(case().model());
    let word = |word: &str, code, words: &[&str]| {
        render().with("--lora", word).run().failed(code, words);
    };
    word("ink", 4, &["no LoRA `ink`", "LoRAs known: none", "model add --lora"]);
    word("no/such.safetensors:0.5", 2, &["no/such.safetensors", "there is no such file"]);
    word(":0.5", 2, &["names no LoRA"]);
    let file = |name: &str| case().model().join(name).to_str().unwrap().to_owned();
    word(&file("decoder.bin"), 4, &["no LoRA of a transformer", "decoders"]);
    word(&file("Wan2.1_VAE.pth"), 4, &["no LoRA of a transformer"]);
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "ink.safetensors", 3);
    word(&format!("{}:11", good.display()), 2, &["the strength of LoRA ink is 11", "-10 to 10"]);
    for what in [good.to_str().unwrap(), "ink"] {
        let words = ["the strength `abc` is no number", "-10 to 10"];
        word(&format!("{what}:abc"), 2, &words);
    }
    let mut wide = lora(3);
    wide.insert(
        format!("diffusion_model.{}.lora_A.weight", TARGETS[0]),
        Tensor::ones([2, 7], (Kind::Float, Device::cpu().tch())),
    );
    model::write(&good, &wide);
    word(good.to_str().unwrap(), 4, &["ink.safetensors", "expected [rank,", "[2, 7]"]);
}

#[test]
fn a_named_lora_is_added_used_by_the_engine_and_forgotten() {
    let studio = Studio::new();
    let file = write(&studio.path("."), "ink.safetensors", 7);
    let (added, _) = studio.ok(&["model", "add", "--lora", "ink", file.to_str().unwrap()]);
    assert!(added.contains("the LoRA ink is recorded") && added.contains("fingerprint"), "{added}");
    let (list, _) = studio.ok(&["model", "list"]);
    assert!(list.contains("ink: a LoRA, "), "{list}");
    assert!(studio.ok(&["model", "verify", "ink"]).0.contains("is what it was"));
    let fingerprint = added.lines().find_map(|line| line.strip_prefix("fingerprint ")).unwrap();
    let with = |name: &str, strength: f64| {
        let lora = json!({ "name": "elsewhere", "fingerprint": fingerprint, "strength": strength });
        studio.request_with(name, 1, 1, |request| {
            request["version"] = json!(2);
            request["loras"] = json!([lora]);
        })
    };
    let make = |request: &str| studio.ok(&["take", "make", "--engine", request]).0;
    let plain = make(&studio.request("plain.json", 1, 1));
    // The warm model is loaded anew with the LoRA, and with another strength, and without.
    let (half, whole) = (make(&with("half.json", 0.5)), make(&with("whole.json", 1.0)));
    let other = make(&studio.request("other.json", 2, 1));
    let read = |path: &String| std::fs::read(path.trim()).unwrap();
    let by_engine = [&plain, &half, &whole, &other].map(read);
    studio.ok(&["engine", "stop"]);
    for (path, request) in [(&half, "half.json"), (&other, "other.json")] {
        std::fs::remove_file(path.trim()).unwrap();
        let request = studio.path(request);
        let again = studio.ok(&["take", "make", request.to_str().unwrap()]).0;
        assert_eq!(&again, path);
    }
    assert_eq!([&plain, &half, &whole, &other].map(read), by_engine);

    assert!(studio.ok(&["model", "remove", "ink"]).0.contains("is forgotten"));
    let gone = studio.run(&["take", "make", &with("gone.json", 0.25)]);
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(!gone.status.success() && said.contains("no LoRA here has the fingerprint"), "{said}");
    assert!(said.contains("`elsewhere`") && said.contains("model add --lora"), "{said}");
}

#[test]
fn a_file_that_cannot_be_merged_is_not_recorded() {
    let room = Room::new();
    let refused = |tensors: &Tensors, words: &[&str]| {
        let file = room.path("ink.safetensors");
        model::write(&file, tensors);
        let said = room.fails(&["model", "add", "--lora", "ink", file.to_str().unwrap()], 4);
        assert!(said.contains("ink.safetensors"), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
    };
    let [down, up] =
        ["A", "B"].map(|half| format!("diffusion_model.{}.lora_{half}.weight", TARGETS[0]));
    let with = |name: &str, tensor: Option<Tensor>| {
        let mut tensors = lora(3);
        tensors.remove(name);
        tensors.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
        tensors
    };
    let shape = lora(3)[&up].size();
    let floats = (Kind::Float, Device::cpu().tch());
    refused(&with(&up, None), &[&down, "its other half is missing", "fetch it again"]);
    for number in [f64::NAN, f64::NEG_INFINITY] {
        let up_with = Tensor::full(&shape[..], number, floats);
        refused(&with(&up, Some(up_with)), &[&up, "NaN or infinite"]);
    }
    let wide = Tensor::ones([shape[0], 3], floats);
    refused(&with(&up, Some(wide)), &[&up, "of rank 2"]);
    let mut none = with(&up, Some(Tensor::ones([shape[0], 0], floats)));
    none.insert(down.clone(), Tensor::ones([0, 4], floats));
    refused(&none, &[&down, "a rank of 1 or more"]);
    let folder = room.folder().to_str().unwrap();
    let said = room.fails(&["model", "add", "--lora", "ink", folder], 4);
    assert!(said.contains("is a folder") && said.contains("name the file in it"), "{said}");
    assert!(room.ok(&["model", "list"]).lines().all(|line| !line.contains("a LoRA")));
}

#[test]
fn a_name_stands_for_one_thing_and_only_that_is_removed() {
    let studio = Studio::new();
    let file = write(&studio.path("."), "style.safetensors", 7);
    let file = file.to_str().unwrap();
    let model = case().model();
    studio.ok(&["model", "add", "--lora", "ink", file]);
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = studio.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
    };
    let words = ["`ink` is the name of a LoRA", "model remove --lora ink"];
    refused(&["model", "add", "ink", model.to_str().unwrap()], &words);
    let words = ["`tiny` is the name of a model", "another name for the LoRA"];
    refused(&["model", "add", "--lora", "tiny", file], &words);
    refused(&["model", "add", "--lora", "draft", file], &["`draft` is the name of a model"]);
    refused(
        &["model", "add", "", model.to_str().unwrap()],
        &["`` is not a model's name", "1 to 100"],
    );
    refused(&["model", "add", "--lora", "", file], &["a LoRA's", "1 to 100"]);

    let again = studio.ok(&["model", "add", "--lora", "ink", file]).0;
    assert!(again.contains("it was recorded before, and does the same"), "{again}");
    let other = write(&studio.path("."), "other.safetensors", 9);
    let replaced = studio.ok(&["model", "add", "--lora", "ink", other.to_str().unwrap()]).0;
    assert!(
        replaced.contains("in place of ") && replaced.contains("style.safetensors"),
        "{replaced}"
    );

    // An earlier version gave one name to both.
    let records = |name: &str| studio.path("models").join(name);
    let record = std::fs::read_to_string(records("ink").join(RECORD)).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["name"] = json!("tiny");
    std::fs::write(records("tiny").join(RECORD), record.to_string()).unwrap();
    let said = studio.ok(&["model", "remove", "tiny"]).0;
    assert!(said.contains("the LoRA tiny stays") && said.contains("remove --lora tiny"), "{said}");
    assert!(studio.ok(&["model", "list"]).0.contains("tiny: a LoRA"));
    let said = studio.ok(&["model", "remove", "--lora", "tiny"]).0;
    assert!(said.contains("the LoRA tiny is forgotten"), "{said}");
    assert!(!records("tiny").exists() && Path::new(file).is_file());
    assert!(!studio.run(&["model", "remove", "--lora", "tiny"]).status.success());
}

#[test]
fn a_lora_is_shown_and_looked_at_by_doctor() {
    let studio = Studio::new();
    let file = write(&studio.path("."), "style.safetensors", 7);
    studio.ok(&["model", "add", "--lora", "ink", file.to_str().unwrap()]);
    let shown = studio.ok(&["model", "show", "ink"]).0;
    for words in ["ink: a LoRA", "fingerprint ", "style.safetensors, ", "3 tensors", "rank 2"] {
        assert!(shown.contains(words), "`{words}` is not in: {shown}");
    }
    let shown = studio.ok(&["model", "show", "ink", "--json"]).0;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["lora"]["changes"], &shown["lora"]["ranks"]), (&json!(3), &json!([2, 2])));
    let doctor = studio.ok(&["doctor"]).0;
    assert!(doctor.contains("LoRAs        ink"), "{doctor}");
    std::fs::write(&file, "torn").unwrap();
    let output = studio.run(&["doctor"]);
    let doctor = String::from_utf8(output.stdout).unwrap();
    assert!(
        !output.status.success() && doctor.contains("do: wan-alpha model add --lora ink"),
        "{doctor}"
    );
}

#[test]
fn what_is_named_is_not_hidden_by_a_folder_of_that_name() {
    let studio = Studio::new();
    std::fs::create_dir(studio.path("tiny")).unwrap();
    let mut command = studio.command(
        "run",
        &["plan", "--device", "cpu", "--frames", "1", "--size", "32x32", "--model", "tiny"],
    );
    let output = command.current_dir(studio.path(".")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("by `tiny` on the CPU"), "{said}");
    // A path is a path.
    let mut command = studio.command(
        "run",
        &["plan", "--device", "cpu", "--frames", "1", "--size", "32x32", "--model", "./tiny"],
    );
    let output = command.current_dir(studio.path(".")).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}

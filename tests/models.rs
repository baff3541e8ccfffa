//! Models by name, from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::room::Room;

impl Room {
    /// A copy of a reference model.
    fn model(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/t2v-euler/model");
        copy(&from, &folder);
        folder
    }

    /// The frames of a small take.
    fn frames(&self, model: &str, out: &str) -> Vec<Vec<u8>> {
        let out = self.path(out);
        let folder = out.to_str().unwrap();
        let size = ["--width", "48", "--height", "32", "--frames", "5", "--threads", "1"];
        let what = ["render", "--model", model, "--prompt", "smoke", "--out", folder];
        self.ok(&[&what[..], &size, &["--format", "png", "--no-store"]].concat());
        let pixels = |frame| {
            let path = out.join(format!("rgba.{frame:04}.png"));
            image::open(path).unwrap().into_rgba16().into_raw()
        };
        (0..5)
            .map(|frame| pixels(frame).iter().flat_map(|v: &u16| v.to_le_bytes()).collect())
            .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::write(&target, fs::read(&path).unwrap()).unwrap();
        }
    }
}

#[test]
fn a_model_is_added_listed_used_verified_and_forgotten() {
    let room = Room::with_models();
    let folder = room.model("download");
    // Until then, what ships.
    assert!(room.ok(&["model", "list"]).starts_with("draft (auto): "));
    let unknown = ["render", "--prompt", "x", "--out", "o", "--model", "tiny"];
    room.fails_with(&unknown, 4, &["model `tiny`", "models known: draft", "model add"]);
    let added = room.ok(&["model", "add", "tiny", folder.to_str().unwrap()]);
    for part in [
        "transformer",
        "DoRA",
        "distillation",
        "color decoder",
        "text encoder",
        "tokenizer",
        "autoencoder",
        "fingerprint",
    ] {
        assert!(added.contains(part), "{part}: {added}");
    }
    assert!(added.contains("tensors matched") && added.contains("0 keys unmatched"), "{added}");
    assert!(room.ok(&["model", "list"]).starts_with("tiny (auto): "));
    assert!(room.ok(&["model", "show", "tiny"]).contains("fingerprint"));
    assert!(room.ok(&["model", "where"]).contains("auto is tiny"));
    let json =
        |words: &[&str]| -> serde_json::Value { serde_json::from_str(&room.ok(words)).unwrap() };
    let list = json(&["model", "list", "--json"]);
    let [tiny, draft] = &list["models"].as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&tiny["name"], &tiny["auto"]), (&"tiny".into(), &true.into()));
    assert_eq!((&draft["name"], &draft["auto"]), (&"draft".into(), &false.into()));
    let shown = json(&["model", "show", "tiny", "--json"]);
    assert_eq!((&shown["fingerprint"], &shown["merged"]), (&tiny["fingerprint"], &().into()));
    let parts = shown["parts"].as_array().unwrap();
    let part = |name: &str| parts.iter().find(|part| part["part"] == name).unwrap();
    assert!(part("transformer")["parameters"].as_u64() > Some(0));
    assert_eq!(part("color decoder")["unmatched"], 0);
    assert!(part("tokenizer")["files"][0].as_str().unwrap().ends_with("tokenizer.json"));
    assert_eq!(json(&["model", "where", "--json"])["auto"]["name"], "tiny");
    assert!(room.ok(&["model", "verify", "tiny"]).contains("is what it was"));
    assert_eq!(room.frames("tiny", "by-name"), room.frames(folder.to_str().unwrap(), "by-path"));
    let take = fs::read_to_string(room.path("by-path/take.json")).unwrap();
    let take: Value = serde_json::from_str(&take).unwrap();
    let fingerprint = take["request"]["model_fingerprint"].as_str().unwrap();
    assert!(added.contains(fingerprint), "{added}");

    room.ok(&["model", "remove", "tiny"]);
    assert!(folder.join("config.json").is_file());
    room.fails_with(&["model", "show", "tiny"], 4, &["model `tiny`", "models known: draft"]);
}

/// Nor does it become `auto`, which every later call would fail by.
#[test]
fn a_record_that_cannot_be_done_makes_no_model() {
    let room = Room::with_models();
    let folder = room.path("download");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model"), &folder);
    let record = folder.join("wan-alpha.json");
    let mut changed: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    changed["defaults"]["frames"] = 18.into();
    fs::write(&record, changed.to_string()).unwrap();
    let add = ["model", "add", "odd", folder.to_str().unwrap()];
    room.fails_with(&add, 2, &["what the record of odd says it does cannot be done", "18"]);
    assert!(room.ok(&["model", "where"]).contains("auto is draft"));
}

#[test]
fn an_incomplete_download_is_told_what_it_lacks() {
    let room = Room::with_models();
    let folder = room.model("download");
    fs::remove_file(folder.join("decoder.bin")).unwrap();
    fs::remove_file(folder.join("models_t5_umt5-xxl-enc-bf16.pth")).unwrap();
    let add = ["model", "add", "tiny", folder.to_str().unwrap()];
    room.fails_with(&add, 4, &["no text encoder", "no decoder LoRAs (decoder.bin)"]);
    room.fails_with(&["model", "add", "../x", "y"], 2, &["not a model's name"]);
    assert!(!room.path("models").exists());
}

#[test]
fn foreign_files_among_the_parts_of_a_model_that_is_added_are_told_in_a_line_each() {
    let room = Room::new();
    let folder = room.model("download");
    let foreign: [(&str, &[u8]); 5] = [
        ("yolo.pt", b"\x80\x02}q\x00."),
        ("page.bin", b"<!DOCTYPE html><html></html>"),
        ("empty.ckpt", b""),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("torn.gguf", b"GGUF\x03\x00"),
    ];
    for (name, bytes) in foreign {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let output = room.run(&["model", "add", "tiny", folder.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    for (name, _) in foreign {
        assert_eq!(said.lines().filter(|line| line.contains(name)).count(), 1, "{name}: {said}");
    }
}

#[test]
fn a_changed_file_is_noticed() {
    let room = Room::with_models();
    let folder = room.model("download");
    room.ok(&["model", "add", "tiny", folder.to_str().unwrap()]);
    let dora = folder.join("wan-alpha-dora.safetensors");
    let mut bytes = fs::read(&dora).unwrap();
    bytes.push(0);
    fs::write(&dora, bytes).unwrap();
    let words = ["wan-alpha-dora.safetensors has changed", "model add tiny"];
    room.fails_with(&["render", "--model", "tiny", "--prompt", "x", "--out", "o"], 4, &words);
}

#[test]
fn a_model_whose_file_is_gone_is_incomplete_to_every_command_and_told_by_what_can_be_typed() {
    let room = Room::with_models();
    let folder = room.model("download");
    room.ok(&["model", "add", "tiny", folder.to_str().unwrap()]);
    let pack = ["model", "pack", "other", folder.to_str().unwrap(), "--out", "packed"];
    room.ok(&pack);
    let gone = |model: &str, advice: &str| {
        let render = ["render", "--model", model, "--prompt", "x", "--out", "o"];
        let calls: [&[&str]; 2] = [&render, &["plan", "--model", model]];
        for call in calls {
            let output = room.command(call).env("WAN_ALPHA_BATCH", "1").output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(4), "{said}");
            assert!(said.ends_with("WAN_ALPHA_FAILED model-incomplete\n"), "{said}");
            assert!(said.contains("Wan2.1_VAE.pth is gone; ") && said.contains(advice), "{said}");
        }
    };
    fs::remove_file(folder.join("Wan2.1_VAE.pth")).unwrap();
    gone("tiny", "run `wan-alpha model add tiny` with its files again");
    room.fails_with(&["model", "verify", "tiny"], 4, &["Wan2.1_VAE.pth is gone"]);
    fs::remove_file(room.path("packed/Wan2.1_VAE.pth")).unwrap();
    gone(
        "./packed",
        "copy the folder ./packed again from where it is whole, or remove ./packed/wan-alpha.json",
    );
}

#[test]
fn a_merged_model_makes_the_same_takes() {
    let room = Room::with_models();
    let folder = room.model("download");
    let path = folder.to_str().unwrap();
    let expected = room.frames(path, "before");
    let merged = room.path("merged.safetensors");
    room.ok(&["model", "merge", path, "--dtype", "f32", "--out", merged.to_str().unwrap()]);
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["diffusion", "wan-alpha-dora", "lightx2v"].iter().any(|start| name.starts_with(start)) {
            fs::remove_file(&file).unwrap();
        }
    }
    fs::rename(&merged, folder.join("merged.safetensors")).unwrap();
    assert!(room.frames(path, "after") == expected);
    // It knows what was merged into it: four steps without guidance, and no warning.
    let take = fs::read_to_string(room.path("after/take.json")).unwrap();
    let take: Value = serde_json::from_str(&take).unwrap();
    assert_eq!(take["request"]["steps"], 4);
    assert_eq!(take["warnings"], serde_json::json!([]));
}

#[test]
fn a_broken_record_is_warned_of_once_and_its_reason_told_once() {
    let room = Room::with_models();
    fs::create_dir_all(room.path("models/broken")).unwrap();
    fs::write(room.path("models/broken/wan-alpha.json"), "{").unwrap();
    for line in [["model", "list", "-v"], ["model", "show", "broken"]] {
        let said = String::from_utf8(room.run(&line).stderr).unwrap();
        for words in ["not a model's record", "EOF while parsing"] {
            assert_eq!(said.matches(words).count(), 1, "{line:?}: {said}");
        }
    }
}

#[test]
fn a_packed_model_is_whole_wherever_it_is_carried() {
    let room = Room::with_models();
    let folder = room.model("download");
    let defaults = room.path("defaults.json");
    let told = r#"{ "steps": 3, "frames": 5, "mu_scale": 10.0,
        "made_for": { "pixels": [16, 64], "frames": [5, 9], "draws": "balls" } }"#;
    fs::write(&defaults, told).unwrap();
    let out = room.path("made/small");
    let pack = ["model", "pack", "small", folder.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let with = ["--defaults", defaults.to_str().unwrap()];
    room.ok(&[&pack[..], &with].concat());

    // Smaller, and known by its own record in another place.
    let size = |folder: &Path| {
        let file = folder.join("models_t5_umt5-xxl-enc-bf16.pth");
        fs::metadata(file).unwrap().len()
    };
    assert!(size(&out) < size(&folder) * 6 / 10, "{} of {}", size(&out), size(&folder));
    fs::create_dir(room.path("models")).unwrap();
    fs::rename(&out, room.path("models/small")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert!(room.ok(&["model", "verify", "small"]).contains("is what it was"));
    assert_eq!(room.frames("small", "take").len(), 5);
    let take = fs::read_to_string(room.path("take/take.json")).unwrap();
    let take: Value = serde_json::from_str(&take).unwrap();
    assert_eq!(take["request"]["steps"], 3);
    assert_eq!(take["request"]["mu_scale"], 10.0);

    // Under another name it does what its record says, too.
    let small = room.path("models/small");
    room.ok(&["model", "add", "named", small.to_str().unwrap()]);
    let record = fs::read_to_string(room.path("models/named/wan-alpha.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["defaults"]["steps"], 3);
    assert_eq!(record["defaults"]["mu_scale"], 10.0);
    assert_eq!(record["made_for"]["pixels"], serde_json::json!([16, 64]));
    assert!(room.ok(&["model", "list"]).contains("for 16 to 64 pixels, 5 to 9 frames"));
    let shown = room.ok(&["model", "show", "named"]);
    assert!(shown.contains("16 to 64 pixels") && shown.contains("balls"), "{shown}");

    // One that does without its DoRA says so itself.
    let alone = room.path("models/alone");
    let pack = ["model", "pack", "alone", small.to_str().unwrap(), "--transparent", "--out"];
    room.ok(&[&pack[..], &[alone.to_str().unwrap()]].concat());
    assert!(!alone.join("wan-alpha-dora.safetensors").exists());
    room.frames("alone", "alone");
    let take = fs::read_to_string(room.path("alone/take.json")).unwrap();
    let take: Value = serde_json::from_str(&take).unwrap();
    assert_eq!(take["warnings"], serde_json::json!([]));
    assert_eq!(take["request"]["steps"], 3, "packed with the defaults of its record");

    // Nothing is written over.
    let small = room.path("models/small");
    let again = ["model", "pack", "small", small.to_str().unwrap(), "--out"];
    room.fails_with(&[&again[..], &[small.to_str().unwrap()]].concat(), 2, &["it is not empty"]);
    fs::write(&defaults, "{ \"steps\": \"many\" }").unwrap();
    let other = room.path("other");
    let other = [&again[..], &[other.to_str().unwrap()], &with].concat();
    room.fails_with(&other, 2, &["cannot use the defaults", "invalid type"]);
}

/// What a fresh machine draws, with no download: the subject that was asked for, in its color, where
/// the ellipse is, over a background that is transparent.
#[test]
fn the_model_that_ships_draws_what_is_asked_where_it_is_asked() {
    let room = Room::with_models();
    let out = room.path("ball");
    let prompt = "a large blue ball stays on the left of the frame";
    let render = ["render", "--prompt", prompt, "--seed", "1", "--format", "png", "--out"];
    let ellipse = ["--ellipse", "0.3,0.5,0.5,0.5,0"];
    room.ok(&[&render[..], &[out.to_str().unwrap()], &ellipse].concat());
    let take: Value =
        serde_json::from_str(&fs::read_to_string(out.join("take.json")).unwrap()).unwrap();
    assert_eq!(take["warnings"], serde_json::json!([]));
    let request = &take["request"];
    let shape = ["width", "height", "frames", "steps"].map(|name| request[name].as_u64().unwrap());
    assert_eq!((request["model"].as_str(), shape), (Some("draft"), [96, 96, 17, 8]));

    let report = room.path("report.json");
    room.ok(&["eval", "takes", out.to_str().unwrap(), "--json", report.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let clip = &report["clips"][0];
    let number = |name: &str| clip[name].as_f64().unwrap();
    assert!(number("centre_distance") < 0.08, "{clip}");
    assert!(number("coverage") > 0.02 && number("leak") < 0.01, "{clip}");
    assert_eq!(clip["colour"], "blue", "{clip}");
}

/// What stands beside the draft's own making is said before it is computed, and a take that comes out
/// empty is no success in silence.
#[test]
fn what_the_model_that_ships_was_not_made_for_is_said_and_an_empty_take_is_told() {
    let room = Room::with_models();
    let out = room.path("take");
    let render = |more: &[&str]| {
        let line = ["render", "--format", "png", "--out", out.to_str().unwrap()];
        let output = room.run(&[&line[..], more].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let take = fs::read_to_string(out.join("take.json")).unwrap();
        (said, serde_json::from_str::<Value>(&take).unwrap())
    };
    let place = |said: &str, words: &str| {
        said.find(words).unwrap_or_else(|| panic!("`{words}` is not in: {said}"))
    };
    let (said, take) =
        render(&["--prompt", "a small white ball", "--ellipse", "2.9,0.5,0.3,0.3,0"]);
    let (before, computed) =
        (place(&said, "wholly outside the frame"), place(&said, "sampling 0/"));
    assert!(before < computed, "{said}");
    let empty = place(&said, "the take is empty (alpha covers");
    assert!(
        computed < empty && said[empty..].contains("because the ellipse lies outside"),
        "{said}"
    );
    assert!(place(&said, "the take covers ") > empty, "{said}");
    assert!(take["report"]["coverage"].as_f64().unwrap() < 0.002, "{}", take["report"]);
    assert_eq!(take["warnings"].as_array().unwrap().len(), 2, "{}", take["warnings"]);
    // It is no perfect take either.
    let report = room.path("report.json");
    let json = ["--json", report.to_str().unwrap()];
    let lines = room.ok(&[&["eval", "takes", out.to_str().unwrap()][..], &json].concat());
    assert!(lines.contains("1 of 1 clip is empty"), "{lines}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let clip = &report["clips"][0];
    assert_eq!((&clip["empty"], &clip["leak"]), (&Value::Bool(true), &Value::Null), "{clip}");
    assert_eq!(report["summary"], serde_json::json!({}));

    let odd = ["--prompt", "a hairy dog, 玻璃 and a red bal", "--steps", "1", "--frames", "21"];
    let keys = ["--ellipse", "0: 0.5,0.5,0.6,1,0; 80: 0.6,0.5,0.6,1,0"];
    let size = ["--width", "192", "--height", "144"];
    let (said, _) = render(&[&odd[..], &keys, &size].concat());
    for words in [
        "192×144 pixels are not what model `draft` was made for (64 to 128 pixels, 17 frames)",
        "the nearest that fits is 128×96",
        "the nearest that fits is 17 frames",
        "`draft` does not know “hairy”, “dog”, “玻璃”, “bal”; it draws balls, bubbles, rings, flames, \
         smoke, sparks in nine colors",
        "the key of the ellipse at frame 80 lies beyond the take's last frame, 20",
        "step is few",
    ] {
        assert!(place(&said, words) < place(&said, "sampling"), "{said}");
    }
}

#[test]
fn a_merged_copy_makes_the_same_takes_and_goes_with_its_model() {
    let room = Room::with_models();
    let folder = room.model("download");
    let download = folder.to_str().unwrap();
    let add = ["model", "add", "tiny", download];
    let plain = room.ok(&add);
    let frames = room.frames("tiny", "plain");
    let fingerprint =
        |said: &str| said.lines().find(|line| line.starts_with("fingerprint")).map(str::to_owned);

    let added = room.run(&[&add[..], &["--keep-merged"]].concat());
    let said = String::from_utf8(added.stderr).unwrap();
    assert!(added.status.success() && said.contains("the merged copy needs"), "{said}");
    let told = String::from_utf8(added.stdout).unwrap();
    assert!(told.contains("merged copy  ") && fingerprint(&told) == fingerprint(&plain), "{told}");
    assert!(room.ok(&["model", "show", "tiny"]).contains("merged copy  "));
    let copy = room.path("models/tiny/merged-transformer.f32");
    assert!(room.frames("tiny", "merged") == frames);

    // That it is read shows in a copy of other numbers; the time is all that would tell.
    let original = fs::read(&copy).unwrap();
    let modified = fs::metadata(&copy).unwrap().modified().unwrap();
    let numbers =
        usize::try_from(u64::from_le_bytes(original[..8].try_into().unwrap())).unwrap() + 8;
    let mut other = original.clone();
    other[numbers..].fill(0);
    fs::write(&copy, &other).unwrap();
    fs::File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
    assert!(room.frames("tiny", "other") != frames);
    // Neither adapters of another strength nor another precision are in it.
    let out = room.path("strength");
    let render =
        ["render", "--model", "tiny", "--prompt", "smoke", "--width", "48", "--height", "32"];
    let render = [
        &render[..],
        &["--frames", "5", "--format", "png", "--no-store", "--out", out.to_str().unwrap()],
    ]
    .concat();
    for change in [["--dora-strength", "0.5"], ["--dtype", "bf16"]] {
        room.ok(&[&render[..], &change].concat());
        let with = fs::read(out.join("rgba.0000.png")).unwrap();
        fs::write(&copy, &original).unwrap();
        fs::File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
        fs::remove_dir_all(&out).unwrap();
        room.ok(&[&render[..], &change].concat());
        assert!(fs::read(out.join("rgba.0000.png")).unwrap() == with, "{change:?}");
        fs::remove_dir_all(&out).unwrap();
        fs::write(&copy, &other).unwrap();
        fs::File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
    }

    // One with damaged numbers is passed over for the model itself, and that is said.
    let mut damaged = original.clone();
    let middle = numbers + (original.len() - numbers) / 2 / 4 * 4;
    damaged[middle..middle + 64].fill(0xff);
    fs::write(&copy, &damaged).unwrap();
    fs::File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
    let said = room.run(&render);
    assert!(said.status.success());
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("merged copy is damaged") && said.contains("finite"), "{said}");
    fs::remove_dir_all(&out).unwrap();
    assert!(room.frames("tiny", "damaged") == frames);

    // A copy that is not what was written is not used, and that is said.
    fs::write(&copy, b"longer ago").unwrap();
    let said = room.run(&render);
    assert!(said.status.success());
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("merged copy of `tiny` is not used") && said.contains("has changed"),
        "{said}"
    );
    assert!(room.frames("tiny", "changed") == frames);
    fs::remove_file(&copy).unwrap();
    assert!(room.frames("tiny", "gone") == frames);

    // Added anew it is made anew, or goes; and it goes with the name.
    room.ok(&[&add[..], &["--keep-merged"]].concat());
    assert!(fs::read(&copy).unwrap() == original);
    room.ok(&add);
    assert!(!copy.exists());
    room.ok(&[&add[..], &["--keep-merged"]].concat());
    room.ok(&["model", "remove", "tiny"]);
    assert!(!room.path("models/tiny").exists() && folder.exists());

    // What a killed one has left behind goes, and no file that is being written.
    fs::create_dir_all(room.path("models/tiny")).unwrap();
    let [left, growing] = ["left", "growing"].map(|name| {
        let name = format!("models/tiny/unfinished-model-file-{name}");
        fs::write(room.path(&name), "half").unwrap();
        room.path(&name)
    });
    let held = fs::File::open(&growing).unwrap();
    held.lock().unwrap();
    room.ok(&["model", "list"]);
    assert!(!left.exists() && growing.exists());
    drop(held);
    room.ok(&["model", "list"]);
    assert!(!growing.exists());

    // Nothing to merge.
    for adapter in ["wan-alpha-dora.safetensors", "lightx2v_lora.safetensors"] {
        fs::remove_file(folder.join(adapter)).unwrap();
    }
    room.fails_with(
        &["model", "add", "bare", download, "--keep-merged"],
        2,
        &["no adapters to merge"],
    );
    assert!(!room.path("models/bare").exists());
}

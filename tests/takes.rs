//! The verbs of the take store, from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::studio::Studio;
use wan_alpha_take::TakeRequest;

/// The exit code of a call that fails, and what it says.
fn failure(studio: &Studio, arguments: &[&str]) -> (Option<i32>, String) {
    let output = studio.run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Makes a take; where it is, and the beginning of its key.
fn make(studio: &Studio, request: &str) -> (String, String) {
    let (path, _) = studio.ok(&["take", "make", request]);
    let path = path.trim().to_owned();
    let key = Path::new(&path).file_stem().unwrap().to_str().unwrap()[..10].to_owned();
    (path, key)
}

#[test]
fn takes_are_shown_trimmed_and_cleared() {
    let studio = Studio::new();
    let (older, older_key) = make(&studio, &studio.request("a.json", 1, 5));
    let (newer, key) = make(&studio, &studio.request("b.json", 2, 5));
    let (shown, _) = studio.ok(&["take", "show", &key]);
    for part in [newer.as_str(), "device  cpu", "\"seed\": 2", "\"prompt\": \"smoke\""] {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
    let (whole, _) = studio.ok(&["take", "verify"]);
    assert_eq!(whole.lines().filter(|line| line.starts_with("whole")).count(), 2, "{whole}");
    let (places, _) = studio.ok(&["take", "where"]);
    assert!(places.contains(studio.path("takes").to_str().unwrap()), "{places}");
    assert!(places.contains("2 takes"), "{places}");

    let (places, _) = studio.ok(&["take", "where", "--json"]);
    let places: Value = serde_json::from_str(&places).unwrap();
    let place = &places["folders"][0];
    assert_eq!((&place["takes"], &place["writable"]), (&json!(2), &json!(true)), "{places}");
    let mut elsewhere = studio.command("run", &["take", "where"]);
    let output = elsewhere.env("WAN_ALPHA_STORE", "/proc/takes").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("/proc/takes: not there, and cannot be"), "{said}");

    let (code, said) = failure(&studio, &["take", "show", "ffff0000"]);
    assert!(code == Some(2) && said.contains("no take begins with `ffff0000`"), "{said}");
    // Room for one: the one that was unused for longest goes, and showing a take is not using it.
    studio.ok(&["take", "show", &older_key]);
    // What is no limit removes nothing.
    for limit in ["nan", "-inf", "-5", "much"] {
        let refused = studio.run(&["take", "trim", "--limit", limit]);
        assert_eq!(refused.status.code(), Some(2), "{limit}");
    }
    let (trimmed, _) = studio.ok(&["take", "trim", "--limit", "0.00015"]);
    assert!(trimmed.contains(&format!("removed {older}")), "{trimmed}");
    assert_eq!(studio.takes().len(), 1);
    let (code, said) = failure(&studio, &["take", "clear"]);
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    assert_eq!(studio.takes().len(), 1);
    studio.ok(&["take", "clear", "--yes"]);
    assert!(studio.takes().is_empty());
    assert!(studio.ok(&["take", "list"]).0.starts_with("no takes in "));
    let file = studio.path("file");
    std::fs::write(&file, "").unwrap();
    let mut of_a_file = studio.command("run", &["take", "list"]);
    let said = of_a_file.env("WAN_ALPHA_STORE", &file).output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("is a file, not a folder: choose another store"), "{said}");
}

#[test]
fn who_looks_at_takes_does_not_use_them() {
    let studio = Studio::new();
    let made = [1, 2].map(|seed| make(&studio, &studio.request("a.json", seed, 5)));
    let used = |path: &str| fs::metadata(path).unwrap().accessed().unwrap();
    // So long ago that the system itself would note that they are read; the first is unused for longest.
    for ((path, _), hours) in made.iter().zip([100, 90]) {
        let then = SystemTime::now() - Duration::from_secs(3600 * hours);
        let times = fs::FileTimes::new().set_accessed(then).set_modified(then);
        fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    }
    let before = made.each_ref().map(|(path, _)| used(path));
    let [(first, key), (second, other)] = &made;
    let gallery = studio.path("gallery");
    let looks: [&[&str]; 7] = [
        &["verify"],
        &["verify", key],
        &["show", key],
        &["show", key, "--json"],
        &["list"],
        &["list", "--json"],
        &["gallery", "--out", gallery.to_str().unwrap()],
    ];
    for look in looks {
        studio.ok(&[&["take"][..], look].concat());
        assert_eq!([used(first), used(second)], before, "{look:?}");
    }
    let out = studio.path("out");
    let export = ["take", "export", other, "--format", "png", "--out", out.to_str().unwrap()];
    studio.ok(&export);
    assert!(used(second) > before[1], "who exports a take uses it");
    let (trimmed, _) = studio.ok(&["take", "trim", "--limit", "0.00015"]);
    assert!(trimmed.contains(&format!("removed {first}")), "{trimmed}");
}

#[test]
fn what_was_warned_of_and_what_came_of_it_stand_in_the_take_s_record() {
    let studio = Studio::new();
    let record = studio.path("models/tiny/wan-alpha.json");
    let mut tiny: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    tiny["made_for"] = json!({ "pixels": [16, 32], "draws": "balls", "words": "a ball" });
    fs::write(&record, tiny.to_string()).unwrap();
    let request = studio.request("a.json", 1, 5);
    let (path, said) = studio.ok(&["take", "make", "--engine", &request]);
    let said_words =
        ["the nearest that fits is 32×32", "`tiny` does not know “smoke”; it draws balls"];
    for words in said_words {
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
    assert!(said.contains("the take covers "), "{said}");
    let log = fs::read_to_string(studio.path("run/wan-alpha/engine.log")).unwrap();
    assert!(log.contains("32×32") && log.contains("words that the model does not know"), "{log}");
    assert!(!log.contains("smoke"), "{log}");

    // Whoever finds it in the store hears the same.
    for again in [&["take", "make", &request][..], &["take", "make", "--engine", &request]] {
        let (again, said) = studio.ok(again);
        assert_eq!(again, path);
        assert!(said.contains("in the store already and is not computed again"), "{said}");
        assert!(said_words.iter().all(|words| said.matches(words).count() == 1), "{said}");
    }
    let key = Path::new(path.trim()).file_stem().unwrap().to_str().unwrap();
    let (shown, _) = studio.ok(&["take", "show", key]);
    assert!(shown.contains("report  covers ") && shown.contains("warning  64×48"), "{shown}");
    let (shown, _) = studio.ok(&["take", "show", key, "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["key"], &shown["request"]["seed"]), (&json!(key), &json!(1)));
    assert!(shown["report"]["coverage"].as_f64().unwrap() > 0.0, "{shown}");
    let codes: Vec<_> =
        shown["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert_eq!(codes, ["size-beyond-model", "unknown-words"]);

    let out = studio.path("out");
    studio.ok(&["take", "export", key, "--format", "png", "--out", out.to_str().unwrap()]);
    let take: Value =
        serde_json::from_str(&fs::read_to_string(out.join("take.json")).unwrap()).unwrap();
    assert_eq!(take["report"], shown["report"]);
    assert_eq!(take["warnings"].as_array().unwrap().len(), 2);

    // Frames of another format go, which is told; a render that asks for nothing is pointed to them.
    let folder = out.to_str().unwrap();
    let (_, said) = studio.ok(&["take", "export", key, "--format", "exr", "--out", folder]);
    assert!(said.contains("5 files of its frames go") && said.contains("rgba.0000.png"), "{said}");
    let (code, said) = failure(&studio, &["render", "--out", folder]);
    assert!(code == Some(2) && said.contains(&format!("`--from {folder}`")), "{said}");
}

#[test]
fn a_damaged_header_is_found_by_verifying_all() {
    let studio = Studio::new();
    let (path, _) = make(&studio, &studio.request("a.json", 1, 5));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (_, said) = failure(&studio, &["take", "verify"]);
    assert!(said.contains("DAMAGED") && said.contains("header"), "{said}");
    assert!(said.contains("was set aside as"), "{said}");
    assert!(studio.takes().is_empty());
    assert_eq!(studio.ok(&["take", "verify"]).0, "");
}

#[test]
fn what_a_node_keeps_and_what_a_render_left_are_requests() {
    let studio = Studio::new();
    let file = studio.request("a.json", 1, 5);
    let request = TakeRequest::from_json(&fs::read_to_string(&file).unwrap()).unwrap();
    let (path, _) = make(&studio, &request.to_parameter());
    assert_eq!(make(&studio, &file).0, path);

    let out = studio.path("out");
    let render = ["render", "--model", "tiny", "--prompt", "fire", "--width", "48", "--height"];
    let rest = ["32", "--frames", "5", "--steps", "2", "--format", "png", "--out"];
    studio.ok(&[&render[..], &rest, &[out.to_str().unwrap()]].concat());
    let (_, key) = make(&studio, out.join("take.json").to_str().unwrap());
    assert!(studio.ok(&["take", "show", &key]).0.contains("\"prompt\": \"fire\""));
    assert_eq!(studio.takes().len(), 2);
}

/// A render of `tiny`, small and quick, with more of its own.
fn render<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let rest = ["--width", "48", "--height", "32", "--frames", "5", "--steps", "2"];
    let fixed = ["render", "--model", "tiny", "--prompt", "fire", "--threads", "1", "--out", out];
    [&fixed[..], &rest, more].concat()
}

/// The frames of a folder and its contact sheet, without take.json.
fn frames(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = support::render::files(folder);
    files.remove("take.json").unwrap();
    files
}

#[test]
fn a_render_is_kept_in_the_store_and_not_computed_again() {
    let studio = Studio::new();
    let outs = ["a", "b", "c", "d"].map(|name| studio.path(name));
    let [computed, again, without, exported] = &outs;
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (_, said) = studio.ok(&render(&text(computed), &[]));
    assert!(said.contains("the take will be 61 kB in the store"), "{said}");
    assert!(said.contains("has been made for takes, for "), "{said}");
    let takes = studio.takes();
    assert_eq!(takes.len(), 1);
    let key = takes[0].0.file_stem().unwrap().to_str().unwrap().to_owned();

    let (_, said) = studio.ok(&render(&text(again), &[]));
    assert!(said.contains("in the store already") && !said.contains("sampling"), "{said}");
    studio.ok(&["take", "export", &key, "--out", &text(exported)]);
    assert!(frames(again) == frames(exported), "the store's frames, as they are exported");
    let take: Value = serde_json::from_slice(&fs::read(again.join("take.json")).unwrap()).unwrap();
    assert_eq!(take["from_store"], true);
    assert_eq!(take["computed"]["tf32"], false);

    // Whether it is kept changes no byte of the files that are computed.
    let (_, said) = studio.ok(&render(&text(without), &["--no-store"]));
    assert!(said.contains("sampling") && !said.contains("store"), "{said}");
    assert!(frames(without) == frames(computed));
    studio.ok(&["take", "clear", "--yes"]);
    studio.ok(&render(&text(without), &["--no-store"]));
    assert!(studio.takes().is_empty());
    // A store that cannot have it costs no render.
    let mut command = studio.command("run", &render(&text(again), &[]));
    fs::write(studio.path("file"), "x").unwrap();
    let (_, said) = support::studio::told(
        command.env("WAN_ALPHA_STORE", studio.path("file")).output().unwrap(),
    );
    assert!(said.contains("warning: the take is not kept in the store: no folder"), "{said}");
    assert!(frames(again) == frames(computed));
}

#[test]
fn what_a_render_left_makes_its_take_again() {
    let studio = Studio::new();
    let out = studio.path("out");
    let folder = out.to_str().unwrap();
    studio.ok(&render(folder, &["--seed", "9"]));
    let path = studio.takes()[0].0.to_str().unwrap().to_owned();
    let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
    let (exr, png) = (file("rgba.0003.exr"), file("rgba.0000.png"));
    for left in [folder, &file("take.json"), &exr, &png, &file("contact-sheet.png")] {
        assert_eq!(studio.ok(&["take", "make", left]).0.trim(), path, "{left}");
    }
    // Computed anew, by the model that the request names.
    let again = studio.path("again");
    let to = ["--no-store", "--threads", "1", "--out", again.to_str().unwrap()];
    studio.ok(&[&["render", "--from", &exr], &to[..]].concat());
    assert!(frames(&again) == frames(&out));

    let refused = |arguments: &[&str], words: &[&str]| {
        let (code, said) = failure(&studio, arguments);
        assert_eq!(code, Some(2), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
    };
    refused(&["take", "make", "nofile.json"], &["there is no file nofile.json"]);
    refused(&["render", "--from", folder, "--out", folder], &["take.json, which is read"]);
    refused(&["render", "--from", &png, "--seed", "3", "--out", "x"], &["--seed"]);
    let cut = studio.path("cut.exr");
    fs::write(&cut, &fs::read(&exr).unwrap()[..100]).unwrap();
    refused(&["take", "make", cut.to_str().unwrap()], &["cut.exr", "no whole EXR"]);
    // What was stopped has frames, and no request in its take.json.
    let mut take: Value = serde_json::from_slice(&fs::read(file("take.json")).unwrap()).unwrap();
    take.as_object_mut().unwrap().retain(|name, _| name == "program");
    take["state"] = "unfinished".into();
    fs::write(file("take.json"), take.to_string()).unwrap();
    refused(&["take", "make", &file("take.json")], &["has not finished"]);
    assert_eq!(studio.ok(&["take", "make", folder]).0.trim(), path);
}

#[test]
fn takes_are_listed_with_their_sizes_and_removed_by_their_keys() {
    let studio = Studio::new();
    let made = [1, 2, 3].map(|seed| make(&studio, &studio.request("a.json", seed, 5)));
    let bytes: u64 = studio.takes().iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let (list, _) = studio.ok(&["take", "list"]);
    let last = list.lines().last().unwrap();
    assert!(last.starts_with("3 takes, 381 kB; yours 381 kB"), "{list}");
    let (json, _) = studio.ok(&["take", "list", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["takes"].as_array().unwrap().len(), json["bytes"].as_u64()), (3, Some(bytes)));
    assert_eq!(json["takes"][0]["path"], made[2].0.as_str());
    assert_eq!(json["takes"][0]["request"]["seed"], 3);

    // Cut off, and named by its key: it is damaged, and not absent.
    let (cut, key) = &made[0];
    let whole = fs::read(cut).unwrap();
    fs::write(cut, &whole[..whole.len() / 2]).unwrap();
    let (code, said) = failure(&studio, &["take", "show", key]);
    assert!(code == Some(2) && said.contains("is damaged") && !said.contains("no take"), "{said}");
    // Another take under its name.
    fs::write(cut, fs::read(&made[1].0).unwrap()).unwrap();
    let (_, said) = studio.ok(&["take", "list"]);
    assert!(said.contains("is the take") && said.contains("under another's name"), "{said}");
    let (_, said) = failure(&studio, &["take", "remove", key, "ffff"]);
    assert!(said.contains("no take begins with `ffff`"), "{said}");
    assert_eq!(studio.takes().len(), 3, "where one is not there none goes");
    let (removed, _) = studio.ok(&["take", "remove", key, &made[1].1]);
    assert!(removed.contains(&format!("removed {cut}, ")), "{removed}");
    assert_eq!(studio.takes().len(), 1);
    // Only root can give files away; others have nothing to try it on.
    if std::os::unix::fs::chown(&made[2].0, Some(12_345), None).is_err() {
        return;
    }
    let (cleared, _) = studio.ok(&["take", "clear", "--yes"]);
    assert!(cleared.contains("1 take of 12345, 127 kB, stays: only they remove it"), "{cleared}");
    let (code, said) = failure(&studio, &["take", "remove", &made[2].1]);
    assert!(code == Some(2) && said.contains("belongs to another user"), "{said}");
}

#[test]
fn a_store_is_for_those_it_was_prepared_for() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let studio = Studio::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let takes = studio.path("takes");
    let room = takes.parent().unwrap();
    fs::set_permissions(room, PermissionsExt::from_mode(0o700)).unwrap();
    let (closed, _) = make(&studio, &studio.request("a.json", 1, 5));
    assert_eq!((mode(&takes), mode(Path::new(&closed))), (0o700, 0o600));
    assert!(studio.ok(&["take", "where"]).0.contains("alone (mode 0700)"));
    let (told, _) = studio.ok(&["take", "where", "--share", "everyone"]);
    assert!(
        told.contains("for everybody (mode 2777)") && told.contains("1 file in it has"),
        "{told}"
    );
    assert!(told.contains("others do not get through"), "{told}");
    assert_eq!((mode(&takes), mode(Path::new(&closed))), (0o2777, 0o664));
    // The mask of whoever makes a take does not count.
    let request = studio.request("b.json", 2, 5);
    let made = studio.command("run", &["take", "make", &request]);
    let mut masked = std::process::Command::new("sh");
    masked.args(["-c", "umask 077 && exec \"$0\" \"$@\""]).arg(made.get_program());
    masked.args(made.get_args()).env_clear().envs(studio.environment("run"));
    let (made, _) = support::studio::told(masked.output().unwrap());
    assert_eq!(mode(Path::new(made.trim())), 0o664);
    let group = fs::metadata(&takes).unwrap().gid().to_string();
    studio.ok(&["take", "where", "--share", &group]);
    assert_eq!((mode(&takes), mode(Path::new(&closed))), (0o2770, 0o660));
    let (code, said) = failure(&studio, &["take", "where", "--share", "no-such-group"]);
    assert!(code == Some(2) && said.contains("there is no group no-such-group"), "{said}");

    // A file that somebody else closed: doctor names it, and the command that opens it.
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o600)).unwrap();
    let doctor = String::from_utf8(studio.run(&["doctor"]).stdout).unwrap();
    for words in ["1 take in it is not", "mode 0600", "take where --share"] {
        assert!(doctor.contains(words), "`{words}` is not in: {doctor}");
    }
    // As somebody else, which only root can try.
    studio.ok(&["take", "where", "--share", "everyone"]);
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o600)).unwrap();
    fs::set_permissions(room, PermissionsExt::from_mode(0o755)).unwrap();
    let mut nobody = studio.command("run", &["take", "list"]);
    let Ok(output) = nobody.uid(65_534).gid(65_534).output() else { return };
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.contains("1 take, "), "{said}");
    assert!(
        said.contains("may not be read: it belongs to user") && said.contains("0600"),
        "{said}"
    );
}

#[test]
fn a_take_is_exported_for_timelines_of_other_rates() {
    let studio = Studio::new();
    let (path, _) = make(&studio, &studio.request("a.json", 1, 5));
    let key = Path::new(path.trim()).file_stem().unwrap().to_str().unwrap().to_owned();
    let exported = |name: &str, more: &[&str]| {
        let out = studio.path(name);
        let fixed = ["take", "export", &key, "--format", "png", "--out", out.to_str().unwrap()];
        studio.ok(&[&fixed[..], more].concat());
        let take = fs::read_to_string(out.join("take.json")).unwrap();
        let take: Value = serde_json::from_str(&take).unwrap();
        // The number is in the file, so pixels are what is compared.
        let pixels = |number: usize| {
            let path = out.join(format!("rgba.{number:04}.png"));
            path.exists().then(|| image::open(path).unwrap().into_rgba16().into_raw())
        };
        ((0..).map_while(pixels).collect::<Vec<_>>(), take)
    };
    let (own, take) = exported("own", &[]);
    assert!(own.len() == 5 && take["rate"].is_null());
    let (nearest, take) = exported("nearest", &["--rate", "24"]);
    let wanted = [0, 1, 1, 2, 3, 3, 4].map(|frame: usize| own[frame].clone());
    assert!(nearest == wanted);
    assert_eq!((&take["rate"], &take["retime"]), (&json!(24), &json!("nearest")));
    let (blended, _) = exported("blended", &["--rate", "32", "--retime", "blend"]);
    assert_eq!(blended.len(), 9);
    assert!(blended.iter().step_by(2).eq(&own));
    assert!(blended[1] != own[0] && blended[1] != own[1]);
    let between = |a: u16, b: u16, found: u16| found + 70 >= a.min(b) && found <= a.max(b) + 70;
    let alphas = own[0].iter().zip(&own[1]).zip(&blended[1]).skip(3).step_by(4);
    assert!(alphas.into_iter().all(|((a, b), found)| between(*a, *b, *found)));
    let (one_each, _) = exported("one-each", &["--rate", "30", "--retime", "frame-for-frame"]);
    assert!(one_each == own);
    let (_, said) = failure(&studio, &["take", "export", &key, "--retime", "blend", "--out", "x"]);
    assert!(said.contains("--rate"), "{said}");
}

/// Of a file with several pictures the main one, or the one that is named.
#[test]
fn a_layer_of_a_file_is_the_image_that_is_kept() {
    let studio = Studio::empty();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pictures/two-pictures.exr");
    let keep = |more: &[&str]| {
        let fixed = ["take", "keep-image", "--opaque", file];
        studio.ok(&[&fixed[..], more].concat()).0
    };
    let main = keep(&[]);
    assert_eq!(keep(&["--layer", "beauty"]), main);
    assert_ne!(keep(&["--layer", "specular"]), main);
    let (code, said) = failure(&studio, &["take", "keep-image", file, "--layer", "depth"]);
    assert!(code == Some(2) && said.contains("specular"), "{said}");
}

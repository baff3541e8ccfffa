//! What a take would take, told before it is made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

use serde_json::Value;

fn plan(arguments: &[&str]) -> Output {
    plan_with(&[], arguments)
}

fn plan_with(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
    for name in ["WAN_ALPHA_MEMORY", "WAN_ALPHA_HEADROOM", "WAN_ALPHA_MODELS", "WAN_ALPHA_MODEL"] {
        command.env_remove(name);
    }
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"] {
        command.env(name, home.path());
    }
    command.envs(variables.iter().copied());
    command.args(["plan", "--device", "cpu"]).args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = plan(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_draft_model_fits_and_less_memory_moves_its_parts() {
    let said = plan(&["--model", "draft", "--size", "96x96"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.starts_with("96×96 with 17 frames by `draft` on the CPU: it fits\n"), "{text}");
    assert!(text.contains("\nmemory: ") && text.contains("\ntime: "), "{text}");
    let one = plan(&["--model", "draft", "--frames", "1"]);
    let text = String::from_utf8(one.stdout).unwrap();
    assert!(text.starts_with("96×96 with 1 frame by `draft`"), "{text}");
    let peak = |plan: &Value, stage: &str| plan["plan"]["peaks"][stage].as_u64().unwrap();
    let free = json(&["--model", "draft", "--size", "512x512"]);
    assert_eq!(free["plan"]["resident"], free["plan"]["layers"]);
    assert_eq!(free["plan"]["decode"]["together"], true);
    let most = peak(&free, "decode");
    let cap = format!("{:.3}", 0.35 + (most - 50_000_000) as f64 / 1e9);
    let capped = ["--model", "draft", "--size", "512x512", "--memory", &cap];
    // Unless somebody says otherwise, so little memory has frames decoded in tiles.
    let by_itself = json(&capped);
    let capped = json(&[&capped[..], &["--decode-tiling", "whole"]].concat());
    assert_eq!(capped["plan"]["decode"]["together"], false);
    assert!(peak(&capped, "decode") < most);
    let tiled = json(&["--model", "draft", "--size", "512x512", "--decode-tiling", "tiled"]);
    assert!(peak(&tiled, "decode") < peak(&capped, "decode"));
    assert_eq!(peak(&tiled, "decode"), peak(&by_itself, "decode"));
    assert_eq!((&tiled["plan"]["tiled"], &free["plan"]["tiled"]), (&true.into(), &false.into()));
}

/// Whoever sets a limit sees what follows from it, before the take and in the plan.
#[test]
fn decoding_in_tiles_is_told_beforehand() {
    let limited = ["--model", "draft", "--size", "832x480", "--frames", "1", "--memory", "2.5"];
    let text = String::from_utf8(plan(&limited).stdout).unwrap();
    assert!(text.contains(", frames are decoded in tiles"), "{text}");
    let whole = plan(&["--model", "draft", "--size", "96x96"]);
    assert!(!String::from_utf8(whole.stdout).unwrap().contains("tiles"));
}

#[test]
fn programs_are_told_the_take_and_whether_it_fits() {
    let fits = json(&["--model", "draft", "--size", "112x96", "--frames", "9"]);
    assert_eq!(fits["fits"], true);
    let take = &fits["take"];
    let size = ["width", "height", "frames"].map(|name| take[name].as_u64().unwrap());
    assert_eq!((size, take["model"].as_str()), ([112, 96, 9], Some("draft")));
    assert_eq!(take["decode_tiling"], "whole");
    let whole = ["--model", "draft", "--size", "832x480", "--decode-tiling", "whole", "--json"];
    let refused = plan(&[&whole[..], &["--memory", "0.75"]].concat());
    assert_eq!(refused.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((&told["fits"], &told["take"]["width"]), (&false.into(), &832.into()));
    let words = |field: &str| told[field].as_str().unwrap().to_owned();
    assert!(words("reason").contains(" at least, "), "{told}");
    assert!(words("remedy").contains("--memory"), "{told}");
}

#[test]
fn what_does_not_fit_is_refused_with_numbers_and_what_fits() {
    let whole = ["--model", "draft", "--size", "832x480", "--decode-tiling", "whole"];
    let refused = plan(&[&whole[..], &["--memory", "0.75"]].concat());
    assert_eq!(refused.status.code(), Some(3));
    let text = String::from_utf8(refused.stderr).unwrap();
    for words in [
        " at least, ",
        "and 400 MB may be used: `--memory` is 750 MB, of which the process itself takes 350 MB; ",
        " are free on this machine; ",
        " fits; or set `--memory` to ",
    ] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    let size = ["--model", "draft", "--size", "832x480"];
    let refused = plan_with(&[("WAN_ALPHA_MEMORY", "0.75")], &size);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.contains("WAN_ALPHA_MEMORY is 750 MB") && text.contains("or set WAN_ALPHA_MEMORY to "),
        "{text}"
    );
    let refused = plan_with(&[("WAN_ALPHA_HEADROOM", "100000")], &size);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.contains("0 MB may be used: ") && text.contains("set WAN_ALPHA_HEADROOM to "),
        "{text}"
    );
    for memory in ["0", "-1", "NaN"] {
        let refused = plan(&["--model", "draft", &format!("--memory={memory}")]);
        assert!(!refused.status.success(), "{memory}");
    }
}

#[test]
fn a_limit_that_is_no_number_is_told_and_no_limit() {
    for name in ["WAN_ALPHA_MEMORY", "WAN_ALPHA_HEADROOM"] {
        let said = plan_with(&[(name, "12GB")], &["--model", "draft"]);
        assert!(said.status.success());
        let text = String::from_utf8(said.stderr).unwrap();
        assert!(text.contains(&format!("{name} is \"12GB\": expected a number")), "{text}");
    }
}

#[test]
fn a_plan_is_of_the_take_that_render_would_make() {
    // Guidance is asked of the transformer with a second prompt.
    let text = |more: &[&str]| {
        let told = json(&[&["--model", "draft", "--size", "96x96"], more].concat());
        (
            told["plan"]["peaks"]["text"].as_u64().unwrap(),
            told["plan"]["peaks"]["sample"].as_u64().unwrap(),
        )
    };
    let plain = text(&["--guidance", "1"]);
    let guided = text(&["--guidance", "5"]);
    assert!(guided.0 > plain.0 && guided.1 > plain.1, "{plain:?} {guided:?}");
    assert_eq!(text(&["--preset", "wan"]), guided);
    assert_eq!(text(&["--preset", "lightx2v"]), plain);
    // What the record says counts, as it does in render.
    let says = |arguments: &[&str]| {
        let output = plan(&[&["--model", "draft"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(says(&["--width", "112", "--height", "64"]).starts_with("112×64 with "));
    assert!(says(&["--steps", "7"]).contains("\nsampling: unipc, 7 steps, guidance 1\n"));
    for arguments in [
        &["--size", "96x96", "--width", "96"][..],
        &["--steps", "0"],
        &["--width", "100"],
        &["--lora", "nowhere"],
        &["--preset", "nobody"],
    ] {
        let output = plan(&[&["--model", "draft"], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
    }
}

#[test]
fn the_memory_that_a_refusal_names_is_enough() {
    let take = ["--model", "draft", "--size", "832x480", "--frames", "81", "--memory"];
    let refused = plan(&[&take[..], &["0.3"]].concat());
    assert_eq!(refused.status.code(), Some(3));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("less than the 350 MB that the process alone needs; "), "{text}");
    let number = text.split_once("set `--memory` to ").unwrap().1.split(' ').next().unwrap();
    let enough = plan(&[&take[..], &[number]].concat());
    assert!(enough.status.success(), "{}", String::from_utf8_lossy(&enough.stderr));
}

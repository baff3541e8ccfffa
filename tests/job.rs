//! `wan-alpha job`: jobs of farms, asked of the farms' own programs where `tests/job/programs.sh` has
//! installed them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::studio::Studio;

/// Three shots of the draft model, of which the second cannot be written.
const TABLE: &str = "name,prompt,seed,width,height,frames,steps,format,priority\n\
    fire,a flame,1,64,64,5,2,png,\n\
    smoke,@words/smoke.txt,2,64,64,5,2,png,-1\n\
    dust,dust,3,64,64,5,2,png,7\n";

/// A program of the farms' packages; none where they are not installed, which is said.
fn program(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".setup/farm/bin").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there; tests/job/programs.sh installs it", path.display());
        return None;
    }
    Some(path)
}

/// A user with a table in a folder whose name a shell would take apart.
fn studio(table: &str) -> Studio {
    let studio = Studio::empty();
    fs::create_dir_all(studio.path("it's a show/words")).unwrap();
    fs::write(studio.path("it's a show/shots.csv"), table).unwrap();
    fs::write(studio.path("it's a show/words/smoke.txt"), "smoke\n").unwrap();
    studio
}

/// Writes a job, and gives its folder.
fn job(studio: &Studio, kind: &str, more: &[&str]) -> PathBuf {
    let [table, out] = ["it's a show/shots.csv", "it's a show/job"].map(|name| studio.path(name));
    let words = ["job", kind, table.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (stdout, _) = studio.ok(&[&words, more].concat());
    assert_eq!(stdout.trim(), out.to_str().unwrap());
    out
}

/// What a program says, and its exit code, called where a user of this studio would call it.
fn said(studio: &Studio, program: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    command.args(words).current_dir(studio.path("")).env_clear().envs(studio.environment("run"));
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), said)
}

#[test]
fn a_template_has_a_step_for_each_shot_and_paths_from_its_own_folder() {
    let studio = studio(TABLE);
    let folder = job(&studio, "openjd", &["--gpu-memory", "24", "--", "nuke", "-x", "comp.nk"]);
    let text = fs::read_to_string(folder.join("template.json")).unwrap();
    let template: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&template["specificationVersion"], &template["name"]),
        (&json!("jobtemplate-2023-09"), &json!("shots"))
    );
    let steps = template["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dust", "fire", "smoke", "report of all shots", "render with the takes"]);
    let amounts = &steps[0]["hostRequirements"]["amounts"];
    // 24 GB in MiB.
    assert_eq!(amounts[1], json!({ "name": "amount.worker.gpu.memory", "min": 22888 }));
    assert_eq!(steps[4]["script"]["actions"]["onRun"]["command"], "nuke");
    let parameters = template["parameterDefinitions"].as_array().unwrap();
    for parameter in parameters.iter().filter(|parameter| parameter["type"] == "PATH") {
        let Some(default) = parameter["default"].as_str() else { continue };
        assert!(!Path::new(default).is_absolute() && !default.contains(".."), "{parameter}");
    }
    // A default that leads out of the template's folder would be refused by `openjd run`.
    assert_eq!((&parameters[0]["name"], parameters[0].get("default")), (&json!("Inputs"), None));
    // A model that a processor manages asks for no card.
    let folder = job(&studio, "openjd", &[]);
    let text = fs::read_to_string(folder.join("template.json")).unwrap();
    assert!(!text.contains("hostRequirements"), "{text}");
}

#[test]
fn a_table_that_cannot_be_made_is_no_job() {
    let studio = studio(&TABLE.replace("dust,dust,3,64", "dust,dust,3,65"));
    let [table, out] = ["it's a show/shots.csv", "job"].map(|name| studio.path(name));
    let output =
        studio.run(&["job", "openjd", table.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line 4, dust: ") && !out.exists(), "{said}");
}

#[test]
fn a_file_that_is_no_job_of_ours_is_not_replaced() {
    let studio = studio(TABLE);
    let [table, out] = ["it's a show/shots.csv", "job"].map(|name| studio.path(name));
    fs::create_dir(&out).unwrap();
    for (kind, name) in [("openjd", "template.json"), ("opencue", "opencue_job.py")] {
        let words = ["job", kind, table.to_str().unwrap(), "--out", out.to_str().unwrap()];
        fs::write(out.join(name), "{ \"name\": \"theirs\" }").unwrap();
        let output = studio.run(&words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(name) && said.contains("choose another --out"), "{said}");
        assert!(fs::read_to_string(out.join(name)).unwrap().contains("theirs"));
        // One of its own is written anew.
        fs::remove_file(out.join(name)).unwrap();
        studio.ok(&words);
        studio.ok(&words);
    }
}

#[test]
fn only_shots_of_the_table_count_in_the_report_of_a_job_and_one_without_a_report_has_failed() {
    let studio = studio(TABLE);
    let reports = studio.path("reports");
    fs::create_dir(&reports).unwrap();
    let report = |name: &str, state: &str, failure: Option<Value>| {
        let mut shot = json!({
            "name": name, "line": 2, "state": state, "key": null, "out": "x", "seconds": 1.0,
        });
        shot["failure"] = failure.unwrap_or_default();
        let text = json!({ "shots": [shot] }).to_string();
        fs::write(reports.join(format!("{name}.json")), text).unwrap();
    };
    let failure = json!({ "code": "out-of-memory", "exit": 3, "message": "of an earlier table" });
    report("old", "failed", Some(failure));
    fs::write(reports.join("notes.json"), "[]").unwrap();
    report("fire", "made", None);
    report("smoke", "there", None);
    let [folder, table] = [reports.clone(), studio.path("it's a show/shots.csv")];
    let [folder, table] = [&folder, &table].map(|path| path.to_str().unwrap());
    let words = ["job", "report", "--table", table, folder];
    let output = studio.run(&words);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("3 shots: 1 made, 1 there already, 1 not begun"), "{said}");
    assert!(said.contains("not begun  dust") && said.contains("no report of it"), "{said}");
    report("dust", "from-store", None);
    let (stdout, _) = studio.ok(&words);
    assert!(stdout.ends_with("3 shots: 1 made, 1 from the store, 1 there already\n"), "{stdout}");
    // Without the table all count, and what is no report is told.
    let output = studio.run(&["job", "report", folder]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("notes.json is no report"), "{said}");
    fs::remove_file(reports.join("notes.json")).unwrap();
    assert_eq!(studio.run(&["job", "report", folder]).status.code(), Some(3));
    // What is read is not replaced.
    let fire = reports.join("fire.json");
    let output = studio.run(&[&words[..], &["--junit", fire.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(fs::read_to_string(&fire).unwrap().starts_with('{'));
}

#[test]
fn openjd_runs_a_job_and_a_shot_that_fails_holds_up_no_other() {
    let Some(openjd) = program("openjd") else { return };
    let studio = studio(TABLE);
    let ours = format!("Program={}", env!("CARGO_BIN_EXE_wan-alpha"));
    let inputs = format!("Inputs={}", studio.path("it's a show").display());
    let folder = job(
        &studio,
        "openjd",
        &["--", "/bin/sh", "-c", "test -d \"$WAN_ALPHA_STORE\" && echo comp of all"],
    );
    let template = folder.join("template.json");
    let template = template.to_str().unwrap();
    let (code, checked) = said(&studio, &openjd, &["check", template]);
    assert_eq!(code, Some(0), "{checked}");
    // Another program's frames are where the second shot's have to go.
    fs::create_dir_all(folder.join("frames/fire")).unwrap();
    fs::write(folder.join("frames/fire/rgba.0000.png"), "mine").unwrap();
    let (code, log) = said(&studio, &openjd, &["run", template, "-p", &ours, "-p", &inputs]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("WAN_ALPHA_FAILED bad-input"), "{log}");
    assert!(!log.contains("-- ERROR"), "a line that it reads otherwise: {log}");
    assert!(folder.join("frames/smoke/rgba.0004.png").exists(), "{log}");
    assert!(!log.contains("\tcomp of all") && !log.contains("comp of all\n\n"), "{log}");
    let report = |name: &str| -> Value {
        let text = fs::read_to_string(folder.join("reports").join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(report("fire.json")["shots"][0]["state"], "failed");
    assert_eq!(report("smoke.json")["shots"][0]["state"], "made");
    // With its own exit code, which ends the job there.
    let (code, log) = said(
        &studio,
        &openjd,
        &["run", template, "-p", &ours, "-p", &inputs, "-p", "OnFailure=fail", "--step", "fire"],
    );
    assert_eq!(code, Some(1), "{log}");
    // What was in the way has gone: all of it is there, and what follows runs.
    fs::remove_file(folder.join("frames/fire/rgba.0000.png")).unwrap();
    let (code, log) = said(&studio, &openjd, &["run", template, "-p", &ours, "-p", &inputs]);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("3 shots: 1 made, 2 there already"), "{log}");
    assert!(log.contains("comp of all"), "{log}");
}

#[test]
fn a_job_that_is_cancelled_goes_on_from_the_latent_that_was_kept() {
    let Some(openjd) = program("openjd") else { return };
    // Sampled in a step, and decoded in many.
    let studio =
        studio("name,prompt,width,height,frames,steps,format\nfire,a flame,256,256,33,1,png\n");
    let folder = job(&studio, "openjd", &[]);
    let template = folder.join("template.json");
    let ours = format!("Program={}", env!("CARGO_BIN_EXE_wan-alpha"));
    let inputs = format!("Inputs={}", studio.path("it's a show").display());
    let words = ["run", template.to_str().unwrap(), "-p", &ours, "-p", &inputs];
    // Both of its streams in one; the shell becomes the program, so that signals reach that.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(&openjd).args(words);
    command.current_dir(studio.path("")).env_clear().envs(studio.environment("run"));
    // Else its lines come in blocks, when all is done.
    command.env("PYTHONUNBUFFERED", "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !log.contains("decoding 1/") {
        assert!(lines.read_line(&mut log).unwrap() > 0, "{log}");
    }
    // SAFETY: the process is a child that has not been waited for.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    assert_eq!(sent, 0);
    lines.read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{log}");
    assert!(log.contains("sampling 1/1") && log.contains("WAN_ALPHA_FAILED cancelled"), "{log}");
    assert!(!log.contains("signal \"kill\""), "the task did not end by itself: {log}");
    assert!(studio.takes().is_empty() && !folder.join("frames/fire/rgba.0032.png").exists());

    let (code, log) = said(&studio, &openjd, &words);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("decoding 1/") && !log.contains("sampling 1/"), "{log}");
    assert!(folder.join("frames/fire/rgba.0032.png").exists(), "{log}");
}

#[test]
fn opencue_s_own_package_makes_a_job_of_the_outline_with_words_that_a_shell_reads_back() {
    let Some(python) = program("python3") else { return };
    let studio = studio(TABLE);
    let folder = job(&studio, "opencue", &["--gpu-memory", "24", "--", "nuke", "-x", "my comp.nk"]);
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/job/outline_xml.py");
    let outline = folder.join("opencue_job.py");
    let (code, xml) =
        said(&studio, &python, &[reader.to_str().unwrap(), outline.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{xml}");
    // Python looks into the folder of the script before any other: nothing there has a package's name.
    let seen = "import sys; sys.path.insert(0, sys.argv[1]); import outline.modules.shell";
    let (code, said) = said(&studio, &python, &["-c", seen, folder.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "<layer name=\"dust\"",
        "<gpus>1</gpus>",
        "<gpu_memory>24g</gpu_memory>",
        "<key name=\"WAN_ALPHA_BATCH\">1</key>",
    ] {
        assert!(xml.contains(part), "`{part}` is not in: {xml}");
    }
    let command = xml.split("<cmd>").nth(1).unwrap().split("</cmd>").next().unwrap();
    let read =
        Command::new("sh").args(["-c", &format!("printf '%s\\n' {command}")]).output().unwrap();
    let words = String::from_utf8(read.stdout).unwrap();
    let words: Vec<&str> = words.lines().collect();
    let table = studio.path("it's a show/shots.csv");
    assert_eq!(words[..3], ["wan-alpha", "batch", table.to_str().unwrap()], "{xml}");
    assert!(words.windows(2).any(|pair| pair == ["--only", "dust"]), "{words:?}");
    assert!(xml.contains("nuke -x 'my comp.nk'"), "{xml}");
    // What renders with the takes waits for every shot.
    assert_eq!(xml.matches("<depend ").count(), 3, "{xml}");
}

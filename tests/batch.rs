//! `wan-alpha batch`: the takes of a table, from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use support::render::names;
use support::studio::Studio;

/// Three shots of the smallest size, the second of two formats, the last first.
const TABLE: &str = "name,prompt,seed,model,width,height,frames,steps,ellipse,format,priority\n\
    fire,a flame,1,tiny,16,16,5,2,\"0: 0.2,0.5,0.6,1,0; 4: 0.8,0.5,0.6,1,0\",png,\n\
    smoke,@smoke.txt,2,tiny,16,16,1,1,,\"exr,png\",-1\n\
    dust,dust,3,tiny,16,16,1,1,,png,7\n";

/// A user with a table in a folder of its own.
fn studio(table: &str) -> Studio {
    let studio = Studio::new();
    fs::create_dir(studio.path("show")).unwrap();
    fs::write(studio.path("show/shots.csv"), table).unwrap();
    fs::write(studio.path("show/smoke.txt"), "smoke\n").unwrap();
    studio
}

/// A call with the table and more words.
fn batch(studio: &Studio, more: &[&str]) -> Output {
    let [table, out] = ["show/shots.csv", "out"].map(|name| studio.path(name));
    let mut words = vec!["batch", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
    words.extend(["--device", "cpu", "--report"]);
    let report = studio.path("report.json");
    words.push(report.to_str().unwrap());
    words.extend(more);
    studio.run(&words)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The report, and its shots' names and states in the table's order.
fn report(studio: &Studio) -> (Value, Vec<(String, String)>) {
    let text = fs::read_to_string(studio.path("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let shots = report["shots"].as_array().unwrap().iter();
    let states = shots.map(|shot| (word(&shot["name"]), word(&shot["state"]))).collect();
    (report, states)
}

fn states(studio: &Studio) -> Vec<String> {
    report(studio).1.into_iter().map(|(_, state)| state).collect()
}

#[test]
fn the_shots_of_a_table_are_made_once_in_the_order_of_their_priority() {
    let studio = studio(TABLE);
    let junit = studio.path("report.xml");
    let output = batch(&studio, &["--junit", junit.to_str().unwrap()]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.ends_with("3 shots: 3 made\n"), "{stdout}");
    assert_eq!(
        report(&studio).1.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["fire", "smoke", "dust"]
    );
    assert_eq!(states(&studio), ["made"; 3]);
    let at = |name: &str| stderr.find(&format!("shot {name}:")).unwrap();
    assert!(at("dust") < at("fire") && at("fire") < at("smoke"), "{stderr}");
    assert_eq!(names(&studio.path("out")), ["dust", "fire", "smoke"]);
    assert_eq!(
        names(&studio.path("out/smoke")),
        ["contact-sheet.png", "rgba.0000.exr", "rgba.0000.png", "take.json"]
    );
    assert_eq!(names(&studio.path("out/fire")).len(), 7);
    let take = |name: &str| -> Value {
        let text = fs::read_to_string(studio.path("out").join(name).join("take.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(
        (&take("smoke")["request"]["prompt"], take("fire")["request"]["seed"].as_u64()),
        (&json!("smoke"), Some(1))
    );
    assert!(fs::read_to_string(&junit).unwrap().contains("tests=\"3\" failures=\"0\""));

    // What is there stays as it is; what the store has is written; what a row says otherwise is made.
    let before = fs::metadata(studio.path("out/dust/take.json")).unwrap().modified().unwrap();
    fs::remove_dir_all(studio.path("out/smoke")).unwrap();
    fs::write(studio.path("show/shots.csv"), TABLE.replace("a flame,1", "a flame,4")).unwrap();
    let output = batch(&studio, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        states(&studio),
        ["made", "from-store", "there-already"]
            .map(|state| state.replace("there-already", "there"))
    );
    assert_eq!(
        fs::metadata(studio.path("out/dust/take.json")).unwrap().modified().unwrap(),
        before
    );
    assert_eq!((take("fire")["request"]["seed"].as_u64(), studio.takes().len()), (Some(4), 4));
    // Another format is another row, of the same take.
    fs::write(
        studio.path("show/shots.csv"),
        TABLE.replace("a flame,1", "a flame,4").replace("png,7", "exr,7"),
    )
    .unwrap();
    let output = batch(&studio, &["--only", "dust"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(states(&studio), ["from-store"]);
    assert_eq!(names(&studio.path("out/dust"))[1], "rgba.0000.exr");
}

#[test]
fn shots_whose_files_are_gone_or_cut_are_written_again() {
    let studio = studio(TABLE);
    assert_eq!(batch(&studio, &[]).status.code(), Some(0));
    let [gone, cut] =
        ["out/fire/rgba.0003.png", "out/smoke/rgba.0000.exr"].map(|name| studio.path(name));
    let whole = [&gone, &cut].map(|path| fs::read(path).unwrap().len());
    fs::remove_file(&gone).unwrap();
    fs::write(&cut, b"v/1").unwrap();
    let output = batch(&studio, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(states(&studio), ["from-store", "from-store", "there"]);
    assert_eq!([&gone, &cut].map(|path| fs::read(path).unwrap().len()), whole);
    batch(&studio, &[]);
    assert_eq!(states(&studio), ["there"; 3]);
}

#[test]
fn reports_replace_nothing_that_is_read() {
    let studio = studio(TABLE);
    let [table, prompt, folder, free] =
        ["show/shots.csv", "show/smoke.txt", "show", "report.x"].map(|name| studio.path(name));
    let call = |report: &std::path::Path, junit: &std::path::Path| {
        let out = studio.path("out");
        let words = ["batch", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let reports = ["--report", report.to_str().unwrap(), "--junit", junit.to_str().unwrap()];
        let output = studio.run(&[&words[..], &reports].concat());
        (output.status.code(), text(&output.stderr))
    };
    for (report, junit, why) in [
        (&table, &free, "would replace"),
        (&free, &prompt, "would replace"),
        (&folder, &free, "is a folder"),
        (&free, &free, "is --report too"),
    ] {
        let (code, told) = call(report, junit);
        assert_eq!(code, Some(2), "{told}");
        assert!(
            told.contains(why) && (told.contains("--report") || told.contains("--junit")),
            "{told}"
        );
    }
    assert_eq!(fs::read_to_string(&table).unwrap(), TABLE);
    assert!(!free.exists() && !studio.path("out").exists());
}

#[test]
fn a_row_makes_the_take_of_an_earlier_one_again_by_its_column_from() {
    let studio = studio(TABLE);
    assert_eq!(batch(&studio, &["--only", "fire"]).status.code(), Some(0));
    let take = |name: &str| -> Value {
        let text = fs::read_to_string(studio.path("out").join(name).join("take.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let fire = take("fire");
    let key = studio.takes()[0].0.clone();
    // Files are named from the table's folder: a folder, a frame, and the take's own file.
    let table = format!(
        "name,from,format\nfolder,../out/fire,png\nframe,../out/fire/rgba.0004.png,png\n\
         stored,{},exr\n",
        key.display()
    );
    fs::write(studio.path("show/shots.csv"), table).unwrap();
    let output = batch(&studio, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(states(&studio), ["from-store"; 3]);
    for name in ["folder", "frame", "stored"] {
        assert_eq!(take(name)["request"], fire["request"], "{name}");
    }
    let frame = |name: &str| fs::read(studio.path("out").join(name).join("rgba.0002.png")).unwrap();
    assert_eq!(frame("folder"), frame("frame"));
    // Where the store has lost it, it is computed anew, by the model of its fingerprint.
    let before = studio.takes();
    fs::remove_file(&key).unwrap();
    fs::remove_dir_all(studio.path("out/folder")).unwrap();
    let output = batch(&studio, &["--only", "folder"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(states(&studio), ["made"]);
    assert!(studio.takes() == before);

    for (columns, cells, words) in [
        ("from", "../out/nothing", "there is no file ../out/nothing"),
        ("from,prompt", "../out/fire,x", "cannot be used with"),
        ("from,seed", "../out/fire,3", "cannot be used with"),
    ] {
        fs::write(studio.path("show/shots.csv"), format!("name,{columns}\na,{cells}\n")).unwrap();
        let output = batch(&studio, &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("line 2") && said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn nothing_is_made_while_a_row_cannot_be_and_all_such_rows_are_told() {
    let table = TABLE
        .replace("dust,dust,3,tiny,16", "dust,dust,3,none,16")
        .replace("smoke,@smoke.txt,2,tiny,16", "smoke,@smoke.txt,2,tiny,17");
    let studio = studio(&table);
    let output = batch(&studio, &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for words in ["nothing of ", "line 3, smoke: ", "16", "line 4, dust: ", "`none`"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    assert!(studio.takes().is_empty() && !studio.path("out").exists());
    // Looking makes nothing either.
    fs::write(studio.path("show/shots.csv"), TABLE).unwrap();
    let output = batch(&studio, &["--check"]);
    assert!(text(&output.stdout).ends_with("shots.csv: every row can be made\n"));
    assert!(studio.takes().is_empty() && !studio.path("out").exists());
    let output = batch(&studio, &["--only", "flood"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr)
            .contains("--only flood: the table has no such shot; it has fire, smoke")
    );
}

#[test]
fn the_status_of_a_table_that_cannot_be_made_has_a_reason() {
    let studio = studio(&TABLE.replace("dust,dust,3,tiny,16", "dust,dust,3,none,16"));
    let said = text(&batch(&studio, &["--farm", "openjd"]).stderr);
    let status = said.lines().find(|line| line.starts_with("openjd_fail: ")).unwrap();
    assert!(status.contains(" can be: line 4, dust: "), "{said}");
    assert!(said.ends_with("WAN_ALPHA_FAILED no-model\n"), "{said}");
}

#[test]
fn a_model_that_is_not_there_is_told_apart_from_one_that_is_damaged() {
    let studio = Studio::empty();
    let out = studio.path("o");
    let render = ["render", "--prompt", "x", "--out", out.to_str().unwrap()];
    let calls: [(&[&str], &str); 2] = [(&["--model", "nope"], "auto"), (&[], "nomodel")];
    for (more, variable) in calls {
        let mut command = studio.command("run", &[&render[..], more].concat());
        command.env("WAN_ALPHA_BATCH", "1").env("WAN_ALPHA_MODEL", variable);
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.ends_with("WAN_ALPHA_FAILED no-model\n"), "{said}");
    }
}

#[test]
fn a_command_line_that_cannot_be_read_ends_with_its_code_on_a_farm() {
    let studio = Studio::empty();
    let end = |words: &[&str], batch: &str| {
        let mut command = studio.command("run", words);
        let output = command.env("WAN_ALPHA_BATCH", batch).output().unwrap();
        let said = text(&output.stderr);
        let line = said.lines().last().filter(|line| line.starts_with("WAN_ALPHA_FAILED"));
        (output.status.code(), line.map(str::to_owned))
    };
    let failed = (Some(2), Some("WAN_ALPHA_FAILED bad-input".to_owned()));
    assert_eq!(end(&["render", "--nope"], "1"), failed);
    assert_eq!(end(&[], "1"), failed);
    assert_eq!(end(&["batch", "--nope", "--farm", "openjd"], "0"), failed);
    assert_eq!(end(&["render", "--nope"], "0"), (Some(2), None));
    for help in ["--help", "--version"] {
        assert_eq!(end(&[help], "1"), (Some(0), None));
    }
}

#[test]
fn a_shot_that_fails_is_reported_with_its_code_and_the_rest_is_made() {
    // More memory than its row grants, which shows when its take is made.
    let table = TABLE.replace(",priority\n", ",priority,memory\n").replace("png,\n", "png,,0.2\n");
    let table = table.replace("-1\n", "-1,\n").replace(",7\n", ",7,\n");
    let studio = studio(&table);
    let output = batch(&studio, &["--farm", "opencue"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert_eq!(stderr.lines().last(), Some("WAN_ALPHA_FAILED out-of-memory"), "{stderr}");
    assert!(stderr.contains("of 3 shots 1 failed, fire; the worst: "), "{stderr}");
    assert!(stdout.ends_with("3 shots: 2 made, 1 failed\n"), "{stdout}");
    let (whole, _) = report(&studio);
    let fire = &whole["shots"][0];
    assert_eq!(
        (&fire["state"], &fire["failure"]["code"], &fire["failure"]["exit"]),
        (&json!("failed"), &json!("out-of-memory"), &json!(3)),
        "{whole}"
    );
    assert_eq!(whole["exit"], 3);
    fs::write(studio.path("show/shots.csv"), TABLE).unwrap();
    assert_eq!(batch(&studio, &[]).status.code(), Some(0));
    assert_eq!(states(&studio)[0], "made");
}

#[test]
fn a_folder_that_cannot_take_the_files_of_a_shot_is_told_before_anything_is_made() {
    let studio = studio(TABLE);
    assert_eq!(batch(&studio, &[]).status.code(), Some(0));
    for kept in ["takes", "out"] {
        fs::remove_dir_all(studio.path(kept)).unwrap();
    }
    // Another program's frames, and a file where a folder has to be.
    fs::create_dir_all(studio.path("out/fire")).unwrap();
    fs::write(studio.path("out/fire/rgba.0000.png"), "mine").unwrap();
    fs::write(studio.path("out/dust"), "mine").unwrap();
    for (more, code) in [(&["--on-failure", "fail"], 2), (&["--on-failure", "record"], 0)] {
        let output = batch(&studio, more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for words in
            ["line 2, fire: ", "did not write", "line 4, dust: ", "is a file, not a folder"]
        {
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
        assert!(studio.takes().is_empty());
        // Nor does the report of the batch before stay.
        assert_eq!(states(&studio), ["failed", "not-begun", "failed"]);
        assert_eq!(report(&studio).0["exit"], 2);
    }
    // Looking alone leaves the report as it is.
    fs::write(studio.path("report.json"), "{}").unwrap();
    assert_eq!(batch(&studio, &["--check"]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(studio.path("report.json")).unwrap(), "{}");
    assert_eq!(fs::read_to_string(studio.path("out/dust")).unwrap(), "mine");
    // A row may say that they are to be replaced.
    let table = TABLE.replace(",priority\n", ",priority,force\n").replace("png,\n", "png,,true\n");
    let table = table.replace("-1\n", "-1,\n").replace(",7\n", ",7,\n");
    fs::write(studio.path("show/shots.csv"), table).unwrap();
    fs::remove_file(studio.path("out/dust")).unwrap();
    let output = batch(&studio, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_report_of_a_batch_that_is_killed_says_what_was_made() {
    let studio = studio(
        "name,prompt,seed,model,width,height,frames,steps,format\n\
         first,smoke,2,tiny,16,16,1,1,png\nlong,smoke,1,tiny,128,128,81,1,png\n",
    );
    let [table, out, report] =
        ["show/shots.csv", "out", "report.json"].map(|name| studio.path(name));
    let [table, out, report] = [&table, &out, &report].map(|path| path.to_str().unwrap());
    let words =
        ["batch", table, "--out", out, "--device", "cpu", "--farm", "openjd", "--report", report];
    let mut child =
        studio.command("run", &words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("shot long:") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(states(&studio), ["made", "not-begun"]);
    let (whole, _) = self::report(&studio);
    assert_eq!(
        (&whole["exit"], &whole["shots"][1]["failure"]["code"]),
        (&json!(1), &json!("failed"))
    );
}

#[test]
fn a_shot_keeps_to_the_memory_that_its_row_grants() {
    let studio = studio(
        "name,prompt,model,width,height,frames,steps,format,memory\n\
         little,smoke,tiny,16,16,1,1,png,0.2\nusual,dust,tiny,16,16,1,1,png,\n",
    );
    let output = batch(&studio, &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(" may be used: `--memory` is 200 MB"), "{said}");
    assert_eq!(states(&studio), ["failed", "made"]);
}

#[test]
fn two_processes_with_one_table_share_its_shots() {
    let mut table = TABLE.lines().next().unwrap().to_owned() + "\n";
    for shot in 0..6 {
        table += &format!("s{shot},smoke,{shot},tiny,64,64,21,8,,png,\n");
    }
    let studio = studio(&table);
    let [table, out] = ["show/shots.csv", "out"].map(|name| studio.path(name));
    let reports = ["a.json", "b.json"].map(|name| studio.path(name));
    let children = reports.each_ref().map(|report| {
        let words = [
            "batch",
            table.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--device",
            "cpu",
            "--report",
            report.to_str().unwrap(),
        ];
        studio.command("run", &words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let states = reports.map(|report| -> Vec<String> {
        let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
        let shots = report["shots"].as_array().unwrap();
        shots.iter().map(|shot| shot["state"].as_str().unwrap().to_owned()).collect()
    });
    // Each shot is made by one, and is there for the other.
    for (a, b) in states[0].iter().zip(&states[1]) {
        let mut pair = [a.as_str(), b.as_str()];
        pair.sort_unstable();
        assert_eq!(pair, ["made", "there"], "{states:?}");
    }
    assert_eq!(studio.takes().len(), 6);
    // No claim is left.
    assert!(names(&studio.path("takes")).iter().all(|name| name.ends_with(".take")));
}

#[test]
fn a_stopped_batch_goes_on_from_the_kept_latent() {
    let table = "name,prompt,seed,model,width,height,frames,steps,format\n\
        long,smoke,1,tiny,128,128,81,1,png\nnext,smoke,2,tiny,16,16,1,1,png\n";
    let studio = studio(table);
    let [table, out] = ["show/shots.csv", "out"].map(|name| studio.path(name));
    let words = [
        "batch",
        table.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--device",
        "cpu",
        "--farm",
        "openjd",
    ];
    let mut child =
        studio.command("run", &words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("openjd_status: decoding 1/") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    // SAFETY: the process is a child that has not been waited for.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    assert_eq!(sent, 0);
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.ends_with("WAN_ALPHA_FAILED cancelled\n"), "{said}");
    assert!(said.contains("\nopenjd_fail: "), "{said}");
    assert!(said.contains("not begun  next"), "{said}");
    assert!(studio.takes().is_empty());
    let output = studio.run(&words);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let of_first = said.split("shot next:").next().unwrap();
    assert!(
        of_first.contains("openjd_status: decoding")
            && !of_first.contains("openjd_status: sampling"),
        "{said}"
    );
    assert_eq!(studio.takes().len(), 2);
}

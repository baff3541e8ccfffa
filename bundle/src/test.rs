//! `cargo xtask test`: set-up, then every test; with `--slow`, the trainings of minutes instead.
//!
//! A test that fails keeps none from being run; what failed is listed at the end. A test program that says
//! nothing for so long that it must hang is ended, and the others go on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::tree::Tree;
use crate::{cargo, setup};

const TO_THE_END: &str = "--no-fail-fast";

/// Cargo runs doc tests, or builds programs and nothing else, in place of what is watched here.
const NOT_TO_BE_BUILT_FIRST: [&str; 2] = ["--doc", "--no-run"];

/// Longer than a test program runs without a line; the longest of them builds a bundle. Compilers are not
/// counted: how long they are silent hangs on the machine alone.
const SILENCE: Duration = Duration::from_secs(25 * 60);

#[derive(clap::Args)]
pub(crate) struct TestOptions {
    /// Only what takes minutes: trainings from nothing whose losses have to halve
    #[arg(long)]
    slow: bool,

    /// Handed to `cargo test --workspace --no-fail-fast` as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// The exit code is cargo's, whose output passes through; the list comes after it.
pub(crate) fn run(tree: &Tree, options: &TestOptions) -> Result<ExitCode> {
    setup::ensure(tree)?;
    let fixed: &[&str] = if options.slow {
        // A target of its own behind a feature, so that nothing else is built anew.
        &["test", "--package", "wan-alpha", "--features", "slow", "--test", "slow"]
    } else {
        &["test", "--workspace"]
    };
    let rest = options.arguments.iter().map(String::as_str);
    // Cargo refuses to be told twice.
    let to_the_end = (!rest.clone().any(|argument| argument == TO_THE_END)).then_some(TO_THE_END);
    let show = if options.slow { &["--", "--nocapture"][..] } else { &[] };
    let arguments = fixed.iter().copied().chain(to_the_end).chain(rest).chain(show.iter().copied());
    let arguments: Vec<_> = arguments.collect();
    if let Some(build) = building(&arguments) {
        let status = cargo::command(tree, &build).status().context("cargo could not be started")?;
        if !status.success() {
            return Ok(crate::exit_code(status));
        }
    }
    let mut command = cargo::command(tree, &arguments);
    let (status, failed) = watched(&mut command, &mut std::io::stdout(), SILENCE)?;
    if !failed.is_empty() {
        eprintln!("\nfailed: {}", failed.len());
        for name in &failed {
            eprintln!("  {name}");
        }
    }
    Ok(crate::exit_code(status))
}

/// The command line that compiles what another one then only runs; none where there is nothing to compile
/// beforehand.
fn building<'a>(arguments: &[&'a str]) -> Option<Vec<&'a str>> {
    let cargos = arguments.iter().copied().take_while(|&argument| argument != "--");
    if cargos.clone().any(|argument| NOT_TO_BE_BUILT_FIRST.contains(&argument)) {
        return None;
    }
    Some(cargos.chain(["--no-run"]).collect())
}

/// Runs to the end with the output going to `out`, and returns the tests that failed. Which programs
/// they are in is what cargo says. What cargo has started is ended where all are silent for too long.
fn watched(
    command: &mut Command,
    out: &mut dyn Write,
    silence: Duration,
) -> Result<(ExitStatus, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| {
        format!("cargo could not be started ({})", command.get_program().display())
    })?;
    let mut output = BufReader::new(child.stdout.take().context("cargo has no output")?);
    let (lines, heard) = channel();
    // Ends with the output, or when nobody listens any more.
    thread::spawn(move || {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if lines.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    let mut failures = Failures::default();
    loop {
        match heard.recv_timeout(silence) {
            Ok(line) => {
                // Whoever reads ours may have gone; the tests go on.
                let _ = out.write_all(&line);
                failures.read(String::from_utf8_lossy(&line).trim_end());
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let _ = writeln!(out, "nothing was said for {silence:?}: what runs is ended");
                failures.failed.extend(failures.at_work.drain(..).map(|name| name + " (hung)"));
                let ended = end_descendants(child.id());
                if ended == 0 {
                    child.kill().context("cargo could not be ended")?;
                    break;
                }
            }
        }
    }
    let status = child.wait().context("cargo could not be waited for")?;
    Ok((status, failures.failed))
}

/// Ends what a process has started, and what those have started; how many there were. Elsewhere than on Linux
/// they are not known.
fn end_descendants(process: u32) -> usize {
    let children = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let children: Vec<u32> = children
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect();
    let mut ended = 0;
    for child in children {
        // Its own first: they are nobody's once it has ended.
        ended += end_descendants(child) + 1;
        #[cfg(unix)]
        if let Some(child) = i32::try_from(child).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
    }
    ended
}

/// The lists of failures in the output of test programs.
#[derive(Debug, Default)]
struct Failures {
    failed: Vec<String>,
    /// Of the list that is being read, unless it is something else that looks like one.
    listed: Option<Vec<String>>,
    /// Tests of the program that runs, which last for longer than a minute.
    at_work: Vec<String>,
}

impl Failures {
    fn read(&mut self, line: &str) {
        if let Some(said) = line.strip_prefix("test ") {
            if let Some(name) = said.strip_suffix(" has been running for over 60 seconds") {
                self.at_work.push(name.to_owned());
            } else if let Some((name, _)) = said.split_once(" ... ") {
                self.at_work.retain(|working| working != name);
            }
        } else if line.starts_with("running ") {
            self.at_work.clear();
        }
        if line == "failures:" {
            self.listed = Some(Vec::new());
        } else if line.starts_with("test result: FAILED.") {
            self.failed.extend(self.listed.take().into_iter().flatten());
        } else if let Some(name) = line.strip_prefix("    ") {
            self.listed.iter_mut().for_each(|listed| listed.push(name.to_owned()));
        } else if !line.is_empty() {
            // What failed tests have said stands under such a title too.
            self.listed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
running 3 tests
test fuzz::in_nuke ... ok
test fuzz::in_resolve ... FAILED
test story::in_nuke ... FAILED

failures:

---- fuzz::in_resolve stdout ----
    not a name
failures:
    neither

thread 'fuzz::in_resolve' panicked

failures:
    fuzz::in_resolve
    story::in_nuke

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out

running 1 test
test fine ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out

failures:
    src/lib.rs - (line 3)

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
";

    #[test]
    fn what_failed_is_read_from_the_lists_at_the_ends() {
        let mut failures = Failures::default();
        SAID.lines().for_each(|line| failures.read(line));
        assert_eq!(
            failures.failed,
            ["fuzz::in_resolve", "story::in_nuke", "src/lib.rs - (line 3)"]
        );
    }

    #[test]
    fn compilers_are_not_watched() {
        assert_eq!(
            building(&["test", "--workspace", "--lib", "--", "name", "--nocapture"]).unwrap(),
            ["test", "--workspace", "--lib", "--no-run"]
        );
        assert_eq!(building(&["test", "--workspace", "--doc"]), None);
        assert_eq!(building(&["test", "--no-run", "--", "--doc"]), None);
        assert!(building(&["test", "--", "--doc"]).is_some(), "a name for the test program");
    }

    #[test]
    #[cfg(unix)]
    fn the_exit_code_stays_that_of_the_program() {
        let mut command = Command::new("sh");
        let said = "failures:\n    one\n\ntest result: FAILED. 1 failed";
        command.args(["-c", "printf '%s\\n' \"$1\"; exit 101", "sh", said]);
        let mut out = Vec::new();
        let (status, failed) = watched(&mut command, &mut out, SILENCE).unwrap();
        assert_eq!((status.code(), failed), (Some(101), vec!["one".to_owned()]));
        assert_eq!(String::from_utf8(out).unwrap(), format!("{said}\n"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_that_hangs_is_ended_by_name_and_the_next_one_runs() {
        const CARGO: &str = "\
echo 'test quick has been running for over 60 seconds'
echo 'test quick ... ok'
echo 'test stuck has been running for over 60 seconds'
sh -c 'sleep 1000 & sleep 1001'
echo 'running 1 test'
echo 'test next ... ok'
exit 101
";
        let mut command = Command::new("sh");
        command.args(["-c", CARGO]);
        let mut out = Vec::new();
        let silence = Duration::from_millis(500);
        let (status, failed) = watched(&mut command, &mut out, silence).unwrap();
        assert_eq!((status.code(), failed), (Some(101), vec!["stuck (hung)".to_owned()]));
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.contains("nothing was said for 500ms") && out.contains("test next ... ok"),
            "{out}"
        );
    }
}

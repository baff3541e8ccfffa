//! Who runs the checks: a process for each, with a home of its own and a time limit.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use wan_alpha_test_host::Profile;

use crate::Arguments;
use crate::check::{self, Check, LEVELS, Level};
use crate::report::{Finding, Line, Report, Severity};
use crate::results::{Checked, Examined, Outcome, Results};
use crate::subject::{self, Subject};

/// Tells the processes that a plug-in starts from others.
const MARK: &str = "CHECK_OFX_SCRATCH";
/// What nobody can make a folder of.
const NO_FOLDER: &str = "/dev/null/none";
/// The check that lists what is in a binary.
const LIST: &str = "list";

/// One check of one plug-in, to be run.
struct Task<'a> {
    /// Where its outcome goes in the results: plug-in and check.
    place: (usize, usize),
    level: &'a Level,
    check: &'a Check,
    nth: i32,
}

/// Examines every plug-in of a file.
pub(crate) fn examine(arguments: &Arguments, file: &Path) -> Result<Results> {
    for preset in &arguments.presets {
        subject::preset(preset)?;
    }
    let plugins = list(arguments, file)?;
    let chosen = check::chosen(arguments.level, &arguments.only);
    let wanted = |identifier: &String| arguments.plugin.as_ref().is_none_or(|p| p == identifier);
    let mut examined: Vec<Examined> = Vec::new();
    let mut tasks = Vec::new();
    for (nth, (identifier, version)) in (0..).zip(plugins) {
        if !wanted(&identifier) {
            continue;
        }
        let mut checks = 0;
        for level in LEVELS {
            for check in level.checks.iter().filter(|check| chosen.contains(check.id)) {
                tasks.push(Task { place: (examined.len(), checks), level, check, nth });
                checks += 1;
            }
        }
        examined.push(Examined { identifier, version, checks: Vec::new() });
    }
    if examined.is_empty() {
        match &arguments.plugin {
            Some(wanted) => bail!("{} has no plug-in {wanted}", file.display()),
            None => bail!("{} has no plug-in", file.display()),
        }
    }
    let jobs = arguments
        .jobs
        .map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let waiting = Mutex::new(tasks.iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            scope.spawn(|| {
                loop {
                    let Some(task) = waiting.lock().next() else {
                        return;
                    };
                    let checked = run_apart(arguments, file, task);
                    done.lock().push((task.place, checked));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(place, _)| *place);
    for ((plugin, _), checked) in done {
        examined[plugin].checks.push(checked?);
    }
    Ok(Results { file: file.display().to_string(), level: arguments.level, plugins: examined })
}

/// Identifiers and versions of the plug-ins of a file.
fn list(arguments: &Arguments, file: &Path) -> Result<Vec<(String, String)>> {
    let (lines, ended, _) = apart(arguments, file, LIST, 0, arguments.limit(20))?;
    let mut plugins = Vec::new();
    for line in lines {
        match line {
            Line::Note(note) => {
                let (identifier, version) = note.split_once(' ').unwrap_or((&note, ""));
                plugins.push((identifier.to_owned(), version.to_owned()));
            }
            Line::Broken(words) => bail!("{words}"),
            _ => {}
        }
    }
    match ended {
        Ended::Well => Ok(plugins),
        ended => bail!("{} {} while it is opened", file.display(), ended.words()),
    }
}

/// How a process came to its end.
enum Ended {
    Well,
    Badly(ExitStatus),
    /// Was ended, after so long.
    Hung(Duration),
}

impl Ended {
    fn words(&self) -> String {
        match self {
            Self::Well => "ends as it should".to_owned(),
            Self::Hung(limit) => format!("does not come back within {} s", limit.as_secs()),
            Self::Badly(status) => match signal(*status) {
                Some((number, name)) => format!("crashes the host: signal {number}{name}"),
                None => format!("ends the host: {status}"),
            },
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<(i32, &'static str)> {
    use std::os::unix::process::ExitStatusExt;
    let number = status.signal()?;
    let names = [
        (4, ", SIGILL"),
        (6, ", SIGABRT"),
        (7, ", SIGBUS"),
        (8, ", SIGFPE"),
        (9, ", SIGKILL"),
        (11, ", SIGSEGV"),
    ];
    let name = names.iter().find(|(known, _)| *known == number).map_or("", |(_, name)| name);
    Some((number, name))
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<(i32, &'static str)> {
    None
}

/// Runs a check in a process of its own.
fn run_apart(arguments: &Arguments, file: &Path, task: &Task<'_>) -> Result<Checked> {
    let Task { level, check, nth, .. } = task;
    let begun = Instant::now();
    let limit = arguments.limit(check.patience);
    let (lines, ended, left) = apart(arguments, file, check.id, *nth, limit)?;
    let mut checked = Checked::new(level, check, begun.elapsed());
    let (mut step, mut ends) = (String::new(), false);
    for line in lines {
        match line {
            Line::Step(words) => step = words,
            Line::Found(finding) => checked.findings.push(finding),
            Line::Note(words) => checked.notes.push(words),
            Line::Skipped(words) => checked.skipped = Some(words),
            Line::Broken(words) => checked.broken = Some(words),
            Line::End => ends = true,
        }
    }
    if !ends || !matches!(ended, Ended::Well) {
        let at = if step.is_empty() { String::new() } else { format!(" ({step})") };
        let words = match &ended {
            // It got as far as its end, or was ended by the plug-in with a good status.
            Ended::Well => format!("it ends the host{at}"),
            ended => format!("it {}{at}", ended.words()),
        };
        checked.findings.push(Finding { severity: Severity::Fault, rule: None, words, fix: None });
    }
    if left > 0 {
        checked.notes.push(format!("it left {left} processes, which were ended"));
    }
    checked.outcome = Outcome::of(&checked);
    Ok(checked)
}

/// What a process wrote, how it ended, and how many processes it left.
fn apart(
    arguments: &Arguments,
    file: &Path,
    check: &str,
    nth: i32,
    limit: Duration,
) -> Result<(Vec<Line>, Ended, usize)> {
    let scratch = tempfile::tempdir().context("there is no folder for temporary files")?;
    let at = |name: &str| scratch.path().join(name);
    for folder in ["home", "tmp"] {
        fs::create_dir(at(folder)).context("a temporary folder cannot be made")?;
    }
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(program);
    command.arg(file).args(["--run", check, &nth.to_string()]).arg(scratch.path());
    command.args(["--seed", &arguments.seed.to_string()]);
    for preset in &arguments.presets {
        command.args(["--set", preset]);
    }
    surround(&mut command, arguments, check, scratch.path());
    let log = fs::File::create(at("log")).context("a log cannot be made")?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().context("a process cannot be started")?;
    let ended = wait(&mut child, limit)?;
    let left = end_marked(scratch.path());
    let text = fs::read_to_string(at("report")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok((lines, ended, left))
}

/// The environment of a check: what it says of people's own folders leads to the scratch folder.
fn surround(command: &mut Command, arguments: &Arguments, check: &str, scratch: &Path) {
    if check == "faults.bare" {
        command.env_clear();
        for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(name, NO_FOLDER);
        }
    } else if !arguments.as_user {
        for name in ["HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
        {
            command.env(name, scratch.join("home"));
        }
        command.env_remove("XDG_RUNTIME_DIR");
    }
    command.env("TMPDIR", scratch.join("tmp")).env(MARK, scratch);
    // Functions that are nowhere show when the binary is opened.
    command.env("LD_BIND_NOW", "1");
}

fn wait(child: &mut Child, limit: Duration) -> Result<Ended> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("a process cannot be waited for")? {
            return Ok(if status.success() { Ended::Well } else { Ended::Badly(status) });
        }
        if Instant::now() >= end {
            child.kill().context("a process cannot be ended")?;
            child.wait().context("a process cannot be waited for")?;
            return Ok(Ended::Hung(limit));
        }
        thread::sleep(Duration::from_millis(4));
    }
}

/// Ends the processes that carry our mark, and says how many there were.
#[cfg(target_os = "linux")]
fn end_marked(scratch: &Path) -> usize {
    let mark = format!("{MARK}={}", scratch.display());
    let mut count = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|part| part == mark.as_bytes());
        if let (true, Some(process)) = (marked, rustix::process::Pid::from_raw(number)) {
            count += 1;
            // One that has ended by itself meanwhile is none.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }
    count
}

#[cfg(not(target_os = "linux"))]
fn end_marked(_: &Path) -> usize {
    0
}

/// Runs one check in this process.
pub(crate) fn run_one(
    arguments: &Arguments,
    file: &Path,
    id: &str,
    nth: i32,
    scratch: &Path,
) -> Result<ExitCode> {
    let presets = arguments.presets.iter().map(|text| subject::preset(text));
    let subject = Subject {
        file: file.to_owned(),
        nth,
        presets: presets.collect::<Result<_>>()?,
        scratch: scratch.to_owned(),
        seed: arguments.seed,
    };
    let mut report = Report::to(&scratch.join("report"))?;
    let work = match id {
        LIST => list_here,
        id => check::named(id).with_context(|| format!("there is no check {id}"))?.work,
    };
    let worked = catch_unwind(AssertUnwindSafe(|| work(&subject, &mut report)));
    if let Err(panic) = worked {
        let words = panic.downcast_ref::<String>().map_or("without words", String::as_str);
        report.broken(format!("the check itself failed: {words}"));
    }
    report.end();
    Ok(ExitCode::SUCCESS)
}

fn list_here(subject: &Subject, report: &mut Report) {
    let host = Subject::host(Profile::plain());
    let binary = match host.open(&subject.file) {
        Ok(binary) => binary,
        Err(error) => return report.broken(error.to_string()),
    };
    for nth in 0..binary.count() {
        match binary.details(nth) {
            Some(details) => {
                let [major, minor] = details.version;
                report.note(format!("{} {major}.{minor}", details.identifier));
            }
            None => report.note(format!("number-{nth} ?")),
        }
    }
}

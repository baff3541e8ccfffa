//! Programs that are run for a part of the check: each in a process group of its own, with a time
//! limit, and ended with everything that it started where the limit or a Ctrl-C comes first.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often limit and Ctrl-C are looked at.
const TICK: Duration = Duration::from_millis(20);
/// For what a program that has ended printed last, where what it started keeps its pipes open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// From asking a program to stop to ending it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether somebody asked the check to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Watches for Ctrl-C and its kin from now on.
    pub(super) fn watch() -> Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0))
                .context("cannot watch for Ctrl-C")?;
        }
        Ok(stop)
    }

    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgramEnd {
    Exit(ExitStatus),
    /// Its time was up.
    OutOfTime,
    /// The check was asked to stop.
    Stopped,
}

impl ProgramEnd {
    pub(super) fn is_success(self) -> bool {
        matches!(self, Self::Exit(status) if status.success())
    }
}

/// One line, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) at: Instant,
    pub(super) text: String,
    pub(super) to_stdout: bool,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct ProgramRun {
    pub(super) end: ProgramEnd,
    pub(super) lines: Vec<Said>,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

impl ProgramRun {
    pub(super) fn stdout(&self) -> String {
        let lines = self.lines.iter().filter(|line| line.to_stdout);
        lines.map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The last thing it said on standard error: programs end with what went wrong.
    pub(super) fn last_words(&self) -> &str {
        let mut lines = self.lines.iter().rev().filter(|line| !line.to_stdout);
        let last = lines.find(|line| !line.text.trim().is_empty());
        last.map_or("it said nothing", |line| line.text.trim())
    }

    pub(super) fn seconds(&self) -> f64 {
        (self.ended - self.begun).as_secs_f64()
    }
}

/// What the watcher of a running program wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    /// Ctrl-C to the program, which goes on being watched.
    Interrupt,
}

/// Runs a program to its end, to its limit, or to a Ctrl-C.
pub(super) fn run(command: &mut Command, limit: Duration, stop: &Stop) -> Result<ProgramRun> {
    run_watched(command, limit, stop, &mut |_| Wish::GoOn)
}

/// The same; `watch` is shown every line as it comes, and is asked in between.
pub(super) fn run_watched(
    command: &mut Command,
    limit: Duration,
    stop: &Stop,
    watch: &mut dyn FnMut(Option<&Said>) -> Wish,
) -> Result<ProgramRun> {
    let begun = Instant::now();
    let mut group = ProcessGroup::start(command)?;
    let lines = group.listen();
    let mut said = Vec::new();
    let mut end = None;
    loop {
        let line = match lines.recv_timeout(TICK) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Nobody is left who could say anything.
                thread::sleep(TICK);
                None
            }
        };
        if watch(line.as_ref()) == Wish::Interrupt {
            group.signal(Signal::INT);
        }
        said.extend(line);
        if let Some(status) = group.child.try_wait().context("a program cannot be waited for")? {
            end = Some(ProgramEnd::Exit(status));
        } else if stop.asked() {
            end = Some(ProgramEnd::Stopped);
        } else if begun.elapsed() >= limit {
            end = Some(ProgramEnd::OutOfTime);
        }
        if let Some(end) = end {
            let ended = Instant::now();
            if !matches!(end, ProgramEnd::Exit(_)) {
                group.end();
            }
            said.extend(std::iter::from_fn(|| lines.recv_timeout(LAST_WORDS).ok()));
            return Ok(ProgramRun { end, lines: said, begun, ended });
        }
    }
}

/// A program and all that it started.
struct ProcessGroup {
    child: Child,
    id: Option<Pid>,
}

impl ProcessGroup {
    fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("{} could not be started", command.get_program().to_string_lossy())
            })?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self { child, id })
    }

    fn listen(&mut self) -> mpsc::Receiver<Said> {
        let (tell, lines) = mpsc::channel();
        if let Some(stdout) = self.child.stdout.take() {
            read_lines(stdout, true, tell.clone());
        }
        if let Some(stderr) = self.child.stderr.take() {
            read_lines(stderr, false, tell);
        }
        lines
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // It may have ended this moment.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Asks first, so that it can put its own things away.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            thread::sleep(TICK);
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for ProcessGroup {
    /// Nothing that was started outlives an error in here.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn read_lines(from: impl Read + Send + 'static, to_stdout: bool, tell: Sender<Said>) {
    thread::spawn(move || {
        for bytes in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if tell.send(Said { at: Instant::now(), text, to_stdout }).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const LONG: Duration = Duration::from_secs(30);

    fn lives(process: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn what_a_program_says_is_kept_with_its_end() {
        let run = run(&mut shell("echo a; echo b >&2; exit 3"), LONG, &Stop::default()).unwrap();
        assert!(matches!(run.end, ProgramEnd::Exit(status) if status.code() == Some(3)));
        assert_eq!((run.stdout().as_str(), run.last_words()), ("a", "b"));
        assert!(super::run(&mut Command::new("no-such-program"), LONG, &Stop::default()).is_err());
    }

    #[test]
    fn at_its_limit_a_program_ends_with_all_that_it_started() {
        let script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60";
        let limit = Duration::from_millis(300);
        let run = run(&mut shell(script), limit, &Stop::default()).unwrap();
        assert_eq!(run.end, ProgramEnd::OutOfTime);
        let deadline = Instant::now() + LONG;
        while lives(&run.stdout()) {
            assert!(Instant::now() < deadline, "{} lives on", run.stdout());
            thread::sleep(TICK);
        }
    }

    #[test]
    fn a_ctrl_c_ends_what_is_running() {
        let stop = Stop::default();
        let asked = stop.clone();
        let mut watch = |line: Option<&Said>| {
            if line.is_some_and(|line| line.text == "ready") {
                asked.ask();
            }
            Wish::GoOn
        };
        let run = run_watched(&mut shell("echo ready; sleep 60"), LONG, &stop, &mut watch).unwrap();
        assert_eq!(run.end, ProgramEnd::Stopped);
    }

    #[test]
    fn an_interrupt_reaches_the_program_alone() {
        let script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done";
        let mut watch = |line: Option<&Said>| match line {
            Some(line) if line.text == "ready" => Wish::Interrupt,
            _ => Wish::GoOn,
        };
        let run = run_watched(&mut shell(script), LONG, &Stop::default(), &mut watch).unwrap();
        assert!(matches!(run.end, ProgramEnd::Exit(status) if status.code() == Some(7)), "{run:?}");
        assert_eq!(run.stdout(), "ready\ncaught");
    }
}

//! The engine's process: started, watched, ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{EngineCommand, EngineError};
use crate::engine::endpoint::StartLock;

/// An engine that this process has started.
#[derive(Debug)]
pub(super) struct Launched {
    child: Child,
    output: PathBuf,
    /// Held until the engine has answered, so that nobody starts another.
    lock: Option<StartLock>,
    since: Instant,
    /// Since when it listens no more, though it had answered.
    leaving: Option<Instant>,
}

impl Launched {
    /// Starts the engine's program; what it prints goes to the file `output`.
    pub(super) fn start(
        command: &EngineCommand,
        output: &Path,
        lock: StartLock,
    ) -> Result<Self, EngineError> {
        let program = &command.program;
        let not_started =
            |source| EngineError::NotStarted { program: program.clone(), reason: source };
        // Where the host stands is its own affair, and may be a disk that is to be ejected.
        let directory = output.parent().unwrap_or(Path::new("/"));
        let absolute = match program.components().count() {
            // Looked up in the path of the environment.
            0 | 1 => program.clone(),
            _ => std::path::absolute(program).map_err(not_started)?,
        };
        let (out, err) = open_output(output)
            .and_then(|out| out.try_clone().map(|err| (out, err)))
            .map_err(not_started)?;
        let mut process = Command::new(absolute);
        process
            .args(&command.arguments)
            .env_clear()
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        set_group(&mut process, command.detached);
        let child = process.spawn().map_err(|source| refused(program, source))?;
        let output = output.to_owned();
        Ok(Self { child, output, lock: Some(lock), since: Instant::now(), leaving: None })
    }

    /// Whether it has not answered yet.
    pub(super) fn is_starting(&self) -> bool {
        self.lock.is_some()
    }

    /// For how long it has lived.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// It had answered and listens no more: for how long that has been known.
    pub(super) fn leaving_for(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.leaving.get_or_insert(now))
    }

    /// The engine has answered: lets go of the lock, so that others may start one.
    pub(super) fn answered(&mut self) {
        self.lock = None;
    }

    /// How it ended and what it said last; `None` while it lives. Leaves no zombie.
    pub(super) fn end(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{}{}", describe(status), last_line(&self.output)))
    }

    /// The number of its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it. Returns what it said last.
    pub(super) fn kill(&mut self) -> String {
        // It has ended already where this fails.
        let _ = self.child.kill();
        last_line(&self.output)
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // No zombie, where it has ended; it lives on where it has not.
        let _ = self.child.try_wait();
    }
}

/// Ends a process of this user that others have started.
#[cfg(unix)]
pub(super) fn kill(process: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| process > 1 && process != std::process::id())
        && let Err(error) = kill_process(pid, Signal::KILL)
    {
        log::warn!("the engine (process {process}) cannot be ended: {error}");
    }
}

/// Ends a process of this user that others have started.
#[cfg(windows)]
pub(super) fn kill(process: u32) {
    if process == std::process::id() {
        return;
    }
    let mut command = Command::new("taskkill");
    let ended = command.args(["/F", "/PID", &process.to_string()]).stdout(Stdio::null()).status();
    if let Err(error) = ended {
        log::warn!("the engine (process {process}) cannot be ended: {error}");
    }
}

fn refused(program: &Path, source: io::Error) -> EngineError {
    let program = program.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => EngineError::Missing { program },
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => {
            EngineError::NotStarted { program, reason: source }
        }
        _ => EngineError::NotExecutable { program, reason: source },
    }
}

#[cfg(unix)]
fn set_group(command: &mut Command, detached: bool) {
    use std::os::unix::process::CommandExt;
    if detached {
        command.process_group(0);
    }
}

#[cfg(windows)]
fn set_group(command: &mut Command, detached: bool) {
    use std::os::windows::process::CommandExt;
    const DETACHED_PROCESS: u32 = 0x8;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    command.creation_flags(if detached {
        DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    } else {
        CREATE_NO_WINDOW
    });
}

fn open_output(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The last line that the engine printed, as the end of a sentence.
fn last_line(output: &Path) -> String {
    /// Bytes in which the last line is looked for.
    const TAIL: u64 = 4096;
    let read = || -> io::Result<String> {
        let mut file = File::open(output)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.take(TAIL).read_to_end(&mut tail)?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    };
    let text = read().unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let shown: String = line.trim().chars().filter(|c| !c.is_control()).take(300).collect();
    if shown.is_empty() { shown } else { format!(", saying \"{shown}\"") }
}

fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("ended by signal {signal}");
    }
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

//! The command while it works: its lines on stderr, the memory it holds, and signals to it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use super::pace::worked;
use super::render::{Done, Render};

/// Longer than any stage of these tests takes; beyond it the command hangs.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often memory is looked at: a network's layer lasts longer.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) struct Running {
    render: Option<Render>,
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<String>>,
    /// What stderr has said so far.
    said: String,
}

impl Running {
    pub(crate) fn start(render: Render) -> Self {
        let mut command = render.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stderr, mut stdout) = (child.stderr.take().unwrap(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        Self { render: Some(render), child, lines, stdout: Some(stdout), said: String::new() }
    }

    /// Waits until stderr has a line that starts so.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, start: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line `{start}…` in:\n{}", self.said));
            self.hear(&line);
            if line.starts_with(start) {
                return;
            }
        }
    }

    /// Waits until the command has a thread of that name.
    #[cfg(target_os = "linux")]
    #[track_caller]
    #[allow(dead_code)]
    pub(crate) fn wait_for_thread(&self, name: &str) {
        let begun = Instant::now();
        let is_named = |task: std::io::Result<fs::DirEntry>| {
            let comm = task.map(|task| fs::read_to_string(task.path().join("comm")));
            comm.is_ok_and(|comm| comm.is_ok_and(|comm| comm.trim() == name))
        };
        let tasks = format!("/proc/{}/task", self.child.id());
        while !fs::read_dir(&tasks).is_ok_and(|mut tasks| tasks.any(is_named)) {
            assert!(begun.elapsed() < PATIENCE, "no thread `{name}`");
            thread::sleep(LOOK);
        }
    }

    /// Sends a signal to the command.
    #[cfg(unix)]
    #[allow(unsafe_code)]
    pub(crate) fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: a plain system call. The child is not waited for yet, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for the end; also says how long it worked until then, in processor time: how long it
    /// took depends on what the machine does beside it.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn finish(self) -> (Done, Duration) {
        let process = self.child.id();
        let before = worked(process);
        let mut after = before;
        let done = self.look_until_end(|| after = worked(process));
        (done, after - before)
    }

    /// Waits for the end; also says how many bytes of anonymous and shared memory it held at most.
    /// (Mapped files are not counted: the system takes their pages back when it needs them.)
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn measure(self) -> (Done, u64) {
        let mut peak = 0;
        let process = self.child.id();
        let done = self.look_until_end(|| peak = peak.max(held(process)));
        assert!(peak > 0, "no memory was seen at all");
        (done, peak)
    }

    #[track_caller]
    fn look_until_end(mut self, mut look: impl FnMut()) -> Done {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "still running:\n{}", self.said);
            look();
            thread::sleep(LOOK);
        };
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.hear(&line);
        }
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let render = self.render.take().unwrap();
        render.ended(status.code(), stdout, std::mem::take(&mut self.said))
    }

    fn hear(&mut self, line: &str) {
        self.said.push_str(line);
        self.said.push('\n');
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test must not leave the command at work. Fails where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a call that must succeed; the bytes it held at most, counted as [`Running::measure`] does.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn peak(mut command: Command) -> u64 {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        peak = peak.max(held(child.id()));
        thread::sleep(LOOK);
    };
    assert!(status.success() && peak > 0, "{status}, {peak} bytes");
    peak
}

/// Anonymous and shared memory of a process, in bytes.
#[cfg(target_os = "linux")]
fn held(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    field(&status, "RssAnon:") + field(&status, "RssShmem:")
}

/// A field of `/proc/PID/status` in bytes; 0 where it is missing (the process has just ended).
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

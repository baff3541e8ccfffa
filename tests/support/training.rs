//! A folder to call `wan-alpha train` in, whose runs can be looked at while they work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for runs, whose settings files are in it.
pub(crate) struct TrainingRoom(TempDir);

impl TrainingRoom {
    /// A folder with nothing in it.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of the folder itself.
    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The place of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a text file into it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The command to train by a settings file, with nothing of the user's environment.
    pub(crate) fn command(&self, settings: &str, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(["train", settings, "--out", out, "--device", "cpu"]);
        command.current_dir(self.0.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path("home"));
        command.env("OMP_WAIT_POLICY", "passive").env("OMP_NUM_THREADS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Trains to the end, however that is.
    pub(crate) fn run(&self, settings: &str, out: &str) -> Output {
        self.command(settings, out).output().unwrap()
    }

    /// Trains, which has to succeed. What was said.
    #[track_caller]
    pub(crate) fn ok(&self, settings: &str, out: &str) -> String {
        let output = self.run(settings, out);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words}");
        words
    }

    /// Trains, which has to end with an exit code. What was said.
    #[track_caller]
    pub(crate) fn refused(&self, settings: &str, out: &str, code: i32) -> String {
        let output = self.run(settings, out);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}");
        words
    }

    /// Lines of a run's log.
    pub(crate) fn log(&self, out: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(out).join("log.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Step, total and terms of each step, to the bit.
    pub(crate) fn losses(&self, out: &str) -> Vec<String> {
        let lines = self.log(out);
        let steps = lines.iter().filter(|line| line.get("total").is_some());
        steps.map(|line| format!("{} {} {}", line["step"], line["total"], line["losses"])).collect()
    }

    /// Waits until a run has made so many steps.
    pub(crate) fn wait(&self, out: &str, steps: usize, child: &mut Child) {
        let begun = Instant::now();
        while self.losses(out).len() < steps {
            assert!(child.try_wait().unwrap().is_none(), "it ended early");
            assert!(begun.elapsed() < Duration::from_secs(600), "it makes no steps");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Another verb, which has to succeed.
    #[track_caller]
    pub(crate) fn verb(&self, arguments: &[&str]) {
        let mut command = self.command("", "");
        let program = command.get_program().to_owned();
        let environment: Vec<_> =
            command.get_envs().map(|(n, v)| (n.to_owned(), v.unwrap().to_owned())).collect();
        command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).env_clear().envs(environment);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

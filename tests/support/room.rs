//! A folder to call the command in, which then knows nothing of the user's machine.

use std::fs;
#[cfg(unix)]
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Stdio;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::render::names;

/// The folder, and the verb that all calls begin with, if there is one.
pub(crate) struct Room {
    folder: TempDir,
    verb: Option<&'static str>,
    /// Its folder `models` is where models are looked for and put.
    has_models: bool,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), verb: None, has_models: false }
    }

    pub(crate) fn of(verb: &'static str) -> Self {
        Self { verb: Some(verb), ..Self::new() }
    }

    /// With models of its own, in the folder `models`.
    pub(crate) fn with_models() -> Self {
        Self { has_models: true, ..Self::new() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(self.verb).args(arguments).current_dir(self.folder());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.path("home")).env("SOURCE_DATE_EPOCH", "0");
        command.env("OMP_WAIT_POLICY", "passive").env("OMP_NUM_THREADS", "1");
        if self.has_models {
            command.env("WAN_ALPHA_MODELS", self.path("models"));
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, once it has succeeded.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// All that it says where it fails with this code.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// Fails so, in these words.
    #[track_caller]
    pub(crate) fn fails_with(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let said = self.fails(arguments, code);
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }

    /// Fails so, in these words, prints nothing and leaves no file behind.
    #[track_caller]
    pub(crate) fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = names(self.folder());
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("panicked") && output.stdout.is_empty(), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
        assert_eq!(names(self.folder()), before);
    }

    /// Exit code and words of a call that gets Ctrl-C when a line of it begins so.
    #[cfg(unix)]
    pub(crate) fn interrupted(&self, arguments: &[&str], begins: &str) -> (Option<i32>, String) {
        self.interrupted_in(arguments, &[], begins)
    }

    /// The same, with variables in its environment.
    #[cfg(unix)]
    pub(crate) fn interrupted_in(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        begins: &str,
    ) -> (Option<i32>, String) {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while !said.lines().any(|line| line.starts_with(begins)) {
            assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        }
        // SAFETY: the process is a child that has not been waited for.
        #[allow(unsafe_code)]
        let sent = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
        assert_eq!(sent, 0);
        lines.read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    }

    /// A file of JSON.
    #[track_caller]
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }
}

//! One side of a comparison: a process that stays alive and is told when to run.
//!
//! | line | from | meaning |
//! |---|---|---|
//! | `ready {"shape": …, "parameters": …, "checksum": …, "versions": {…}}` | side | built; what it will do |
//! | `run` | us | once more, please |
//! | `{"seconds": 1.25}` | side | how long that took |
//!
//! A side may write other lines before `ready`. It ends when its standard input does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub(crate) struct Side {
    name: &'static str,
    child: Child,
    /// Its standard input; `None` once that is closed.
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    facts: Value,
}

impl Side {
    /// Starts the process and waits until it is ready.
    pub(crate) fn start(name: &'static str, mut command: Command, threads: u32) -> Result<Self> {
        let threads = threads.to_string();
        let mut child = command
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("{name}: {} could not be started", command.get_program().to_string_lossy())
            })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{name}: the process has no pipes");
        };
        let mut side =
            Self { name, child, to: Some(to), from: BufReader::new(from), facts: Value::Null };
        side.facts = loop {
            let line = side.line()?;
            if let Some(facts) = line.strip_prefix("ready") {
                break serde_json::from_str(facts).with_context(|| {
                    format!("{name}: what follows `ready` is not JSON: {}", facts.trim())
                })?;
            }
        };
        // Arithmetic on infinities and denormals takes other times than on ordinary numbers.
        let checksum = side.facts["checksum"].as_f64();
        ensure!(
            checksum.is_some_and(f64::is_finite),
            "{name}: the checksum of its first result is {}, not a finite number",
            side.facts["checksum"]
        );
        Ok(side)
    }

    /// One run; the seconds that the side measured itself.
    pub(crate) fn run(&mut self) -> Result<f64> {
        let told = match &mut self.to {
            Some(to) => to.write_all(b"run\n").and_then(|()| to.flush()),
            None => Ok(()),
        };
        if told.is_err() {
            return Err(self.ended());
        }
        let line = self.line()?;
        let seconds = serde_json::from_str::<Value>(&line)
            .ok()
            .and_then(|answer| answer["seconds"].as_f64())
            .filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        seconds.with_context(|| {
            format!("{}: answered `{line}` where {{\"seconds\": …}} was expected", self.name)
        })
    }

    /// Something that the side said of its work when it was ready; null where it did not.
    pub(crate) fn fact(&self, name: &str) -> &Value {
        &self.facts[name]
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn versions(&self) -> Value {
        self.fact("versions").clone()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) | Err(_) => Err(self.ended()),
            Ok(_) => Ok(line.trim_end().to_owned()),
        }
    }

    fn ended(&mut self) -> anyhow::Error {
        self.to = None;
        match self.child.wait() {
            Ok(status) => anyhow::anyhow!(
                "{}: the process ended ({status}) before it had answered; its own message is above",
                self.name
            ),
            Err(error) => {
                anyhow::anyhow!("{}: the process cannot be waited for: {error}", self.name)
            }
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script);
        shell
    }

    fn refusal(script: &str) -> String {
        match Side::start("theirs", shell(script), 1) {
            Ok(mut side) => side.run().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_side_says_what_it_does_and_runs_when_told() {
        let script = r#"echo loading; echo "ready {\"checksum\": 1, \"threads\": $OMP_NUM_THREADS}"
                        read line; echo "{\"seconds\": 0.25, \"told\": \"$line\"}""#;
        let mut side = Side::start("ours", shell(script), 3).unwrap();
        assert_eq!(*side.fact("threads"), 3);
        assert!(side.fact("shape").is_null());
        assert_eq!(side.run().unwrap(), 0.25);
        assert!(side.run().unwrap_err().to_string().contains("ended"));
    }

    #[test]
    fn each_way_to_fail_is_told() {
        assert!(refusal("exit 3").contains("exit status: 3"));
        assert!(refusal("echo ready not-json").contains("not JSON"));
        assert!(refusal(r#"echo 'ready {"checksum": null}'"#).contains("not a finite number"));
        let answer = |text: &str| {
            format!(r#"echo 'ready {{"checksum": 1}}'; read line; echo '{text}'; read line"#)
        };
        for text in ["soon", "{}", r#"{"seconds": 0}"#, r#"{"seconds": -1}"#] {
            let told = refusal(&answer(text));
            assert!(told.contains(&format!("answered `{text}`")), "{told}");
        }
    }
}

//! Examples that measure by themselves and answer with one line of JSON.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

/// Runs a program to its end; what it says beside its answer goes to standard error.
pub(super) fn answer<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{program} could not be started"))?;
    let status = output.status;
    ensure!(status.success(), "{program} failed ({status}); its own message is above");
    serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stdout);
        format!("{program} answered `{}`, where JSON was expected", said.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_anything_else_is_told() {
        let ask = |script: &str| answer::<Vec<f64>>(Command::new("sh").args(["-c", script]));
        assert_eq!(ask("echo '[1, 2.5]'").unwrap(), [1.0, 2.5]);
        let refusal = |script: &str| ask(script).unwrap_err().to_string();
        assert!(refusal("echo '[1]'; exit 3").contains("failed (exit status: 3)"));
        assert!(refusal("echo soon").contains("answered `soon`"));
        assert!(answer::<f64>(&mut Command::new("no-such-program")).is_err());
    }
}

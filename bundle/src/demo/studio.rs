//! What surrounds the node in the demo: models, takes, logs and the engine's socket, all apart from
//! the user's own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::tree::Tree;

/// What the user's environment says of the node and its engine has no say here.
const PREFIX: &str = "WAN_ALPHA_";
/// Seconds without work after which an engine ends that nobody could stop.
const IDLE: &str = "10";

pub(crate) struct DemoFolders {
    folder: PathBuf,
    engine: PathBuf,
    /// The socket's; short, since the path of a socket may have a hundred letters only, and closed
    /// to others, which the engine insists on.
    run: TempDir,
}

impl DemoFolders {
    pub(crate) fn in_folder(folder: &Path, engine: PathBuf) -> Result<Self> {
        let run = tempfile::Builder::new()
            .prefix("wan-alpha-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .context("no temporary folder can be made for the engine's socket")?;
        Ok(Self { folder: folder.to_owned(), engine, run })
    }

    /// Gives a program the studio in the place of the user's own.
    pub(crate) fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(PREFIX) {
                command.env_remove(name);
            }
        }
        command
            .env("WAN_ALPHA_MODELS", self.folder.join("models"))
            .env("WAN_ALPHA_STORE", self.folder.join("takes"))
            .env("WAN_ALPHA_RUN", self.run.path())
            .env("WAN_ALPHA_IDLE", IDLE)
            .env("XDG_STATE_HOME", self.folder.join("state"))
    }

    /// Where the engine writes what it has to say.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Runs the command that the bundle brings as its engine.
    pub(crate) fn run(&self, arguments: &[&str], tree: &Tree) -> Result<()> {
        let mut command = Command::new(&self.engine);
        let output = self
            .surround(command.current_dir(tree.root()).args(arguments))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} could not be started", self.engine.display()))?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`wan-alpha {}` ended with {}: {}",
            arguments.join(" "),
            output.status,
            told.trim()
        );
        Ok(())
    }

    /// Ends the engine, and takes its socket away.
    pub(crate) fn close(self, tree: &Tree) -> Result<()> {
        self.run(&["engine", "stop"], tree)?;
        self.run.close().context("the folder of the engine's socket cannot be removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_models_and_takes_have_no_say() {
        let folder = tempfile::tempdir().unwrap();
        let studio = DemoFolders::in_folder(folder.path(), "engine".into()).unwrap();
        let mut command = Command::new("host");
        studio.surround(&mut command);
        let set: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_some_and(|value| Path::new(value).starts_with(&folder)))
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        assert_eq!(set, ["WAN_ALPHA_MODELS", "WAN_ALPHA_STORE", "XDG_STATE_HOME"]);
        let mode = studio.run.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

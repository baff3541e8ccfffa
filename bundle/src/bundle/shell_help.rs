//! What shells and `man` read of the command, made by the engine of a bundle that is laid out.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::layout::{COMPLETIONS, MANUAL};

/// Shells, and the names that they look for completions under.
const SHELLS: [(&str, &str); 3] =
    [("bash", "wan-alpha.bash"), ("zsh", "_wan-alpha"), ("fish", "wan-alpha.fish")];

/// Writes completions and pages into a bundle's `Contents`.
pub(super) fn write(contents: &Path, engine: &Path) -> Result<()> {
    let folder = contents.join(COMPLETIONS);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (shell, name) in SHELLS {
        let script = said(engine, &["completions".as_ref(), shell.as_ref()])?;
        ensure!(
            String::from_utf8_lossy(&script).contains("wan-alpha"),
            "the engine makes no completions for {shell}"
        );
        let file = folder.join(name);
        fs::write(&file, script)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let pages = contents.join(MANUAL);
    said(engine, &["man".as_ref(), "--out".as_ref(), pages.as_os_str()])?;
    let page = pages.join("wan-alpha.1");
    ensure!(page.is_file(), "the engine makes no page {}", page.display());
    Ok(())
}

/// What the engine prints, with nothing in its environment.
fn said(engine: &Path, arguments: &[&std::ffi::OsStr]) -> Result<Vec<u8>> {
    let output = Command::new(engine)
        .args(arguments)
        .env_clear()
        .output()
        .with_context(|| format!("{} could not be started", engine.display()))?;
    ensure!(
        output.status.success(),
        "{} {arguments:?} ended with {}: {}",
        engine.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn completions_and_pages_are_the_engines_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        let script = |text: &str| {
            fs::write(&engine, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")).unwrap();
            fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let contents = folder.path().join("Contents");
        script(
            "case $1 in completions) echo wan-alpha for $2;; man) mkdir -p $3; echo page > $3/wan-alpha.1;; esac",
        );
        write(&contents, &engine).unwrap();
        let zsh = fs::read_to_string(contents.join(COMPLETIONS).join("_wan-alpha")).unwrap();
        assert_eq!(zsh, "wan-alpha for zsh\n");
        assert!(contents.join(MANUAL).join("wan-alpha.1").is_file());
        script("echo no such verb >&2; exit 2");
        let error = write(&contents, &engine).unwrap_err().to_string();
        assert!(error.contains("no such verb"), "{error}");
        script("exit 0");
        let error = write(&contents, &engine).unwrap_err().to_string();
        assert!(error.contains("no completions for bash"), "{error}");
    }
}

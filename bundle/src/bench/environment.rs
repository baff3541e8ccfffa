//! The Python environment that diffusers runs in: `.setup/python`, made once from pins.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::{ByteCount, PipPython, check_disk};
use crate::tree::Tree;

const PINS: &str = include_str!("../../pins/bench.txt");

/// torch's wheel brings CUDA with it; there is none for the CPU alone among the packages.
const FETCH: ByteCount = ByteCount(2_700_000_000);
const DISK: ByteCount = ByteCount(8_500_000_000);

/// The environment's Python; it is made, or made again, unless it stands as pinned.
pub(crate) fn ensure(tree: &Tree) -> Result<PathBuf> {
    let folder = tree.python();
    let python = folder.join("bin/python");
    // Written last: with it in place the environment is whole.
    let marker = folder.join("pins.txt");
    if is_pinned(&marker, &python) {
        eprintln!("bench: its Python environment is already set up in {}", tree.short(&folder));
        return Ok(python);
    }
    eprintln!(
        "bench: making its Python environment in {} (once; about {FETCH} to fetch):",
        tree.short(&folder)
    );
    for pin in pins() {
        eprintln!("  {pin}");
    }
    let system = PipPython::find()?;
    check_disk(&tree.setup(), DISK)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    run(
        Command::new(system.program()).args(["-m", "venv"]).arg(&folder),
        "python3 could not make an environment. On Debian and Ubuntu the package python3-venv \
         brings what it needs; install it and run again",
    )?;
    // The system's folder for temporary files is often small or memory.
    let temporary = folder.join("temporary");
    fs::create_dir_all(&temporary)
        .with_context(|| format!("{} cannot be created", temporary.display()))?;
    run(
        Command::new(&python)
            .env("TMPDIR", &temporary)
            .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet"])
            .args(pins()),
        "pip could not install the packages. Check that this machine reaches its package index \
         (proxy: HTTPS_PROXY; mirror: PIP_INDEX_URL) and that its Python is 3.11 or newer, then \
         run again",
    )?;
    run(
        Command::new(&python).args(["-c", "import torch, diffusers, numpy, peft"]),
        "the packages were installed but cannot be imported",
    )?;
    let _ = fs::remove_dir_all(&temporary);
    fs::write(&marker, PINS).with_context(|| format!("{} cannot be written", marker.display()))?;
    Ok(python)
}

fn is_pinned(marker: &Path, python: &Path) -> bool {
    fs::read_to_string(marker).is_ok_and(|text| text == PINS) && python.exists()
}

/// The requirements without comments.
fn pins() -> impl Iterator<Item = &'static str> {
    PINS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Runs a step with its output on standard error; `failure` is told with the exit status.
fn run(command: &mut Command, failure: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?))
        .status()
        .with_context(|| format!("{program} could not be started"))?;
    if !status.success() {
        bail!("{failure} ({status}; its own message is above)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_by_version() {
        let names: Vec<&str> =
            pins().filter_map(|pin| pin.split_once("==")).map(|(n, _)| n).collect();
        let expected = ["torch", "diffusers", "numpy", "transformers", "peft", "accelerate"];
        assert_eq!(names, expected);
        assert_eq!(pins().count(), expected.len());
        assert!(pins().any(|pin| pin == "torch==2.13.0"), "the torch of both sides is the same");
    }

    #[test]
    fn an_environment_counts_only_with_its_marker_and_its_python() {
        let folder = tempfile::tempdir().unwrap();
        let (marker, python) = (folder.path().join("pins.txt"), folder.path().join("python"));
        assert!(!is_pinned(&marker, &python));
        fs::write(&marker, PINS).unwrap();
        assert!(!is_pinned(&marker, &python));
        fs::write(&python, "").unwrap();
        assert!(is_pinned(&marker, &python));
        fs::write(&marker, "torch==2.12.0\n").unwrap();
        assert!(!is_pinned(&marker, &python));
    }

    #[test]
    fn a_failed_step_says_what_to_do() {
        let error = run(Command::new("false").arg("x"), "do this").unwrap_err().to_string();
        assert!(error.starts_with("do this (exit status: 1"), "{error}");
        assert!(run(&mut Command::new("no-such-program"), "x").is_err());
    }
}

//! Fetching the pinned wheels with pip.
//!
//! A wheel counts as fetched when its sha256 is the pinned one, whoever put it there: what an
//! interrupted run left is used again, and what it left half is fetched again.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::machine::PipPython;
use super::pins::Pin;

/// pip takes a platform literally: each tag that one of the pinned wheels carries must be named.
const PLATFORMS: &[&str] = &[
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_25_x86_64",
    "manylinux_2_18_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux_2_12_x86_64",
    "manylinux2010_x86_64",
    "manylinux_2_5_x86_64",
    "manylinux1_x86_64",
];

/// The wheel of a pin in `folder`, fetched unless it is there already.
pub(crate) fn obtain(pin: &Pin, folder: &Path, python: &PipPython) -> Result<PathBuf> {
    fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    if let Some(wheel) = find(pin, folder)? {
        if sha256(&wheel)? == pin.sha256 {
            eprintln!("  {pin}: the wheel is there from an earlier run, sha256 as pinned");
            return Ok(wheel);
        }
        eprintln!("  {pin}: the wheel left by an earlier run is not whole; fetching it again");
        fs::remove_file(&wheel)
            .with_context(|| format!("{} cannot be removed", wheel.display()))?;
    }
    eprintln!("  {pin}: fetching {}", pin.wheel_bytes);
    download(pin, folder, python)?;
    let wheel = find(pin, folder)?.with_context(|| {
        format!("pip fetched {pin} but left no {}….whl in {}", pin.file_prefix(), folder.display())
    })?;
    let found = sha256(&wheel)?;
    ensure!(
        found == pin.sha256,
        "{} has sha256 {found} instead of {}; the disk may be full or failing",
        wheel.display(),
        pin.sha256
    );
    Ok(wheel)
}

/// Whether a wheel of this name is there, whole or not: for the estimate of what is to be fetched.
pub(crate) fn is_there(pin: &Pin, folder: &Path) -> bool {
    matches!(find(pin, folder), Ok(Some(_)))
}

fn find(pin: &Pin, folder: &Path) -> Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", folder.display()));
        }
    };
    let prefix = pin.file_prefix();
    let named = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".whl"))
    };
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).find(named))
}

/// `pip download`, for the Python that the wheels are made for whichever Python runs pip.
fn download(pin: &Pin, folder: &Path, python: &PipPython) -> Result<()> {
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, pin.requirement() + "\n")
        .with_context(|| format!("{} cannot be written", requirements.display()))?;
    let temporary = folder.join("temporary");
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(&temporary)
        .with_context(|| format!("{} cannot be created", temporary.display()))?;
    let mut pip = python.pip();
    // The system's folder for temporary files is often small or memory.
    pip.env("TMPDIR", &temporary)
        .args(["download", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"])
        .args(["--abi=cp311", "--abi=abi3", "--abi=none", "--require-hashes"])
        .args(PLATFORMS.iter().map(|platform| format!("--platform={platform}")))
        .arg("--dest")
        .arg(folder)
        .arg("--requirement")
        .arg(&requirements)
        // Our own standard output belongs to the verb that asked for set-up.
        .stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?));
    if !io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    let status = pip.status().context("pip could not be started")?;
    if !status.success() {
        bail!(
            "pip could not fetch {pin} ({status}; its own message is above). Check that this \
             machine reaches its package index (proxy: HTTPS_PROXY; mirror: PIP_INDEX_URL), then \
             run again: wheels fetched so far are kept"
        );
    }
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hasher))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::pins;

    #[test]
    fn a_wheel_is_found_by_name_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "a".repeat(64);
        let line = format!("nvidia-cuda-runtime==13.0.96 --hash=sha256:{hash} # 1 1");
        let pin = pins::parse(&line).unwrap().remove(0);
        assert!(!is_there(&pin, &folder.path().join("absent")));
        for name in
            ["nvidia_cuda_runtime-13.0.9-py3-none-x.whl", "nvidia_cuda_runtime-13.0.96-x.part"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(!is_there(&pin, folder.path()));
        let name = "nvidia_cuda_runtime-13.0.96-py3-none-x.whl";
        fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(find(&pin, folder.path()).unwrap(), Some(folder.path().join(name)));
    }

    #[test]
    fn sha256_is_the_standard_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

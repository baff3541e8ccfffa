//! ffmpeg for tests: the versions that are here, each under its name in a folder for PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::room::Room;

/// Programs, separated by colons, to test with in place of those that are found.
const VARIABLE: &str = "WAN_ALPHA_TEST_FFMPEG";

/// A version of ffmpeg.
pub(crate) struct FfmpegFolder {
    folder: TempDir,
    /// The first line that it says.
    pub(crate) version: String,
}

impl FfmpegFolder {
    /// What PATH is to be, with nothing else on it.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A stand-in of its own words, in shell.
    pub(crate) fn stand_in(script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, version: "a stand-in".to_owned() }
    }
}

/// Every version that can be found: those that a variable names, that of the Python package
/// `imageio-ffmpeg`, or the one on PATH. Where there is none, it is said why nothing is tested.
pub(crate) fn all() -> Vec<FfmpegFolder> {
    let named = std::env::var(VARIABLE).unwrap_or_default();
    let mut programs: Vec<PathBuf> =
        named.split(':').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    if programs.is_empty() {
        let ask = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())";
        let said = Command::new("python3").args(["-c", ask]).output().ok();
        let said = said.filter(|output| output.status.success()).map(|output| output.stdout);
        programs.extend(said.map(|name| PathBuf::from(String::from_utf8_lossy(&name).trim())));
    }
    if programs.is_empty() {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        programs.extend(std::env::split_paths(&on_path).map(|folder| folder.join("ffmpeg")));
        programs.retain(|program| program.is_file());
        programs.truncate(1);
    }
    let found: Vec<FfmpegFolder> =
        programs.iter().filter_map(|program| in_folder(program)).collect();
    if found.is_empty() {
        eprintln!(
            "skipped: no ffmpeg is here to write movies with; `pip install imageio-ffmpeg`, or name programs \
             in {VARIABLE}"
        );
    }
    found
}

fn in_folder(program: &Path) -> Option<FfmpegFolder> {
    let said = Command::new(program).arg("-version").output().ok()?;
    let version = String::from_utf8_lossy(&said.stdout).lines().next()?.to_owned();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(program.canonicalize().ok()?, folder.path().join("ffmpeg")).unwrap();
    Some(FfmpegFolder { folder, version })
}

/// Has a real ffmpeg make a file in the room; false where it lacks what that takes.
pub(crate) fn made(room: &Room, ffmpeg: &FfmpegFolder, arguments: &[&str]) -> bool {
    let mut command = Command::new(ffmpeg.path().join("ffmpeg"));
    command.args(["-nostdin", "-y", "-v", "error"]).args(arguments).current_dir(room.folder());
    let output = command.output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        eprintln!("{} makes no {arguments:?}: {said}", ffmpeg.version);
    }
    output.status.success()
}

/// A command's exit code and all that it says, with this ffmpeg alone.
pub(crate) fn asked(
    room: &Room,
    ffmpeg: &FfmpegFolder,
    arguments: &[&str],
) -> (Option<i32>, String) {
    let output = room.command(arguments).env("PATH", ffmpeg.path()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

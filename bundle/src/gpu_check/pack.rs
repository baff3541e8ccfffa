//! `gpu-check --pack`: a folder that carries the check to a machine without network and without
//! cargo, whose Python has torch 2.11.
//!
//! The program in it is built from a copy of this checkout in `target/gpu-check`, in which one line
//! differs: the version of `tch`. All that the product calls has the same form in both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::DRAFT_MODEL;
use crate::bundle::files_below;
use crate::tree::Tree;
use crate::{cargo, setup};

/// Of the pack: what fits on the way to a machine on loan.
const LIMIT: u64 = 60_000_000;
/// The version of `tch` that is made for torch 2.11.
const TCH: &str = "=0.24.0";
/// Below the folder of builds.
const PLACE: &str = "gpu-check";
/// The program looks for libraries beside itself; see [`super::programs`].
const RUN_PATH: &str = "$ORIGIN/lib";
/// What a copy of the checkout can be built without.
const LEFT_OUT: [&str; 7] =
    ["target", "out", "resources", "tests/data", "tests/support", "findings", "docs"];

/// The check itself and the engine, in [`BIN`].
pub(super) const CHECK: &str = "gpu-check";
pub(super) const ENGINE: &str = "wan-alpha";
pub(super) const BIN: &str = "bin";
const START: &str = "run.sh";
const START_TEXT: &str = include_str!("pack/run.sh");
const READ_ME: &str = include_str!("pack/README.txt");

/// Makes the pack in `folder`, which must be new or an earlier pack.
pub(super) fn make(tree: &Tree, folder: &Path) -> Result<()> {
    let shown = folder.display();
    ensure!(
        !folder.exists() || is_pack(folder) || is_empty(folder),
        "{shown} is there and is no earlier pack: name another folder"
    );
    let libtorch = setup::ensure_for_pack(tree)?;
    let copy = copy_checkout(tree)?;
    let engine = build(&copy, &libtorch)?;
    let new = folder.with_extension("new");
    for old in [&new, &folder.to_owned()] {
        remove(old)?;
    }
    let model = tree.root().join(DRAFT_MODEL);
    fill(&new, &engine, &model).with_context(|| format!("{} cannot be made", new.display()))?;
    let bytes = size_of(&new)?;
    if bytes > LIMIT {
        remove(&new)?;
        bail!("the pack would have {bytes} bytes; {LIMIT} is the limit");
    }
    fs::rename(&new, folder).with_context(|| format!("{shown} cannot be put in place"))?;
    println!("{}", tree.short(folder));
    eprintln!(
        "gpu-check: {:.1} MB; on the other machine: sh {START} [--minutes N] [--out DIR]",
        bytes as f64 / 1e6
    );
    Ok(())
}

/// Whether a folder is one that [`make`] made.
pub(super) fn is_pack(folder: &Path) -> bool {
    folder.join(BIN).join(CHECK).is_file() && folder.join(START).is_file()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn fill(new: &Path, engine: &Path, model: &Path) -> Result<()> {
    let bin = new.join(BIN);
    fs::create_dir_all(&bin)?;
    let check = std::env::current_exe().context("this program's own file cannot be found")?;
    for (from, name) in [(engine, ENGINE), (&check, CHECK)] {
        strip(from, &bin.join(name))?;
    }
    let start = new.join(START);
    fs::write(&start, START_TEXT)?;
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755))?;
    fs::write(new.join("README.txt"), READ_ME)?;
    for file in files_below(model)? {
        let target = new.join("draft-model").join(&file);
        fs::create_dir_all(target.parent().unwrap_or(new))?;
        fs::copy(model.join(&file), &target)
            .with_context(|| format!("{} cannot be copied", file.display()))?;
    }
    Ok(())
}

/// Copies a program without its symbols: half of it is names for debuggers.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let mut command = std::process::Command::new("strip");
    let status = command.arg("--strip-all").arg("-o").arg(to).arg(from).status().context(
        "`strip` could not be started. It comes with gcc, in the package binutils; install it and \
         run again",
    )?;
    ensure!(status.success(), "`strip` could not copy {} ({status})", from.display());
    Ok(())
}

/// Builds the engine in the copy of the checkout; returns the program.
fn build(copy: &Path, libtorch: &Path) -> Result<PathBuf> {
    let target = copy.with_file_name("build");
    let arguments = ["build", "--release", "--package", "wan-alpha", "--bin", ENGINE];
    let mut command = cargo::command(&Tree::of(copy), arguments);
    command
        .env("LIBTORCH", libtorch)
        .env("CARGO_TARGET_DIR", &target)
        .env("WAN_ALPHA_BUILD_RUN_PATH", RUN_PATH);
    eprintln!("gpu-check: building the program with tch {TCH} (minutes, the first time)");
    let status = command.status().context("cargo could not be started")?;
    ensure!(
        status.success(),
        "the program could not be built with tch {TCH} and torch 2.11 ({status}); the compiler's \
         own messages are above"
    );
    Ok(target.join("release").join(ENGINE))
}

/// Brings the copy up to date, and its line about `tch` to the other version. What is equal is left
/// alone, so that cargo builds what has changed only.
fn copy_checkout(tree: &Tree) -> Result<PathBuf> {
    let copy = tree.root().join("target").join(PLACE).join("checkout");
    let mut files = Vec::new();
    list(tree.root(), Path::new(""), &mut files)?;
    for file in &files {
        let mut bytes = fs::read(tree.root().join(file))
            .with_context(|| format!("{} cannot be read", file.display()))?;
        if file == Path::new("Cargo.toml") {
            bytes = with_other_tch(&String::from_utf8_lossy(&bytes))?.into_bytes();
        }
        let target = copy.join(file);
        let lock = file == Path::new("Cargo.lock") && target.exists();
        if lock || fs::read(&target).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::create_dir_all(target.parent().unwrap_or(&copy))
            .and_then(|()| fs::write(&target, bytes))
            .with_context(|| format!("{} cannot be written", target.display()))?;
    }
    remove_strangers(&copy, &files)?;
    Ok(copy)
}

/// The workspace's manifest with the other version of `tch`.
fn with_other_tch(manifest: &str) -> Result<String> {
    let mut changed = 0;
    let lines = manifest.lines().map(|line| {
        if !line.starts_with("tch = ") {
            return line.to_owned();
        }
        changed += 1;
        format!("tch = {{ version = \"{TCH}\", default-features = false }}")
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    ensure!(changed == 1, "Cargo.toml has {changed} lines `tch = …`, expected 1");
    Ok(text)
}

/// Every file of the checkout that a build may need, relative to its root.
fn list(root: &Path, inside: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(inside);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || LEFT_OUT.iter().any(|left_out| path == Path::new(left_out)) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// A file that was removed here must not be built there.
fn remove_strangers(copy: &Path, files: &[PathBuf]) -> Result<()> {
    let mut there = Vec::new();
    list(copy, Path::new(""), &mut there)?;
    for file in there.iter().filter(|file| !files.contains(file)) {
        fs::remove_file(copy.join(file))
            .with_context(|| format!("{} cannot be removed", file.display()))?;
    }
    Ok(())
}

fn size_of(folder: &Path) -> Result<u64> {
    let sizes = files_below(folder)?.into_iter().map(|file| {
        let file = folder.join(file);
        let found = fs::metadata(&file);
        Ok(found.with_context(|| format!("{} cannot be read", file.display()))?.len())
    });
    sizes.sum()
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_the_manifest_differs() {
        let manifest = include_str!("../../../Cargo.toml");
        let other = with_other_tch(manifest).unwrap();
        let differing: Vec<_> =
            manifest.lines().zip(other.lines()).filter(|(ours, theirs)| ours != theirs).collect();
        let [(_, line)] = differing[..] else { panic!("{differing:?}") };
        assert_eq!(line, "tch = { version = \"=0.24.0\", default-features = false }");
        assert!(with_other_tch("[dependencies]\n").is_err());
    }

    #[test]
    fn a_copy_follows_the_checkout_and_leaves_what_is_equal_alone() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "tch = \"1\"\n");
        for path in ["src/a.rs", "src/b.rs", "tests/data/large.bin", ".git/head", "target/x"] {
            write(path, "one");
        }
        let tree = Tree::at(folder.path());
        let copy = copy_checkout(&tree).unwrap();
        let mut files = Vec::new();
        list(&copy, Path::new(""), &mut files).unwrap();
        files.sort();
        assert_eq!(files, ["Cargo.toml", "src/a.rs", "src/b.rs"].map(PathBuf::from));

        let written = |file: &str| fs::metadata(copy.join(file)).unwrap().modified().unwrap();
        let before = ["Cargo.toml", "src/a.rs"].map(written);
        write("src/a.rs", "one");
        fs::remove_file(folder.path().join("src/b.rs")).unwrap();
        write("src/c.rs", "two");
        copy_checkout(&tree).unwrap();
        assert_eq!(["Cargo.toml", "src/a.rs"].map(written), before);
        assert!(!copy.join("src/b.rs").exists() && copy.join("src/c.rs").exists());
    }

    #[test]
    fn a_folder_of_others_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("plate.exr"), "").unwrap();
        let error = make(&Tree::at(folder.path()), &theirs).unwrap_err().to_string();
        assert!(error.contains("no earlier pack"), "{error}");
        assert!(theirs.join("plate.exr").exists());
    }
}

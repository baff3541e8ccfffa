//! Putting a bundle into a folder, and taking it out again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::bundle::layout::{IDENTIFIER, NAME, ONLY_HERE};
use crate::bundle::make;
use crate::setup::{ByteCount, check_disk};

/// In the bundle; by it an installation is known as ours.
const RECEIPT: &str = "Contents/Resources/installed.json";

#[derive(Serialize, Deserialize)]
struct Receipt {
    version: String,
    /// Every file and link, below the bundle.
    files: BTreeSet<PathBuf>,
}

/// The version of a bundle of this plug-in, as its Info.plist has it.
pub(crate) fn version(bundle: &Path) -> Result<String> {
    let path = bundle.join("Contents/Info.plist");
    let shown = path.display();
    let plist = plist::Value::from_file(&path)
        .map_err(|error| anyhow::anyhow!("{shown} cannot be used: {error}"))?;
    let text = |key| plist.as_dictionary()?.get(key)?.as_string();
    ensure!(
        text("CFBundleIdentifier") == Some(IDENTIFIER),
        "{shown} is of another plug-in: CFBundleIdentifier is {}, expected {IDENTIFIER}",
        text("CFBundleIdentifier").unwrap_or("absent")
    );
    let version = text("CFBundleShortVersionString")
        .filter(|version| !version.is_empty() && !version.contains(['/', '\\']));
    version.map(str::to_owned).with_context(|| format!("{shown} names no version"))
}

/// A warning, where a bundle says of itself that it may not run on other machines than the one that made
/// it, with its reasons.
pub(crate) fn only_here(bundle: &Path) -> Result<Option<String>> {
    let path = bundle.join("Contents").join(ONLY_HERE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let reasons: Vec<_> = text.lines().filter(|line| line.starts_with("- ")).collect();
    Ok(Some(format!(
        "warning: this bundle may not run on other machines than the one that made it:\n  {}\n  Where \
         others share the folder, or if it was made elsewhere, let `wan-alpha doctor` look there; \
         bundle/README.md says how one for all machines is made",
        reasons.join("\n  ")
    )))
}

/// Folder of a version that lies beside others. Hosts look into subfolders.
pub(crate) fn own_folder(root: &Path, version: &str) -> PathBuf {
    root.join(format!("WanAlpha-{version}"))
}

/// Versions in folders of their own.
pub(crate) fn versions_beside(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    let version = |entry: fs::DirEntry| {
        let there = entry.path().join(format!("{NAME}.bundle")).is_dir();
        let name = entry.file_name().to_string_lossy().into_owned();
        name.strip_prefix("WanAlpha-").filter(|_| there).map(str::to_owned)
    };
    let mut versions: Vec<_> = entries.filter_map(version).collect();
    versions.sort();
    versions
}

/// Copies `bundle` into `folder`, whole or not at all; returns the version that it replaced.
pub(crate) fn install(bundle: &Path, folder: &Path) -> Result<Option<String>> {
    let target = folder.join(format!("{NAME}.bundle"));
    let new = folder.join(format!("{NAME}.bundle.new"));
    ensure!(
        !same(bundle, &target),
        "{} is already in its place; there is nothing to copy",
        target.display()
    );
    let old = replaceable(&target)?;
    let made = folders_to_make(folder);
    let copied = create(folder).and_then(|()| copy(bundle, &new));
    if let Err(error) = copied.and_then(|()| make::replace(&new, &target)) {
        let _ = make::remove(&new);
        // Only empty ones go.
        for folder in made {
            let _ = fs::remove_dir(folder);
        }
        return Err(error);
    }
    Ok(old)
}

/// Removes what the receipt names; returns what else lay in the bundle and stays.
pub(crate) fn uninstall(folder: &Path) -> Result<Vec<PathBuf>> {
    let bundle = folder.join(format!("{NAME}.bundle"));
    ensure!(bundle.is_dir(), "there is no {}", bundle.display());
    let receipt = receipt(&bundle)?.with_context(|| without_receipt(&bundle))?;
    let strangers = strangers(&bundle, &receipt)?;
    if strangers.is_empty() {
        // One step, so that a host that looks meanwhile sees all of it or nothing.
        let aside = bundle.with_extension("bundle.old");
        make::remove(&aside)?;
        fs::rename(&bundle, &aside).with_context(|| advice(folder))?;
        make::remove(&aside)?;
    } else {
        for file in receipt.files.iter().map(PathBuf::as_path).chain([Path::new(RECEIPT)]) {
            let path = bundle.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be removed", path.display()));
                }
                _ => {}
            }
        }
        remove_empty(&bundle);
    }
    if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("WanAlpha-")) {
        let _ = fs::remove_dir(folder);
    }
    Ok(strangers.into_iter().map(|file| bundle.join(file)).collect())
}

/// The version of the bundle that is there, if install may replace it.
fn replaceable(target: &Path) -> Result<Option<String>> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(None);
    }
    let shown = target.display();
    let receipt = receipt(target)?.with_context(|| without_receipt(target))?;
    let strangers = strangers(target, &receipt)?;
    if let Some(first) = strangers.first() {
        bail!(
            "{shown} holds {} that install did not place: {}. Move it elsewhere and install again",
            if strangers.len() == 1 { "a file" } else { "files" },
            first.display()
        );
    }
    Ok(Some(receipt.version))
}

fn without_receipt(bundle: &Path) -> String {
    format!(
        "{} was not placed by `cargo xtask install`: it has no {RECEIPT}. Remove it yourself, or \
         name another folder with --to",
        bundle.display()
    )
}

fn receipt(bundle: &Path) -> Result<Option<Receipt>> {
    let path = bundle.join(RECEIPT);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged", path.display())),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn strangers(bundle: &Path, receipt: &Receipt) -> Result<Vec<PathBuf>> {
    let found = contents(bundle)?.into_iter().map(|(path, _)| path);
    Ok(found.filter(|path| path != Path::new(RECEIPT) && !receipt.files.contains(path)).collect())
}

/// Every file and link below a folder, with its size.
fn contents(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(inside) = open.pop() {
        let entries = fs::read_dir(&inside)
            .with_context(|| format!("{} cannot be read", inside.display()))?;
        for entry in entries {
            let path = entry?.path();
            let about = fs::symlink_metadata(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            if about.is_dir() {
                open.push(path);
            } else if let Ok(place) = path.strip_prefix(folder) {
                files.push((place.to_owned(), about.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A copy that shares nothing with the bundle that it is of: that one belongs to whoever built it,
/// this one to whoever may write here. Where the file system can, the kernel shares the blocks.
fn copy(bundle: &Path, new: &Path) -> Result<()> {
    let version = version(bundle)?;
    let files: Vec<_> =
        contents(bundle)?.into_iter().filter(|(place, _)| place != Path::new(RECEIPT)).collect();
    let folder = new.parent().unwrap_or(new);
    make::remove(new).with_context(|| advice(folder))?;
    fs::create_dir(new).with_context(|| advice(folder))?;
    let bytes = files.iter().map(|(_, size)| ByteCount(*size)).sum();
    check_disk(folder, bytes)?;
    let mut receipt = Receipt { version, files: BTreeSet::new() };
    let mut folders = BTreeSet::from([new.to_owned()]);
    for (place, _) in files {
        let (from, to) = (bundle.join(&place), new.join(&place));
        copy_one(&from, &to)
            .with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
        folders.extend(place.ancestors().skip(1).map(|folder| new.join(folder)));
        receipt.files.insert(place);
    }
    for folder in folders {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("{} cannot be made readable", folder.display()))?;
    }
    let path = new.join(RECEIPT);
    let folder = path.parent().unwrap_or(new);
    let written = serde_json::to_vec(&receipt)
        .map_err(io::Error::from)
        .and_then(|text| fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Everybody may read it, whatever the umask of who installs.
fn copy_one(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let about = fs::symlink_metadata(from)?;
    if about.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    fs::copy(from, to)?;
    let mode = if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

/// The folders that are not there yet, innermost first.
fn folders_to_make(folder: &Path) -> Vec<&Path> {
    folder.ancestors().take_while(|folder| fs::symlink_metadata(folder).is_err()).collect()
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| advice(folder))
}

fn advice(folder: &Path) -> String {
    // By its own name: sudo seldom finds cargo.
    let program = std::env::current_exe().unwrap_or_else(|_| "cargo xtask".into());
    format!(
        "{} cannot be written to, and nothing was changed. Run again as somebody who may write \
         there (`sudo {} install`), with --user for your own folder, or with --to and another folder",
        folder.display(),
        program.display()
    )
}

fn remove_empty(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for inside in entries.map(|entry| entry.path()) {
        if inside.is_dir() && !inside.is_symlink() {
            remove_empty(&inside);
        }
    }
    let _ = fs::remove_dir(folder);
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

//! Whether every library that the laid out ones ask for is there.
//!
//! Read from the files themselves (`DT_NEEDED` of each dynamic section), since the machine that
//! lays out CUDA may have no GPU to try it on.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader};
use object::{Endianness, ReadCache};

/// From the C and C++ runtime, zlib, and NVIDIA's driver: the machine's own, never ours to bring.
pub(crate) const OF_THE_SYSTEM: &[&str] = &[
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libcuda.so.1",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
    "libz.so.1",
];

/// Checks all libraries of one flat folder; returns how many there are.
pub(crate) fn check(folder: &Path) -> Result<usize> {
    let mut names = BTreeSet::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?
    {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let mut lacking = Vec::new();
    for name in &names {
        let path = folder.join(name);
        let needed = needed(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let absent = needed
            .into_iter()
            .filter(|other| !names.contains(other) && !OF_THE_SYSTEM.contains(&other.as_str()));
        lacking.extend(absent.map(|other| format!("{name} asks for {other}")));
    }
    ensure!(
        lacking.is_empty(),
        "{} does not hold every library that its own ask for: {}",
        folder.display(),
        lacking.join("; ")
    );
    Ok(names.len())
}

/// The names in a library's dynamic section; the file is read in small pieces.
fn needed(path: &Path) -> Result<Vec<String>> {
    let cache = ReadCache::new(File::open(path)?);
    let data = &cache;
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let Some((entries, strings)) = sections.dynamic(endian, data)? else {
        return Ok(Vec::new());
    };
    let strings = sections.strings(endian, data, strings)?;
    let mut names = Vec::new();
    for entry in entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED) {
        names.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A shared library that asks for `needs`, made with the machine's compiler.
    fn library(folder: &Path, name: &str, needs: &[&str]) {
        let source = folder.join("x.c");
        fs::write(&source, "").unwrap();
        let status = Command::new("cc")
            .args(["-shared", "-nostdlib", "-Wl,--no-as-needed", "-o"])
            .arg(folder.join(name))
            .arg(format!("-Wl,-soname,{name}"))
            .arg(&source)
            .arg(format!("-L{}", folder.display()))
            .args(needs.iter().map(|need| format!("-l:{need}")))
            .status();
        assert!(status.unwrap().success());
        fs::remove_file(source).unwrap();
    }

    #[test]
    fn a_library_that_is_asked_for_and_absent_is_named() {
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), "libone.so.1", &[]);
        library(folder.path(), "libtwo.so", &["libone.so.1"]);
        assert_eq!(needed(&folder.path().join("libtwo.so")).unwrap(), ["libone.so.1"]);
        assert_eq!(check(folder.path()).unwrap(), 2);

        fs::remove_file(folder.path().join("libone.so.1")).unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("libtwo.so asks for libone.so.1"), "{error}");
    }

    #[test]
    fn what_is_no_library_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("libcut.so"), b"\x7fELF").unwrap();
        assert!(check(folder.path()).unwrap_err().to_string().contains("libcut.so cannot be read"));
    }
}

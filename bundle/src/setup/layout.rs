//! Making one part: wheels in, a whole folder out.
//!
//! The folder grows under another name and is renamed into place when everything in it is written,
//! so that an interrupted run leaves either what was there before or what should be there now.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use super::manifest::{FileRecord, SourceRecord};
use super::parts::SetupPart;
use super::pins::Pin;

/// A part's folder while it is being filled.
pub(crate) struct PartLayout {
    growing: PathBuf,
    place: PathBuf,
    /// To create each directory once.
    directories: BTreeSet<PathBuf>,
    sources: Vec<SourceRecord>,
}

impl PartLayout {
    /// Starts with an empty folder beside the place it will take.
    pub(crate) fn begin(place: &Path) -> Result<Self> {
        let growing = place.with_extension("new");
        remove(&growing)?;
        fs::create_dir_all(growing.join("lib"))
            .with_context(|| format!("{} cannot be created", growing.display()))?;
        Ok(Self {
            growing,
            place: place.to_path_buf(),
            directories: BTreeSet::new(),
            sources: Vec::new(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.growing
    }

    pub(crate) fn add(&mut self, source: SourceRecord) {
        self.sources.push(source);
    }

    /// Streams what the part wants of a wheel out of it.
    pub(crate) fn unpack(&mut self, part: &SetupPart, pin: &Pin, wheel: &Path) -> Result<()> {
        let shown = wheel.display();
        let mut archive = File::open(wheel)
            .map_err(anyhow::Error::from)
            .and_then(|file| Ok(ZipArchive::new(file)?))
            .with_context(|| format!("{shown} cannot be opened"))?;
        let mut files = Vec::new();
        for index in 0..archive.len() {
            let mut entry = archive
                .by_index(index)
                .with_context(|| format!("entry {index} of {shown} cannot be read"))?;
            if entry.is_dir() {
                continue;
            }
            let name = entry
                .name()
                .map(|name| name.into_owned())
                .with_context(|| format!("entry {index} of {shown} has an unreadable name"))?;
            ensure!(entry.enclosed_name().is_some(), "{shown} holds an unsafe path: {name}");
            if let Some(path) = (part.destination)(&name) {
                let program = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
                let written = self.write(&path, &mut entry).and_then(|record| {
                    if program {
                        self.make_executable(&path)?;
                    }
                    Ok(record)
                });
                files.push(written.with_context(|| {
                    format!("{name} of {shown} cannot be laid out in {}", self.growing.display())
                })?);
            }
        }
        ensure!(!files.is_empty(), "{shown} holds nothing that {} takes", part.purpose);
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        ensure!(
            bytes == pin.laid_out_bytes.0,
            "{bytes} bytes were taken out of {shown}, where the pins say {}: pins and rules of \
             this crate disagree",
            pin.laid_out_bytes.0
        );
        self.add(SourceRecord { name: pin.to_string(), sha256: Some(pin.sha256.clone()), files });
        Ok(())
    }

    /// Takes over what an earlier run laid out and that was found whole.
    pub(crate) fn reuse(&mut self, source: &SourceRecord) -> Result<()> {
        for file in &source.files {
            let (old, new) = (self.place.join(&file.path), self.growing.join(&file.path));
            self.make_directory(&new)
                .and_then(|()| {
                    fs::hard_link(&old, &new).or_else(|_| fs::copy(&old, &new).map(|_| ()))
                })
                .with_context(|| format!("{} cannot be taken over", old.display()))?;
        }
        self.add(source.clone());
        Ok(())
    }

    /// One file, hashed on its way where it is among the few large ones.
    pub(crate) fn write(&mut self, path: &str, contents: &mut impl Read) -> io::Result<FileRecord> {
        let target = self.growing.join(path);
        self.make_directory(&target)?;
        let mut output = Hashing { file: File::create(&target)?, hasher: blake3::Hasher::new() };
        let size = io::copy(contents, &mut output)?;
        let blake3 = is_hashed(path).then(|| output.hasher.finalize().to_hex().to_string());
        Ok(FileRecord { path: path.to_owned(), size, blake3, link: None })
    }

    fn make_executable(&self, path: &str) -> io::Result<()> {
        let target = self.growing.join(path);
        fs::set_permissions(target, fs::Permissions::from_mode(0o755))
    }

    fn make_directory(&mut self, file: &Path) -> io::Result<()> {
        let Some(directory) = file.parent() else {
            return Ok(());
        };
        if !self.directories.contains(directory) {
            fs::create_dir_all(directory)?;
            self.directories.insert(directory.to_path_buf());
        }
        Ok(())
    }

    /// Puts the finished folder in its place and returns what is in it.
    pub(crate) fn finish(self) -> Result<Vec<SourceRecord>> {
        let old = self.place.with_extension("old");
        remove(&old)?;
        if fs::symlink_metadata(&self.place).is_ok() {
            fs::rename(&self.place, &old)
                .with_context(|| format!("{} cannot be set aside", self.place.display()))?;
        }
        fs::rename(&self.growing, &self.place)
            .with_context(|| format!("{} cannot be put in place", self.place.display()))?;
        remove(&old)?;
        Ok(self.sources)
    }
}

/// Headers, and the sources that zig compiles, are thousands of small files: their sizes will do.
fn is_hashed(path: &str) -> bool {
    !path.starts_with("include/") && path.matches('/').count() < 2
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::manifest;
    use crate::setup::parts::CPU;
    use crate::setup::pins;

    fn wheel(folder: &Path, entries: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("torch-2.13.0-x.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, contents) in entries {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(contents.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    fn pin(laid_out: usize) -> Pin {
        let line = format!("torch==2.13.0 --hash=sha256:{} # 1 {laid_out}", "a".repeat(64));
        pins::parse(&line).unwrap().remove(0)
    }

    #[test]
    fn a_part_appears_whole_with_what_it_takes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let entries = [
            ("torch/include/c10/a.h", "header"),
            ("torch/lib/libc10.so", "library"),
            ("torch/lib/libtorch_cuda.so", "large"),
            ("torch/nn/modules/linear.py", "python"),
        ];
        let wheel = wheel(folder.path(), &entries);
        let place = folder.path().join("libtorch");
        fs::create_dir_all(place.join("lib")).unwrap();
        fs::write(place.join("lib/stale.so"), "from another version").unwrap();

        let mut layout = PartLayout::begin(&place).unwrap();
        layout.unpack(&CPU, &pin(13), &wheel).unwrap();
        assert!(place.join("lib/stale.so").exists(), "nothing changes before the end");
        let sources = layout.finish().unwrap();

        assert_eq!(fs::read_to_string(place.join("lib/libc10.so")).unwrap(), "library");
        assert_eq!(fs::read_to_string(place.join("include/c10/a.h")).unwrap(), "header");
        assert!(!place.join("lib/libtorch_cuda.so").exists());
        assert!(!place.join("lib/stale.so").exists());
        assert!(!place.with_extension("new").exists() && !place.with_extension("old").exists());
        let [header, library] = &sources[0].files[..] else { panic!("two files: {sources:?}") };
        assert_eq!(
            (header.path.as_str(), header.size, &header.blake3),
            ("include/c10/a.h", 6, &None)
        );
        assert_eq!(library.blake3, Some(manifest::hash(&place.join("lib/libc10.so")).unwrap()));
        assert_eq!(sources[0].faults(&place), []);
    }

    #[test]
    fn an_unsafe_path_or_an_unexpected_amount_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("libtorch");
        for (entry, laid_out, expected) in [
            ("torch/include/../../../../evil.h", 4, "unsafe path"),
            ("torch/include/a.h", 5, "4 bytes were taken"),
            ("torch/other.py", 4, "nothing that libtorch for the CPU takes"),
        ] {
            let wheel = wheel(folder.path(), &[(entry, "text")]);
            let mut layout = PartLayout::begin(&place).unwrap();
            let error = layout.unpack(&CPU, &pin(laid_out), &wheel).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(!place.exists() && !folder.path().join("evil.h").exists());
    }

    #[test]
    fn what_was_whole_is_taken_over_without_its_wheel() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("libtorch");
        let wheel = wheel(folder.path(), &[("torch/lib/libc10.so", "library")]);
        let mut layout = PartLayout::begin(&place).unwrap();
        layout.unpack(&CPU, &pin(7), &wheel).unwrap();
        let sources = layout.finish().unwrap();

        let mut layout = PartLayout::begin(&place).unwrap();
        layout.reuse(&sources[0]).unwrap();
        let again = layout.finish().unwrap();
        assert_eq!(again[0].files, sources[0].files);
        assert_eq!(again[0].faults(&place), []);
    }
}

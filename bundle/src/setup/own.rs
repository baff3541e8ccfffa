//! What no wheel brings as we need it: the version file, the stub library, the links, the headers
//! that belong to the machine's compiler.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::headers;
use super::layout::PartLayout;
use super::machine::Compiler;
use super::manifest::{FileRecord, SourceRecord, hash};
use super::parts::{Own, SetupPart, VERSION_FILE};

/// How the record names files without a wheel.
const NAME: &str = "made here";

/// Adds a part's own files to its layout; the wheels come before.
pub(crate) fn make(layout: &mut PartLayout, part: &SetupPart) -> Result<()> {
    let mut files = Vec::new();
    match &part.own {
        Own::Stub => {
            files.push(version(layout, part)?);
            files.push(stub(layout.folder())?);
        }
        Own::Links { folder, names } => {
            files.push(version(layout, part)?);
            for name in *names {
                files.push(link(layout.folder(), folder, name)?);
            }
        }
        Own::Headers => {
            for header in headers::of(&Compiler::c()?)? {
                files.push(copy(layout, &header)?);
            }
        }
        Own::OnlyLibraries | Own::Nothing => return Ok(()),
    }
    layout.add(SourceRecord { name: NAME.to_owned(), sha256: None, files });
    Ok(())
}

fn version(layout: &mut PartLayout, part: &SetupPart) -> Result<FileRecord> {
    let text = build_version(layout.folder())?;
    layout
        .write("build-version", &mut text.as_bytes())
        .with_context(|| format!("build-version of {} cannot be written", part.purpose))
}

/// Version and commit, a line each: torch-sys reads the first, the engine compares both.
fn build_version(folder: &Path) -> Result<String> {
    let path = folder.join(VERSION_FILE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    assigned(&text, "__version__")
        .zip(assigned(&text, "git_version"))
        .map(|(version, commit)| format!("{version}\n{commit}\n"))
        .with_context(|| format!("{} names no version or no commit", path.display()))
}

/// The string that a line `NAME = '…'` of a Python file assigns.
pub(crate) fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.trim_start().strip_prefix('=');
    text.lines().find_map(value)?.trim().strip_prefix('\'')?.strip_suffix('\'')
}

/// The wheel's own `libtorch.so` is empty too, but asks for the CUDA libraries.
fn stub(folder: &Path) -> Result<FileRecord> {
    let path = "lib/libtorch.so";
    let (source, target) = (folder.join("stub.c"), folder.join(path));
    fs::write(&source, "/* Nothing: symbols come from libtorch_cpu and libc10. */\n")
        .with_context(|| format!("{} cannot be written", source.display()))?;
    let output = Compiler::c()?
        .command()
        .args(["-shared", "-nostdlib", "-fPIC", "-Wl,-soname,libtorch.so", "-o"])
        .arg(&target)
        .args(["-x", "c"])
        .arg(&source)
        .output()
        .context("the C compiler could not be started")?;
    if !output.status.success() {
        bail!(
            "the C compiler could not make the stub library {path} ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let recorded = fs::remove_file(&source).and_then(|()| {
        let (size, blake3) = (fs::metadata(&target)?.len(), Some(hash(&target)?));
        Ok(FileRecord { path: path.to_owned(), size, blake3, link: None })
    });
    recorded.with_context(|| format!("{} cannot be read back", target.display()))
}

/// A relative link, so that the checkout can be moved.
fn link(folder: &Path, other: &str, name: &str) -> Result<FileRecord> {
    let path = format!("lib/{name}");
    let target = format!("../../{other}/lib/{name}");
    symlink(&target, folder.join(&path))
        .with_context(|| format!("a link {path} to {target} cannot be made"))?;
    ensure!(folder.join(&path).is_file(), "{path} would be a link to {target}, which is missing");
    Ok(FileRecord { path, size: 0, blake3: None, link: Some(target) })
}

/// One of the compiler's headers, into `include`.
fn copy(layout: &mut PartLayout, header: &Path) -> Result<FileRecord> {
    let name = header.file_name().unwrap_or_default().to_string_lossy();
    let copied = File::open(header)
        .and_then(|mut source| layout.write(&format!("include/{name}"), &mut source));
    copied.with_context(|| format!("{} cannot be copied", header.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::setup::needed;
    use crate::setup::parts::{CPU, CUDA, LIBCLANG};

    const VERSION_PY: &str =
        "__all__ = ['__version__']\n__version__ = '2.13.0+cu130'\ngit_version = 'cf30153c'\n";

    /// A layout in which the wheels are done.
    fn unpacked(place: &Path) -> PartLayout {
        let mut layout = PartLayout::begin(place).unwrap();
        layout.write(VERSION_FILE, &mut VERSION_PY.as_bytes()).unwrap();
        layout
    }

    #[test]
    fn version_and_commit_stand_on_two_lines() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(VERSION_FILE), VERSION_PY).unwrap();
        assert_eq!(build_version(folder.path()).unwrap(), "2.13.0+cu130\ncf30153c\n");
        fs::write(folder.path().join(VERSION_FILE), "__version__ = None\n").unwrap();
        assert!(build_version(folder.path()).unwrap_err().to_string().contains("names no version"));
    }

    #[test]
    fn the_stub_is_a_library_that_asks_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("libtorch");
        let mut layout = unpacked(&place);
        make(&mut layout, &CPU).unwrap();
        let sources = layout.finish().unwrap();
        assert_eq!(needed::check(&place.join("lib")).unwrap(), 1);
        assert!(!place.join("stub.c").exists());
        assert_eq!(sources[0].faults(&place), []);
        let paths: Vec<&str> = sources[0].files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["build-version", "lib/libtorch.so"]);
    }

    #[test]
    fn headers_of_the_compiler_are_copied_and_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("libclang");
        let mut layout = PartLayout::begin(&place).unwrap();
        make(&mut layout, &LIBCLANG).unwrap();
        let sources = layout.finish().unwrap();
        for name in ["limits.h", "stdbool.h", "stddef.h"] {
            assert!(place.join("include").join(name).is_file(), "{name}");
        }
        assert_eq!(sources[0].faults(&place), []);
        fs::remove_file(place.join("include/stddef.h")).unwrap();
        assert_eq!(sources[0].faults(&place)[0].to_string(), "include/stddef.h is missing");
    }

    #[test]
    fn links_reach_the_other_part_and_are_refused_where_it_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("libtorch-cuda");
        let error = make(&mut unpacked(&place), &CUDA).unwrap_err().to_string();
        assert!(error.contains("libtorch_cpu.so, which is missing"), "{error}");

        let Own::Links { names, .. } = CUDA.own else { panic!("CUDA has links") };
        let other = folder.path().join("libtorch/lib");
        fs::create_dir_all(&other).unwrap();
        for name in names {
            fs::write(other.join(name), name).unwrap();
        }
        let mut layout = unpacked(&place);
        make(&mut layout, &CUDA).unwrap();
        let sources = layout.finish().unwrap();
        assert_eq!(sources[0].faults(&place), []);
        let mut text = String::new();
        let mut linked = fs::File::open(place.join("lib/libc10.so")).unwrap();
        linked.read_to_string(&mut text).unwrap();
        assert_eq!(text, "libc10.so");
    }
}

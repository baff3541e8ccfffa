//! Which libraries a bundle's engine needs, and whether a libtorch of the user's will do.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::elf::Elf;
use super::layout::BUILD_VERSION;
use crate::setup::{OF_THE_SYSTEM, version_of_libtorch};

/// What `program` asks for and does not come with the system, and what that asks for in turn, from
/// `folder`.
pub(crate) fn needed_by(program: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut open = VecDeque::from([program.to_owned()]);
    while let Some(path) = open.pop_front() {
        let elf = Elf::read(&path)?
            .with_context(|| format!("{} is no ELF file: nothing to run", path.display()))?;
        for name in elf.needed {
            if OF_THE_SYSTEM.contains(&name.as_str()) || found.contains_key(&name) {
                continue;
            }
            let library = folder.join(&name);
            ensure!(
                library.is_file(),
                "{} asks for {name}, which is not in {}. Run `cargo xtask setup`, or name a whole \
                 libtorch",
                path.display(),
                folder.display()
            );
            open.push_back(library.clone());
            found.insert(name, library);
        }
    }
    Ok(found.into_values().collect())
}

/// Adds every library of `folder` that is not there yet: CUDA's libraries open each other by name.
pub(crate) fn with_all_of(mut files: Vec<PathBuf>, folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut more = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if !files.iter().any(|file| file.file_name() == path.file_name()) {
            more.push(path);
        }
    }
    more.sort();
    files.extend(more);
    Ok(files)
}

/// The text of `build-version`: version and commit, a line each.
pub(crate) fn build(libtorch: &Path) -> Result<String> {
    let file = libtorch.join(BUILD_VERSION);
    fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The folder of libraries of the user's libtorch, if it is of the build that the engine was made
/// with and holds all that the engine asks for.
pub(crate) fn of_user(named: &Path, built_with: &Path, engine: &Path) -> Result<PathBuf> {
    let shown = named.display();
    let folder = named
        .canonicalize()
        .with_context(|| format!("--system-libtorch {shown} cannot be found"))?;
    let ours = build(built_with)?;
    let ours = ours.lines().next().unwrap_or_default().trim();
    match version_of_libtorch(&folder) {
        Some(theirs) if theirs == ours => {}
        Some(theirs) => bail!(
            "--system-libtorch {shown} is of build {theirs}, and the engine is built with {ours}. \
             Two builds differ in what they lay out in memory; name a libtorch {ours}, or leave \
             the option away to bring one in the bundle"
        ),
        None => bail!(
            "--system-libtorch {shown} has neither build-version nor version.py that names its \
             build; expected the folder of a libtorch {ours}, with `lib` in it"
        ),
    }
    let libraries = folder.join("lib");
    let own = libraries.join("libtorch_cpu.so");
    ensure!(own.is_file(), "--system-libtorch {shown} holds no lib/libtorch_cpu.so");
    for name in Elf::read(engine)?.map(|elf| elf.needed).unwrap_or_default() {
        ensure!(
            OF_THE_SYSTEM.contains(&name.as_str()) || libraries.join(&name).is_file(),
            "the engine asks for {name}, which --system-libtorch {shown} does not hold in lib"
        );
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::super::test_planted_faults::{Planted, compile};
    use super::*;

    fn names(files: &[PathBuf]) -> Vec<String> {
        let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
        files.iter().map(name).collect()
    }

    #[test]
    fn what_is_asked_for_is_followed_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path();
        compile(&lib.join("libgomp.so.1"), &Planted::default());
        compile(
            &lib.join("libc10.so"),
            &Planted { needs: &["libgomp.so.1"], ..Planted::default() },
        );
        compile(&lib.join("libother.so"), &Planted::default());
        let engine = lib.join("engine");
        compile(&engine, &Planted { needs: &["libc10.so"], ..Planted::default() });
        let found = needed_by(&engine, lib).unwrap();
        assert_eq!(names(&found), ["libc10.so", "libgomp.so.1"]);

        let cuda = tempfile::tempdir().unwrap();
        for name in ["libc10.so", "libtorch_cuda.so"] {
            fs::write(cuda.path().join(name), "").unwrap();
        }
        let all = with_all_of(found, cuda.path()).unwrap();
        assert_eq!(names(&all), ["libc10.so", "libgomp.so.1", "libtorch_cuda.so"]);
        assert!(all[0].starts_with(lib), "the link to the first is not taken twice");

        fs::remove_file(lib.join("libgomp.so.1")).unwrap();
        let error = needed_by(&engine, lib).unwrap_err().to_string();
        assert!(error.contains("asks for libgomp.so.1"), "{error}");
    }

    #[test]
    fn only_the_same_build_is_taken_from_the_user() {
        let ours = tempfile::tempdir().unwrap();
        fs::write(ours.path().join(BUILD_VERSION), "2.13.0+cu130\nabc\n").unwrap();
        let theirs = tempfile::tempdir().unwrap();
        let lib = theirs.path().join("lib");
        fs::create_dir(&lib).unwrap();
        compile(&lib.join("libtorch_cpu.so"), &Planted::default());
        let engine = ours.path().join("engine");
        fs::copy(lib.join("libtorch_cpu.so"), &engine).unwrap();
        let taken = || of_user(theirs.path(), ours.path(), &engine);

        assert!(taken().unwrap_err().to_string().contains("neither build-version"));
        fs::write(theirs.path().join("version.py"), "__version__ = '2.13.0+cpu'\n").unwrap();
        let error = taken().unwrap_err().to_string();
        assert!(error.contains("2.13.0+cpu") && error.contains("2.13.0+cu130"), "{error}");
        fs::write(theirs.path().join("version.py"), "__version__ = '2.13.0+cu130'\n").unwrap();
        assert_eq!(taken().unwrap(), lib.canonicalize().unwrap());
        fs::remove_file(lib.join("libtorch_cpu.so")).unwrap();
        assert!(taken().unwrap_err().to_string().contains("libtorch_cpu.so"));
    }
}

//! CUDA's half of libtorch: finding it, telling whether it is of this build, opening it.

use std::path::{Path, PathBuf};

use super::LIBTORCH_BUILD;
use super::unavailable::CudaUnavailable;

/// CUDA's half, found and of this build, not yet opened.
#[derive(Debug)]
pub(super) struct CudaHalf {
    path: PathBuf,
}

/// Looks for it in `folders`.
pub(super) fn find(folders: &[PathBuf]) -> Result<CudaHalf, CudaUnavailable> {
    let name = libloading::library_filename("torch_cuda");
    let path = folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file());
    let path = path.ok_or_else(|| CudaUnavailable::NotInstalled {
        name: name.to_string_lossy().into_owned(),
        folders: folders.to_vec(),
    })?;
    let damaged = |path: &Path| {
        let reason = "it is cut short: fewer bytes are there than its own table names".to_owned();
        CudaUnavailable::NotOpened { path: path.to_owned(), reason }
    };
    let not_opened = |reason: String| CudaUnavailable::NotOpened { path: path.clone(), reason };
    let path = path.canonicalize().map_err(|error| not_opened(error.to_string()))?;
    let found = build_of(&path).map_err(not_opened)?;
    if found != LIBTORCH_BUILD {
        return Err(CudaUnavailable::OtherBuild { path, found });
    }
    if is_cut_short(&path) {
        return Err(damaged(&path));
    }
    Ok(CudaHalf { path })
}

/// Whether a library ends before its segments do. The loader maps what is not there, and the process
/// would die of it.
#[cfg(unix)]
fn is_cut_short(library: &Path) -> bool {
    use object::read::elf::{FileHeader, ProgramHeader};
    let read = || {
        let file = std::fs::File::open(library).ok()?;
        let length = file.metadata().ok()?.len();
        let cache = object::ReadCache::new(file);
        let data = &cache;
        let header = object::elf::FileHeader64::<object::Endianness>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, data).ok()?.iter();
        let end = |(from, size): (u64, u64)| from.saturating_add(size);
        let longest = segments.map(|segment| end(segment.file_range(endian))).max()?;
        Some(longest > length)
    };
    // What is no such file the loader refuses in its own words.
    read().unwrap_or(false)
}

#[cfg(not(unix))]
fn is_cut_short(_library: &Path) -> bool {
    false
}

/// The first line of its `build-version`. In a bundle that lies beside the libraries; set-up puts it
/// into the folder above them, as libtorch's own archives do.
fn build_of(library: &Path) -> Result<String, String> {
    let beside = library.with_file_name("build-version");
    let above = library.ancestors().nth(2).map(|folder| folder.join("build-version"));
    let file = above.filter(|_| !beside.is_file()).unwrap_or(beside);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("its build is not named: {}: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

impl CudaHalf {
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Opens it and what it needs of its own folder; it registers itself with the CPU half.
    #[cfg(unix)]
    pub(super) fn open(&self) -> Result<(), CudaUnavailable> {
        for dependency in dependencies::in_order(&self.path) {
            let opened = open::locally(&dependency.path);
            match opened {
                Err(reason) if dependency.needed => {
                    return Err(CudaUnavailable::NotOpened { path: dependency.path, reason });
                }
                Err(reason) => {
                    log::debug!("{} was not opened: {reason}", dependency.path.display());
                }
                Ok(()) => {}
            }
        }
        open::globally(&self.path)
            .map_err(|reason| CudaUnavailable::NotOpened { path: self.path.clone(), reason })
    }

    /// Opens it; Windows looks for what it needs in its own folder first.
    #[cfg(not(unix))]
    pub(super) fn open(&self) -> Result<(), CudaUnavailable> {
        open::globally(&self.path)
            .map_err(|reason| CudaUnavailable::NotOpened { path: self.path.clone(), reason })
    }
}

/// Which libraries are to be opened before CUDA's half, so that the loader does not look for them.
///
/// NVIDIA's libraries say where to look in `DT_RUNPATH`, which comes after `LD_LIBRARY_PATH`, and
/// cuDNN opens its parts by bare names: a host that puts another cuDNN on that path would mix two.
/// What is in the process already is not looked for again, so each is opened by its full path.
#[cfg(unix)]
mod dependencies {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs::File;
    use std::path::{Path, PathBuf};

    use object::elf::{DT_NEEDED, FileHeader64};
    use object::read::elf::{Dyn, FileHeader};
    use object::{Endianness, ReadCache};

    /// Libraries that others open by bare names while they run.
    const OPENED_BY_NAME: [&str; 2] = ["libcudnn", "libnvrtc"];

    /// A library beside CUDA's half.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Dependency {
        pub(super) path: PathBuf,
        /// Whether CUDA's half cannot be opened without it.
        pub(super) needed: bool,
    }

    /// What `library` needs of its own folder, each after what it needs itself; then what is opened
    /// by name.
    pub(super) fn in_order(library: &Path) -> Vec<Dependency> {
        let Some(folder) = library.parent() else { return Vec::new() };
        let mut order =
            LoadOrder { folder, visited: BTreeSet::new(), found: Vec::new(), needed: true };
        for name in needed_by(library) {
            order.visit(&name);
        }
        order.needed = false;
        for name in opened_by_name(folder) {
            order.visit(&name);
        }
        order.found
    }

    struct LoadOrder<'a> {
        folder: &'a Path,
        visited: BTreeSet<String>,
        found: Vec<Dependency>,
        needed: bool,
    }

    impl LoadOrder<'_> {
        fn visit(&mut self, name: &str) {
            let path = self.folder.join(name);
            if !self.visited.insert(name.to_owned())
                || !path.is_file()
                || super::open::is_in_process(name)
            {
                return;
            }
            for needed in needed_by(&path) {
                self.visit(&needed);
            }
            self.found.push(Dependency { path, needed: self.needed });
        }
    }

    /// File names, the shortest of those that are one file: `libcudnn_ops.so.9`.
    fn opened_by_name(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let fits = OPENED_BY_NAME.iter().any(|prefix| name.starts_with(prefix));
            let Some(path) = entry.path().canonicalize().ok().filter(|_| fits) else { continue };
            let shortest = files.entry(path).or_insert_with(|| name.clone());
            if name.len() < shortest.len() {
                *shortest = name;
            }
        }
        let mut names: Vec<_> = files.into_values().collect();
        names.sort();
        names
    }

    /// The libraries that a library names; none for what cannot be read, which the loader reports.
    fn needed_by(library: &Path) -> Vec<String> {
        read_needed(library).unwrap_or_default()
    }

    fn read_needed(library: &Path) -> Option<Vec<String>> {
        let cache = ReadCache::new(File::open(library).ok()?);
        let data = &cache;
        let header = FileHeader64::<Endianness>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let sections = header.sections(endian, data).ok()?;
        let (entries, strings) = sections.dynamic(endian, data).ok()??;
        let strings = sections.strings(endian, data, strings).ok()?;
        let needed = entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED);
        needed
            .map(|entry| {
                let name = entry.string(endian, strings).ok()?;
                Some(String::from_utf8_lossy(name).into_owned())
            })
            .collect()
    }
}

/// The system's loader: libraries opened for the rest of the process.
#[allow(unsafe_code)]
mod open {
    use std::path::Path;

    #[cfg(unix)]
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY, RTLD_LOCAL, RTLD_NOW};

    /// The loader's own words: the error itself says no more than that it failed.
    fn words(error: &libloading::Error) -> String {
        let source = std::error::Error::source(error);
        source.map_or_else(|| error.to_string(), ToString::to_string)
    }

    /// Opens a library that CUDA's half needs, for good.
    #[cfg(unix)]
    pub(super) fn locally(path: &Path) -> Result<(), String> {
        // SAFETY: opening a library runs its initializers. It is one of NVIDIA's that came with
        // CUDA's half of libtorch, which would open it itself.
        let library = unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_LOCAL) };
        library.map(std::mem::forget).map_err(|error| words(&error))
    }

    /// Opens CUDA's half itself, for good: libtorch keeps pointers into it.
    #[cfg(unix)]
    pub(super) fn globally(path: &Path) -> Result<(), String> {
        // SAFETY: opening the library runs its initializers. It is libtorch's own CUDA half, of the
        // very build this program runs (checked by the caller), made to be loaded into it.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
        library.map(std::mem::forget).map_err(|error| words(&error))
    }

    /// Whether a library of that name is loaded.
    #[cfg(unix)]
    pub(super) fn is_in_process(name: &str) -> bool {
        /// Of `dlfcn.h` on Linux: open only what is open.
        const RTLD_NOLOAD: i32 = if cfg!(target_os = "linux") { 4 } else { 16 };
        // SAFETY: nothing is loaded, so no initializer runs; the handle is given back at once.
        unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_NOLOAD) }.is_ok()
    }

    #[cfg(not(unix))]
    pub(super) fn globally(path: &Path) -> Result<(), String> {
        // SAFETY: as on Unix.
        let library = unsafe { libloading::Library::new(path) };
        library.map(std::mem::forget).map_err(|error| words(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library_in(folder: &Path) -> PathBuf {
        let library = folder.join(libloading::library_filename("torch_cuda"));
        std::fs::write(&library, b"").unwrap();
        library
    }

    #[test]
    fn another_build_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        library_in(folder.path());
        std::fs::write(folder.path().join("build-version"), "1.0.0+cu90\n").unwrap();
        let error = find(&[folder.path().to_owned()]).unwrap_err();
        assert!(
            matches!(&error, CudaUnavailable::OtherBuild { found, .. } if found == "1.0.0+cu90")
        );
        let error = error.to_string();
        assert!(error.contains("1.0.0+cu90") && error.contains(LIBTORCH_BUILD), "{error}");
    }

    #[test]
    fn the_build_is_named_beside_the_libraries_or_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib");
        std::fs::create_dir(&lib).unwrap();
        library_in(&lib);
        let found = || find(std::slice::from_ref(&lib));
        assert!(found().unwrap_err().to_string().contains("build-version"));
        std::fs::write(folder.path().join("build-version"), LIBTORCH_BUILD).unwrap();
        assert_eq!(found().unwrap().folder(), lib.canonicalize().unwrap());
        std::fs::write(lib.join("build-version"), "1.0.0\n").unwrap();
        assert!(found().unwrap_err().to_string().contains("1.0.0"));
    }

    #[test]
    fn a_missing_library_says_where_it_was_looked_for() {
        let error = find(&["nowhere".into(), "there".into()]).unwrap_err().to_string();
        assert!(error.contains("nowhere, there") && error.contains("torch_cuda"), "{error}");
    }
}

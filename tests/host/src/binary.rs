//! The file that holds plug-ins, loaded as hosts load it.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::host::{Host, HostState};
use crate::plugin::{Details, Library, Plugin};
use crate::status::Status;

/// What this system's binaries are called inside a bundle.
pub const ARCHITECTURE: &str = if cfg!(target_os = "windows") {
    "Win64"
} else if cfg!(target_os = "macos") {
    "MacOS"
} else if cfg!(target_arch = "aarch64") {
    "Linux-aarch64"
} else {
    "Linux-x86-64"
};

/// Why a plug-in cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The path leads to no binary.
    #[error("{path} is neither a bundle folder with Contents/{ARCHITECTURE}/{name} nor a file")]
    Missing {
        /// What was to be loaded.
        path: PathBuf,
        /// The binary that a bundle of that name has.
        name: String,
    },
    /// A file could not be read or copied.
    #[error("{path}: {reason}")]
    File {
        /// The file that it was.
        path: PathBuf,
        /// Why the system could not do it.
        reason: std::io::Error,
    },
    /// The system refuses the binary.
    #[error("{path} cannot be loaded: {reason}")]
    Library {
        /// The binary that was to be loaded.
        path: PathBuf,
        /// What the system's loader says.
        reason: libloading::Error,
    },
    /// There are not so many plug-ins in it.
    #[error("{path} has {count} plug-ins, none of number {nth}")]
    NoSuchPlugin {
        /// The binary that was looked into.
        path: PathBuf,
        /// How many it has.
        count: i32,
        /// The number that was wanted, from 0.
        nth: i32,
    },
    /// The plug-in is not of a kind that this host knows.
    #[error("the plug-in is for {api} {version}; this host knows OfxImageEffectPluginAPI 1")]
    OtherApi {
        /// What it is for.
        api: String,
        /// The version of that API which it wants.
        version: i32,
    },
    /// The plug-in declines to be loaded.
    #[error("the plug-in answers {action} with {status}")]
    Refused {
        /// The action that it declines.
        action: String,
        /// The status that it answers with.
        status: Status,
    },
    /// Host and plug-in have no context in common.
    #[error("the plug-in offers {offered:?}, and the host has none of them")]
    NoContext {
        /// What the plug-in has.
        offered: Vec<String>,
    },
}

/// A binary that is loaded and not yet in use.
pub struct Binary {
    host: Arc<HostState>,
    library: Arc<Library>,
    /// The bundle, as the plug-in is told.
    bundle: PathBuf,
}

impl Binary {
    pub(crate) fn open(host: &Arc<HostState>, path: &Path) -> Result<Self, LoadError> {
        let folder = tempfile::tempdir().map_err(at(path))?;
        let (bundle, file) = own_copy(path, folder.path())?;
        let library = Library::open(&file, folder)
            .map_err(|source| LoadError::Library { path: path.to_owned(), reason: source })?;
        if host.profile.introduces_itself {
            library.introduce(host);
        }
        Ok(Self { host: host.clone(), library: Arc::new(library), bundle })
    }

    /// How many plug-ins it says it has.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.library.count()
    }

    /// Whether there is a plug-in of that number.
    #[must_use]
    pub fn has(&self, nth: i32) -> bool {
        self.library.details(nth).is_some()
    }

    /// Whether it exports a function of that name.
    #[must_use]
    pub fn exports(&self, name: &str) -> bool {
        self.library.exports(name)
    }

    /// Makes one of its plug-ins ready for use.
    ///
    /// # Errors
    /// Where there is none of that number or it refuses.
    pub fn plugin(&self, nth: i32) -> Result<Plugin, LoadError> {
        Plugin::use_from(&self.host, &self.library, &self.bundle, nth)
    }

    /// The same binary, to be used by another host: as where each plug-in of a bundle is given a
    /// host of its own.
    #[must_use]
    pub fn shared_with(&self, host: &Host) -> Self {
        let (library, bundle) = (self.library.clone(), self.bundle.clone());
        Self { host: host.state.clone(), library, bundle }
    }

    /// An action of a plug-in that no host has made itself known to, or not now.
    #[must_use]
    pub fn raw_action(&self, nth: i32, name: &str) -> Option<Status> {
        Some(self.library.entry(nth)?.raw(&self.host, Some(name)))
    }

    /// Who a plug-in says it is.
    #[must_use]
    pub fn details(&self, nth: i32) -> Option<Details> {
        self.library.details(nth)
    }

    /// Calls `OfxSetHost` as a host that is no one.
    #[must_use]
    pub fn introduce_nobody(&self) -> Option<Status> {
        self.library.introduce_nobody()
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> LoadError + '_ {
    move |source| LoadError::File { path: path.to_owned(), reason: source }
}

/// A bundle with a copy of the binary, so that the system does not take it for one that is loaded
/// already, and links to all else.
fn own_copy(path: &Path, folder: &Path) -> Result<(PathBuf, PathBuf), LoadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
    let binary_name = format!("{stem}.ofx");
    let bundle = folder.join(format!("{stem}.ofx.bundle"));
    let binaries = bundle.join("Contents").join(ARCHITECTURE);
    fs::create_dir_all(&binaries).map_err(at(&binaries))?;
    let original = if path.is_dir() {
        let contents = path.join("Contents");
        link_all(&contents, &bundle.join("Contents"), ARCHITECTURE)?;
        let found = contents.join(ARCHITECTURE);
        if found.is_dir() {
            link_all(&found, &binaries, &binary_name)?;
        }
        found.join(&binary_name)
    } else {
        path.to_owned()
    };
    if !original.is_file() {
        return Err(LoadError::Missing { path: path.to_owned(), name: binary_name });
    }
    let file = binaries.join(binary_name);
    fs::copy(&original, &file).map_err(at(&original))?;
    Ok((bundle, file))
}

fn link_all(from: &Path, to: &Path, but: &str) -> Result<(), LoadError> {
    let from = fs::canonicalize(from).map_err(at(from))?;
    for entry in fs::read_dir(&from).map_err(at(&from))? {
        let entry = entry.map_err(at(&from))?;
        if entry.file_name().to_string_lossy() != but {
            let link = to.join(entry.file_name());
            link_to(&entry.path(), &link).map_err(at(&link))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link_to(original: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(original, link)
}

#[cfg(not(unix))]
fn link_to(original: &Path, link: &Path) -> std::io::Result<()> {
    if original.is_dir() {
        std::os::windows::fs::symlink_dir(original, link)
    } else {
        fs::copy(original, link).map(|_| ())
    }
}

//! What goes wrong with a store, in words: the path, what happened, what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::counted::{counted, verb};
use crate::problem::ProblemCode;
use crate::request::RequestError;
use crate::user_files::without_temporary_name;

/// What is wrong with the file of a take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// Another kind of file.
    #[error("it does not begin as a take does")]
    NotATake,
    /// Of a form that this version does not know.
    #[error("it is of form {version}, from a newer version of wan-alpha")]
    Newer {
        /// The number of its form.
        version: u32,
    },
    /// Another kind of file where an image should be.
    #[error("it does not begin as an image does")]
    NotAnImage,
    /// An image whose hash is not its name.
    #[error("it is another image, or part of one")]
    OtherImage,
    /// Shorter or longer than its header says, or than a header is.
    #[error("it is {found} bytes long, expected {expected}")]
    Length {
        /// The length it should have.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// The header is not what was written.
    #[error("its header does not match its checksum")]
    Header,
    /// The header is whole, but contradicts itself.
    #[error("its header contradicts itself: {reason}")]
    Contradiction {
        /// Which of its numbers contradict each other.
        reason: String,
    },
    /// Another take under this name.
    #[error("it is the take {found} under another's name")]
    OtherTake {
        /// The key in its header.
        found: String,
    },
    /// A frame is not what was written.
    #[error("its frame {frame} does not match its checksum")]
    Frame {
        /// The take frame, from 0.
        frame: u32,
    },
}

/// What has become of a damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// It has another name now.
    Moved(PathBuf),
    /// It had been moved or replaced already.
    Gone,
    /// It stays where it is, ignored, for this reason.
    Stays(String),
    /// It stays where it is, since it was only looked at.
    Untouched,
}

/// Why the store cannot do something.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The system refuses to read or write.
    #[error("cannot {doing} {}: {reason}; {}", path.display(), remedy(reason))]
    Io {
        /// What was being done, such as "read".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file is not shown, because it is damaged.
    #[error("the {} {} is damaged: {damage}; {}", kind(path), path.display(), describe(path, aside))]
    Damaged {
        /// The path of the take's file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
        /// What has become of it.
        aside: Aside,
    },
    /// A file that the user may not read.
    #[error(
        "the take {} may not be read: it belongs to user {owner} and its mode is {mode:04o}; its owner \
         opens it with `wan-alpha take where --share GROUP|everyone`",
        path.display()
    )]
    Closed {
        /// The path of the take's file.
        path: PathBuf,
        /// The number of the user that it belongs to.
        owner: u32,
        /// Its permissions, up to 0o7777.
        mode: u32,
    },
    /// A whole file whose request this version does not understand.
    #[error(
        "the take {} was made by another version of wan-alpha: {reason}; it is left alone",
        path.display()
    )]
    OtherVersion {
        /// The path of the take's file.
        path: PathBuf,
        /// Why its request is not understood.
        reason: RequestError,
    },
    /// No folder can be written.
    #[error(
        "no folder of the take store can be written; name one that can (WAN_ALPHA_STORE). Tried: \
         {tried}"
    )]
    NotWritable {
        /// Each folder with its reason.
        tried: String,
    },
    /// Not enough room for a take that is about to be written.
    #[error(
        "the disk of {} is full: the take needs {} MB and {} MB are free; free space there, lower \
         WAN_ALPHA_STORE_LIMIT or choose another store",
        path.display(), needed.div_ceil(1_000_000), free / 1_000_000
    )]
    Full {
        /// The folder of the store.
        path: PathBuf,
        /// Bytes of the take.
        needed: u64,
        /// Bytes that are free there.
        free: u64,
    },
    /// A request that has no key, and so no place here.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The device class is not a short word.
    #[error("device class is {found:?}: expected 1 to 64 letters, digits and . _ -")]
    Device {
        /// The word that was given.
        found: String,
    },
    /// A frame that the take does not have.
    #[error(
        "frame {frame} of a take of {} was asked for: expected 0 to {}",
        counted(*frames, "frame"),
        frames - 1
    )]
    NoFrame {
        /// The frame asked for.
        frame: u32,
        /// Frames of the take.
        frames: u32,
    },
    /// A frame of another size is being written.
    #[error("frame {frame} has {found} values: expected {expected}, four per pixel")]
    FrameSize {
        /// The frame being written.
        frame: u32,
        /// Values of a frame of this take.
        expected: usize,
        /// How many values there are.
        found: usize,
    },
    /// A take is published before, or written after, its last frame.
    #[error(
        "{} {} written: expected {expected}; nothing is published",
        counted(*found, "frame"),
        verb(*found, "was", "were")
    )]
    FrameCount {
        /// Frames of the take.
        expected: u32,
        /// How many frames were written.
        found: u32,
    },
    /// Someone else has taken a claim over, because it was silent for too long.
    #[error("{} is no longer ours: it was silent for too long, and another took it over", path.display())]
    ClaimLost {
        /// The path of the claim's file.
        path: PathBuf,
    },
    /// A take cannot be removed now.
    #[error("the take {} is in use; close what shows it and try again", path.display())]
    InUse {
        /// The path of the take's file.
        path: PathBuf,
    },
    /// A file of another user.
    #[error("the take {} belongs to another user, who alone removes it", path.display())]
    NotOwn {
        /// The path of the take's file.
        path: PathBuf,
    },
}

impl StoreError {
    /// What kind of trouble this is, for programs: one of a store's, or, for a request,
    /// [`RequestError::code`].
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Full { .. } => ProblemCode::StoreFull,
            Self::Io { reason, .. }
                if matches!(reason.kind(), StorageFull | QuotaExceeded | FileTooLarge) =>
            {
                ProblemCode::StoreFull
            }
            Self::NotWritable { .. } => ProblemCode::StoreUnwritable,
            Self::Damaged { .. } => ProblemCode::StoreDamaged,
            Self::OtherVersion { .. } => ProblemCode::OtherVersion,
            Self::Request(error) => error.code(),
            _ => ProblemCode::StoreFailed,
        }
    }

    /// The file that it is about, where it is about the file of one take.
    #[must_use]
    pub fn take_path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Damaged { path, .. }
            | Self::Closed { path, .. }
            | Self::OtherVersion { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Why a take's file could not be opened.
    pub(super) fn not_opened(path: &Path, source: io::Error) -> Self {
        let closed = source.kind() == io::ErrorKind::PermissionDenied;
        match path.metadata().ok().filter(|_| closed) {
            Some(about) => Self::Closed {
                path: path.to_owned(),
                owner: crate::user_files::owner(&about),
                mode: permissions(&about),
            },
            None => Self::io("read", path)(source),
        }
    }

    /// An [`Io`](Self::Io), ready for `map_err`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { doing, path: path.clone(), reason: without_temporary_name(source) }
    }
}

#[cfg(unix)]
fn permissions(about: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(about) & 0o7777
}

#[cfg(not(unix))]
fn permissions(_: &std::fs::Metadata) -> u32 {
    0
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full: free space there or choose another store",
        io::ErrorKind::QuotaExceeded => {
            "your disk quota is used up: free space or choose another store"
        }
        io::ErrorKind::FileTooLarge => {
            "the file would pass the size limit of this process (ulimit -f) or of its file system: \
             raise the limit or choose another store"
        }
        io::ErrorKind::PermissionDenied => {
            "you have no permission there: change the folder's permissions or choose another store"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only: choose another store"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a part of this path is a file, not a folder: choose another store"
        }
        io::ErrorKind::NotFound => {
            "it is not there, and cannot be made there: was the store moved or cleared meanwhile, or is \
             its name wrong?"
        }
        io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::TimedOut => {
            "the network disk does not answer: check the connection and try again"
        }
        io::ErrorKind::Unsupported => {
            "the file system lacks what a store needs (renaming without replacing, or hard links): \
             choose another store"
        }
        _ => "check the disk, or choose another store",
    }
}

/// What a file of the store is.
fn kind(path: &Path) -> &'static str {
    if path.extension().is_some_and(|extension| extension == "image") { "image" } else { "take" }
}

fn describe(path: &Path, aside: &Aside) -> String {
    if kind(path) == "image" {
        return match aside {
            Aside::Moved(moved) => {
                format!("it was set aside as {}; give the picture again", moved.display())
            }
            Aside::Gone => "it is gone already; give the picture again".to_owned(),
            Aside::Untouched => "it is ignored; give the picture again".to_owned(),
            Aside::Stays(reason) => format!(
                "it is ignored, and stays because it cannot be renamed ({reason}); remove it"
            ),
        };
    }
    match aside {
        Aside::Moved(path) => {
            format!("it was set aside as {} and will be made again", path.display())
        }
        Aside::Gone => "it is gone already and will be made again".to_owned(),
        Aside::Untouched => {
            "it is ignored; `wan-alpha take verify` sets it aside, and it will be made again"
                .to_owned()
        }
        Aside::Stays(reason) => {
            format!("it is ignored, and stays because it cannot be renamed ({reason}); remove it")
        }
    }
}

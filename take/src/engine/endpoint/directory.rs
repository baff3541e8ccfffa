//! The run directory: which one, and whether it is safe.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::EndpointError;

/// Bytes of a socket's path; the address holds a zero byte more.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LONGEST: usize = 107;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const LONGEST: usize = 103;
#[cfg(windows)]
const LONGEST: usize = 32_000;

/// Room for the name of the socket and the slash before it.
const NAME: usize = 40;

/// The run directory, for a binary that has read its environment: the one `asked` for
/// (`WAN_ALPHA_RUN`), whatever it is, since whoever asks wants to hear when it does not do; else one
/// in the directory of the session (`XDG_RUNTIME_DIR`) if sockets fit there; else one in that of
/// temporary files, with the user in its name.
#[must_use]
pub fn choose_run_directory(
    asked: Option<&Path>,
    session: Option<&Path>,
    temporary: &Path,
) -> PathBuf {
    if let Some(asked) = asked {
        return asked.to_owned();
    }
    let session = session.filter(|path| path.is_absolute()).map(|path| path.join("wan-alpha"));
    session
        .filter(|path| path.as_os_str().len() + NAME <= LONGEST)
        .unwrap_or_else(|| temporary.join(format!("wan-alpha-{}", user())))
}

pub(super) fn check_length(socket: &Path) -> Result<(), EndpointError> {
    let length = socket.as_os_str().len();
    if length <= LONGEST {
        return Ok(());
    }
    Err(EndpointError::TooLong { path: socket.to_owned(), length, limit: LONGEST })
}

/// Creates the directory for this user alone, or checks that it is.
pub(super) fn make_private(path: &Path) -> Result<(), EndpointError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(EndpointError::io("create the run directory", path, error));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(path)
        .map_err(|source| EndpointError::io("look at the run directory", path, source))?;
    if !found.is_dir() {
        return Err(EndpointError::NotADirectory { path: path.to_owned() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        check_owner(path, found.uid())?;
        let mode = found.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(EndpointError::Open { path: path.to_owned(), mode });
        }
    }
    match remote_file_system(path) {
        Some(kind) => Err(EndpointError::Remote { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// Whether a socket of this user is there; false if nothing is.
#[cfg(unix)]
pub(super) fn is_own_socket(path: &Path) -> Result<bool, EndpointError> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(EndpointError::io("look at", path, error)),
    };
    if !found.file_type().is_socket() {
        return Err(EndpointError::NotASocket { path: path.to_owned() });
    }
    check_owner(path, found.uid()).map(|()| true)
}

/// Named pipes are no files: connecting tells.
#[cfg(windows)]
pub(super) fn is_own_socket(_path: &Path) -> Result<bool, EndpointError> {
    Ok(true)
}

#[cfg(unix)]
fn check_owner(path: &Path, owner: u32) -> Result<(), EndpointError> {
    let user = user();
    if owner == user {
        return Ok(());
    }
    Err(EndpointError::Owner { path: path.to_owned(), owner, user })
}

/// This process's effective user.
#[cfg(unix)]
pub(super) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The directory of temporary files is each user's own.
#[cfg(windows)]
pub(super) fn user() -> u32 {
    0
}

/// The name of this machine: a run directory may be shared in ways that its file system hides.
#[cfg(unix)]
pub(super) fn machine() -> String {
    crate::machine::host_name()
}

/// Pipes are the machine's own.
#[cfg(windows)]
pub(super) fn machine() -> String {
    String::new()
}

/// The name of the network file system that `path` is on.
#[cfg(target_os = "linux")]
fn remote_file_system(path: &Path) -> Option<&'static str> {
    /// By the numbers of `statfs(2)`. FUSE is not among them: much of it is local.
    const REMOTE: [(u32, &str); 10] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x517b, "SMB"),
        (0x5346_414f, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x1983_0326, "BeeGFS"),
        (0x0102_1997, "9P"),
    ];
    let found = rustix::fs::statfs(path).ok()?;
    // The field is signed or wide on some processors; the numbers have 32 bits on all.
    let number = u32::try_from(i128::from(found.f_type) & 0xffff_ffff).ok()?;
    REMOTE.iter().find(|(remote, _)| *remote == number).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn remote_file_system(_path: &Path) -> Option<&'static str> {
    None
}

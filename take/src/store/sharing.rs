//! Preparing a folder of the store for others.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Store;
use super::access::{FolderAccess, set_mode};
use super::error::StoreError;
use super::folder::make_for_all;
use super::housekeeping::files_of_the_store;
use crate::user_files::{is_own, own_uid, owner};

/// The mode of a folder for a group, and for everybody. Set-gid gives what is in it the folder's group,
/// whoever puts it there.
const FOR_GROUP: u32 = 0o2770;
const FOR_ALL: u32 = 0o2777;

/// For whom a folder is to be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// A group, by its number.
    Group(u32),
    /// Everybody who has an account.
    Everyone,
}

/// What became of a folder's default ACL, which opens files that other programs put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultAcl {
    /// It has been set.
    Set,
    /// The file system keeps none: what other programs put there has the mode that they give it.
    Unsupported,
    /// It was refused, for this reason.
    Refused(String),
}

/// A folder that has been prepared for others.
#[derive(Debug)]
pub struct SharedFolder {
    /// The path of the folder.
    pub folder: PathBuf,
    /// For whom it is now.
    pub access: FolderAccess,
    /// What opens files of other programs.
    pub acl: DefaultAcl,
    /// How many files in it have been opened to them.
    pub mended: usize,
    /// Files in it that stay closed, and the numbers of the users they belong to.
    pub closed: Vec<(PathBuf, u32)>,
    /// The folder above it that does not let them through, if there is one, with its mode.
    pub barred: Option<(PathBuf, u32)>,
}

impl Store {
    /// Prepares the first folder, making it where it is missing, for a group or for everybody: its
    /// group, mode and default ACL, and the modes of one's own files in it.
    ///
    /// # Errors
    /// [`StoreError::NotWritable`] without folders; [`StoreError::Io`] where the folder is somebody
    /// else's, one is not in the group, or the disk fails.
    pub fn share(&self, share: Share) -> Result<SharedFolder, StoreError> {
        let Some(folder) = self.folders().first() else {
            let tried = "none, because the store has no folders".to_owned();
            return Err(StoreError::NotWritable { tried });
        };
        make_for_all(folder).map_err(StoreError::io("make the folder", folder))?;
        let mode = match share {
            Share::Group(group) => {
                set_group(folder, group)
                    .map_err(StoreError::io("give the group of the request to", folder))?;
                FOR_GROUP
            }
            Share::Everyone => FOR_ALL,
        };
        let open = File::open(folder).map_err(StoreError::io("open", folder))?;
        set_mode(&open, mode).map_err(StoreError::io("change the mode of", folder))?;
        let access = FolderAccess::of(folder).map_err(StoreError::io("look at", folder))?;
        let (mended, closed) = open_files(folder, &access);
        Ok(SharedFolder {
            acl: set_default_acl(folder, mode),
            barred: barred(folder, &access),
            folder: folder.clone(),
            access,
            mended,
            closed,
        })
    }
}

/// Opens the files of the store in a folder: how many have been opened, and which stay closed.
fn open_files(folder: &Path, access: &FolderAccess) -> (usize, Vec<(PathBuf, u32)>) {
    let (mut mended, mut closed) = (0, Vec::new());
    for (path, about) in files_of_the_store(folder) {
        let opened = || access.open_up(&File::open(&path)?);
        let tried = (is_own(&about) || own_uid() == 0) && opened().is_ok();
        let Ok(now) = fs::metadata(&path) else { continue };
        if !access.is_met_by(&now) {
            closed.push((path, owner(&now)));
        } else if tried && !access.is_met_by(&about) {
            mended += 1;
        }
    }
    (mended, closed)
}

/// The nearest folder above that does not let through those whom `access` names, and its mode.
#[must_use]
pub fn barred(folder: &Path, access: &FolderAccess) -> Option<(PathBuf, u32)> {
    if !access.is_for_group() && !access.is_for_all() {
        return None;
    }
    let folder = folder.canonicalize().ok()?;
    let passes = |above: &FolderAccess| {
        let group = above.group == access.group && above.mode & 0o010 != 0;
        above.mode & 0o001 != 0 || (group && !access.is_for_all())
    };
    folder.ancestors().skip(1).find_map(|above| {
        let about = FolderAccess::of(above).ok()?;
        (!passes(&about)).then(|| (above.to_owned(), about.mode))
    })
}

/// What lies in the folder may be used by its owner and, as far as `mode` says, by group and others,
/// whatever the mask of the program that puts it there.
#[cfg(target_os = "linux")]
fn set_default_acl(folder: &Path, mode: u32) -> DefaultAcl {
    use rustix::fs::{XattrFlags, setxattr};
    use rustix::io::Errno;
    /// The version of the list, and the entries for owner, group and others with no number.
    const VERSION: u32 = 2;
    const ENTRIES: [(u16, u32); 3] = [(0x01, 6), (0x04, 3), (0x20, 0)];
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, shift) in ENTRIES {
        let permissions = (mode >> shift & 0o7) as u16;
        list.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()));
        list.extend(u32::MAX.to_le_bytes());
    }
    match setxattr(folder, "system.posix_acl_default", &list, XattrFlags::empty()) {
        Ok(()) => DefaultAcl::Set,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => DefaultAcl::Unsupported,
        Err(error) => DefaultAcl::Refused(error.to_string()),
    }
}

#[cfg(not(target_os = "linux"))]
fn set_default_acl(_: &Path, _: u32) -> DefaultAcl {
    DefaultAcl::Unsupported
}

#[cfg(unix)]
fn set_group(path: &Path, group: u32) -> io::Result<()> {
    if FolderAccess::of(path)?.group == group {
        return Ok(());
    }
    std::os::unix::fs::chown(path, None, Some(group))
}

#[cfg(not(unix))]
fn set_group(_: &Path, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, unix))]
mod tests;

//! Who may use what a folder of the store holds: those whom the folder's mode lets in.
//!
//! A folder says by its own mode for whom it is. What is put into it, takes, claims and what is being
//! written, is opened as far as the folder is, whatever the umask says: to the folder's group, which
//! the file is given where that is allowed, and to everybody. A folder of mode 0700 is its owner's
//! alone.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// What lets somebody list a folder and open what is in it.
const READ_AND_ENTER: u32 = 0o5;

/// For whom a folder is, as its mode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderAccess {
    /// The number of the user that it belongs to.
    pub owner: u32,
    /// The number of its group.
    pub group: u32,
    /// Its permissions with set-uid, set-gid and sticky: up to 0o7777.
    pub mode: u32,
}

impl FolderAccess {
    /// For whom a folder is. Where files have no modes, for its owner alone.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub fn of(folder: &Path) -> io::Result<Self> {
        fs::metadata(folder).map(|about| Self::of_metadata(&about))
    }

    fn of_metadata(about: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Self { owner: about.uid(), group: about.gid(), mode: about.mode() & 0o7777 }
        }
        #[cfg(not(unix))]
        {
            let _ = about;
            Self { owner: 0, group: 0, mode: 0o700 }
        }
    }

    /// Whether its group may read what is in it.
    #[must_use]
    pub fn is_for_group(&self) -> bool {
        self.mode >> 3 & READ_AND_ENTER == READ_AND_ENTER
    }

    /// Whether everybody may read what is in it.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        self.mode & READ_AND_ENTER == READ_AND_ENTER
    }

    /// Whether what is put into it is the group's without anybody's doing.
    #[must_use]
    pub fn is_set_gid(&self) -> bool {
        self.mode & 0o2000 != 0
    }

    /// The mode of a file in it: for its owner, and for those whom the folder lets in. Others never
    /// write.
    #[must_use]
    pub fn file_mode(&self) -> u32 {
        let group = if self.is_for_group() { self.mode & 0o060 } else { 0 };
        let all = if self.is_for_all() { self.mode & 0o004 } else { 0 };
        0o600 | group | all
    }

    /// Whether a file in it can be read by all whom the folder lets in.
    #[must_use]
    pub fn is_met_by(&self, file: &Metadata) -> bool {
        let Self { group, mode, .. } = Self::of_metadata(file);
        let for_group = if group == self.group { mode & 0o040 != 0 } else { mode & 0o004 != 0 };
        (!self.is_for_group() || for_group) && (!self.is_for_all() || mode & 0o004 != 0)
    }

    /// Opens a file of one's own in it to those whom the folder lets in. The group's permissions are
    /// given to no other group than the folder's.
    pub(super) fn open_up(&self, file: &File) -> io::Result<()> {
        let mut mode = self.file_mode();
        if mode == 0o600 {
            return Ok(());
        }
        if mode & 0o060 != 0 && !self.has_its_group(file)? {
            mode &= !0o060;
        }
        set_mode(file, mode)
    }

    /// Whether a file has the folder's group, or has been given it now.
    #[cfg(unix)]
    fn has_its_group(&self, file: &File) -> io::Result<bool> {
        if Self::of_metadata(&file.metadata()?).group == self.group {
            return Ok(true);
        }
        // Refused to those who are not in the group, and on some network disks.
        Ok(std::os::unix::fs::fchown(file, None, Some(self.group)).is_ok())
    }

    #[cfg(not(unix))]
    fn has_its_group(&self, _: &File) -> io::Result<bool> {
        Ok(false)
    }
}

/// Gives an open file or folder a mode.
#[cfg(unix)]
pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// Does nothing: files have no modes here.
#[cfg(not(unix))]
pub(super) fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

//! One writer at a time: what several files of one run stand in is locked against other runs, whichever
//! verb they are of.
//!
//! A lock is a hidden file that names process and machine. A process that has died holds nothing: on this
//! machine that shows in the file, which is no longer locked; of another machine only a person knows.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use wan_alpha_take::machine::host_name;

use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{explain_write, folder_of};

/// The name of a folder's lock. It begins as all that is hidden of ours, and is no temporary file.
pub(crate) const FOLDER_LOCK: &str = ".wan-alpha-lock";

/// Tries to get a lock whose file others remove at the same moment.
const ATTEMPTS: usize = 16;

/// The most bytes that are read of a lock.
const MAX_LOCK: u64 = 4096;

/// The right to write a folder, or a file with what belongs to it; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct WriteLock {
    path: PathBuf,
    _file: File,
}

/// Who writes: a process of a machine.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LockHolder {
    host: String,
    pid: u32,
}

impl WriteLock {
    /// Locks a folder, which must be there.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self> {
        Self::take(folder.join(FOLDER_LOCK), folder).or_exit(Exit::BadInput)
    }

    /// Makes a folder where it is not there, and locks it; it has to have nothing in it.
    pub(crate) fn of_empty_folder(folder: &Path) -> Result<Self> {
        let cannot = || format!("cannot use {}", folder.display());
        fs::create_dir_all(folder).with_context(cannot).or_exit(Exit::BadInput)?;
        let lock = Self::of_folder(folder)?;
        let entries = fs::read_dir(folder).with_context(cannot).or_exit(Exit::BadInput)?;
        let is_other = |entry: fs::DirEntry| entry.file_name() != FOLDER_LOCK;
        if entries.flatten().any(is_other) {
            return Err(anyhow!("it is not empty; name another folder"))
                .with_context(cannot)
                .or_exit(Exit::BadInput);
        }
        Ok(lock)
    }

    /// Locks one file of a folder, which must be there; the file need not be.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = folder_of(path).join(format!(".wan-alpha-{name}.lock"));
        Self::take(lock, path).or_exit(Exit::BadInput)
    }

    /// `what` is locked, for messages.
    fn take(path: PathBuf, what: &Path) -> Result<Self> {
        let us = LockHolder { host: host_name(), pid: std::process::id() };
        for _ in 0..ATTEMPTS {
            let mut options = File::options();
            let opened = match options.read(true).write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    File::options().read(true).write(true).open(&path)
                }
                made => made,
            };
            let mut file = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound && folder_of(&path).is_dir() => {
                    continue;
                }
                Err(error) => return Err(explain_write(what, &error).into()),
            };
            let locked = file.try_lock();
            let holder = holder(&mut file);
            let elsewhere = holder.as_ref().is_some_and(|holder| holder.host != us.host);
            let lives = match locked {
                Ok(()) => elsewhere,
                Err(TryLockError::WouldBlock) => true,
                // Without locks the number of the process has to do.
                Err(TryLockError::Error(_)) => {
                    elsewhere || holder.as_ref().is_some_and(|holder| is_running(holder.pid))
                }
            };
            if lives {
                return Err(refusal(what, &path, holder, elsewhere));
            }
            // Whoever held it may have removed it since it was opened.
            if !leads_to(&path, &file) {
                continue;
            }
            let write = |file: &mut File| -> std::io::Result<()> {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(&serde_json::to_vec(&us)?)
            };
            write(&mut file).map_err(|error| explain_write(what, &error))?;
            return Ok(Self { path, _file: file });
        }
        Err(anyhow!("{} is being written to by others all the time: try again", what.display()))
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        // Before the file is unlocked: whoever opens it until then sees that it has gone.
        let _ = fs::remove_file(&self.path);
    }
}

fn refusal(what: &Path, lock: &Path, holder: Option<LockHolder>, elsewhere: bool) -> anyhow::Error {
    let who = match holder {
        Some(LockHolder { host, pid }) => format!("process {pid} on {host}"),
        None => "another process".to_owned(),
    };
    let ended = if elsewhere {
        format!("; if that process has ended, remove {}", lock.display())
    } else {
        String::new()
    };
    anyhow!(
        "{} is being written to by {who}: wait until it has ended, or choose another place{ended}",
        what.display()
    )
}

/// Who is named in a lock; none where it has just been made, or is damaged.
fn holder(file: &mut File) -> Option<LockHolder> {
    let mut text = Vec::new();
    file.take(MAX_LOCK).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whether a path still leads to an open file.
#[cfg(unix)]
fn leads_to(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |about: fs::Metadata| (about.dev(), about.ino());
    let (there, open) = (fs::metadata(path).map(place), file.metadata().map(place));
    matches!((there, open), (Ok(there), Ok(open)) if there == open)
}

/// Whether a path still leads to an open file.
#[cfg(not(unix))]
fn leads_to(path: &Path, _: &File) -> bool {
    path.exists()
}

fn is_running(process: u32) -> bool {
    let id = sysinfo::Pid::from_u32(process);
    let Ok(mut system) = sysinfo::System::new() else { return true };
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[id]), true);
    process != std::process::id() && system.process(id).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(host: &str, pid: u32) -> String {
        serde_json::to_string(&LockHolder { host: host.to_owned(), pid }).unwrap()
    }

    #[test]
    fn a_folder_has_one_writer_and_then_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let lock = WriteLock::of_folder(folder.path()).unwrap();
        let error = WriteLock::of_folder(folder.path()).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        let text = error.to_string();
        assert!(text.contains("is being written to by"), "{text}");
        #[cfg(unix)]
        assert!(
            text.contains(&format!("process {} on {}", std::process::id(), host_name())),
            "{text}"
        );
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(WriteLock::of_folder(folder.path()).unwrap());
    }

    #[test]
    fn an_empty_folder_has_one_writer_who_finds_nothing_in_it() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b");
        let lock = WriteLock::of_empty_folder(&folder).unwrap();
        let text = WriteLock::of_empty_folder(&folder).unwrap_err().to_string();
        assert!(text.contains("is being written to by process"), "{text}");
        drop(lock);
        fs::write(folder.join("x"), "x").unwrap();
        let text = format!("{:#}", WriteLock::of_empty_folder(&folder).unwrap_err());
        assert!(text.contains("it is not empty; name another folder"), "{text}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_locked_apart_from_others_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = WriteLock::of_file(&folder.path().join("a.json")).unwrap();
        WriteLock::of_file(&folder.path().join("a.json")).unwrap_err();
        WriteLock::of_file(&folder.path().join("b.json")).unwrap();
        WriteLock::of_folder(folder.path()).unwrap();
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_process_of_this_machine_holds_nothing_and_one_of_another_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FOLDER_LOCK);
        for left in [holding(&host_name(), 1), String::new(), "{".to_owned()] {
            fs::write(&path, left).unwrap();
            drop(WriteLock::of_folder(folder.path()).unwrap());
            assert!(!path.exists());
        }
        fs::write(&path, holding("another-machine", 7)).unwrap();
        let text = WriteLock::of_folder(folder.path()).unwrap_err().to_string();
        assert!(text.contains("process 7 on another-machine"), "{text}");
        assert!(text.contains(&format!("remove {}", path.display())), "{text}");
        assert!(path.exists());
    }
}

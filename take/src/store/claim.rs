//! Claims: who is making a take, so that two machines that share a folder do not make it twice.
//!
//! A claim is a file with the name of its owner, written again at every heartbeat. It is over when
//! it is dropped, when its owner has died on this machine (which shows, because the file is no
//! longer locked), or when it was silent for too long. Ages are told by the clock that stamps the
//! files, since those of machines differ.
//!
//! It saves work and guards nothing. Of several that take a silent claim over at the same moment,
//! two may succeed; one of them hears at its next heartbeat that it has lost, and if it has
//! finished by then, the first publisher wins.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::error::StoreError;
use super::folder::{leads_to, move_away, sync};
use super::{CLAIM, Store};
use crate::key::TakeKey;
use crate::user_files::own_uid;

/// The longest claim that is read.
const MAX_CLAIM: u64 = 4096;

/// Tries to get a claim, where old ones are in the way.
const ATTEMPTS: usize = 8;

/// Who claims a take: a process of a user on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimant {
    /// The name of the machine.
    pub host: String,
    /// The number of the process on that machine.
    pub pid: u32,
    /// The number of the user on that machine.
    pub uid: u32,
}

impl Claimant {
    /// This process, on the machine called `host`.
    #[must_use]
    pub fn this_process(host: &str) -> Self {
        Self { host: host.chars().take(255).collect(), pid: std::process::id(), uid: own_uid() }
    }
}

/// Someone who is making a take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHolder {
    /// Who it is; `None` if the claim cannot be read.
    pub claimant: Option<Claimant>,
    /// How long ago the last heartbeat was.
    pub silent: Duration,
}

/// What became of an attempt to claim.
#[derive(Debug)]
pub enum Claiming {
    /// It is ours to make.
    Ours(Claim),
    /// Someone else is making it.
    Theirs(ClaimHolder),
}

/// The right to make a take; it ends when it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// Locked, where the file system knows locks.
    file: File,
    text: Vec<u8>,
}

impl Store {
    /// Claims a take in the folder that it would be published to. A claim that was silent for
    /// longer than `patience` is taken over.
    ///
    /// # Errors
    /// [`StoreError::NotWritable`], or [`StoreError::Io`] if the disk fails.
    pub fn claim(
        &self,
        key: &TakeKey,
        claimant: &Claimant,
        patience: Duration,
    ) -> Result<Claiming, StoreError> {
        let text = serde_json::to_vec(claimant)
            .map_err(|error| StoreError::io("claim a take in", Path::new("."))(error.into()))?;
        let mut attempt = 0;
        loop {
            let (folder, mut file) = self.begin()?;
            let path = folder.join(format!("{key}.{CLAIM}"));
            let failed = StoreError::io("claim a take with", &path);
            file.as_file_mut().write_all(&text).map_err(&failed)?;
            let _ = file.as_file().try_lock();
            let file = match file.persist_noclobber(&path) {
                Ok(file) => {
                    sync(&folder);
                    return Ok(Claiming::Ours(Claim { path, file, text }));
                }
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => taken.file,
                Err(other) => return Err(failed(other.error)),
            };
            attempt += 1;
            let Some((held, holder)) = look(&path, &file).map_err(&failed)? else { continue };
            let over = holder.silent > patience || is_dead(&held, &holder, claimant);
            if !over || attempt > ATTEMPTS {
                return Ok(Claiming::Theirs(holder));
            }
            if let Some(moved) = move_away(&path, &held, ".over-").map_err(&failed)? {
                fs::remove_file(moved).map_err(&failed)?;
            }
        }
    }
}

/// Opens a claim; `None` if it has just been given up. `newer` is a file written a moment ago.
fn look(path: &Path, newer: &NamedTempFile) -> io::Result<Option<(File, ClaimHolder)>> {
    let held = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let now = newer.as_file().metadata()?.modified()?;
    let beat = held.metadata()?.modified()?;
    let mut text = Vec::new();
    // Where locks forbid reading, a claim has no name.
    let read = io::Read::read_to_end(&mut io::Read::take(&held, MAX_CLAIM), &mut text);
    let claimant = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
    let silent = now.duration_since(beat).unwrap_or_default();
    Ok(Some((held, ClaimHolder { claimant, silent })))
}

/// Whether the holder was a process of this machine and is none any more. Only here does an
/// unlocked file prove that: between machines not every file system passes locks on.
fn is_dead(held: &File, holder: &ClaimHolder, asking: &Claimant) -> bool {
    let here = holder.claimant.as_ref().is_some_and(|claimant| claimant.host == asking.host);
    here && held.try_lock().is_ok()
}

impl Claim {
    /// Says that the take is still being made; to be called several times within the patience of
    /// others.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] if another has taken over: the take may be finished all the same,
    /// but need not. [`StoreError::Io`] if the disk fails.
    pub fn beat(&mut self) -> Result<(), StoreError> {
        if !self.is_ours() {
            return Err(StoreError::ClaimLost { path: self.path.clone() });
        }
        // Writing, and not setting the time, because the disk's own clock is wanted.
        let written = self.file.rewind().and_then(|()| self.file.write_all(&self.text));
        written.map_err(StoreError::io("keep the claim", &self.path))
    }

    fn is_ours(&self) -> bool {
        leads_to(&self.path, &self.file).unwrap_or(false)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::store::test_takes::{names, store};

    const KEY: TakeKey = TakeKey([0x11; 32]);
    const PATIENCE: Duration = Duration::from_secs(60);

    fn on(host: &str) -> Claimant {
        Claimant::this_process(host)
    }

    fn ours(claiming: Result<Claiming, StoreError>) -> Claim {
        match claiming.unwrap() {
            Claiming::Ours(claim) => claim,
            Claiming::Theirs(holder) => panic!("held by {holder:?}"),
        }
    }

    fn theirs(claiming: Result<Claiming, StoreError>) -> ClaimHolder {
        match claiming.unwrap() {
            Claiming::Ours(claim) => panic!("not held: {claim:?}"),
            Claiming::Theirs(holder) => holder,
        }
    }

    fn age(claim: &Claim, seconds: u64) {
        let before = SystemTime::now() - Duration::from_secs(seconds);
        File::options().write(true).open(&claim.path).unwrap().set_modified(before).unwrap();
    }

    #[test]
    fn one_holds_a_claim_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let claim = ours(store.claim(&KEY, &on("a"), PATIENCE));
        for host in ["a", "b"] {
            let holder = theirs(store.claim(&KEY, &on(host), PATIENCE));
            assert_eq!(holder.claimant, Some(on("a")));
            assert!(holder.silent < Duration::from_secs(5));
        }
        ours(store.claim(&TakeKey([0x22; 32]), &on("b"), PATIENCE));
        assert_eq!(names(folder.path()), [format!("{KEY}.claim")]);
        drop(claim);
        assert_eq!(names(folder.path()), [""; 0]);
        ours(store.claim(&KEY, &on("b"), PATIENCE));
    }

    #[test]
    fn a_silent_claim_is_taken_over_and_its_holder_hears_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let mut silent = ours(store.claim(&KEY, &on("a"), PATIENCE));
        age(&silent, 59);
        theirs(store.claim(&KEY, &on("b"), PATIENCE));
        silent.beat().unwrap();
        assert!(theirs(store.claim(&KEY, &on("b"), PATIENCE)).silent < Duration::from_secs(5));
        age(&silent, 61);
        let mut claim = ours(store.claim(&KEY, &on("b"), PATIENCE));
        let error = silent.beat().unwrap_err().to_string();
        assert!(error.contains("another took it over"), "{error}");
        drop(silent);
        claim.beat().unwrap();
        assert_eq!(names(folder.path()), [format!("{KEY}.claim")]);
    }

    #[test]
    #[cfg(unix)]
    fn a_dead_process_of_this_machine_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let path = folder.path().join(format!("{KEY}.claim"));
        fs::write(&path, serde_json::to_vec(&on("a")).unwrap()).unwrap();
        theirs(store.claim(&KEY, &on("b"), PATIENCE));
        ours(store.claim(&KEY, &on("a"), PATIENCE));
    }

    #[test]
    fn garbage_is_a_claim_until_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let path = folder.path().join(format!("{KEY}.claim"));
        for garbage in [&b""[..], b"{", &[0xff; 10_000]] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(theirs(store.claim(&KEY, &on("a"), PATIENCE)).claimant, None);
        }
        let before = SystemTime::now() - Duration::from_secs(61);
        File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        ours(store.claim(&KEY, &on("a"), PATIENCE));
    }

    #[test]
    fn of_many_that_take_over_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        for _ in 0..20 {
            let silent = ours(store.claim(&KEY, &on("dead"), PATIENCE));
            age(&silent, 100);
            let barrier = std::sync::Barrier::new(8);
            let mut attempts: Vec<Claiming> = std::thread::scope(|scope| {
                let claim = |host: usize| {
                    let (store, barrier) = (&store, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        store.claim(&KEY, &on(&format!("{host}")), PATIENCE).unwrap()
                    })
                };
                let threads: Vec<_> = (0..8).map(claim).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let ours = attempts.iter_mut().filter_map(|attempt| match attempt {
                Claiming::Ours(claim) => claim.beat().ok(),
                Claiming::Theirs(_) => None,
            });
            assert_eq!(ours.count(), 1);
            drop((attempts, silent));
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }

    #[test]
    fn claims_have_one_spelling() {
        let claimant = Claimant { host: "farm7".to_owned(), pid: 42, uid: 1000 };
        let text = serde_json::to_string(&claimant).unwrap();
        assert_eq!(text, r#"{"host":"farm7","pid":42,"uid":1000}"#);
    }
}

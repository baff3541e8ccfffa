//! What is in a store, how much room it takes, and making room.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::access::FolderAccess;
use super::error::{Aside, Damage, StoreError};
use super::folder::{DAMAGED, Purpose, UNFINISHED, leads_to, open_for};
use super::header::{Description, Header, Unread};
use super::image::IMAGE;
use super::{CLAIM, Store, TAKE, take_path};
use crate::key::TakeKey;
use crate::user_files::{is_own, owner};

/// What is unfinished or claimed has been written to within this time, or its writer is dead.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A take in a folder, as listed: its header has been read, its frames have not.
#[derive(Clone, Debug)]
pub struct TakeInfo {
    /// The path of its file.
    pub path: PathBuf,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When it was made.
    pub made: SystemTime,
    /// When it was last opened to be used.
    pub used: SystemTime,
    /// Whether it is one's own to remove.
    pub own: bool,
    /// The number of the user that it belongs to.
    pub owner: u32,
    /// What it shows and how it was made.
    pub description: Description,
}

impl TakeInfo {
    /// The beginning of the prompt, in one line of at most `most` characters.
    #[must_use]
    pub fn excerpt(&self, most: usize) -> String {
        let words: Vec<_> = self.description.request.prompt.split_whitespace().collect();
        let line = words.join(" ");
        if line.chars().count() <= most {
            return line;
        }
        line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}

/// All takes of a store.
#[derive(Debug)]
pub struct Listing {
    /// In the order of the folders, the last made first.
    pub takes: Vec<TakeInfo>,
    /// Files and folders that cannot be read. Nothing is set aside by listing.
    pub problems: Vec<StoreError>,
}

/// A folder of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path of the folder.
    pub folder: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// How many takes are in it.
    pub takes: usize,
    /// Bytes of all that the store has there.
    pub bytes: u64,
    /// Bytes of that which are one's own.
    pub own_bytes: u64,
    /// Bytes free on its disk, if the disk says so.
    pub free: Option<u64>,
    /// What one's own files are trimmed to by default, if the disk says how large it is.
    pub limit: Option<u64>,
    /// For whom it is, if it is there.
    pub access: Option<FolderAccess>,
    /// Takes in it that those whom it is for cannot all read, and the numbers of their owners.
    pub closed: Vec<(PathBuf, u32)>,
}

/// Takes of one user that were left alone, since they are not one's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OthersTakes {
    /// How many takes there are.
    pub takes: usize,
    /// Bytes of their files.
    pub bytes: u64,
}

/// What trimming has done.
#[derive(Debug, Default)]
pub struct Trimmed {
    /// The paths of the files that were removed.
    pub removed: Vec<PathBuf>,
    /// How many bytes they had.
    pub freed: u64,
    /// Bytes of one's own that are left.
    pub left: u64,
    /// How many takes of one's own would have gone, but are in use.
    pub in_use: usize,
    /// What was left because it is others', by the numbers of those users.
    pub others: BTreeMap<u32, OthersTakes>,
    /// What could not be removed or read.
    pub problems: Vec<StoreError>,
}

impl Store {
    /// The most that one's own files take up by default.
    pub const LIMIT: u64 = 50_000_000_000;

    /// Every take in every folder.
    #[must_use]
    pub fn list(&self) -> Listing {
        let mut listing = Listing { takes: Vec::new(), problems: Vec::new() };
        for folder in self.folders() {
            let (files, problem) = scan(folder);
            listing.problems.extend(problem);
            let mut takes = Vec::new();
            for file in files.into_iter().filter(|file| file.kind == Kind::Take) {
                match file.describe() {
                    Ok(take) => takes.extend(take),
                    Err(problem) => listing.problems.push(problem),
                }
            }
            takes.sort_by(|one, other| other.made.cmp(&one.made).then(one.path.cmp(&other.path)));
            listing.takes.extend(takes);
        }
        listing
    }

    /// What each folder holds.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let place = |folder: &PathBuf| {
            let (files, _) = scan(folder);
            let own = files.iter().filter(|file| is_own(&file.metadata));
            let access = FolderAccess::of(folder).ok().filter(|_| folder.is_dir());
            let is_closed = |file: &&StoredFile| {
                file.kind.is_kept()
                    && access.is_some_and(|access| !access.is_met_by(&file.metadata))
            };
            let closed = files.iter().filter(is_closed);
            Place {
                closed: closed.map(|file| (file.path.clone(), owner(&file.metadata))).collect(),
                access,
                exists: folder.is_dir(),
                takes: files.iter().filter(|file| file.kind == Kind::Take).count(),
                bytes: files.iter().map(StoredFile::bytes).sum(),
                own_bytes: own.map(StoredFile::bytes).sum(),
                free: crate::disk_space::available(folder).ok(),
                limit: default_limit(folder),
                folder: folder.clone(),
            }
        };
        self.folders().iter().map(place).collect()
    }

    /// Removes one's own files until they take up at most `limit` bytes in each folder (by default
    /// 50 GB or a tenth of the disk, whichever is less): what was set aside first, then the takes
    /// and images that were unused for longest. Takes in use stay. What a killed writer left behind goes in
    /// any case.
    #[must_use]
    pub fn trim(&self, limit: Option<u64>) -> Trimmed {
        let mut trimmed = Trimmed::default();
        for folder in self.folders() {
            let (files, problem) = scan(folder);
            trimmed.problems.extend(problem);
            let limit = limit.or_else(|| default_limit(folder)).unwrap_or(Self::LIMIT);
            trim_folder(files, limit, &mut trimmed);
        }
        trimmed
    }

    /// Removes a take from every folder.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::NotOwn`], or [`StoreError::Io`], for the first file
    /// that stays.
    pub fn remove(&self, key: &TakeKey) -> Result<Vec<PathBuf>, StoreError> {
        let mut removed = Vec::new();
        for folder in self.folders() {
            let path = take_path(folder, key);
            let failed = StoreError::io("remove", &path);
            match fs::metadata(&path) {
                Ok(metadata) if !is_own(&metadata) => return Err(StoreError::NotOwn { path }),
                Ok(_) => {}
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failed(error)),
            }
            if !remove_unused(&path).map_err(failed)? {
                return Err(StoreError::InUse { path });
            }
            removed.push(path);
        }
        Ok(removed)
    }
}

/// What the store has put into a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Being written, or a claim to it.
    Unfinished,
    Damaged,
    Take,
    Image,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        if name.starts_with(UNFINISHED) {
            return Some(Self::Unfinished);
        }
        let (key, rest) = name.split_once('.')?;
        key.parse::<TakeKey>().ok()?;
        if rest == TAKE {
            return Some(Self::Take);
        }
        if rest == IMAGE {
            return Some(Self::Image);
        }
        if rest.starts_with(CLAIM) {
            return Some(Self::Unfinished);
        }
        let aside = [TAKE, IMAGE].iter().find_map(|extension| rest.strip_prefix(extension))?;
        aside.starts_with(DAMAGED).then_some(Self::Damaged)
    }

    /// Takes and images go by when they were used alone.
    fn goes_with(self) -> Self {
        if self == Self::Image { Self::Take } else { self }
    }

    fn is_kept(self) -> bool {
        matches!(self, Self::Take | Self::Image)
    }
}

struct StoredFile {
    path: PathBuf,
    kind: Kind,
    metadata: Metadata,
}

impl StoredFile {
    fn bytes(&self) -> u64 {
        self.metadata.len()
    }

    /// When it was last opened by us; made and never opened is used, too.
    fn used(&self) -> SystemTime {
        let made = self.made();
        self.metadata.accessed().map_or(made, |accessed| accessed.max(made))
    }

    fn made(&self) -> SystemTime {
        self.metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Reads the header; `None` if the file has gone meanwhile.
    fn describe(self) -> Result<Option<TakeInfo>, StoreError> {
        let failed = StoreError::io("read", &self.path);
        let file = match open_for(Purpose::Look, &self.path) {
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(StoreError::not_opened(&self.path, error)),
            Ok(file) => file,
        };
        let damaged = |damage| StoreError::Damaged {
            path: self.path.clone(),
            damage,
            aside: Aside::Untouched,
        };
        let header = Header::read(&file).map_err(|unread| match unread {
            Unread::Io(error) => failed(error),
            Unread::Damaged(damage) => damaged(damage),
            Unread::OtherVersion(source) => {
                StoreError::OtherVersion { path: self.path.clone(), reason: source }
            }
        })?;
        let found = header.description.key;
        if self.path != take_path(self.path.parent().unwrap_or(Path::new("")), &found) {
            return Err(damaged(Damage::OtherTake { found: found.to_string() }));
        }
        Ok(Some(TakeInfo {
            owner: owner(&self.metadata),
            bytes: self.bytes(),
            made: self.made(),
            used: self.used(),
            own: is_own(&self.metadata),
            description: header.description,
            path: self.path,
        }))
    }
}

/// Every file of the store in a folder, whatever it is, and what the system says of it.
pub(super) fn files_of_the_store(folder: &Path) -> Vec<(PathBuf, Metadata)> {
    scan(folder).0.into_iter().map(|file| (file.path, file.metadata)).collect()
}

/// Files of the store in a folder; none if it is not there.
fn scan(folder: &Path) -> (Vec<StoredFile>, Option<StoreError>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) && !folder.is_file() => return (Vec::new(), None),
        Err(error) => return (Vec::new(), Some(StoreError::io("read the folder", folder)(error))),
    };
    let known = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let kind = Kind::of(entry.file_name().to_str()?)?;
        // Neither links nor folders are ours.
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        Some(StoredFile { path: entry.path(), kind, metadata })
    };
    (entries.filter_map(known).collect(), None)
}

fn trim_folder(mut files: Vec<StoredFile>, limit: u64, trimmed: &mut Trimmed) {
    for file in files.iter().filter(|file| file.kind == Kind::Take && !is_own(&file.metadata)) {
        let others = trimmed.others.entry(owner(&file.metadata)).or_default();
        others.takes += 1;
        others.bytes += file.bytes();
    }
    files.retain(|file| is_own(&file.metadata));
    files.sort_by_cached_key(|file| (file.kind.goes_with(), file.used(), file.path.clone()));
    let mut left: u64 = files.iter().map(StoredFile::bytes).sum();
    for file in files {
        let goes = match file.kind {
            Kind::Unfinished => file.made().elapsed().is_ok_and(|age| age > ABANDONED),
            Kind::Damaged | Kind::Take | Kind::Image => left > limit,
        };
        if !goes {
            continue;
        }
        match remove_unused(&file.path) {
            Ok(true) => {
                left -= file.bytes();
                trimmed.freed += file.bytes();
                trimmed.removed.push(file.path);
            }
            Ok(false) => trimmed.in_use += usize::from(file.kind.is_kept()),
            Err(error) => trimmed.problems.push(StoreError::io("remove", &file.path)(error)),
        }
    }
    trimmed.left += left;
}

/// Removes a file that nobody has locked; false if somebody has. Whoever opens it meanwhile either
/// gets the lock first, or finds it locked and takes it for gone.
fn remove_unused(path: &Path) -> io::Result<bool> {
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(true),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(false),
        // Without locks nobody knows; a take that was opened within the hour may be in use.
        Err(fs::TryLockError::Error(_)) => {
            let used = file.metadata()?.accessed()?;
            if used.elapsed().is_ok_and(|age| age < ABANDONED) {
                return Ok(false);
            }
        }
    }
    if leads_to(path, &file)? {
        fs::remove_file(path)?;
    }
    Ok(true)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn default_limit(folder: &Path) -> Option<u64> {
    crate::disk_space::total(folder).ok().map(|total| Store::LIMIT.min(total / 10))
}

#[cfg(test)]
mod tests;

//! Writing a take, and making it appear.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use half::f16;
use half::slice::HalfFloatSliceExt;
use tempfile::NamedTempFile;

use super::access::FolderAccess;
use super::error::StoreError;
use super::folder::{make_with_unfinished, sync};
use super::header::{Description, FrameSum, Header, TakeOutcome};
use super::take::Take;
use super::{Store, take_path};

/// Tries to publish, where a file of that name is in the way that is being removed or set aside.
const ATTEMPTS: u32 = 20;

/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(5);

/// A take being written, under a name of its own. Dropped before it is published, it leaves
/// nothing.
#[derive(Debug)]
pub struct TakeWriter {
    store: Store,
    folder: PathBuf,
    /// Locked: who finds it unlocked knows that its writer is dead.
    file: NamedTempFile,
    header: Header,
    /// A frame's half floats, where it comes as other numbers.
    halves: Vec<f16>,
}

/// What publishing came to.
#[derive(Debug)]
pub struct Published {
    /// The take in the store.
    pub take: Take,
    /// Whether it is the one that was written; if not, another was published first.
    pub first: bool,
    /// Where those whom its folder is for cannot all read it: why, and what to do.
    pub closed: Option<String>,
}

impl Store {
    /// Begins a take in the first folder that can be written.
    ///
    /// # Errors
    /// [`StoreError::NotWritable`] with the reason for each folder; [`StoreError::Full`] if there
    /// is not enough room for the take.
    pub fn create(&self, description: Description) -> Result<TakeWriter, StoreError> {
        let header = Header::with_room(description)?;
        let (folder, file) = self.begin()?;
        let needed = header.file_bytes();
        match crate::disk_space::available(&folder) {
            Ok(free) if free < needed => {
                return Err(StoreError::Full { path: folder, needed, free });
            }
            // A disk that does not know its size says soon enough that it is full.
            _ => {}
        }
        let _ = file.as_file().try_lock();
        let mut writer =
            TakeWriter { store: self.clone(), folder, file, header, halves: Vec::new() };
        writer.seek(writer.header.offset(0))?;
        Ok(writer)
    }

    /// The first folder that can be written, and a file in it.
    pub(super) fn begin(&self) -> Result<(PathBuf, NamedTempFile), StoreError> {
        let mut tried = Vec::new();
        for folder in self.folders() {
            match make_with_unfinished(folder) {
                Ok(file) => return Ok((folder.clone(), file)),
                Err(error) => tried.push(error.to_string()),
            }
        }
        if tried.is_empty() {
            tried.push("none, because the store has no folders".to_owned());
        }
        Err(StoreError::NotWritable { tried: tried.join("; ") })
    }
}

impl TakeWriter {
    /// The folder in which the take will appear.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many bytes its file will have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.header.file_bytes()
    }

    /// Records how the take was computed and what it came to.
    ///
    /// # Errors
    /// [`StoreError::Request`] if it cannot be written as JSON.
    pub fn record(&mut self, outcome: TakeOutcome) -> Result<(), StoreError> {
        Ok(self.header.record(outcome)?)
    }

    /// Writes the next frame: straight RGBA, row 0 on top.
    ///
    /// # Errors
    /// [`StoreError::FrameSize`], [`StoreError::FrameCount`] if there are enough already, and
    /// [`StoreError::Io`], a full disk for example.
    pub fn frame(&mut self, rgba: &[f16]) -> Result<(), StoreError> {
        self.check(rgba.len())?;
        self.write(bytemuck::cast_slice(rgba))
    }

    /// The same from 32-bit floats, each to the nearest half float.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn frame_f32(&mut self, rgba: &[f32]) -> Result<(), StoreError> {
        self.check(rgba.len())?;
        let mut halves = std::mem::take(&mut self.halves);
        halves.resize(rgba.len(), f16::ZERO);
        halves.convert_from_f32_slice(rgba);
        let written = self.write(bytemuck::cast_slice(&halves));
        self.halves = halves;
        written
    }

    /// Puts the take through to the disk and gives it its name, unless another has it: then that
    /// one is opened and this one goes. A damaged one is set aside first.
    ///
    /// # Errors
    /// [`StoreError::FrameCount`] if frames are missing; [`StoreError::Io`] if the disk fails;
    /// what opening the other one says, if it cannot be read nor set aside. Nothing is published
    /// then.
    pub fn publish(mut self) -> Result<Published, StoreError> {
        let Description { key, request, .. } = self.header.description.clone();
        let found = self.header.checksums.len() as u32;
        if found != request.frames {
            return Err(StoreError::FrameCount { expected: request.frames, found });
        }
        let path = take_path(&self.folder, &key);
        let header = self.header.encode();
        self.seek(0)?;
        self.file.as_file_mut().write_all(&header).map_err(StoreError::io("write", &path))?;
        self.file.as_file().sync_all().map_err(StoreError::io("write", &path))?;
        // From now on it may be read, and until it has been opened it is not trimmed.
        let _ = self.file.as_file().unlock();
        let _ = self.file.as_file().try_lock_shared();

        let Self { store, folder, mut file, .. } = self;
        let mut attempt = 1;
        loop {
            match file.persist_noclobber(&path) {
                Ok(_locked) => {
                    sync(&folder);
                    let gone = || io::Error::from(io::ErrorKind::NotFound);
                    let take = store.open(&path, &key)?;
                    let take = take.ok_or_else(|| StoreError::io("read", &path)(gone()))?;
                    let closed = closed(&folder, take.path());
                    return Ok(Published { take, first: true, closed });
                }
                Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => {
                    match store.open(&path, &key) {
                        Ok(Some(take)) => {
                            return Ok(Published { take, first: false, closed: None });
                        }
                        Ok(None) | Err(StoreError::Damaged { .. }) if attempt < ATTEMPTS => {}
                        Ok(None) => return Err(StoreError::io("publish", &path)(lost.error)),
                        Err(error) => return Err(error),
                    }
                    file = lost.file;
                    attempt += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(failed) => return Err(StoreError::io("publish", &path)(failed.error)),
            }
        }
    }

    /// Whether a frame of so many values may come now.
    fn check(&self, found: usize) -> Result<(), StoreError> {
        let Header { description, checksums, .. } = &self.header;
        let (frame, frames) = (checksums.len() as u32, description.request.frames);
        if frame == frames {
            return Err(StoreError::FrameCount { expected: frames, found: frame + 1 });
        }
        let expected = description.frame_values();
        if found != expected {
            return Err(StoreError::FrameSize { frame, expected, found });
        }
        Ok(())
    }

    /// A frame that failed is not counted, and the next attempt begins where it began.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let frame = self.header.checksums.len() as u32;
        if let Err(error) = self.file.as_file_mut().write_all(bytes) {
            self.seek(self.header.offset(frame))?;
            return Err(StoreError::io("write a take to", &self.folder)(error));
        }
        let mut sum = FrameSum::new();
        sum.add(bytes);
        self.header.checksums.push(sum.finish());
        Ok(())
    }

    fn seek(&mut self, to: u64) -> Result<(), StoreError> {
        let sought = self.file.as_file_mut().seek(SeekFrom::Start(to));
        sought.map(drop).map_err(StoreError::io("write a take to", &self.folder))
    }
}

/// What is amiss where a take in a folder is not open to all whom the folder is for.
fn closed(folder: &Path, take: &Path) -> Option<String> {
    let (access, about) = (FolderAccess::of(folder).ok()?, std::fs::metadata(take).ok()?);
    (!access.is_met_by(&about)).then(|| {
        format!(
            "the take {} can be read by you alone, though its folder is for group {} (mode {:04o}): you are \
             not in that group. Join it, or prepare the folder for one of yours with `wan-alpha take \
             where --share GROUP`",
            take.display(),
            access.group,
            access.mode
        )
    })
}

#[cfg(test)]
mod tests;

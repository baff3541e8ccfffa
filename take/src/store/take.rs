//! A published take, opened for reading.

use std::fs::{File, FileTimes, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use half::f16;

use super::cache::{FrameCache, Pixels};
use super::error::{Aside, Damage, StoreError};
use super::folder::{Identity, Purpose, open_for, read_at, set_aside};
use super::header::{Description, FrameSum, Header, Unread};
use crate::key::TakeKey;

// Frames lie in the file as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"));

/// What is read and hashed in one go: it stays in the processor's cache in between, and the system
/// copies long pieces faster.
const PIECE: usize = 256 << 10;

/// An open take. While it is open it is not trimmed. Clones share the file; any number of threads
/// may read at once.
#[derive(Clone, Debug)]
pub struct Take {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    /// Holds a shared lock, where the file system knows locks.
    file: File,
    identity: Identity,
    header: Header,
    cache: Arc<FrameCache>,
}

/// One frame, verified: half-float straight RGBA, row 0 on top. Dereferences to its values.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    pixels: Pixels,
}

impl Deref for Frame {
    type Target = [f16];

    fn deref(&self) -> &[f16] {
        &self.pixels
    }
}

impl Take {
    /// Opens the take at `path`, expected to be that of `key`; `None` if there is none. A damaged
    /// one is set aside.
    pub(super) fn open(
        path: &Path,
        key: Option<&TakeKey>,
        cache: &Arc<FrameCache>,
        purpose: Purpose,
    ) -> Result<Option<Self>, StoreError> {
        let failed = StoreError::io("read", path);
        // A pipe of a take's name would be waited for.
        if path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            let kind = io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a device");
            return Err(failed(kind));
        }
        let file = match open_for(purpose, path) {
            Ok(file) => file,
            // Below a file there is nothing either; who wants to write there is told.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(StoreError::not_opened(path, error)),
        };
        // Being removed at this moment; where there are no locks, takes are read without.
        if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
            return Ok(None);
        }
        let header = match Header::read(&file) {
            Ok(header) => header,
            Err(Unread::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(failed(error));
            }
            // Cut short while it was being read.
            Err(Unread::Io(_)) => return Err(set_aside(path, &file, Damage::Header)),
            Err(Unread::Damaged(damage)) => return Err(set_aside(path, &file, damage)),
            Err(Unread::OtherVersion(source)) => {
                return Err(StoreError::OtherVersion { path: path.to_owned(), reason: source });
            }
        };
        let found = header.description.key;
        if key.is_some_and(|key| *key != found) {
            return Err(set_aside(path, &file, Damage::OtherTake { found: found.to_string() }));
        }
        if purpose == Purpose::Use {
            // For trimming, which takes what was unused for longest; only the owner may say so.
            let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
        }
        let identity = Identity::of(&file.metadata().map_err(&failed)?);
        let open = Open { path: path.to_owned(), file, identity, header, cache: cache.clone() };
        Ok(Some(Self { open: Arc::new(open) }))
    }

    /// What a take's file, wherever it lies and whatever it is called, says that it is of. No frame is
    /// read, and nothing is moved.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::OtherVersion`] or [`StoreError::Io`].
    pub fn describe(path: &Path) -> Result<Description, StoreError> {
        let file = open_for(Purpose::Look, path);
        let file = file.map_err(|error| StoreError::not_opened(path, error))?;
        match Header::read(&file) {
            Ok(header) => Ok(header.description),
            Err(Unread::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(StoreError::io("read", path)(error))
            }
            Err(Unread::OtherVersion(source)) => {
                Err(StoreError::OtherVersion { path: path.to_owned(), reason: source })
            }
            Err(unread) => {
                let damage = match unread {
                    Unread::Damaged(damage) => damage,
                    _ => Damage::Header,
                };
                let stays = Aside::Stays("it is only looked at".to_owned());
                Err(StoreError::Damaged { path: path.to_owned(), damage, aside: stays })
            }
        }
    }

    /// Where its file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.open.path
    }

    /// What it is a take of, and what it was made on.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.open.header.description
    }

    /// How many frames the take has.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.description().request.frames
    }

    /// A frame, from memory or from the disk; from the disk, verified.
    ///
    /// # Errors
    /// [`StoreError::NoFrame`] if the take is shorter; [`StoreError::Damaged`] if what is on the
    /// disk is not what was written, in which case the take has been set aside;
    /// [`StoreError::Io`] if the disk does not answer.
    pub fn frame(&self, frame: u32) -> Result<Frame, StoreError> {
        let Open { identity, cache, path, file, .. } = &*self.open;
        let pixels = match cache.get(*identity, frame) {
            Some(pixels) => pixels,
            None => match self.read(frame)? {
                Some(pixels) => {
                    let pixels = Arc::new(pixels);
                    cache.put(*identity, frame, &pixels);
                    pixels
                }
                None => return Err(set_aside(path, file, Damage::Frame { frame })),
            },
        };
        let request = &self.description().request;
        Ok(Frame { width: request.width, height: request.height, pixels })
    }

    /// Reads every frame from the disk and says which are damaged; `watch` is told how many have
    /// been read. The file stays where it is.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the disk does not answer.
    pub fn verify(&self, mut watch: impl FnMut(u32)) -> Result<Vec<u32>, StoreError> {
        let mut damaged = Vec::new();
        for frame in 0..self.frames() {
            if self.read(frame)?.is_none() {
                damaged.push(frame);
            }
            watch(frame + 1);
        }
        Ok(damaged)
    }

    /// Sets the file aside because `frame` is damaged, so that the take is made again.
    #[must_use]
    pub fn set_aside(&self, frame: u32) -> StoreError {
        set_aside(&self.open.path, &self.open.file, Damage::Frame { frame })
    }

    /// The frame as it is on the disk; `None` if it is damaged.
    fn read(&self, frame: u32) -> Result<Option<Vec<f16>>, StoreError> {
        let Open { header, file, cache, path, .. } = &*self.open;
        let Some(&checksum) = header.checksums.get(frame as usize) else {
            return Err(StoreError::NoFrame { frame, frames: self.frames() });
        };
        let mut pixels = cache.buffer(header.description.frame_values());
        let mut at = header.offset(frame);
        let mut sum = FrameSum::new();
        for piece in bytemuck::cast_slice_mut(&mut pixels).chunks_mut(PIECE) {
            match read_at(file, piece, at) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(StoreError::io("read", path)(error)),
            }
            sum.add(piece);
            at += piece.len() as u64;
        }
        Ok((sum.finish() == checksum).then_some(pixels))
    }
}

#[cfg(test)]
mod tests {
    use crate::store::test_takes::{self, pixels, publish, store};
    use crate::store::{Store, StoreError};

    #[test]
    fn a_verified_frame_is_not_verified_twice() {
        let folder = tempfile::tempdir().unwrap();
        let take = publish(&store(folder.path()), 1);
        let seen = take.frame(2).unwrap();
        test_takes::overwrite(take.path(), 0, &[0; 30_000]);
        let again = take.frame(2).unwrap();
        assert!(std::ptr::eq(seen.as_ptr(), again.as_ptr()));
        assert!(matches!(take.frame(3), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn without_room_every_frame_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::with_cache([folder.path().to_owned()], 0);
        let take = publish(&store, 1);
        for frame in [4, 0, 4] {
            assert_eq!(*take.frame(frame).unwrap(), *pixels(1, frame));
        }
    }

    #[test]
    fn frames_beyond_the_last_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let take = publish(&store(folder.path()), 1);
        for frame in [5, u32::MAX] {
            let error = take.frame(frame).unwrap_err().to_string();
            assert!(error.ends_with("of a take of 5 frames was asked for: expected 0 to 4"));
        }
    }

    #[test]
    fn many_threads_read_at_once() {
        let folder = tempfile::tempdir().unwrap();
        // Room for two frames: most reads go to the disk, and buffers are used again.
        let store = Store::with_cache([folder.path().to_owned()], 9_000);
        let take = publish(&store, 1);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let take = take.clone();
                scope.spawn(move || {
                    for round in 0..200 {
                        let frame = (round * 7 + thread) % 5;
                        assert_eq!(*take.frame(frame).unwrap(), *pixels(1, frame));
                    }
                });
            }
        });
    }

    #[test]
    fn a_take_stays_readable_after_its_name_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let take = publish(&store(folder.path()), 1);
        std::fs::remove_file(take.path()).unwrap();
        assert_eq!(*take.frame(0).unwrap(), *pixels(1, 0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn descriptors_are_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let key = publish(&store, 1).description().key;
        let open = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap();
            files.filter(|file| {
                let link = std::fs::read_link(file.as_ref().unwrap().path());
                link.is_ok_and(|link| link.starts_with(folder.path()))
            })
        };
        for _ in 0..300 {
            let take = store.find(&key).take.unwrap();
            take.frame(0).unwrap();
            assert_eq!(open().count(), 1);
        }
        assert_eq!(open().count(), 0);
    }
}

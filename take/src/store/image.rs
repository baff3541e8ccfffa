//! Images that takes begin or end with, beside the takes: a file for each, named for its hash, so that a
//! take can be made again where the picture's own file is not.
//!
//! `HASH.image`: [`MAGIC`], width and height (32 bits each), then the values as they are, float32, row 0
//! on top; all little-endian. The name proves it whole: it is the hash of all that follows the magic.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Damage, StoreError};
use super::folder::{Purpose, open_for, set_aside, sync};
use crate::digest::ContentHash;
use crate::still_image::StillImage;

/// Extension of an image.
pub(super) const IMAGE: &str = "image";

/// How the file of an image begins; its last byte is the form's number.
const MAGIC: [u8; 16] = *b"WanAlpha image\0\x01";

/// Bytes before the values.
const HEADER: u64 = 24;

/// What a look-up of an image brought to light.
#[derive(Debug)]
pub struct FoundImage {
    /// The image, if one of the folders has it.
    pub image: Option<StillImage>,
    /// What stood in the way: damaged files, folders that cannot be read.
    pub problems: Vec<StoreError>,
}

impl Store {
    /// Looks for an image in every folder, until one has it whole. Damaged files on the way are set
    /// aside where that is possible.
    #[must_use]
    pub fn image(&self, hash: &ContentHash) -> FoundImage {
        self.search_image(hash, Purpose::Use)
    }

    /// The same for who only looks, as [`Store::look_at`] does.
    #[must_use]
    pub fn look_at_image(&self, hash: &ContentHash) -> FoundImage {
        self.search_image(hash, Purpose::Look)
    }

    fn search_image(&self, hash: &ContentHash, purpose: Purpose) -> FoundImage {
        let mut problems = Vec::new();
        for folder in self.folders() {
            match read(&image_path(folder, hash), hash, purpose) {
                Ok(Some(image)) => return FoundImage { image: Some(image), problems },
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        FoundImage { image: None, problems }
    }

    /// The hashes of all images in all folders, by their files' names; each once.
    #[must_use]
    pub fn images(&self) -> Vec<ContentHash> {
        let entries =
            self.folders().iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let hash = |entry: io::Result<fs::DirEntry>| -> Option<ContentHash> {
            let path = entry.ok()?.path();
            path.extension().filter(|extension| *extension == IMAGE)?;
            path.file_stem()?.to_str()?.parse().ok()
        };
        let found: std::collections::BTreeSet<_> = entries.filter_map(hash).collect();
        found.into_iter().collect()
    }

    /// Keeps an image in the first folder that can be written, unless one of the folders has it. It
    /// appears whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::NotWritable`], [`StoreError::Full`], or [`StoreError::Io`].
    pub fn keep_image(&self, image: &StillImage) -> Result<ContentHash, StoreError> {
        let hash = image.hash();
        if self.image(&hash).image.is_some() {
            return Ok(hash);
        }
        let (folder, mut file) = self.begin()?;
        let needed = HEADER + 4 * image.rgba().len() as u64;
        match crate::disk_space::available(&folder) {
            Ok(free) if free < needed => {
                return Err(StoreError::Full { path: folder, needed, free });
            }
            // A disk that does not know its size says soon enough that it is full.
            _ => {}
        }
        let path = image_path(&folder, &hash);
        let _ = file.as_file().try_lock();
        write(file.as_file_mut(), image).map_err(StoreError::io("write", &path))?;
        let _ = file.as_file().unlock();
        match file.persist_noclobber(&path) {
            Ok(_) => {
                sync(&folder);
                Ok(hash)
            }
            // Another has published the same, or what is there is damaged and could not be set aside.
            Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => {
                match read(&path, &hash, Purpose::Use)? {
                    Some(_) => Ok(hash),
                    None => Err(StoreError::io("publish", &path)(lost.error)),
                }
            }
            Err(failed) => Err(StoreError::io("publish", &path)(failed.error)),
        }
    }
}

pub(super) fn image_path(folder: &Path, hash: &ContentHash) -> PathBuf {
    folder.join(format!("{hash}.{IMAGE}"))
}

fn write(file: &mut File, image: &StillImage) -> io::Result<()> {
    file.write_all(&MAGIC)?;
    for side in [image.width(), image.height()] {
        file.write_all(&side.to_le_bytes())?;
    }
    for row in image.rgba().chunks(image.width() as usize * 4) {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    file.sync_all()
}

/// The image in a file; none if there is no such file.
fn read(
    path: &Path,
    hash: &ContentHash,
    purpose: Purpose,
) -> Result<Option<StillImage>, StoreError> {
    let mut file = match open_for(purpose, path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(StoreError::not_opened(path, error)),
    };
    // While it is read it is not trimmed.
    match file.try_lock_shared() {
        Ok(()) | Err(fs::TryLockError::Error(_)) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
    }
    match parse(&mut file, hash).map_err(StoreError::io("read", path))? {
        Ok(image) => Ok(Some(image)),
        Err(damage) => Err(set_aside(path, &file, damage)),
    }
}

fn parse(file: &mut File, hash: &ContentHash) -> io::Result<Result<StillImage, Damage>> {
    let length = file.metadata()?.len();
    let mut header = [0; HEADER as usize];
    if length < HEADER {
        return Ok(Err(Damage::Length { expected: HEADER, found: length }));
    }
    file.read_exact(&mut header)?;
    let (magic, sizes) = header.split_at(MAGIC.len());
    let (kind, version) = magic.split_at(MAGIC.len() - 1);
    if kind != &MAGIC[..MAGIC.len() - 1] {
        return Ok(Err(Damage::NotAnImage));
    }
    if version != &MAGIC[MAGIC.len() - 1..] {
        return Ok(Err(Damage::Newer { version: version.iter().copied().map(u32::from).sum() }));
    }
    let side = |at: usize| {
        sizes.iter().skip(at).take(4).rev().fold(0, |side, byte| side << 8 | u32::from(*byte))
    };
    let (width, height) = (side(0), side(4));
    let expected = HEADER + u64::from(width) * u64::from(height) * 16;
    if length != expected {
        return Ok(Err(Damage::Length { expected, found: length }));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let image = StillImage::new(width, height, values.collect());
    Ok(image.ok().filter(|image| image.hash() == *hash).ok_or(Damage::OtherImage))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(shade: f32) -> StillImage {
        StillImage::new(3, 2, (0..24).map(|i| i as f32 / 24.0 * shade).collect()).unwrap()
    }

    fn store(folders: &[&Path]) -> Store {
        Store::new(folders.iter().map(|folder| folder.to_path_buf()))
    }

    #[test]
    fn an_image_comes_back_bit_for_bit_from_any_folder() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let hash = store(&[there.path()]).keep_image(&image(1.0)).unwrap();
        let both = store(&[here.path(), there.path()]);
        assert_eq!(both.image(&hash).image, Some(image(1.0)));
        assert_eq!(both.images(), [hash]);
        // It is there: nothing is written twice.
        assert_eq!(both.keep_image(&image(1.0)).unwrap(), hash);
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
        assert!(both.image(&image(0.5).hash()).image.is_none());
        let names: Vec<_> =
            fs::read_dir(there.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [std::ffi::OsString::from(format!("{hash}.image"))]);
    }

    #[test]
    fn an_image_that_is_only_looked_at_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&[folder.path()]);
        let hash = store.keep_image(&image(1.0)).unwrap();
        let path = image_path(folder.path(), &hash);
        // So long ago that the system itself would note that it is read.
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(360_000);
        let times = fs::FileTimes::new().set_accessed(then).set_modified(then);
        File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        let used = || path.metadata().unwrap().accessed().unwrap();
        let before = used();
        assert_eq!(store.look_at_image(&hash).image, Some(image(1.0)));
        assert_eq!(used(), before);
    }

    #[test]
    fn what_is_not_the_image_of_its_name_is_set_aside_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&[folder.path()]);
        let hash = image(1.0).hash();
        let path = image_path(folder.path(), &hash);
        store.keep_image(&image(1.0)).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[60] ^= 1;
        let mut newer = whole.clone();
        newer[15] = 2;
        for (bytes, words) in [
            (flipped, "another image, or part of one"),
            (newer, "from a newer version"),
            (whole[..40].to_vec(), "40 bytes long"),
            (vec![0; 3], "3 bytes long"),
            (vec![b'x'; 200], "does not begin as an image does"),
        ] {
            fs::write(&path, bytes).unwrap();
            let found = store.image(&hash);
            assert!(found.image.is_none());
            let said = found.problems[0].to_string();
            assert!(said.contains("the image ") && said.contains(words), "{said}");
            assert!(!path.exists());
            assert_eq!(store.keep_image(&image(1.0)).unwrap(), hash);
            assert_eq!(store.image(&hash).image, Some(image(1.0)));
        }
    }
}

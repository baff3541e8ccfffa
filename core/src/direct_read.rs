//! Reading large files once, without growing the system's cache of files: past it where the file system
//! can, else through it, and what was read is given up at once.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

/// Memory, place and length of what is read past the cache are multiples of this.
pub(crate) const DIRECT_ALIGNMENT: usize = 4096;
/// Bytes that are read through the cache before they are given up.
const PIECE: usize = 8 << 20;

/// Fills `into` with the bytes of `file` from `start` on.
pub(crate) fn read_exact_at(file: &File, into: &mut [u8], start: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, into, start);
    #[cfg(windows)]
    {
        let (mut into, mut start) = (into, start);
        while !into.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(file, into, start)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into = &mut into[read..];
            start += read as u64;
        }
        Ok(())
    }
}

/// The file at `path` opened for reading past the cache; `None` where the file system cannot.
pub(crate) fn open_direct(path: &Path) -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
        std::fs::File::options().read(true).custom_flags(direct).open(path).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

/// Has an open file read past the cache from now on; whether the file system can.
pub(crate) fn make_direct(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::fcntl_getfl(file);
        flags
            .and_then(|flags| rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::DIRECT))
            .is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// As [`read_exact_at`], leaving nothing of it in the cache: past it by `direct`, the same file, where
/// that is given and place and memory lie alike; of `file` what is left.
///
/// # Errors
/// The file ends before, or cannot be read.
pub(crate) fn read_past_cache(
    file: &File,
    direct: Option<&File>,
    into: &mut [u8],
    start: u64,
) -> io::Result<()> {
    if let Some(direct) = direct
        && let Some((before, length)) = alike(into, start)
    {
        let (head, rest) = into.split_at_mut(before);
        let (middle, tail) = rest.split_at_mut(length);
        let place = start + before as u64;
        match read_exact_at(direct, middle, place) {
            Ok(()) => {
                read_and_give_up(file, head, start)?;
                return read_and_give_up(file, tail, place + length as u64);
            }
            // Some say so only when they are read from.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    read_and_give_up(file, into, start)
}

/// Bytes before the first whole page and in whole pages, where pages of memory and of the file meet.
fn alike(into: &[u8], start: u64) -> Option<(usize, usize)> {
    let before = into.as_ptr().align_offset(DIRECT_ALIGNMENT);
    let length = into.len().checked_sub(before)? / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;
    let meets = (start + before as u64).is_multiple_of(DIRECT_ALIGNMENT as u64);
    (meets && length > 0).then_some((before, length))
}

fn read_and_give_up(file: &File, into: &mut [u8], start: u64) -> io::Result<()> {
    let mut place = start;
    for piece in into.chunks_mut(PIECE) {
        read_exact_at(file, piece, place)?;
        give_up(file, place, piece.len() as u64);
        place += piece.len() as u64;
    }
    Ok(())
}

/// Tells the system that part of a file will not be read again soon.
fn give_up(file: &File, start: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    if let Some(bytes) = std::num::NonZeroU64::new(bytes) {
        let advice = rustix::fs::Advice::DontNeed;
        if let Err(error) = rustix::fs::fadvise(file, start, Some(bytes), advice) {
            log::debug!("what was read stays in the system's cache: {error}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, start, bytes);
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn any_part_of_a_file_is_read_past_the_cache_as_through_it() {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        written.write_all(&bytes).unwrap();
        let (file, direct) = (File::open(written.path()).unwrap(), open_direct(written.path()));
        let mut memory = vec![0u8; 120_000];
        for (start, length) in [(0, 100_000), (4096, 8192), (100, 90_000), (5000, 10), (0, 0)] {
            for shift in [0, 1, start % 4096] {
                let from = memory.as_ptr().align_offset(DIRECT_ALIGNMENT) + shift;
                let into = &mut memory[from..from + length];
                into.fill(0);
                read_past_cache(&file, direct.as_ref(), into, start as u64).unwrap();
                assert!(*into == bytes[start..start + length], "{length} from {start} at {shift}");
            }
        }
        let error = read_past_cache(&file, direct.as_ref(), &mut memory, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_is_open_can_be_read_past_the_cache_too() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7u8; 20_000]).unwrap();
        let direct = make_direct(&file);
        let mut memory = vec![0u8; 20_000];
        let from = memory.as_ptr().align_offset(DIRECT_ALIGNMENT);
        let into = &mut memory[from..from + 8192];
        read_past_cache(&file, direct.then_some(&file), into, 4096).unwrap();
        assert!(into.iter().all(|&byte| byte == 7));
    }
}

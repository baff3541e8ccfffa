//! Bytes at places of a file, and what is said where they are none.

use std::io::{Read, Result, Seek, SeekFrom};

/// The bytes at a place; zeros behind the end of the file.
pub(super) fn at<const COUNT: usize>(
    file: &mut (impl Read + Seek),
    place: u64,
) -> Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    file.seek(SeekFrom::Start(place))?;
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let read = file.read(rest)?;
        if read == 0 {
            break;
        }
        rest = &mut rest[read..];
    }
    Ok(bytes)
}

/// What is said where a part ends behind the end of the file.
pub(super) fn cut(what: &str, end: u64, length: u64) -> Option<String> {
    (end > length).then(|| {
        format!("it is cut off: its {what} ends at byte {end}, but the file has {length} bytes")
    })
}

/// What is said where something else stands than a part of the format.
pub(super) fn damaged(place: u64) -> String {
    format!("it is damaged: what begins at byte {place} is no part of it")
}

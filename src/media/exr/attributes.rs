//! Attributes of one's own in the header of an EXR file, in the order in which they are given.
//!
//! The exr crate writes such attributes in the order of a randomly seeded hash map
//! (`findings/exr-attribute-order.sh`), and equal frames must give equal files: so they are put into the
//! header of the finished file, and its table of offsets is moved on by what they take.

use anyhow::{Context, Result, ensure};

/// Longer names make a file that readers before OpenEXR 1.7 refuse.
const LONGEST_NAME: usize = 31;
/// Magic number and version.
const FIRST: usize = 8;

/// The file of one part with these texts at the end of its header. Each is a name and a value; EXR
/// strings are bytes, and what shows them takes them for UTF-8.
pub(super) fn with_texts(file: &[u8], texts: &[(&str, &str)]) -> Result<Vec<u8>> {
    let end = end_of_header(file).context("the header of the EXR file has no end")?;
    let mut added = Vec::new();
    for (name, value) in texts {
        ensure!(
            (1..=LONGEST_NAME).contains(&name.len()) && !name.contains('\0'),
            "`{name}` cannot be the name of an EXR attribute: expected 1 to {LONGEST_NAME} bytes"
        );
        added.extend(name.as_bytes());
        added.extend(b"\0string\0");
        added.extend(u32::try_from(value.len())?.to_le_bytes());
        added.extend(value.as_bytes());
    }
    let table = end + 1;
    let first = file.get(table..table + 8).and_then(|bytes| bytes.try_into().ok());
    let first = usize::try_from(u64::from_le_bytes(first.context("it has no table of offsets")?))?;
    ensure!((table..=file.len()).contains(&first), "its first block lies before its table");
    let mut whole = Vec::with_capacity(file.len() + added.len());
    whole.extend(&file[..end]);
    whole.extend(&added);
    whole.push(0);
    for offset in file[table..first].as_chunks::<8>().0 {
        whole.extend((u64::from_le_bytes(*offset) + added.len() as u64).to_le_bytes());
    }
    whole.extend(&file[first..]);
    Ok(whole)
}

/// Where the byte 0 is that ends the attributes.
fn end_of_header(file: &[u8]) -> Option<usize> {
    let mut place = FIRST;
    while *file.get(place)? != 0 {
        for _ in ["name", "kind"] {
            place += file.get(place..)?.iter().position(|byte| *byte == 0)? + 1;
        }
        let size: [u8; 4] = file.get(place..place + 4)?.try_into().ok()?;
        place = (place + 4).checked_add(u32::from_le_bytes(size) as usize)?;
    }
    Some(place)
}

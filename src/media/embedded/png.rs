//! Texts of PNG and APNG: all chunks but the pictures.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Result, anyhow};
use png::Decoder;

use super::{EmbeddedTexts, bytes, length};
use crate::media::guarded::guarded;
use crate::media::png::XMP;

/// The chunk of a C2PA manifest.
const C2PA: &[u8; 4] = b"caBX";
/// So many bytes stand before the first chunk.
const SIGNATURE: u64 = 8;

pub(super) fn read(mut file: impl Read + Seek) -> Result<EmbeddedTexts> {
    let mut found = EmbeddedTexts::of_kind("a PNG image");
    let end = length(&mut file)?;
    let mut small = bytes(&mut file, SIGNATURE)?;
    let mut place = SIGNATURE;
    while place + 12 <= end {
        file.seek(SeekFrom::Start(place))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let whole = u64::from(u32::from_be_bytes([a, b, c, d])) + 12;
        match &kind {
            b"IHDR" | b"PLTE" | b"tEXt" | b"zTXt" | b"iTXt" => {
                file.seek(SeekFrom::Start(place))?;
                small.extend(bytes(&mut file, whole)?);
            }
            b"acTL" => found.kind = "an animated PNG",
            b"IEND" => break,
            _ => found.has_c2pa |= kind == *C2PA,
        }
        place += whole;
    }
    guarded(|| texts(&small, &mut found))?;
    Ok(found)
}

/// The texts of a file without its picture.
fn texts(small: &[u8], found: &mut EmbeddedTexts) -> Result<()> {
    // Something that ends the texts, so that they all are read: the beginning of a picture.
    let mut whole = small.to_vec();
    whole.extend([0, 0, 0, 0]);
    whole.extend(b"IDAT");
    whole.extend([0x35, 0xaf, 0x06, 0x1e]);
    let reader = Decoder::new(std::io::Cursor::new(whole)).read_info().map_err(|error| {
        anyhow!("it is no whole PNG file: copy or write it again (reason: {error})")
    })?;
    let info = reader.info();
    for chunk in &info.uncompressed_latin1_text {
        found.texts.push((chunk.keyword.clone(), chunk.text.clone()));
    }
    for chunk in &info.compressed_latin1_text {
        found.texts.push((chunk.keyword.clone(), chunk.get_text()?));
    }
    for chunk in &info.utf8_text {
        let text = chunk.get_text()?;
        if chunk.keyword == XMP {
            found.add_packet(text.as_bytes());
        } else {
            found.texts.push((chunk.keyword.clone(), text));
        }
    }
    Ok(())
}

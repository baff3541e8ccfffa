//! ICC profiles and EXIF in images that ffmpeg reads, and of which it says nothing: JPEG and WebP.

use std::path::Path;

use anyhow::{Context, Result};

use crate::media::file_kind::head;

/// What a JPEG or WebP file carries besides its picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EmbeddedData {
    /// Its ICC profile.
    pub(super) icc: Option<Vec<u8>>,
    /// Its EXIF data, from the mark of their byte order on.
    pub(super) exif: Option<Vec<u8>>,
}

/// What a JPEG or WebP file carries; nothing of others.
pub(super) fn of(path: &Path) -> Result<EmbeddedData> {
    let read = || -> std::io::Result<EmbeddedData> {
        let head = head(path)?;
        let find = match head.as_slice() {
            [0xff, 0xd8, 0xff, ..] => of_jpeg,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => of_webp,
            _ => return Ok(EmbeddedData::default()),
        };
        Ok(find(&std::fs::read(path)?))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// What EXIF data begin with in a segment of JPEG, and now and then in a chunk of WebP.
const EXIF: &[u8] = b"Exif\0\0";

/// A profile is in one or several segments of kind APP2, which say which of how many they are; EXIF is one of
/// kind APP1.
fn of_jpeg(bytes: &[u8]) -> EmbeddedData {
    const APP_1: u8 = 0xe1;
    const APP_2: u8 = 0xe2;
    const START_OF_SCAN: u8 = 0xda;
    const NAME: &[u8] = b"ICC_PROFILE\0";
    let mut place = 2;
    let mut parts: Vec<(u8, &[u8])> = Vec::new();
    let mut exif = None;
    while let Some([0xff, kind, high, low]) = bytes.get(place..place + 4) {
        let length = usize::from(u16::from_be_bytes([*high, *low])).max(2);
        let Some(data) = bytes.get(place + 4..place + 2 + length) else { break };
        match *kind {
            START_OF_SCAN => break,
            APP_1 if exif.is_none() => exif = data.strip_prefix(EXIF).map(<[u8]>::to_vec),
            APP_2 => {
                if let Some([number, _, part @ ..]) = data.strip_prefix(NAME) {
                    parts.push((*number, part));
                }
            }
            _ => {}
        }
        place += 2 + length;
    }
    parts.sort_by_key(|(number, _)| *number);
    let profile: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).copied().collect();
    EmbeddedData { icc: (!profile.is_empty()).then_some(profile), exif }
}

fn of_webp(bytes: &[u8]) -> EmbeddedData {
    const FIRST: usize = 12;
    let mut place = FIRST;
    let mut found = EmbeddedData::default();
    let mut next = || {
        let kind: [u8; 4] = bytes.get(place..place + 4)?.try_into().ok()?;
        let length: [u8; 4] = bytes.get(place + 4..place + 8)?.try_into().ok()?;
        let length = u32::from_le_bytes(length) as usize;
        let data = bytes.get(place + 8..(place + 8).checked_add(length)?)?;
        // Chunks begin at even places.
        place = (place + 8).checked_add(length)?.checked_add(length % 2)?;
        Some((kind, data))
    };
    while let Some((kind, data)) = next() {
        match &kind {
            b"ICCP" => found.icc = Some(data.to_vec()),
            b"EXIF" => found.exif = Some(data.strip_prefix(EXIF).unwrap_or(data).to_vec()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::color_tag::TagMeaning;
    use crate::media::icc;

    #[test]
    fn profiles_of_jpeg_and_webp_are_found_and_nothing_in_what_is_cut_off() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
        for name in ["p3.jpg", "p3.webp"] {
            let profile = of(&folder.join(name)).unwrap().icc.unwrap();
            let meaning = icc::tag_of(&profile).unwrap().meaning;
            let TagMeaning::Known(space) = meaning else { panic!("{name}: {meaning:?}") };
            assert_eq!(space.to_string(), "Display P3", "{name}");
            let bytes = std::fs::read(folder.join(name)).unwrap();
            for end in 0..bytes.len() {
                let find = if name == "p3.jpg" { of_jpeg } else { of_webp };
                let _ = find(&bytes[..end]);
            }
        }
        assert_eq!(of(&folder.join("opaque.mp4")).unwrap(), EmbeddedData::default());
    }

    #[test]
    fn exif_of_jpeg_and_webp_is_found_with_its_orientation() {
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
        let jpeg = std::fs::read(folder.join("p3.jpg")).unwrap();
        let length = (EXIF.len() + exif.len() + 2) as u16;
        let segment = [&[0xff, 0xe1], &length.to_be_bytes()[..], EXIF, exif].concat();
        let jpeg = [&jpeg[..2], &segment, &jpeg[2..]].concat();
        let webp = std::fs::read(folder.join("p3.webp")).unwrap();
        let length = (exif.len() as u32).to_le_bytes();
        let webp = [&webp[..], b"EXIF", &length, exif].concat();
        for (found, kind) in [(of_jpeg(&jpeg), "JPEG"), (of_webp(&webp), "WebP")] {
            assert_eq!(found.exif.as_deref(), Some(&exif[..]), "{kind}");
            assert!(found.icc.is_some(), "{kind}");
        }
    }
}

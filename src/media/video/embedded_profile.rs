//! ICC profiles in images that ffmpeg reads, and of which it says nothing: JPEG and WebP.

use std::path::Path;

use anyhow::{Context, Result};

use crate::media::file_kind::head;

/// The profile of a JPEG or WebP file; None of others, and of those without one.
pub(super) fn of(path: &Path) -> Result<Option<Vec<u8>>> {
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        let head = head(path)?;
        let find = match head.as_slice() {
            [0xff, 0xd8, 0xff, ..] => of_jpeg,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => of_webp,
            _ => return Ok(None),
        };
        Ok(find(&std::fs::read(path)?))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// A profile is in one or several segments of kind APP2, which say which of how many they are.
fn of_jpeg(bytes: &[u8]) -> Option<Vec<u8>> {
    const APP_2: u8 = 0xe2;
    const START_OF_SCAN: u8 = 0xda;
    const NAME: &[u8] = b"ICC_PROFILE\0";
    let mut place = 2;
    let mut parts: Vec<(u8, &[u8])> = Vec::new();
    while let Some([0xff, kind, high, low]) = bytes.get(place..place + 4) {
        if *kind == START_OF_SCAN {
            break;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let data = bytes.get(place + 4..place + 2 + length.max(2))?;
        if let (APP_2, Some([number, _, part @ ..])) = (*kind, data.strip_prefix(NAME)) {
            parts.push((*number, part));
        }
        place += 2 + length.max(2);
    }
    parts.sort_by_key(|(number, _)| *number);
    let profile: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).copied().collect();
    (!profile.is_empty()).then_some(profile)
}

fn of_webp(bytes: &[u8]) -> Option<Vec<u8>> {
    const FIRST: usize = 12;
    let mut place = FIRST;
    loop {
        let kind = bytes.get(place..place + 4)?;
        let length: [u8; 4] = bytes.get(place + 4..place + 8)?.try_into().ok()?;
        let length = u32::from_le_bytes(length) as usize;
        if kind == b"ICCP" {
            return bytes.get(place + 8..(place + 8).checked_add(length)?).map(<[u8]>::to_vec);
        }
        // Chunks begin at even places.
        place = (place + 8).checked_add(length)?.checked_add(length % 2)?;
    }
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
            let profile = of(&folder.join(name)).unwrap().unwrap();
            let meaning = icc::tag_of(&profile).unwrap().meaning;
            let TagMeaning::Known(space) = meaning else { panic!("{name}: {meaning:?}") };
            assert_eq!(space.to_string(), "Display P3", "{name}");
            let bytes = std::fs::read(folder.join(name)).unwrap();
            for end in 0..bytes.len() {
                let find = if name == "p3.jpg" { of_jpeg } else { of_webp };
                let _ = find(&bytes[..end]);
            }
        }
        assert_eq!(of(&folder.join("opaque.mp4")).unwrap(), None);
    }
}

//! What files carry besides their pictures: XMP packets, texts and tags, and whether they hold a C2PA
//! manifest. By what a file begins with, whatever it is called, and without decoding a picture.

mod exr;
pub(super) mod iso_boxes;
mod jpeg;
mod matroska;
mod png;
pub(super) mod riff;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::error::{self, MediaError};
use super::provenance::xmp;

/// The most bytes of one text or packet that are read.
const LARGEST_TEXT: u64 = 64 << 20;

/// What a file says besides its picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EmbeddedTexts {
    /// What the file is, in words.
    pub(crate) kind: &'static str,
    /// Names as the file has them, and their texts, in its order. What XMP says stands with its prefixes.
    pub(crate) texts: Vec<(String, String)>,
    /// Whether a C2PA manifest is in it. Whether it holds is not looked at here.
    pub(crate) has_c2pa: bool,
}

impl EmbeddedTexts {
    fn of_kind(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }

    fn add_packet(&mut self, packet: &[u8]) {
        self.texts.extend(xmp::properties(&String::from_utf8_lossy(packet)));
    }

    /// The first text of one of these names.
    pub(crate) fn text(&self, names: &[&str]) -> Option<&str> {
        let mut texts = self.texts.iter();
        let found = texts.find(|(name, _)| names.iter().any(|one| name.eq_ignore_ascii_case(one)));
        found.map(|(_, text)| text.as_str())
    }

    /// Reads a file.
    pub(crate) fn of(path: &Path) -> error::Result<Self> {
        read(path)
            .with_context(|| format!("cannot read what {} says of itself", path.display()))
            .map_err(MediaError::Unreadable)
    }
}

/// Whether a file is Matroska or WebM, and a track in it says that its pictures have alpha apart.
pub(super) fn matroska_alpha_mode(path: &Path) -> bool {
    // What is no such file has no such element.
    File::open(path)
        .is_ok_and(|file| matroska::has_alpha_mode(BufReader::new(file)).unwrap_or(false))
}

fn read(path: &Path) -> Result<EmbeddedTexts> {
    let mut head = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut head)?;
    let file = BufReader::new(File::open(path)?);
    match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => png::read(file),
        [0x76, 0x2f, 0x31, 0x01, ..] => exr::read(path),
        [0xff, 0xd8, 0xff, ..] => jpeg::read(file),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => riff::read(file),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska::read(file),
        [_, _, _, _, kind @ ..] if iso_boxes::begins_a_file(kind) => iso_boxes::read(file),
        [] => bail!("it is empty (0 bytes)"),
        _ => bail!("it is none of PNG, EXR, JPEG, WebP, MOV, MP4, WebM and Matroska"),
    }
}

/// So many bytes from here on.
fn bytes(file: &mut impl Read, length: u64) -> Result<Vec<u8>> {
    if length > LARGEST_TEXT {
        bail!("it claims a text of {length} bytes: it is damaged");
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        bail!("it is cut off");
    }
    Ok(bytes)
}

/// The length of a file; it is read from its beginning afterwards.
fn length(file: &mut impl Seek) -> Result<u64> {
    let length = file.seek(std::io::SeekFrom::End(0))?;
    file.rewind()?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::provenance::xmp;
    use crate::media::sample::provenance;
    use std::path::PathBuf;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures").join(name)
    }

    #[test]
    fn tracks_of_matroska_say_whether_they_have_alpha() {
        for (name, has_alpha) in [
            ("vp9.webm", true),
            ("vp8.webm", true),
            ("ffv1.mkv", false),
            ("prores.mov", false),
            ("srgb.png", false),
        ] {
            assert_eq!(matroska_alpha_mode(&data(name)), has_alpha, "{name}");
        }
        // A tag of that name is none of its words.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.webm");
        let mut bytes = std::fs::read(data("vp9.webm")).unwrap();
        let place = bytes.windows(4).position(|bytes| bytes == [0x53, 0xc0, 0x81, 1]).unwrap();
        bytes[place + 3] = 0;
        std::fs::write(&path, bytes).unwrap();
        assert!(!matroska_alpha_mode(&path));
    }

    #[test]
    fn a_packet_that_is_put_into_a_movie_or_a_webp_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let packet = xmp::packet(&provenance(), true);
        let mov = folder.path().join("a.mov");
        std::fs::copy(data("prores.mov"), &mov).unwrap();
        let mut open = File::options().read(true).write(true).open(&mov).unwrap();
        iso_boxes::add_xmp(&mut open, &packet).unwrap();
        let webp = folder.path().join("a.webp");
        let bytes = std::fs::read(data("p3.webp")).unwrap();
        std::fs::write(&webp, riff::with_xmp(&bytes, &packet, [4, 4], true).unwrap()).unwrap();
        for path in [&mov, &webp] {
            let found = EmbeddedTexts::of(path).unwrap();
            assert_eq!(found.text(&[xmp::RECIPE]), Some(provenance().recipe.as_str()), "{path:?}");
            assert_eq!(found.text(&["Iptc4xmpExt:AISystemUsed"]), Some("wan-alpha"));
            assert!(!found.has_c2pa);
        }
        // What lay before the packet lies where it lay.
        let (before, after) =
            (std::fs::read(data("prores.mov")).unwrap(), std::fs::read(&mov).unwrap());
        let place = before.windows(4).position(|bytes| bytes == b"moov").unwrap();
        assert_eq!(before[..place - 4], after[..place - 4]);
    }

    #[test]
    fn tags_of_webm_and_texts_of_every_kind_are_read_and_nothing_brings_it_down() {
        let folder = tempfile::tempdir().unwrap();
        for (name, kind) in [
            ("vp9.webm", "a WebM or Matroska movie"),
            ("ffv1.mkv", "a WebM or Matroska movie"),
            ("prores.mov", "a QuickTime or MP4 movie"),
            ("opaque.mp4", "a QuickTime or MP4 movie"),
            ("p3.webp", "a WebP image"),
            ("p3.jpg", "a JPEG image"),
            ("cicp-pq.png", "a PNG image"),
            ("interop-pq.exr", "an EXR image"),
        ] {
            let found = EmbeddedTexts::of(&data(name)).unwrap();
            assert_eq!(found.kind, kind, "{name}");
            if kind.contains("WebM") {
                assert!(
                    found.text(&["ENCODER"]).is_some_and(|text| text.contains("Lav")),
                    "{found:?}"
                );
            }
            let bytes = std::fs::read(data(name)).unwrap();
            let cut = folder.path().join(name);
            for end in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
                std::fs::write(&cut, &bytes[..end]).unwrap();
                let _ = EmbeddedTexts::of(&cut);
            }
        }
        std::fs::write(folder.path().join("note"), "a note, longer than a head").unwrap();
        let error =
            anyhow::Error::from(EmbeddedTexts::of(&folder.path().join("note")).unwrap_err());
        assert!(format!("{error:#}").contains("it is none of PNG, EXR"), "{error:#}");
    }
}

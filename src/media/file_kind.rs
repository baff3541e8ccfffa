//! What a file is by its first bytes, whatever its name says: for messages, and for what must not be given
//! to ffmpeg, which would read it as something else.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::sequence::extension;

/// A format, how its files begin, and what to do with one.
struct FileFormat {
    name: &'static str,
    /// Where the bytes below stand.
    place: usize,
    magic: &'static [u8],
    remedy: Remedy,
}

/// What is to be done with a file that is not read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// It is read where its name is the right one.
    Rename(&'static str),
    /// ffmpeg reads it well enough in 8 bits, under its own name.
    Ffmpeg,
    /// It holds more than ffmpeg's 8 bits keep: depth, color, layers or alpha.
    Convert,
    /// It holds no picture.
    NoPicture(&'static str),
}

use Remedy::{Convert, Ffmpeg, NoPicture, Rename};

const fn kind(name: &'static str, magic: &'static [u8], remedy: Remedy) -> FileFormat {
    FileFormat { name, place: 0, magic, remedy }
}

/// In ISO's container the kind stands after a size.
const fn boxed(name: &'static str, magic: &'static [u8], remedy: Remedy) -> FileFormat {
    FileFormat { name, place: 4, magic, remedy }
}

const PNG: &str = "a PNG image";
const EXR: &str = "an EXR image";

/// Longer beginnings before shorter ones.
const KINDS: [FileFormat; 41] = [
    kind(PNG, b"\x89PNG\r\n\x1a\n", Rename("png")),
    kind(EXR, b"\x76\x2f\x31\x01", Rename("exr")),
    kind("a JPEG image, which has no alpha", b"\xff\xd8\xff", Ffmpeg),
    kind("a GIF image", b"GIF8", Ffmpeg),
    kind("a BMP image", b"BM", Ffmpeg),
    FileFormat { name: "a WebP image", place: 8, magic: b"WEBP", remedy: Ffmpeg },
    FileFormat { name: "an AVI movie", place: 8, magic: b"AVI ", remedy: Ffmpeg },
    kind("a Y4M movie", b"YUV4MPEG2 ", Ffmpeg),
    kind("a PBM image", b"P1\n", Ffmpeg),
    kind("a PGM image", b"P2\n", Ffmpeg),
    kind("a PPM image", b"P3\n", Ffmpeg),
    kind("a PBM image", b"P4\n", Ffmpeg),
    kind("a PGM image", b"P5\n", Ffmpeg),
    kind("a PPM image", b"P6\n", Ffmpeg),
    kind("a PAM image", b"P7\n", Ffmpeg),
    kind("a Matroska or WebM movie", b"\x1a\x45\xdf\xa3", Ffmpeg),
    kind("an MXF movie", b"\x06\x0e\x2b\x34", Ffmpeg),
    boxed("a HEIC image", b"ftyphei", Convert),
    boxed("a HEIC image", b"ftypmif1", Convert),
    boxed("an AVIF image", b"ftypavi", Convert),
    boxed("a QuickTime or MP4 movie", b"ftyp", Ffmpeg),
    boxed("a QuickTime movie", b"moov", Ffmpeg),
    boxed("a QuickTime movie", b"wide", Ffmpeg),
    boxed("a JPEG 2000 image", b"jP  ", Convert),
    kind("a JPEG 2000 image", b"\xff\x4f\xff\x51", Convert),
    boxed("a JPEG XL image", b"JXL ", Convert),
    kind("a JPEG XL image", b"\xff\x0a", Convert),
    kind("a TIFF image", b"II*\0", Convert),
    kind("a TIFF image", b"MM\0*", Convert),
    kind("a TIFF image", b"II+\0", Convert),
    kind("a Photoshop image", b"8BPS", Convert),
    kind("a DPX image", b"SDPX", Convert),
    kind("a DPX image", b"XPDS", Convert),
    kind("a Cineon image", b"\x80\x2a\x5f\xd7", Convert),
    kind("a Radiance image of high dynamic range", b"#?RADIANCE", Convert),
    kind("a Radiance image of high dynamic range", b"#?RGBE", Convert),
    kind("a PFM image", b"PF\n", Convert),
    kind("a PDF document", b"%PDF", Convert),
    kind(
        "a pointer of Git LFS, not the file itself",
        b"version https://git-lfs",
        NoPicture("fetch it with `git lfs pull`"),
    ),
    kind("a ZIP archive", b"PK\x03\x04", NoPicture("unpack it")),
    kind("a gzip archive", b"\x1f\x8b", NoPicture("unpack it")),
];

/// As many bytes as it takes to know a kind.
const HEAD: usize = 512;

fn of(bytes: &[u8]) -> Option<&'static FileFormat> {
    KINDS
        .iter()
        .find(|kind| bytes.get(kind.place..).is_some_and(|rest| rest.starts_with(kind.magic)))
}

/// Whether it is text as far as one can see, of at least a few letters.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A letter that is cut in two by the end of the head.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || "\t\n\r".contains(c))
}

/// Whether a file is text, and none of the kinds that begin as such.
pub(super) fn is_plain_text(path: &Path) -> bool {
    path.is_file() && head(path).is_ok_and(|head| of(&head).is_none() && is_text(&head))
}

/// Why a file that is called `.png` or `.exr` is none, and what to do; `wanted` is what it is called.
pub(super) fn not_what_it_is_called(bytes: &[u8], wanted: &str) -> String {
    if bytes.is_empty() {
        return "it is empty (0 bytes): copy or write it again".to_owned();
    }
    let html = |head: &[u8]| {
        let text = String::from_utf8_lossy(&head[..head.len().min(HEAD)]).to_ascii_lowercase();
        text.contains("<html") || text.contains("<!doctype html")
    };
    match of(bytes).map(|kind| (kind.name, kind.remedy)) {
        Some((name, Rename(end))) => {
            format!("it is {name}, though it is called .{wanted}: call it .{end}")
        }
        Some((name, Ffmpeg | Convert)) => format!(
            "it is {name}, not {wanted}: to change a name's end changes no format; write it as PNG or \
             EXR (`oiiotool IN -o OUT.{wanted}`, or `ffmpeg -i IN OUT.{wanted}`)"
        ),
        Some((name, NoPicture(remedy))) => format!("it is {name}: {remedy}"),
        None if html(bytes) => {
            "it is a web page, not an image: download the image itself".to_owned()
        }
        None if is_text(bytes) => format!("it is text, not {wanted}: name the image"),
        None => format!(
            "it does not begin as {wanted} files do: it is damaged, or of another format; write it again"
        ),
    }
}

/// Why a file that is no `.png` or `.exr` cannot be one of a sequence, and what to do.
pub(super) fn not_an_image(path: &Path) -> String {
    let head = head(path).unwrap_or_default();
    let what = match of(&head) {
        Some(kind) => format!("it is {}", kind.name),
        None if is_text(&head) => "it is text".to_owned(),
        None => "it is neither .png nor .exr".to_owned(),
    };
    format!("{what}: images are read as PNG and EXR: write it so (`oiiotool IN -o OUT.exr`)")
}

/// The first bytes of a file.
pub(super) fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Why a file that is no `.png` or `.exr` is not given to ffmpeg, and what to do; None if it is.
pub(super) fn not_for_ffmpeg(file: &Path, head: &[u8]) -> Option<String> {
    let path = file.display();
    if head.is_empty() {
        return Some(format!("{path} is empty (0 bytes): copy or write it again"));
    }
    match of(head).map(|kind| (kind.name, kind.remedy)) {
        // ffmpeg reads the frames of an animated PNG.
        Some((PNG, _)) if extension(file).as_deref() == Some("apng") => None,
        Some((name, Rename(end))) => Some(format!("{path} is {name}: call it .{end}")),
        Some((_, Ffmpeg)) => None,
        Some((name, Convert)) => Some(format!(
            "{path} is {name}: of images PNG and EXR are read, which keep depth, color and alpha: write it \
             so (`oiiotool IN -o OUT.exr`)"
        )),
        Some((name, NoPicture(remedy))) => Some(format!("{path} is {name}: {remedy}")),
        None if is_text(head) => Some(format!(
            "{path} is text: expected a PNG or EXR image, a folder or a pattern of such (m.####.exr), or \
             a movie"
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_how_they_begin() {
        let of = |bytes: &[u8]| not_what_it_is_called(bytes, "png");
        assert!(of(b"\x76\x2f\x31\x01\x02").contains("an EXR image") && of(b"").contains("empty"));
        assert!(of(b"\xff\xd8\xff\xe0").contains("a JPEG image, which has no alpha, not png"));
        assert!(of(b"RIFF\x10\0\0\0WEBPVP8L").contains("a WebP image"));
        assert!(of(b"\0\0\0\x1cftypheic").contains("a HEIC image"));
        assert!(of(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        assert!(of(b"<!DOCTYPE html><p>404").contains("a web page"));
        assert!(of("a note: grün\n".as_bytes()).contains("it is text"));
        assert!(of(&[0, 1, 2]).contains("does not begin as png"));
    }

    #[test]
    fn ffmpeg_is_given_movies_and_what_it_reads_as_it_is() {
        let for_it = |bytes: &[u8]| not_for_ffmpeg(Path::new("a.x"), bytes).is_none();
        for movie in [
            &b"\0\0\0\x14ftypqt  "[..],
            b"\x1a\x45\xdf\xa3",
            b"GIF89a",
            b"\xff\xd8\xff\xe0",
            b"\0\x01\x02\x03",
            b"YUV4MPEG2 W4 H4 F24:1 C444\nFRAME\n0123456789abcdef",
            b"P5\n4 4\n255\n0123456789abcdef",
        ] {
            assert!(for_it(movie), "{movie:?}");
        }
        // ffmpeg draws text as a picture, and follows lists of files.
        for other in [
            &b"II*\0"[..],
            b"SDPX",
            b"8BPS",
            b"a note",
            b"ffconcat version 1.0\n",
            b"",
            b"\x89PNG\r\n\x1a\n",
        ] {
            assert!(!for_it(other), "{other:?}");
        }
        let animated = not_for_ffmpeg(Path::new("a.apng"), b"\x89PNG\r\n\x1a\n");
        assert_eq!(animated, None);
        let letters = "grün ".repeat(200);
        assert!(is_text(&letters.as_bytes()[..HEAD]) && is_text(&letters.as_bytes()[..HEAD - 1]));
    }
}

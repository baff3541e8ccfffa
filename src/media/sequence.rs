//! The files of an image sequence: a folder, a pattern, or one file; in number order, without gaps.
//!
//! Numbers may be below 0, as handles before a shot's first frame are. Names are bytes: on Unix
//! nothing says that they are UTF-8.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use wan_alpha_take::counted::counted;

use super::error::{self, MediaError};
use super::{contact_sheet, variant_sheet};

/// Which numbers may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameNumbering {
    /// Each the next one.
    EveryFrame,
    /// The same, or each fourth: the first take frame of a latent frame.
    LatentFrames,
}

/// Finds the files behind a folder, a pattern (`mask.####.exr`, `mask.%04d.png`) or one file.
/// `what` they are, mask or clip, is for messages.
pub(crate) fn find(
    path: &Path,
    what: &str,
    numbering: FrameNumbering,
) -> error::Result<Vec<PathBuf>> {
    files(path, what, numbering).map_err(MediaError::Unreadable)
}

/// What is read of folders that hold the same frames as EXR and as PNG, as `render` writes them: EXR. And what
/// is not read beside a pattern, though it looks like its frames. A sentence for each of them.
pub(crate) fn choices(paths: &[PathBuf]) -> Vec<String> {
    let choice = |path: &PathBuf| {
        if !path.is_dir() {
            return FilePattern::of(path).filter(|_| !path.exists())?.about_others();
        }
        let sequences = sequences_in(path, "clip").ok()?.0;
        let exr = exr_of_both(&sequences)?;
        let shown = path.join(String::from_utf8_lossy(exr).as_ref()).display().to_string();
        Some(format!("{} holds EXR and PNG of the same frames: {shown} is read", path.display()))
    };
    paths.iter().filter_map(choice).collect()
}

/// Refuses what is no file, though it is named as one: to read it would fail, or wait for ever.
pub(crate) fn check_file(path: &Path, what: &str) -> Result<()> {
    let found = match path.metadata() {
        Ok(about) if about.is_file() => return Ok(()),
        Ok(about) if about.is_dir() => "a folder".to_owned(),
        Ok(_) => "a pipe or a device".to_owned(),
        Err(error) => match path.read_link() {
            Ok(target) => {
                format!("a link to {}, which cannot be reached ({error})", target.display())
            }
            Err(_) => bail!("the {what} {} does not exist", path.display()),
        },
    };
    bail!(
        "the {what} {} is {found}: expected a file; put the frame in its place, or take it away",
        path.display()
    )
}

fn files(path: &Path, what: &str, numbering: FrameNumbering) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        in_folder(path, what, numbering)
    } else if path.symlink_metadata().is_ok() {
        check_file(path, what)?;
        Ok(vec![path.to_owned()])
    } else if let Some(pattern) = FilePattern::of(path) {
        pattern.files(what, numbering)
    } else {
        bail!("the {what} {} does not exist{}", path.display(), about_patterns(path));
    }
}

/// How a place for the frame number is written here, where a name seems to have one as other programs write
/// it (`f.@@@@.exr`, `f.$F4.exr`, `f.[1-5].exr`, `f.*.exr`).
fn about_patterns(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if name.iter().any(|byte| b"@$*[?{<".contains(byte)) {
        "; a pattern has # or %04d where the number of a frame stands (f.####.exr, f.%04d.png)"
    } else {
        ""
    }
}

/// A file name with a place for the frame number.
#[derive(Debug, PartialEq)]
struct FilePattern {
    folder: PathBuf,
    /// As it was given, for messages.
    path: PathBuf,
    before: Vec<u8>,
    /// Numbers are padded with zeros to this many characters, a minus among them.
    width: usize,
    after: Vec<u8>,
}

impl FilePattern {
    /// `mask.####.exr` or `mask.%04d.exr`; None if the name has no such place.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.as_encoded_bytes();
        let (before, width, after) = printf_place(name).or_else(|| hash_place(name))?;
        Some(Self {
            folder: path.parent()?.to_owned(),
            path: path.to_owned(),
            before: before.to_owned(),
            width,
            after: after.to_owned(),
        })
    }

    fn files(&self, what: &str, numbering: FrameNumbering) -> Result<Vec<PathBuf>> {
        let folder = self.folder();
        let pattern = self.path.display();
        let mut numbered = BTreeMap::new();
        let mut short = None;
        for name in names(folder, what)? {
            let Some(place) = self.place(&name).filter(|place| is_number(place)) else {
                continue;
            };
            let path = folder.join(&name);
            let Some(number) = signed(place) else { return Err(too_large(&path, what)) };
            if place.len() < self.width {
                short.get_or_insert(path);
                continue;
            }
            check_file(&path, what)?;
            insert(&mut numbered, number, path, what)?;
        }
        ensure!(
            !numbered.is_empty() || short.is_some(),
            "no file matches the {what} pattern {pattern}"
        );
        if let Some(path) = short {
            bail!(
                "the number of the {what} {} has fewer than the {} digits of the pattern {pattern}: name it as \
                 the others are, or give a pattern with one # or with %d, which match every number",
                path.display(),
                self.width
            );
        }
        without_gaps(numbered, what, numbering)
    }

    fn folder(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }

    /// What a name has where the pattern has a number.
    fn place<'a>(&self, name: &'a OsStr) -> Option<&'a [u8]> {
        let rest = name.as_encoded_bytes().strip_prefix(self.before.as_slice())?;
        rest.strip_suffix(self.after.as_slice())
    }

    /// Files that have a number where the pattern has one, and something besides (`m.0005_old.png`).
    fn about_others(&self) -> Option<String> {
        let is_other = |name: &OsString| {
            let place = self.place(name).unwrap_or_default();
            let digits = place.strip_prefix(b"-").unwrap_or(place);
            digits.first().is_some_and(u8::is_ascii_digit) && !is_number(place)
        };
        let mut others: Vec<_> =
            names(self.folder(), "").ok()?.into_iter().filter(is_other).collect();
        others.sort();
        let first = others.first()?.display().to_string();
        let more = match others.len() {
            1 => "does not match it, and is not read".to_owned(),
            several => format!("and {} more do not match it, and are not read", several - 1),
        };
        Some(format!("beside the pattern {}: {first} {more}", self.path.display()))
    }
}

fn printf_place(name: &[u8]) -> Option<(&[u8], usize, &[u8])> {
    let percent = name.iter().position(|byte| *byte == b'%')?;
    let (before, rest) = (&name[..percent], &name[percent + 1..]);
    let end = rest.iter().position(|byte| *byte == b'd')?;
    let width = match rest[..end].strip_prefix(b"0") {
        None if end == 0 => 1,
        None => return None,
        Some(width) => std::str::from_utf8(width).ok()?.parse().ok()?,
    };
    Some((before, width, &rest[end + 1..]))
}

fn hash_place(name: &[u8]) -> Option<(&[u8], usize, &[u8])> {
    let end = name.iter().rposition(|byte| *byte == b'#')? + 1;
    let hashes = name[..end].iter().rev().take_while(|byte| **byte == b'#').count();
    Some((&name[..end - hashes], hashes, &name[end..]))
}

/// Numbered images by what their names have besides the number, `rgba.#.exr`.
type Sequences = BTreeMap<Vec<u8>, BTreeMap<i64, PathBuf>>;

/// The sequences in a folder, and its images without a number.
fn sequences_in(folder: &Path, what: &str) -> Result<(Sequences, Vec<PathBuf>)> {
    let mut sequences = Sequences::new();
    let mut single = Vec::new();
    let mut large: BTreeMap<Vec<u8>, Vec<PathBuf>> = BTreeMap::new();
    for name in names(folder, what)? {
        let path = folder.join(&name);
        let bytes = name.as_encoded_bytes();
        // Hidden files are thumbnails and leftovers of other programs.
        if bytes.starts_with(b".") || is_sheet(&name) || !is_image(&path) {
            continue;
        }
        check_file(&path, what)?;
        let stem = Path::new(&name).file_stem().unwrap_or(&name).as_encoded_bytes();
        let (before, number) = number_at_end(stem);
        let key = [before, b"#", &bytes[stem.len()..]].concat();
        match signed(number) {
            Some(number) => insert(sequences.entry(key).or_default(), number, path, what)?,
            None if is_number(number) => large.entry(key).or_default().push(path),
            None => single.push(path),
        }
    }
    for (key, mut paths) in large {
        if let [path, rest @ ..] = paths.as_slice()
            && (sequences.contains_key(&key) || !rest.is_empty())
        {
            return Err(too_large(path, what));
        }
        // Alone, its digits are no number of a frame.
        single.append(&mut paths);
    }
    Ok((sequences, single))
}

fn too_large(path: &Path, what: &str) -> anyhow::Error {
    anyhow!(
        "the number of the {what} {} is none of a frame: expected at most {}; number it anew",
        path.display(),
        i64::MAX
    )
}

/// Of the same frames in both formats, and nothing besides, the name of those in EXR.
fn exr_of_both(sequences: &Sequences) -> Option<&Vec<u8>> {
    let mut both = sequences.iter();
    // By their names, EXR comes first.
    let (Some((exr, some)), Some((png, others)), None) = (both.next(), both.next(), both.next())
    else {
        return None;
    };
    let same =
        exr.strip_suffix(b".exr").is_some_and(|stem| png.strip_suffix(b".png") == Some(stem));
    (same && some.keys().eq(others.keys())).then_some(exr)
}

/// The one sequence in a folder, or its one image. Several are ambiguous, and said so, unless they are the
/// same frames as EXR and as PNG: then those in EXR.
fn in_folder(folder: &Path, what: &str, numbering: FrameNumbering) -> Result<Vec<PathBuf>> {
    let (mut sequences, single) = sequences_in(folder, what)?;
    if let Some(exr) = exr_of_both(&sequences).cloned() {
        sequences.retain(|name, _| *name == exr);
    }
    match (sequences.len(), single.as_slice()) {
        (0, [only]) => Ok(vec![only.clone()]),
        (1, _) => without_gaps(sequences.into_values().next().unwrap_or_default(), what, numbering),
        (0, []) => bail!(
            "the {what} folder {} has no .png or .exr file{}",
            folder.display(),
            other_files(folder, what)?
        ),
        (0, several) => bail!(
            "the {what} folder {} has {} images without a number: number them, or name one",
            folder.display(),
            several.len(),
        ),
        (several, _) if several > 1 && are_numbered_elsewhere(&sequences) => bail!(
            "the {what} folder {} has {several} images whose names differ before their last number: give a \
             pattern with # where the number of a frame stands (####_shot.png)",
            folder.display()
        ),
        _ => {
            let name = |(key, files): (Vec<u8>, BTreeMap<i64, PathBuf>)| {
                format!("{}, {}", String::from_utf8_lossy(&key), counted(files.len(), "file"))
            };
            bail!(
                "the {what} folder {} has several sequences ({}): name one of them as the {what}",
                folder.display(),
                sequences.into_iter().map(name).collect::<Vec<_>>().join("; "),
            )
        }
    }
}

/// Whether all are sequences of one image whose names have a number besides the last one, as
/// `0001_shot_v003.png` and its like have.
fn are_numbered_elsewhere(sequences: &Sequences) -> bool {
    sequences.iter().all(|(name, files)| files.len() == 1 && name.iter().any(u8::is_ascii_digit))
}

/// How movies are called, and images that another program makes into ones that are read.
const MOVIES: [&str; 16] = [
    "mov", "mp4", "m4v", "mkv", "webm", "avi", "mxf", "mpg", "mpeg", "ts", "m2ts", "gif", "apng",
    "webp", "y4m", "ogv",
];
const OTHER_IMAGES: [&str; 12] =
    ["tif", "tiff", "dpx", "cin", "jpg", "jpeg", "tga", "bmp", "hdr", "psd", "jp2", "sgi"];

/// What a folder without frames has instead, and what to do; empty where it has nothing.
fn other_files(folder: &Path, what: &str) -> Result<String> {
    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    for name in names(folder, what)? {
        let path = folder.join(&name);
        if is_sheet(&name) {
            return Ok(format!(
                ", but {}, a picture of takes to look at: name a folder of frames",
                name.display()
            ));
        }
        if !name.as_encoded_bytes().starts_with(b".") && path.is_file() {
            *endings.entry(extension(&path).unwrap_or_default()).or_default() += 1;
        }
    }
    let is_one_of = |list: &[&str], ending: &str| list.contains(&ending);
    let is_picture = |ending: &str| is_one_of(&MOVIES, ending) || is_one_of(&OTHER_IMAGES, ending);
    let most = endings.into_iter().max_by_key(|(ending, count)| (is_picture(ending), *count));
    Ok(most.map_or_else(String::new, |(ending, count)| {
        let remedy = if is_one_of(&MOVIES, &ending) {
            "name the movie itself".to_owned()
        } else if is_one_of(&OTHER_IMAGES, &ending) {
            format!("write images as PNG or EXR (`oiiotool IN.{ending} -o OUT.exr`)")
        } else {
            "name the folder of the images, or a movie".to_owned()
        };
        let ending =
            if ending.is_empty() { "without an ending".to_owned() } else { format!(".{ending}") };
        format!(", but {count} {ending}: {remedy}")
    }))
}

/// Whether a file of this name is a picture of takes that this program makes to be looked at, and no frame.
pub(crate) fn is_sheet(name: &OsStr) -> bool {
    [contact_sheet::FILE_NAME, variant_sheet::FILE_NAME].iter().any(|sheet| name == *sheet)
}

/// What stands before the number that a name ends with, and the number; empty without one. A dash before the
/// digits is a minus where it follows a dot, an underscore, another dash or nothing: `m.-0005`, but not
/// `m-0005`.
fn number_at_end(stem: &[u8]) -> (&[u8], &[u8]) {
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let start = stem.len() - digits;
    let minus = matches!(&stem[..start], [b'-'] | [.., b'.' | b'_' | b'-', b'-']);
    stem.split_at(if minus { start - 1 } else { start })
}

/// A whole number, of which only the digits and a minus are allowed.
fn signed(text: &[u8]) -> Option<i64> {
    if is_number(text) { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Whether it is a whole number, however large.
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn names(folder: &Path, what: &str) -> Result<Vec<OsString>> {
    let unreadable = |error| anyhow!("cannot read the {what} folder {}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name());
    }
    Ok(names)
}

fn insert(
    sequence: &mut BTreeMap<i64, PathBuf>,
    number: i64,
    path: PathBuf,
    what: &str,
) -> Result<()> {
    if let Some(other) = sequence.insert(number, path.clone()) {
        bail!("the {what} images {} and {} have the same number", other.display(), path.display());
    }
    Ok(())
}

/// A gap is more likely a lost file than meant; filled up silently, every later image would be off
/// by one.
fn without_gaps(
    sequence: BTreeMap<i64, PathBuf>,
    what: &str,
    numbering: FrameNumbering,
) -> Result<Vec<PathBuf>> {
    let numbers: Vec<i64> = sequence.keys().copied().collect();
    let step =
        |step: i64| numbers.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step));
    if step(1) || (numbering == FrameNumbering::LatentFrames && step(4)) {
        return Ok(sequence.into_values().collect());
    }
    let first = numbers.first().copied().unwrap_or_default();
    for (expected, (number, path)) in (first..).zip(&sequence) {
        ensure!(
            *number == expected,
            "the {what} sequence lacks number {expected}: next is {}{}",
            path.display(),
            match numbering {
                FrameNumbering::EveryFrame if step(4) => "; steps of four are for masks alone",
                FrameNumbering::EveryFrame => "",
                FrameNumbering::LatentFrames => "; number it without gaps, or in steps of four",
            }
        );
    }
    Ok(sequence.into_values().collect())
}

/// The ending of a file's name in small letters, without its dot.
pub(crate) fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase)
}

/// Whether a name is that of an image that can be read.
pub(crate) fn is_image(path: &Path) -> bool {
    matches!(extension(path).as_deref(), Some("png" | "exr"))
}

#[cfg(all(test, unix))]
mod tests;

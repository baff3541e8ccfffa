//! The files of an image sequence: a folder, a pattern, or one file; in number order, without gaps.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};

use super::error::{self, MediaError};

/// Finds the files behind a folder, a pattern (`mask.####.exr`, `mask.%04d.png`) or one file.
/// `what` they are, mask or clip, is for messages.
pub(crate) fn find(path: &Path, what: &str) -> error::Result<Vec<PathBuf>> {
    files(path, what).map_err(MediaError::Unreadable)
}

/// What is read of folders that hold the same frames as EXR and as PNG, as `render` writes them: EXR. A
/// sentence for each of them.
pub(crate) fn choices(paths: &[PathBuf]) -> Vec<String> {
    let choice = |path: &PathBuf| {
        let sequences = sequences_in(path, "clip").ok()?.0;
        let exr = exr_of_both(&sequences)?;
        let shown = path.join(exr).display().to_string();
        Some(format!("{} holds EXR and PNG of the same frames: {shown} is read", path.display()))
    };
    paths.iter().filter(|path| path.is_dir()).filter_map(choice).collect()
}

fn files(path: &Path, what: &str) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        in_folder(path, what)
    } else if path.exists() {
        Ok(vec![path.to_owned()])
    } else if let Some(pattern) = Pattern::of(path) {
        pattern.files(what)
    } else {
        bail!("the {what} {} does not exist", path.display());
    }
}

/// A file name with a place for the frame number.
#[derive(Debug, PartialEq)]
struct Pattern {
    folder: PathBuf,
    before: String,
    /// Numbers are padded with zeros to this many digits.
    digits: usize,
    after: String,
}

impl Pattern {
    /// `mask.####.exr` or `mask.%04d.exr`; None if the name has no such place.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (before, digits, after) = printf_place(name).or_else(|| hash_place(name))?;
        Some(Self {
            folder: path.parent()?.to_owned(),
            before: before.to_owned(),
            digits,
            after: after.to_owned(),
        })
    }

    fn files(&self, what: &str) -> Result<Vec<PathBuf>> {
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let mut numbered = BTreeMap::new();
        for name in names(folder, what)? {
            let number = name
                .strip_prefix(self.before.as_str())
                .and_then(|rest| rest.strip_suffix(self.after.as_str()))
                .filter(|number| number.len() >= self.digits)
                .and_then(digits_only);
            if let Some(number) = number {
                insert(&mut numbered, number, folder.join(&name), what)?;
            }
        }
        ensure!(!numbered.is_empty(), "no file matches the {what} pattern {self}");
        without_gaps(numbered, what)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = format!("{}{}{}", self.before, "#".repeat(self.digits), self.after);
        write!(formatter, "{}", self.folder.join(name).display())
    }
}

fn printf_place(name: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = name.split_once('%')?;
    let (width, after) = rest.split_once('d')?;
    let digits = if width.is_empty() { 1 } else { width.strip_prefix('0')?.parse().ok()? };
    Some((before, digits, after))
}

fn hash_place(name: &str) -> Option<(&str, usize, &str)> {
    let end = name.rfind('#')? + 1;
    let before = name[..end].trim_end_matches('#');
    Some((before, end - before.len(), &name[end..]))
}

/// Numbered images by what their names have besides the number, `rgba.#.exr`.
type Sequences = BTreeMap<String, BTreeMap<u64, PathBuf>>;

/// The sequences in a folder, and its images without a number.
fn sequences_in(folder: &Path, what: &str) -> Result<(Sequences, Vec<PathBuf>)> {
    let mut sequences = Sequences::new();
    let mut single = Vec::new();
    for name in names(folder, what)? {
        let path = folder.join(&name);
        // Hidden files are thumbnails and leftovers of other programs.
        if name.starts_with('.') || !is_image(&path) || !path.is_file() {
            continue;
        }
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
        let before = stem.trim_end_matches(|c: char| c.is_ascii_digit());
        match digits_only(&stem[before.len()..]) {
            Some(number) => {
                let sequence = sequences.entry(format!("{before}#.{extension}")).or_default();
                insert(sequence, number, path, what)?;
            }
            None => single.push(path),
        }
    }
    Ok((sequences, single))
}

/// Of the same frames in both formats, and nothing besides, the name of those in EXR.
fn exr_of_both(sequences: &Sequences) -> Option<&String> {
    let mut both = sequences.iter();
    // By their names, EXR comes first.
    let (Some((exr, some)), Some((png, others)), None) = (both.next(), both.next(), both.next())
    else {
        return None;
    };
    let same = exr.strip_suffix(".exr").is_some_and(|stem| png.strip_suffix(".png") == Some(stem));
    (same && some.keys().eq(others.keys())).then_some(exr)
}

/// The one sequence in a folder, or its one image. Several are ambiguous, and said so, unless they are the
/// same frames as EXR and as PNG: then those in EXR.
fn in_folder(folder: &Path, what: &str) -> Result<Vec<PathBuf>> {
    let (mut sequences, single) = sequences_in(folder, what)?;
    if let Some(exr) = exr_of_both(&sequences).cloned() {
        sequences.retain(|name, _| *name == exr);
    }
    match (sequences.len(), single.as_slice()) {
        (0, [only]) => Ok(vec![only.clone()]),
        (1, _) => without_gaps(sequences.into_values().next().unwrap_or_default(), what),
        (0, []) => bail!("the {what} folder {} has no .png or .exr file", folder.display()),
        (0, several) => bail!(
            "the {what} folder {} has {} images without a number: number them, or name one",
            folder.display(),
            several.len(),
        ),
        _ => bail!(
            "the {what} folder {} has several sequences ({}): name one of them as the {what}",
            folder.display(),
            sequences
                .into_iter()
                .map(|(name, files)| format!("{name}, {} files", files.len()))
                .collect::<Vec<_>>()
                .join("; "),
        ),
    }
}

fn names(folder: &Path, what: &str) -> Result<Vec<String>> {
    let unreadable = |error| anyhow!("cannot read the {what} folder {}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().into_string());
    }
    Ok(names)
}

fn insert(
    sequence: &mut BTreeMap<u64, PathBuf>,
    number: u64,
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
fn without_gaps(sequence: BTreeMap<u64, PathBuf>, what: &str) -> Result<Vec<PathBuf>> {
    let first = sequence.keys().next().copied().unwrap_or_default();
    for (expected, (number, path)) in (first..).zip(&sequence) {
        ensure!(
            *number == expected,
            "the {what} sequence lacks number {expected}: next is {}",
            path.display()
        );
    }
    Ok(sequence.into_values().collect())
}

fn digits_only(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The ending of a file's name in small letters, without its dot.
pub(crate) fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase)
}

/// Whether a name is that of an image that can be read.
pub(crate) fn is_image(path: &Path) -> bool {
    matches!(extension(path).as_deref(), Some("png" | "exr"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_same_frames_in_both_formats_exr_is_read_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), "x").unwrap();
        for name in ["rgba.0000", "rgba.0001"] {
            [".exr", ".png"].iter().for_each(|kind| write(&format!("{name}{kind}")));
        }
        write("contact-sheet.png");
        let names = |found: Vec<PathBuf>| -> Vec<String> {
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            found.iter().map(name).collect()
        };
        let found = find(folder.path(), "clip").unwrap();
        assert_eq!(names(found), ["rgba.0000.exr", "rgba.0001.exr"]);
        let said = choices(&[folder.path().to_owned(), folder.path().join("rgba.0000.png")]);
        assert!(said.len() == 1 && said[0].contains("rgba.#.exr is read"), "{said:?}");
        // Which is meant where they are not the same frames, nobody knows.
        write("rgba.0002.png");
        let text = find(folder.path(), "clip").unwrap_err().to_string();
        assert!(text.contains("rgba.#.exr, 2 files; rgba.#.png, 3 files"), "{text}");
        assert!(choices(&[folder.path().to_owned()]).is_empty());
        write("rgba.0002.exr");
        write("plate.0001.exr");
        assert!(find(folder.path(), "clip").is_err());
    }
}

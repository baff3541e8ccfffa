//! The folder of a take: whose files are in it, and how a new take replaces an old one.
//!
//! A folder holds one take. `take.json` says that its frames are ours; it is there, as
//! `unfinished`, before the first frame is, so that a stopped run is known again. Files that bear
//! our names without it are someone else's, and the folder is refused. The old take stays as it
//! was until the first frame of the new one is ready; then all of it goes, since a longer old take
//! would otherwise show through behind the new one's last frame.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::SHEET;
use super::format::Format;
use super::names::FrameNames;
use crate::media::atomic_file;
use crate::media::signature::SIDECAR;
use crate::write_lock::WriteLock;

/// The file with the request, the versions and the timings.
pub(crate) const TAKE: &str = "take.json";
/// What it says of who wrote it.
pub(crate) const PROGRAM: &str = "wan-alpha";

/// A folder that may be written to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// What the new take's frames are called.
    names: FrameNames,
    /// What those of the take that is here are called; none where it is not ours.
    old: Option<FrameNames>,
    /// Made by us and still empty: removed again if nothing is ever written.
    fresh: bool,
    /// None once it is given up.
    lock: Option<WriteLock>,
}

impl Folder {
    /// Makes the folder where it is missing and makes sure, while nothing depends on it yet, that
    /// it can be written to and that no file of others would be replaced, unless by `force`.
    pub(super) fn open(path: &Path, names: &FrameNames, force: bool) -> Result<Self> {
        let fresh = !path.exists();
        fs::create_dir_all(path).map_err(|error| atomic_file::explain_write(path, &error))?;
        let (names, old) = (names.clone(), names_in(path));
        let mut folder = Self { path: path.to_owned(), names, old, fresh, lock: None };
        atomic_file::probe(path)?;
        folder.lock = Some(WriteLock::of_folder(path)?);
        if !force {
            folder.refuse_others()?;
        }
        atomic_file::sweep(path);
        Ok(folder)
    }

    /// Refuses what [`Folder::open`] would, as far as it shows without making or locking anything.
    pub(super) fn refuse_unwritable(path: &Path, names: &FrameNames, force: bool) -> Result<()> {
        let whole = std::path::absolute(path)?;
        let there = whole.ancestors().find(|folder| folder.exists()).unwrap_or(&whole);
        if !there.is_dir() {
            return Err(atomic_file::explain_write(path, &ErrorKind::NotADirectory.into()).into());
        }
        if there != whole {
            // A folder is what is made there: some may make folders in it, and no files.
            let made = atomic_file::unfinished_folder(there).map(drop);
            made.map_err(|error| atomic_file::explain_write(path, &error))?;
            return Ok(());
        }
        atomic_file::probe(there)?;
        let look = || {
            let (names, old) = (names.clone(), names_in(path));
            Self { path: whole.clone(), names, old, fresh: false, lock: None }.refuse_others()
        };
        // Another process may have put the first file of a take there between two looks.
        if force { Ok(()) } else { look().or_else(|_| look()) }
    }

    /// The frames of the take that is here which go and do not come again under their names: those of
    /// which `is_written` is not said. None of a folder that is not ours.
    pub(super) fn frames_that_go(&self, is_written: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let Some(old) = &self.old else { return Ok(Vec::new()) };
        let mut names = self.names()?;
        names.retain(|name| is_frame(name, old) && !is_written(name));
        names.sort();
        Ok(names)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the take that was here, and whatever a killed run left, and marks the folder ours.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.write_take("unfinished", Map::new())?;
        self.fresh = false;
        let names = self.names()?;
        // What others call so is replaced file by file, where that was asked for.
        let goes = |name: &&String| {
            self.old.as_ref().is_some_and(|old| is_replaced(name, old)) && *name != TAKE
        };
        for name in names.iter().filter(goes) {
            let path = self.path.join(name);
            fs::remove_file(&path)
                .with_context(|| format!("cannot remove {} of the take before", path.display()))?;
        }
        for name in names.iter().filter(|name| atomic_file::is_unfinished(name)) {
            // One that stays is in nobody's way.
            let _ = atomic_file::remove_abandoned(&self.path.join(name));
        }
        Ok(())
    }

    /// Puts `take.json` in its final form, with what the caller has to say about the take, and the take's
    /// files with their bytes.
    pub(super) fn finish(&self, mut take: Map<String, Value>) -> Result<PathBuf> {
        let mut files = Map::new();
        for name in
            self.names()?.into_iter().filter(|name| *name == SHEET || is_frame(name, &self.names))
        {
            let bytes = fs::metadata(self.path.join(&name)).map(|about| about.len());
            files.insert(name, json!(bytes.context("a file of the take is gone already")?));
        }
        take.insert(FILES.to_owned(), Value::Object(files));
        self.write_take("complete", take)
    }

    fn write_take(&self, state: &str, mut take: Map<String, Value>) -> Result<PathBuf> {
        take.insert("program".to_owned(), json!(PROGRAM));
        take.insert("state".to_owned(), json!(state));
        let named = self.names.clone().counting(None, 0);
        if named != FrameNames::default() {
            take.insert(NAMES.to_owned(), json!(named.to_string()));
        }
        let mut text = serde_json::to_string_pretty(&take)?;
        text.push('\n');
        let path = self.path.join(TAKE);
        atomic_file::write_whole(&path, text.as_bytes())?;
        Ok(path)
    }

    fn refuse_others(&self) -> Result<()> {
        if self.old.as_ref().is_some_and(|old| old.is_named_like(&self.names)) {
            return Ok(());
        }
        let is_ours = self.old.is_some();
        let mut names = self.names()?;
        names.retain(|name| {
            let replaced = is_replaced(name, &self.names);
            replaced && !(is_ours && self.old.as_ref().is_some_and(|old| is_replaced(name, old)))
        });
        names.sort();
        ensure!(
            names.is_empty(),
            "{} already holds {}, which wan-alpha did not write (no {TAKE} of ours is beside it): \
             choose another --out, move it away, or replace it with --force",
            self.path.display(),
            match names.as_slice() {
                [one] => one.clone(),
                [first, .., last] => format!("{} files from {first} to {last}", names.len()),
                [] => String::new(),
            },
        );
        Ok(())
    }

    /// The names in the folder; one that is not UTF-8 is not ours.
    fn names(&self) -> Result<Vec<String>> {
        let attempt = || {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                names.extend(entry?.file_name().into_string());
            }
            Ok::<_, std::io::Error>(names)
        };
        match attempt() {
            Ok(names) => Ok(names),
            Err(error) => bail!("cannot read the folder {}: {error}", self.path.display()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.lock = None;
        if self.fresh {
            // Fails, as it should, if someone has put something there.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// What `take.json` calls the pattern of its frames' names, where it is not the usual one.
const NAMES: &str = "names";

/// What `take.json` calls the take's files, each with its bytes.
const FILES: &str = "files";

/// Whether the files are there that the `take.json` of a folder names, all of them, as long as they were. Not
/// where it names none, as before there were such lists.
pub(crate) fn has_all_files(folder: &Path, take: &Value) -> bool {
    let is_there = |(name, bytes): (&String, &Value)| {
        fs::metadata(folder.join(name))
            .is_ok_and(|about| about.is_file() && *bytes == json!(about.len()))
    };
    take[FILES].as_object().is_some_and(|files| files.iter().all(is_there))
}

/// What the frames of the take in a folder are called; none where there is no `take.json` of ours.
pub(crate) fn names_in(folder: &Path) -> Option<FrameNames> {
    let take: Value = serde_json::from_slice(&fs::read(folder.join(TAKE)).ok()?).ok()?;
    if take["program"] != PROGRAM {
        return None;
    }
    let named = take[NAMES].as_str().and_then(|names| names.parse().ok());
    Some(named.unwrap_or_default())
}

/// Whether a file of this name is a take's whose frames are called so, and goes when another take comes.
pub(crate) fn is_replaced(name: &str, names: &FrameNames) -> bool {
    is_frame(name, names) || name == SHEET || name == TAKE
}

/// `rgba.0000.exr`: four digits, more for a take beyond 9999 frames; or a movie, `rgba.mov`; or the signature
/// of one of them, `rgba.0000.c2pa`.
fn is_frame(name: &str, names: &FrameNames) -> bool {
    let is_signature = names.is_frame(name, SIDECAR) || name == names.movie(SIDECAR);
    is_signature
        || Format::ALL.iter().any(|format| match format.movie() {
            None => names.is_frame(name, format.extension()),
            Some(_) => name == names.movie(format.extension()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_lock::FOLDER_LOCK;

    fn open(path: &Path) -> Result<Folder> {
        Folder::open(path, &FrameNames::default(), false)
    }

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != FOLDER_LOCK)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn missing_folders_are_made_and_go_again_if_nothing_is_written() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("shot/take");
        drop(open(&path).unwrap());
        assert!(!path.exists());
        let mut folder = open(&path).unwrap();
        folder.begin().unwrap();
        drop(folder);
        assert_eq!(names(&path), [TAKE]);
    }

    #[test]
    fn a_folder_that_is_being_written_is_refused_to_others() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("take");
        let mut first = open(&path).unwrap();
        let text = open(&path).unwrap_err().to_string();
        assert!(text.contains("is being written to by"), "{text}");
        first.begin().unwrap();
        first.finish(Map::new()).unwrap();
        drop(first);
        open(&path).unwrap().begin().unwrap();
    }

    #[test]
    fn an_existing_empty_folder_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        drop(open(base.path()).unwrap());
        assert!(base.path().exists());
    }

    #[test]
    fn the_old_take_stays_until_the_new_one_begins_and_then_goes_entirely() {
        let base = tempfile::tempdir().unwrap();
        open(base.path()).unwrap().begin().unwrap();
        let signatures = ["rgba.0000.c2pa", "rgba.c2pa"];
        let old = ["rgba.0000.exr", "rgba.0080.exr", "rgba.0080.png", SHEET, ".wan-alpha-q.tmp"];
        let kept = ["notes.txt", "rgba.1.exr", "rgba.00a0.exr", "plate.0001.exr"];
        for name in old.into_iter().chain(signatures).chain(kept) {
            fs::write(base.path().join(name), b"x").unwrap();
        }
        let mut folder = open(base.path()).unwrap();
        assert_eq!(names(base.path()).len(), 12);
        folder.begin().unwrap();
        assert_eq!(
            names(base.path()),
            ["notes.txt", "plate.0001.exr", "rgba.00a0.exr", "rgba.1.exr", TAKE]
        );
    }

    #[test]
    fn files_of_others_under_our_names_are_refused_and_untouched() {
        for names_there in [
            &["rgba.0000.exr", "rgba.0001.exr"][..],
            &[SHEET],
            &["rgba.0000.png", TAKE], // some other program's take.json
        ] {
            let base = folder_with(names_there);
            let text = open(base.path()).unwrap_err().to_string();
            assert!(text.contains("did not write") && text.contains(names_there[0]), "{text}");
            assert_eq!(names(base.path()), names_there);
        }
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_an_error_in_words() {
        let base = folder_with(&["taken"]);
        for path in ["taken", "taken/below"] {
            let text = open(&base.path().join(path)).unwrap_err().to_string();
            assert!(text.contains("cannot write") && text.contains("not a folder"), "{text}");
        }
    }

    #[test]
    fn take_json_carries_the_caller_s_words_and_the_mark() {
        let base = tempfile::tempdir().unwrap();
        let folder = open(base.path()).unwrap();
        let take = json!({ "request": { "seed": 7 } }).as_object().unwrap().clone();
        let path = folder.finish(take).unwrap();
        let read: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(
            read,
            json!({
                "program": "wan-alpha", "state": "complete", "request": { "seed": 7 }, "files": {},
            })
        );
    }

    #[test]
    fn files_that_are_gone_or_cut_are_missed() {
        let base = tempfile::tempdir().unwrap();
        let mut folder = open(base.path()).unwrap();
        folder.begin().unwrap();
        let names = ["rgba.0000.exr", "rgba.0000.c2pa", "rgba.mov", SHEET];
        for name in names {
            fs::write(base.path().join(name), b"xyz").unwrap();
        }
        let path = folder.finish(Map::new()).unwrap();
        let read: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert!(has_all_files(base.path(), &read), "{read}");
        for name in names {
            let path = base.path().join(name);
            fs::write(&path, b"x").unwrap();
            assert!(!has_all_files(base.path(), &read), "{name} is cut");
            fs::remove_file(&path).unwrap();
            assert!(!has_all_files(base.path(), &read), "{name} is gone");
            fs::write(&path, b"xyz").unwrap();
        }
        assert!(!has_all_files(base.path(), &json!({ "state": "complete" })));
    }

    #[test]
    fn frames_of_other_names_are_known_again_and_force_replaces_what_others_wrote() {
        let base = tempfile::tempdir().unwrap();
        let named: FrameNames = "fox_%03d".parse().unwrap();
        let mut folder = Folder::open(base.path(), &named, false).unwrap();
        folder.begin().unwrap();
        folder.finish(Map::new()).unwrap();
        drop(folder);
        assert_eq!(names_in(base.path()), Some(named.clone()));
        for name in ["fox_000.exr", "rgba.0000.exr"] {
            fs::write(base.path().join(name), b"x").unwrap();
        }
        // A frame that the take here has not: somebody else's.
        let text = open(base.path()).unwrap_err().to_string();
        assert!(text.contains("rgba.0000.exr") && text.contains("--force"), "{text}");
        let mut folder = Folder::open(base.path(), &FrameNames::default(), true).unwrap();
        folder.begin().unwrap();
        assert_eq!(names(base.path()), ["rgba.0000.exr", TAKE]);
    }
}

//! A file under a name that this program chose, for ffmpeg: it prints names as they are, line breaks
//! included, reads some as patterns of numbers, and takes some for addresses.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A link to a file, for as long as this lives. Its name has the file's ending, by which ffmpeg knows some
/// formats.
#[derive(Debug)]
pub(super) struct PrivateName {
    link: PathBuf,
    _folder: TempDir,
}

impl PrivateName {
    /// Gives a file another name, which it need not be there for.
    pub(super) fn of(path: &Path) -> Result<Self> {
        const LONGEST: usize = 8;
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_plain = ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let name = match ending {
            "" => "movie".to_owned(),
            _ if !is_plain || ending.len() > LONGEST => "movie".to_owned(),
            plain => format!("movie.{plain}"),
        };
        let link = folder.path().join(name);
        let target =
            std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
        link_to(&target, &link)
            .with_context(|| format!("no link can be made in {}", folder.path().display()))?;
        Ok(Self { link, _folder: folder })
    }

    /// What ffmpeg is told to read: a name that it takes for nothing but a file.
    pub(super) fn address(&self) -> OsString {
        let mut address = OsString::from("file:");
        address.push(&self.link);
        address
    }

    /// What ffmpeg says, without this name.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let link = self.link.to_string_lossy();
        text.replace(&format!("file:{link}"), "the file").replace(&*link, "the file")
    }
}

#[cfg(unix)]
fn link_to(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn link_to(target: &Path, link: &Path) -> std::io::Result<()> {
    std::fs::hard_link(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_ours_leads_to_the_file_and_says_nothing_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for (name, ours) in [
            ("a\n  Stream #0:0: Video.mov", "movie.mov"),
            ("f%04d.png", "movie.png"),
            ("plain", "movie"),
            ("odd.m\nv", "movie"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            let private = PrivateName::of(&path).unwrap();
            assert!(private.link.ends_with(ours), "{name:?}: {private:?}");
            assert_eq!(std::fs::read(&private.link).unwrap(), name.as_bytes());
            let said = format!("{}: Invalid data", private.address().display());
            assert_eq!(private.hidden_in(&said), "the file: Invalid data");
            let link = private.link.clone();
            drop(private);
            assert!(link.symlink_metadata().is_err() && path.exists());
        }
    }
}

//! Making a bundle of its description: whole, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::{FileSource, Item, NAME};

/// Lays the bundle out beside its place in `folder`, lets `check` look at it there, and puts it in
/// the place of an earlier one.
pub(crate) fn make<T>(
    items: &[Item],
    folder: &Path,
    check: impl FnOnce(&Path) -> Result<T>,
) -> Result<(PathBuf, T)> {
    let bundle = folder.join(format!("{NAME}.bundle"));
    let new = folder.join(format!("{NAME}.bundle.new"));
    remove(&new)?;
    let made = fill(items, &new.join("Contents")).and_then(|()| check(&new));
    let told = match made {
        Ok(told) => told,
        Err(error) => {
            // What is wrong with the bundle matters more than that a remainder of it lies there.
            let _ = fs::remove_dir_all(&new);
            return Err(error);
        }
    };
    replace(&new, &bundle)?;
    Ok((bundle, told))
}

fn fill(items: &[Item], contents: &Path) -> Result<()> {
    for Item { place, source } in items {
        let target = contents.join(place);
        let parent = target.parent().unwrap_or(contents);
        fs::create_dir_all(parent)
            .with_context(|| format!("{} cannot be made", parent.display()))?;
        let put = match source {
            FileSource::Copy(file) => fs::copy(file, &target).map(|_| ()),
            FileSource::Share(file) => share(file, &target),
            FileSource::Text(text) => fs::write(&target, text),
            FileSource::Link(to) => std::os::unix::fs::symlink(to, &target),
        };
        put.with_context(|| match source {
            FileSource::Copy(from) | FileSource::Share(from) | FileSource::Link(from) => {
                format!("{} cannot be brought to {}", from.display(), target.display())
            }
            FileSource::Text(_) => format!("{} cannot be written", target.display()),
        })?;
    }
    Ok(())
}

/// The same file under a second name; a copy where the file system has no such thing.
fn share(file: &Path, target: &Path) -> io::Result<()> {
    let file = file.canonicalize()?;
    fs::hard_link(&file, target).or_else(|_| fs::copy(&file, target).map(|_| ()))
}

/// Puts `new` in the place of `old`, which is either there before and after, or replaced.
pub(crate) fn replace(new: &Path, old: &Path) -> Result<()> {
    let aside = old.with_extension("bundle.old");
    remove(&aside)?;
    if fs::symlink_metadata(old).is_ok() {
        fs::rename(old, &aside)
            .with_context(|| format!("{} cannot be set aside", old.display()))?;
    }
    if let Err(error) = fs::rename(new, old) {
        let _ = fs::rename(&aside, old);
        return Err(error).with_context(|| format!("{} cannot be put in place", old.display()));
    }
    remove(&aside)
}

/// Removes a folder, or a link to one; it may be absent.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    gone.with_context(|| format!("{} cannot be removed", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn item(place: &str, source: FileSource) -> Item {
        Item { place: place.into(), source }
    }

    #[test]
    fn a_bundle_replaces_the_one_before_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let out = folder.path().join("out");
        for text in ["old", "new"] {
            fs::write(&file, text).unwrap();
            let items = [
                item("A/copy", FileSource::Copy(file.clone())),
                item("A/same", FileSource::Share(file.clone())),
                item("text", FileSource::Text(text.to_owned())),
                item("link", FileSource::Link("A".into())),
            ];
            let (bundle, told) = make(&items, &out, |new| Ok(new.to_owned())).unwrap();
            assert!(told.ends_with("WanAlpha.ofx.bundle.new"));
            assert_eq!(bundle, out.join("WanAlpha.ofx.bundle"));
            let contents = bundle.join("Contents");
            for name in ["A/copy", "A/same", "text", "link/copy"] {
                assert_eq!(fs::read_to_string(contents.join(name)).unwrap(), text);
            }
            let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
            assert_eq!(inode(contents.join("A/same")), inode(file.clone()));
            assert_ne!(inode(contents.join("A/copy")), inode(file.clone()));
            fs::remove_file(&file).unwrap();
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    }

    #[test]
    fn what_is_missing_or_found_wrong_leaves_the_bundle_before() {
        let folder = tempfile::tempdir().unwrap();
        let good = [item("text", FileSource::Text("good".into()))];
        let (bundle, ()) = make(&good, folder.path(), |_| Ok(())).unwrap();
        let absent = [item("x", FileSource::Copy(folder.path().join("absent")))];
        let error = make(&absent, folder.path(), |_| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("absent"), "{error:#}");
        let bad = [item("text", FileSource::Text("bad".into()))];
        let error = make(&bad, folder.path(), |_| -> Result<()> { anyhow::bail!("no good") });
        assert_eq!(error.unwrap_err().to_string(), "no good");
        assert_eq!(fs::read_to_string(bundle.join("Contents/text")).unwrap(), "good");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

//! Paths as seen from a folder.

use std::path::{Component, Path, PathBuf};

/// `path` as seen from `folder`, both absolute; with slashes, as templates of jobs have them.
pub(super) fn from_folder(folder: &Path, path: &Path) -> String {
    let (folder, path) = (plain(folder), plain(path));
    let shared = folder.iter().zip(&path).take_while(|(a, b)| a == b).count();
    let up = folder[shared..].iter().map(|_| "..".to_owned());
    let down = path[shared..].iter().cloned();
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// The names on the way to a path, without `.` and `..`.
fn plain(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let whole: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for part in whole.components() {
        match part {
            Component::ParentDir => drop(names.pop()),
            Component::CurDir => {}
            other => names.push(other.as_os_str().to_string_lossy().into_owned()),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_a_folder_beside_above_and_below() {
        let from = |folder: &str, path: &str| from_folder(Path::new(folder), Path::new(path));
        assert_eq!(from("/no/job", "/no/shots.csv"), "../shots.csv");
        assert_eq!(from("/no/job", "/no/job/x/shots.csv"), "x/shots.csv");
        assert_eq!(from("/no/a/../job", "/other/./shots.csv"), "../../other/shots.csv");
        assert_eq!(from("/no/job", "/no/job"), ".");
    }
}

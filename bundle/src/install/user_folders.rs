//! What the program keeps in the user's folders, and taking away what can be made again.
//!
//! The names are those of `src/environment.rs`, by the rules of the XDG base directories.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::hosts::User;

/// The program's folder in each of them.
const OURS: &str = "wan-alpha";

/// What became of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It has been removed.
    Removed(PathBuf),
    /// It holds what cannot be made again, and stays.
    Kept(PathBuf),
    /// It could not be removed, for this reason.
    Stuck(PathBuf, String),
}

/// Removes state, cache and the folder of sockets; takes and records of models stay.
pub(crate) fn remove(user: &User) -> Vec<Leaving> {
    let made_again = [user.state(), user.cache()];
    let made_again = made_again.into_iter().flatten().map(|folder| folder.join(OURS));
    let mut told: Vec<Leaving> =
        made_again.chain(run_folders(user)).filter_map(remove_one).collect();
    if let Some(data) = user.data().map(|data| data.join(OURS)) {
        for kept in ["takes", "models"].map(|name| data.join(name)) {
            // Gone if empty.
            if fs::remove_dir(&kept).is_err() && kept.exists() {
                told.push(Leaving::Kept(kept));
            }
        }
        let _ = fs::remove_dir(data);
    }
    told
}

/// Where sockets may have been, as `take`'s `choose_run_directory` has it.
fn run_folders(user: &User) -> Vec<PathBuf> {
    let session = user.runtime.as_ref().map(|folder| folder.join(OURS));
    let temporary = user.temporary.join(format!("{OURS}-{}", user.number));
    session.into_iter().chain([temporary]).collect()
}

/// None where there was nothing. A link, or what is another user's, is not followed.
fn remove_one(folder: PathBuf) -> Option<Leaving> {
    let about = match fs::symlink_metadata(&folder) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Leaving::Stuck(folder, error.to_string())),
    };
    let own = [0, about.uid()].contains(&rustix::process::geteuid().as_raw());
    if !about.is_dir() || !own {
        return Some(Leaving::Stuck(folder, "it is no folder of yours".to_owned()));
    }
    Some(match fs::remove_dir_all(&folder) {
        Ok(()) => Leaving::Removed(folder),
        Err(error) => Leaving::Stuck(folder, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_made_again_goes_and_takes_stay() {
        let home = tempfile::tempdir().unwrap();
        let below = |path: &str| home.path().join(path);
        for file in [
            ".local/state/wan-alpha/engine.log",
            ".local/state/other/log",
            ".cache/wan-alpha/contexts/1/a.context",
            ".local/share/wan-alpha/takes/a.take",
            "run/wan-alpha/wan-alpha-engine.sock",
            "tmp/wan-alpha-7/lock",
        ] {
            let path = below(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::create_dir_all(below(".local/share/wan-alpha/models")).unwrap();
        let user = User {
            home: Some(home.path().to_owned()),
            runtime: Some(below("run")),
            temporary: below("tmp"),
            number: 7,
            ..User::default()
        };
        let removed =
            [".local/state/wan-alpha", ".cache/wan-alpha", "run/wan-alpha", "tmp/wan-alpha-7"];
        let told = removed.map(|path| Leaving::Removed(below(path)));
        let kept = Leaving::Kept(below(".local/share/wan-alpha/takes"));
        assert_eq!(remove(&user), told.into_iter().chain([kept]).collect::<Vec<_>>());
        assert!(below(".local/share/wan-alpha/takes/a.take").exists());
        assert!(!below(".local/share/wan-alpha/models").exists());
        assert!(below(".local/state/other/log").exists() && !below(removed[0]).exists());
    }
}

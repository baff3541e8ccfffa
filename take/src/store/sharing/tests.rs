//! Modes and groups, since a test may run as root, whom nothing is closed to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::Duration;

use super::*;
use crate::key::TakeKey;
use crate::store::test_takes::{names, publish, seeded, store, written};
use crate::store::{Claimant, Claiming};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn own_group() -> u32 {
    rustix::process::getegid().as_raw()
}

#[test]
fn what_is_put_into_a_folder_is_as_open_as_the_folder() {
    let base = tempfile::tempdir().unwrap();
    // Without set-gid, with it, for reading only, for nobody.
    for (folder, file) in [
        (0o770, 0o660),
        (0o2770, 0o660),
        (0o755, 0o644),
        (0o777, 0o664),
        (0o2750, 0o640),
        (0o700, 0o600),
    ] {
        let folder_path = base.path().join(format!("{folder:o}"));
        fs::create_dir(&folder_path).unwrap();
        set(&folder_path, folder);
        let store = store(&folder_path);
        let writer = written(&store, 1);
        let claiming =
            store.claim(&TakeKey([7; 32]), &Claimant::this_process("a"), Duration::from_secs(60));
        let Claiming::Ours(claim) = claiming.unwrap() else { panic!("nobody else claims") };
        let there = names(&folder_path);
        assert_eq!(there.len(), 2, "{there:?}");
        for name in there {
            assert_eq!(mode(&folder_path.join(&name)), file, "{name} in {folder:o}");
        }
        drop(claim);
        let published = writer.publish().unwrap();
        assert_eq!(mode(published.take.path()), file, "{folder:o}");
        assert_eq!(published.closed, None);
        assert!(store.places()[0].closed.is_empty());
    }
}

#[test]
fn a_take_is_given_the_group_of_its_folder_without_set_gid() {
    let folder = tempfile::tempdir().unwrap();
    // Only root can name any group; others have nothing to try it on.
    if chown(folder.path(), None, Some(12_345)).is_err() {
        return;
    }
    set(folder.path(), 0o770);
    let take = publish(&store(folder.path()), 1);
    let about = fs::metadata(take.path()).unwrap();
    assert_eq!((about.gid(), about.mode() & 0o777), (12_345, 0o660));
    // What is another group's is not opened to it, and is told of.
    chown(take.path(), None, Some(54_321)).unwrap();
    let closed = &store(folder.path()).places()[0].closed;
    assert_eq!(closed[..], [(take.path().to_owned(), about.uid())]);
}

#[test]
fn a_prepared_folder_opens_what_is_in_it_and_what_comes() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("show/takes");
    let store = store(&folder);
    let before = publish(&store, 1).path().to_owned();
    assert_eq!((mode(&folder), mode(&before)), (0o700, 0o600));
    let shared = store.share(Share::Group(own_group())).unwrap();
    assert_eq!((mode(&folder), mode(&before)), (0o2770, 0o660));
    assert_eq!((shared.mended, shared.closed.len()), (1, 0));
    assert_eq!((shared.access.group, shared.access.mode), (own_group(), 0o2770));
    // A temporary folder is its owner's: nobody else gets through it.
    assert_eq!(shared.barred, Some((base.path().join("show").canonicalize().unwrap(), 0o700)));
    assert_eq!(mode(publish(&store, 2).path()), 0o660);
    let shared = store.share(Share::Everyone).unwrap();
    assert_eq!((mode(&folder), mode(&before), shared.mended), (0o2777, 0o664, 2));
    // Whatever the mask of another program, its files are open where the disk keeps such lists.
    if shared.acl == DefaultAcl::Set {
        let copied = folder.join(format!("{}.take", seeded(9, 5, 32, 16).key));
        let made = std::process::Command::new("sh")
            .args(["-c", "umask 077 && : > \"$0\""])
            .arg(&copied)
            .status()
            .unwrap();
        assert!(made.success());
        assert_eq!(mode(&copied), 0o666);
    }
}

#[test]
fn a_folder_that_is_made_to_be_shared_can_be_reached() {
    let base = tempfile::tempdir().unwrap();
    set(base.path(), 0o755);
    let folder = base.path().join("show/takes");
    let shared = store(&folder).share(Share::Everyone).unwrap();
    assert_eq!((mode(&base.path().join("show")), mode(&folder)), (0o755, 0o2777));
    assert!(shared.barred.is_none_or(|(barred, _)| !barred.starts_with(base.path())));
}

use std::fs::FileTimes;

use super::*;
use crate::store::Take;
use crate::store::test_takes::{names, pixels, publish, seeded, store, written};

/// Bytes of a sample take.
const TAKE_BYTES: u64 = 24_576;

/// Pretends that a file was made and last used so many hours ago.
fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(3600 * hours);
    let times = FileTimes::new().set_accessed(then).set_modified(then);
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

/// A store of takes 0 to 4, closed, take 0 unused for longest.
fn five(folder: &Path) -> (Store, Vec<PathBuf>) {
    let store = store(folder);
    let path = |seed| publish(&store, seed).path().to_owned();
    let paths: Vec<_> = (0..5).map(path).collect();
    for (at, path) in paths.iter().enumerate() {
        age(path, 100 - at as u64);
    }
    (store, paths)
}

#[test]
fn the_longest_unused_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let (store, paths) = five(folder.path());
    assert!(store.find(&seeded(0, 5, 32, 16).key).take.is_some());
    let trimmed = store.trim(Some(3 * TAKE_BYTES));
    assert_eq!(trimmed.removed, paths[1..3]);
    assert_eq!((trimmed.freed, trimmed.left), (2 * TAKE_BYTES, 3 * TAKE_BYTES));
    assert!(trimmed.problems.is_empty());
    assert!(store.trim(Some(3 * TAKE_BYTES)).removed.is_empty());
    assert!(store.trim(None).removed.is_empty());
}

#[test]
fn takes_that_are_only_looked_at_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (store, paths) = five(folder.path());
    let take = store.look_at(&seeded(0, 5, 32, 16).key).take.unwrap();
    assert_eq!(take.verify(|_| ()).unwrap(), [0_u32; 0]);
    assert_eq!(*take.frame(0).unwrap(), *pixels(0, 0));
    let error = store.remove(&take.description().key).unwrap_err().to_string();
    assert!(error.contains("is in use"), "{error}");
    drop(take);
    assert_eq!(Take::describe(&paths[0]).unwrap(), seeded(0, 5, 32, 16));
    assert_eq!(store.list().takes.len(), 5);
    assert_eq!(store.trim(Some(4 * TAKE_BYTES)).removed, paths[..1]);
}

#[test]
fn takes_in_use_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (store, paths) = five(folder.path());
    let used = store.find(&seeded(2, 5, 32, 16).key).take.unwrap();
    age(&paths[2], 1000);
    let trimmed = store.trim(Some(0));
    assert_eq!(trimmed.removed.len(), 4);
    assert_eq!(trimmed.left, TAKE_BYTES);
    assert_eq!(*used.frame(0).unwrap(), *pixels(2, 0));
    let error = store.remove(&used.description().key).unwrap_err().to_string();
    assert!(error.ends_with("is in use; close what shows it and try again"), "{error}");
    drop(used);
    assert_eq!(store.trim(Some(0)).removed, paths[2..3]);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn trimming_and_reading_at_once_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    std::thread::scope(|scope| {
        let trimmer = scope.spawn(|| {
            for _ in 0..500 {
                let trimmed = store.trim(Some(0));
                assert!(trimmed.problems.is_empty(), "{:?}", trimmed.problems);
            }
        });
        for thread in 0..3 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..30 {
                    let seed = thread + 10 * (round % 3);
                    let key = seeded(seed, 5, 32, 16).key;
                    let take = written(store, seed).publish().unwrap().take;
                    assert_eq!(*take.frame(3).unwrap(), *pixels(seed, 3));
                    drop(take);
                    // It may have been trimmed since.
                    let found = store.find(&key);
                    assert!(found.problems.is_empty(), "{:?}", found.problems);
                    if let Some(take) = found.take {
                        assert_eq!(*take.frame(3).unwrap(), *pixels(seed, 3));
                    }
                }
            });
        }
        trimmer.join().unwrap();
    });
    assert!(names(folder.path()).iter().all(|name| name.ends_with(".take")));
}

#[test]
fn what_was_set_aside_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let (store, paths) = five(folder.path());
    std::fs::write(&paths[4], "foreign, but of some length").unwrap();
    assert_eq!(store.find(&seeded(4, 5, 32, 16).key).problems.len(), 1);
    let trimmed = store.trim(Some(4 * TAKE_BYTES));
    assert_eq!(trimmed.removed.len(), 1);
    assert!(trimmed.removed[0].to_string_lossy().contains(".take.damaged-"));
}

#[test]
fn only_what_the_store_put_there_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let key = "a".repeat(64);
    let foreign = ["take", "notes.txt", "x.take", ".take", &format!("{key}.exr"), &key];
    for name in foreign {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    std::fs::create_dir(folder.path().join(format!("{}.take", "b".repeat(64)))).unwrap();
    let before = names(folder.path());
    let store = store(folder.path());
    assert!(store.trim(Some(0)).removed.is_empty());
    assert!(store.list().takes.is_empty());
    assert_eq!(names(folder.path()), before);
}

#[test]
fn what_a_killed_writer_left_goes_and_what_is_being_written_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let left = folder.path().join(".wan-alpha-abc123.tmp");
    let claim = folder.path().join(format!("{}.claim", "a".repeat(64)));
    std::fs::write(&left, "half a take").unwrap();
    std::fs::write(&claim, "{}").unwrap();
    let writer = written(&store, 1);
    for name in names(folder.path()) {
        age(&folder.path().join(name), 2);
    }
    assert_eq!(store.trim(None).removed, [left.clone(), claim]);
    std::fs::write(&left, "begun a moment ago").unwrap();
    assert!(store.trim(None).removed.is_empty());
    assert!(writer.publish().unwrap().first);
}

#[test]
#[cfg(unix)]
fn takes_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (store, paths) = five(folder.path());
    // Only root can give files away; others have nothing to try it on.
    if std::os::unix::fs::chown(&paths[0], Some(12_345), None).is_err() {
        return;
    }
    let trimmed = store.trim(Some(0));
    assert_eq!((trimmed.removed.len(), trimmed.left), (4, 0));
    let key = seeded(0, 5, 32, 16).key;
    let error = store.remove(&key).unwrap_err().to_string();
    assert!(error.ends_with("belongs to another user, who alone removes it"), "{error}");
    let place = &store.places()[0];
    assert_eq!((place.takes, place.bytes, place.own_bytes), (1, TAKE_BYTES, 0));
    assert!(!store.list().takes[0].own);
}

#[test]
fn takes_are_listed_the_last_made_first() {
    let folder = tempfile::tempdir().unwrap();
    let (store, paths) = five(folder.path());
    std::fs::write(&paths[1], "damaged").unwrap();
    let Listing { takes, problems } = store.list();
    let listed: Vec<_> = takes.iter().map(|take| take.path.clone()).collect();
    assert_eq!(listed, [4, 3, 2, 0].map(|at| paths[at].clone()));
    assert_eq!(problems.len(), 1);
    assert!(paths[1].exists(), "listing sets nothing aside");
    let take = &takes[0];
    assert_eq!((take.bytes, take.own), (TAKE_BYTES, true));
    assert_eq!(take.description, seeded(4, 5, 32, 16));
    assert_eq!(take.excerpt(200), "The background is transparent. A white cat.");
    assert_eq!(take.excerpt(20), "The background is t…");
}

#[test]
fn places_say_what_is_where() {
    let folder = tempfile::tempdir().unwrap();
    five(folder.path());
    let missing = folder.path().join("missing");
    let places = Store::new([folder.path().to_owned(), missing.clone()]).places();
    let [there, not] = &places[..] else { panic!("{places:?}") };
    assert_eq!((there.exists, there.takes, there.bytes), (true, 5, 5 * TAKE_BYTES));
    assert!(there.limit.unwrap() <= Store::LIMIT && there.free.is_some());
    assert_eq!((not.exists, not.takes, not.free), (false, 0, None));
    assert!(!missing.exists());
}

#[test]
fn a_removed_take_is_gone_from_every_folder() {
    let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let both = Store::new([one.path().to_owned(), other.path().to_owned()]);
    let paths = [&one, &other].map(|folder| publish(&store(folder.path()), 1).path().to_owned());
    let key = seeded(1, 5, 32, 16).key;
    assert_eq!(both.remove(&key).unwrap(), paths);
    assert!(both.find(&key).take.is_none());
    assert!(both.remove(&key).unwrap().is_empty());
}

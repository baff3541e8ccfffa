use std::sync::Barrier;

use proptest::prelude::*;

use super::*;
use crate::store::test_takes::{self, FRAMES, names, pixels, publish, seeded, store, written};

#[test]
fn what_is_not_published_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    drop(written(&store, 1));
    let mut short = store.create(seeded(1, FRAMES, 32, 16)).unwrap();
    short.frame(&pixels(1, 0)).unwrap();
    assert_eq!(names(folder.path()).len(), 1);
    assert!(names(folder.path())[0].starts_with(".wan-alpha-"));
    let error = short.publish().unwrap_err().to_string();
    assert_eq!(error, "1 frame was written: expected 5; nothing is published");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn frames_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut writer = store.create(seeded(1, FRAMES, 32, 16)).unwrap();
    let error = writer.frame(&pixels(1, 0)[..2047]).unwrap_err().to_string();
    assert_eq!(error, "frame 0 has 2047 values: expected 2048, four per pixel");
    for frame in 0..FRAMES {
        writer.frame(&pixels(1, frame)).unwrap();
    }
    let error = writer.frame(&pixels(1, 0)).unwrap_err().to_string();
    assert!(error.starts_with("6 frames were written: expected 5"), "{error}");
    assert!(writer.publish().unwrap().first);
}

#[test]
fn floats_become_the_nearest_half_floats() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = store(folder.path()).create(seeded(1, 1, 16, 16)).unwrap();
    let floats: Vec<f32> = (0..1024).map(|at| at as f32 / 1023.0).collect();
    writer.frame_f32(&floats).unwrap();
    let take = writer.publish().unwrap().take;
    let halves: Vec<f16> = floats.iter().map(|&value| f16::from_f32(value)).collect();
    assert_eq!(*take.frame(0).unwrap(), *halves);
}

#[test]
fn the_first_publisher_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (one, other) = (written(&store, 1), written(&store, 1));
    let first = other.publish().unwrap();
    assert!(first.first);
    let kept = std::fs::metadata(first.take.path()).unwrap().modified().unwrap();
    let second = one.publish().unwrap();
    assert!(!second.first);
    assert_eq!(second.take.path(), first.take.path());
    assert_eq!(std::fs::metadata(second.take.path()).unwrap().modified().unwrap(), kept);
    assert_eq!(names(folder.path()).len(), 1);
}

#[test]
fn of_many_publishers_one_wins_and_all_read_its_take() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..10 {
        let barrier = Barrier::new(8);
        let firsts: Vec<bool> = std::thread::scope(|scope| {
            let publish = |_| {
                scope.spawn(|| {
                    let writer = written(&store(folder.path()), seed);
                    barrier.wait();
                    let Published { take, first, .. } = writer.publish().unwrap();
                    assert_eq!(*take.frame(4).unwrap(), *pixels(seed, 4));
                    first
                })
            };
            let threads: Vec<_> = (0..8).map(publish).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(firsts.iter().filter(|&&first| first).count(), 1);
    }
    assert_eq!(names(folder.path()).len(), 10);
}

#[test]
fn readers_see_whole_takes_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = seeded(1, FRAMES, 32, 16).key;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                let found = store(folder.path()).find(&key);
                assert!(found.problems.is_empty(), "{:?}", found.problems);
                if let Some(take) = found.take {
                    break assert_eq!(take.verify(|_| ()).unwrap(), [0_u32; 0]);
                }
            }
        });
        publish(&store(folder.path()), 1);
        reader.join().unwrap();
    });
}

#[test]
fn the_first_folder_that_can_be_written_is_published_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (below, made) = (file.join("takes"), folder.path().join("a/b"));
    let store = Store::new([below.clone(), made.clone(), folder.path().to_owned()]);
    assert!(store.find(&seeded(1, FRAMES, 32, 16).key).problems.is_empty());
    assert_eq!(publish(&store, 1).path().parent(), Some(made.as_path()));

    let error = Store::new([below, file]).create(seeded(1, FRAMES, 32, 16)).unwrap_err();
    assert_eq!(error.code().as_str(), "store-unwritable");
    let words = error.to_string();
    assert!(words.contains("file/takes: "), "{words}");
    assert!(words.contains("a part of this path is a file, not a folder"), "{words}");
    let error = Store::new([]).create(seeded(1, FRAMES, 32, 16)).unwrap_err().to_string();
    assert!(error.ends_with("the store has no folders"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_take_is_its_owners_and_in_a_set_gid_folder_its_groups() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let private = folder.path().join("private");
    let take = publish(&store(&private), 1);
    assert_eq!((mode(&private), mode(take.path())), (0o700, 0o600));

    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o2770)).unwrap();
    let below = shared.join("takes");
    let take = publish(&store(&below), 1);
    assert_eq!((mode(&below), mode(take.path())), (0o2770, 0o660));

    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o2755)).unwrap();
    assert_eq!(mode(publish(&store(&shared), 1).path()), 0o644);
}

#[test]
fn a_take_that_does_not_fit_on_the_disk_is_refused_at_once() {
    let error = StoreError::Full { path: "/takes".into(), needed: 2_000_001, free: 1_999_999 };
    assert_eq!(error.code().as_str(), "store-full");
    let words = error.to_string();
    assert!(words.starts_with("the disk of /takes is full: the take needs 3 MB and 1 MB are free"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_written_is_read(
        groups in 0_u32..3, columns in 1_u32..5, rows in 1_u32..5, bits: u16, seed: u32,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let description = seeded(seed, 4 * groups + 1, 16 * columns, 16 * rows);
        // Any bit pattern, NaN included.
        let frame = |frame: u32| -> Vec<f16> {
            let value = |at: usize| f16::from_bits((at as u16).wrapping_mul(bits) ^ frame as u16);
            (0..description.frame_values()).map(value).collect()
        };
        let mut writer = store.create(description.clone()).unwrap();
        for at in 0..=4 * groups {
            writer.frame(&frame(at)).unwrap();
        }
        writer.publish().unwrap();
        let take = test_takes::store(folder.path()).find(&description.key).take.unwrap();
        prop_assert_eq!(take.description(), &description);
        for at in (0..=4 * groups).rev() {
            let read = take.frame(at).unwrap();
            prop_assert_eq!((read.width, read.height), (16 * columns, 16 * rows));
            let bits = |values: &[f16]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&frame(at)));
        }
    }
}

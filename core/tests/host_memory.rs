//! Memory of the host that tensors leave is used for the next ones. A program of its own: the allocator
//! is the process's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tch::{Device, Kind, Tensor};
use wan_alpha_core::shim::{LiveBytes, freed_memory, keep_freed_memory, release_freed_memory};

const MIB: i64 = 1 << 20;

/// Of so many MiB.
fn tensor(mib: i64) -> Tensor {
    Tensor::f_zeros([mib * MIB], (Kind::Uint8, Device::Cpu)).unwrap()
}

/// Bytes of this process that no file is behind.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

#[test]
fn what_a_tensor_leaves_is_used_by_the_next_and_goes_when_told() {
    keep_freed_memory(64 << 20).unwrap();
    let first = tensor(8);
    let place = first.data_ptr();
    drop(first);
    assert_eq!(freed_memory(), 8 << 20);
    // A little smaller will do; what it holds is what was asked for.
    let (again, live) = LiveBytes::of(|| Ok(tensor(7))).unwrap();
    assert_eq!((again.data_ptr(), freed_memory()), (place, 0));
    assert_eq!(again.max().int64_value(&[]), 0);
    assert_eq!((live.peak, live.left), (7 * MIB, 7 * MIB));
    drop(again);

    // A larger one finds no room in it, and what was kept goes before more than ever is held.
    let larger = tensor(12);
    assert_eq!(freed_memory(), 0);
    drop(larger);
    assert_eq!(freed_memory(), 12 << 20);

    // Small ones are the C library's affair, and more than may be kept goes back at once.
    drop(tensor(1));
    assert_eq!(freed_memory(), 12 << 20);
    drop(tensor(80));
    assert!(freed_memory() <= 64 << 20);
    release_freed_memory();
    assert_eq!(freed_memory(), 0);

    // What a smaller one does not need of its block goes back to the system: 10 of 50.
    drop(tensor(50));
    let before = resident();
    let smaller = tensor(40);
    let given_back = before.saturating_sub(resident()) / MIB as u64;
    assert!((9..=10).contains(&given_back), "{given_back} MiB");
    drop(smaller);
    assert_eq!(freed_memory(), 40 << 20);
    // One that is much smaller leaves it to those that fill it, while there is room for both.
    drop(tensor(10));
    assert_eq!(freed_memory(), 50 << 20);
    release_freed_memory();

    // From many threads at once, nothing is mixed up.
    std::thread::scope(|scope| {
        for value in 1..=4_i64 {
            scope.spawn(move || {
                for size in [3, 9, 5, 17, 4].into_iter().cycle().take(60) {
                    let tensor = tensor(size) + value;
                    assert_eq!(tensor.min().int64_value(&[]), value);
                    assert_eq!(tensor.max().int64_value(&[]), value);
                }
            });
        }
    });
    assert!(freed_memory() <= 64 << 20);
}

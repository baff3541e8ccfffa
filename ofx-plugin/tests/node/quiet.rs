//! Loading and describing leave nothing behind: no thread, no process, no socket, no open file.

use std::fs;
use std::process::Command;

use wan_alpha_test_host::{Host, Profile};

use crate::file;

const ALONE: &str = "WAN_ALPHA_TEST_ALONE";

/// Other tests have threads and files of their own, so this one looks in a process of its own.
#[test]
fn loading_and_describing_leave_nothing_behind() {
    if std::env::var_os(ALONE).is_some() {
        return look();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "quiet::loading_and_describing_leave_nothing_behind"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn look() {
    let host = Host::new(Profile::plain());
    let binary = host.open(file()).unwrap();
    let before = traces();
    for _ in 0..50 {
        binary.plugin(0).unwrap();
    }
    assert_eq!(traces(), before);
}

/// Threads, children, and what each open file is.
fn traces() -> (usize, String, Vec<String>) {
    let entries = |folder: &str| fs::read_dir(folder).unwrap().flatten();
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let mut open: Vec<String> = entries("/proc/self/fd")
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| !target.contains("/fd"))
        .collect();
    open.sort();
    (entries("/proc/self/task").count(), children, open)
}

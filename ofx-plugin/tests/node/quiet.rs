//! Until something is asked for, a node leaves no trace: no thread, no process, no socket, no open
//! file; loading and describing take no time.

use std::fs;
use std::process::Command;
use std::time::Duration;

use wan_alpha_test_host::{Context, Host, Profile, RenderAsk};

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
    let plugin = binary.plugin(0).unwrap();
    let project = plugin.project();
    let before = traces();
    for context in [Context::Generator, Context::General] {
        let node = project.add(context).unwrap();
        node.set("prompt", "a cat");
        node.key("ellipseCenter", 3.0, [0.3, 0.4]);
        let _ = node.render(&RenderAsk::at(0.0));
        let overlay = node.overlay().unwrap();
        overlay.draw();
        overlay.drag([960.0, 540.0], [1000.0, 500.0], 5);
        project.go_to(7.0);
    }
    assert_eq!(traces(), before);
    drop(project);
    // Strict hosts crash where making an instance starts something.
    let host = Host::new(Profile::nuke17_strict());
    let plugin = host.load(file()).unwrap();
    let project = plugin.project();
    let before = traces();
    let _node = project.add(Context::General).unwrap();
    assert_eq!(traces(), before);
}

/// Opened and described in both contexts, twice, within 20 ms of this thread's own time: other tests
/// run at the same time. The best of several tries, since the file has to come from the disk once.
#[test]
#[cfg(unix)]
fn hosts_that_scan_their_plug_ins_lose_no_time() {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let worked = || {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(tv_sec as u64, tv_nsec as u32)
    };
    let scan = || {
        let host = Host::new(Profile::plain());
        let begun = worked();
        let binary = host.open(file()).unwrap();
        for _ in 0..2 {
            binary.plugin(0).unwrap();
        }
        worked() - begun
    };
    let best = (0..20).map(|_| scan()).min().unwrap();
    assert!(best < Duration::from_millis(20), "{best:?}");
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

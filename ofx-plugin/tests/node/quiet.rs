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

/// Loaded and described in both contexts, twice, in less than it takes to look through 16 MiB twelve times:
/// some 20 ms, and more on a slower machine. Of this thread's own time, since other tests run at the same
/// time, and without what the host does to open a file, which is more. The best of several tries.
#[test]
#[cfg(unix)]
fn hosts_that_scan_their_plug_ins_lose_no_time() {
    let memory: Vec<u64> = (0..2 << 20).collect();
    let look_through = || {
        for _ in 0..12 {
            std::hint::black_box(memory.iter().fold(0_u64, |sum, one| sum.rotate_left(1) ^ one));
        }
    };
    let binary = Host::new(Profile::plain()).open(file()).unwrap();
    let scan = || {
        for _ in 0..2 {
            binary.plugin(0).unwrap();
        }
    };
    let tries = (0..20).map(|_| [worked(scan), worked(look_through)]);
    let best = tries.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])]).unwrap();
    assert!(best[0] < best[1], "{best:?}");
}

/// What something takes of this thread's own time.
#[cfg(unix)]
fn worked(what: impl FnOnce()) -> Duration {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let now = || {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(tv_sec as u64, tv_nsec as u32)
    };
    let begun = now();
    what();
    now() - begun
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

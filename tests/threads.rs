//! Threads: how those that compute wait, how many they are, and that an engine's own are not held up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use support::stand_in::compile;
use wan_alpha_take::engine::server::start_thread;

/// A command that computes nothing and loads what would compute.
fn command(user: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
    command.env_clear().envs(user.iter().copied());
    command
}

/// How often a waiting thread of libgomp looks before it sleeps, by libgomp's own word: its name for
/// the policy is the same where none was asked for.
fn spins(user: &[(&str, &str)]) -> String {
    let mut command = command(user);
    let output = command.arg("--version").env("OMP_DISPLAY_ENV", "VERBOSE").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = said.split("GOMP_SPINCOUNT = '").nth(1).and_then(|rest| rest.split('\'').next());
    count.unwrap_or_else(|| panic!("libgomp does not say: {said}")).to_owned()
}

#[test]
fn threads_that_wait_sleep_soon_unless_the_user_says_otherwise() {
    assert_eq!(spins(&[]), "3000");
    assert_eq!(spins(&[("OMP_WAIT_POLICY", "passive")]), "0");
    assert_eq!(spins(&[("GOMP_SPINCOUNT", "77")]), "77");
    assert!(spins(&[("OMP_WAIT_POLICY", "ACTIVE")]).parse::<u64>().unwrap() > 1_000_000);
}

#[test]
fn there_are_as_many_threads_as_the_process_may_use() {
    let room = tempfile::tempdir().unwrap();
    let draft = concat!(env!("CARGO_MANIFEST_DIR"), "/resources/draft-model");
    let home = room.path().to_str().unwrap();
    let said = |user: &[(&str, &str)], before: &[&str], more: &[&str]| {
        let program = [env!("CARGO_BIN_EXE_wan-alpha")];
        let out = room.path().join("out");
        let render = ["-v", "render", "--device", "cpu", "--model", draft, "--prompt", "a ball"];
        let size = ["--frames", "1", "--width", "64", "--height", "64", "--steps", "1", "--out"];
        let words: Vec<&str> = before.iter().chain(&program).chain(&render).copied().collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(size).arg(out).args(more).env_clear();
        command.env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap());
        let output = command.envs(user.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let one = said(&[], &["taskset", "-c", "0"], &[]);
    assert!(one.contains("computing with 1 thread, by what this process may use"), "{one}");
    let three = said(&[], &["taskset", "-c", "0"], &["--threads", "3"]);
    assert!(three.contains("computing with 3 threads, by --threads"), "{three}");
    let users = said(&[("OMP_NUM_THREADS", "2")], &["taskset", "-c", "0"], &[]);
    assert!(users.contains("computing with 2 threads, by OMP_NUM_THREADS"), "{users}");
}

/// Threads that the command computes with in a group of the farm's: `tree` is what lies below
/// `/sys/fs/cgroup`, `own` says which group it is in. None where this machine lets nobody lay files over the
/// system's.
fn threads_in_group(tree: &[(&str, &str)], own: &str) -> Option<String> {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("tree");
    for (name, text) in tree {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(room.path().join("own"), own).unwrap();
    // The shell becomes the command, so that the file is laid over the command's own.
    let script = r#"mount --bind "$1/tree" /sys/fs/cgroup && mount --bind "$1/own" /proc/$$/cgroup || exit 77
        shift
        exec "$@""#;
    let root = fs::metadata("/proc/self")
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0);
    let mut command = Command::new("unshare");
    command.args(if root { &["-m"][..] } else { &["-rm"] }).args(["sh", "-c", script, "sh"]);
    command.arg(room.path()).args([env!("CARGO_BIN_EXE_wan-alpha"), "-v", "doctor"]);
    command.env_clear().env("HOME", room.path()).env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.env("WAN_ALPHA_RUN", room.path().join("run")).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said.lines().find(|line| line.contains("computing with "));
    line.map(|line| line.rsplit("computing with ").next().unwrap_or_default().to_owned())
}

#[test]
fn the_share_that_a_group_may_have_of_the_processors_counts() {
    let all = std::thread::available_parallelism().unwrap().get();
    let all = format!("{all} thread{}, ", if all == 1 { "" } else { "s" });
    // Without a limit: what this process may use, or nothing can be tried here.
    let free = [("farm/job/cgroup.controllers", "cpu"), ("farm/job/cpu.max", "max 100000\n")];
    let Some(found) = threads_in_group(&free, "0::/farm/job\n") else {
        eprintln!("no file can be laid over the system's here: groups are not tried");
        return;
    };
    assert!(found.starts_with(&all), "{found}");
    // The second version, where a group above has the limit: one processor and a half.
    let limited = [&free[..], &[("farm/cpu.max", "150000 100000\n")]].concat();
    let found = threads_in_group(&limited, "0::/farm/job\n").unwrap();
    assert!(found.starts_with("1 thread, by what this process may use"), "{found}");
    // The first version.
    let limited = [
        ("cpu/job/cgroup.procs", ""),
        ("cpu/job/cpu.cfs_quota_us", "100000\n"),
        ("cpu/job/cpu.cfs_period_us", "100000\n"),
    ];
    let found = threads_in_group(&limited, "4:memory:/job\n1:cpu:/job\n0::/\n").unwrap();
    assert!(found.starts_with("1 thread, by what this process may use"), "{found}");
}

/// Tells that it is being opened, and is so until somebody answers.
const SLOW_LIBRARY: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int answered;
__attribute__((constructor)) static void opened(void) {
  close(open(FOLDER "/opening", O_CREAT | O_WRONLY, 0600));
  for (int tenths = 0; tenths < 300 && !answered; ++tenths) {
    usleep(100000);
    answered = access(FOLDER "/answer", F_OK) == 0;
  }
}
"#;

#[test]
#[allow(unsafe_code)]
fn a_thread_of_the_engine_goes_on_while_a_library_is_being_opened() {
    let room = tempfile::tempdir().unwrap();
    let [source, opening, answer] =
        ["slow.c", "opening", "answer"].map(|name| room.path().join(name));
    fs::write(&source, SLOW_LIBRARY).unwrap();
    let folder = [format!("-DFOLDER=\"{}\"", room.path().display())];
    compile(room.path(), source.to_str().unwrap(), "libslow.so", &folder);
    let work = move || {
        while !opening.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // As a lock does that somebody else has.
        let mutex = Mutex::new(());
        let _ = Condvar::new().wait_for(&mut mutex.lock(), Duration::from_millis(1));
        fs::write(&answer, "").unwrap();
    };
    let thread = start_thread("tested", work).unwrap();
    // SAFETY: its one initializer, above, makes a file and waits.
    let library = unsafe { libloading::Library::new(room.path().join("libslow.so")) }.unwrap();
    // SAFETY: the symbol is an int.
    let answered = unsafe { **library.get::<*const i32>(b"answered").unwrap() };
    thread.join().unwrap();
    assert_eq!(answered, 1, "the thread was held up until the library was open");
}

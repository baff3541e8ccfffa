//! The threads that compute: how they wait, and how many they are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

use std::process::Command;

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
fn threads_that_wait_sleep_unless_the_user_says_otherwise() {
    assert_eq!(spins(&[]), "0");
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
    assert!(one.contains("computing with 1 threads, by what this process may use"), "{one}");
    let three = said(&[], &["taskset", "-c", "0"], &["--threads", "3"]);
    assert!(three.contains("computing with 3 threads, by --threads"), "{three}");
    let users = said(&[("OMP_NUM_THREADS", "2")], &["taskset", "-c", "0"], &[]);
    assert!(users.contains("computing with 2 threads, by OMP_NUM_THREADS"), "{users}");
}

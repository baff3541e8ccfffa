//! Running cargo from within `cargo xtask`, as if it had been typed.
//!
//! Cargo gives the programs it runs variables of its own and those of `[env]` in its configuration.
//! Handing them on to a second cargo would make build scripts that watch them run again at every
//! change between plain cargo and `cargo xtask`; so they are taken out.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup;
use crate::tree::Tree;

/// What cargo sets for a program it runs and that says nothing about the user's wishes.
const SET_BY_CARGO: &[&str] =
    &["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];

/// A cargo command line in the checkout; its output goes where ours goes.
pub(crate) fn command<S: AsRef<OsStr>>(
    tree: &Tree,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tree.root()).args(arguments);
    as_if_typed(tree, &mut cargo);
    cargo
}

fn as_if_typed(tree: &Tree, cargo: &mut Command) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if SET_BY_CARGO.iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(name.as_ref());
        }
    }
    if setup::foreign_libtorch(tree).is_none() {
        cargo.env_remove("LIBTORCH");
    }
}

/// Builds one binary or example and returns where cargo put it.
pub(crate) fn build(tree: &Tree, arguments: &[&str], target: &str) -> Result<PathBuf> {
    build_with(tree, arguments, target, None)
}

/// The same, with a variable that a build script reads.
pub(crate) fn build_with(
    tree: &Tree,
    arguments: &[&str],
    target: &str,
    variable: Option<(&str, &str)>,
) -> Result<PathBuf> {
    let mut cargo = command(tree, ["build"].iter().chain(arguments));
    cargo.envs(variable);
    let set = variable.map(|(name, value)| format!("{name}='{value}' ")).unwrap_or_default();
    let shown = format!("{set}cargo build {}", arguments.join(" "));
    artifact(cargo, &shown, target, executable)
}

/// The same in another checkout, with variables of its own.
pub(crate) fn build_in(
    tree: &Tree,
    arguments: &[&str],
    target: &str,
    variables: &[(&str, OsString)],
) -> Result<PathBuf> {
    let mut cargo = command(tree, ["build"].iter().chain(arguments));
    cargo.envs(variables.iter().map(|(name, value)| (name, value)));
    artifact(cargo, &format!("cargo build {}", arguments.join(" ")), target, executable)
}

/// Builds one library for other programs to load and returns where cargo put it.
pub(crate) fn build_library(tree: &Tree, arguments: &[&str], target: &str) -> Result<PathBuf> {
    let cargo = command(tree, ["build"].iter().chain(arguments));
    artifact(cargo, &format!("cargo build {}", arguments.join(" ")), target, library)
}

/// The same, linked by zig for a system with the glibc that ends the name of `system`. `zig` is the
/// folder that set-up lays out.
pub(crate) fn zig_build_library(
    tree: &Tree,
    zig: &Path,
    system: &str,
    arguments: &[&str],
    target: &str,
) -> Result<PathBuf> {
    let fixed = ["zigbuild", "--target", system];
    let mut cargo = Command::new(zig.join("cargo-zigbuild"));
    // Not in the root: of its folders of headers zig names those below the working directory relative
    // to it, and bindgen, which is told of them, works elsewhere.
    cargo.current_dir(tree.root().join("ofx-plugin")).args(fixed.iter().chain(arguments));
    as_if_typed(tree, &mut cargo);
    let caches = tree.root().join("target/zig");
    cargo
        .env("CARGO_ZIGBUILD_ZIG_PATH", zig.join("zig"))
        .env("CARGO_ZIGBUILD_CACHE_DIR", caches.join("wrappers"))
        .env("ZIG_GLOBAL_CACHE_DIR", caches.join("global"))
        .env("ZIG_LOCAL_CACHE_DIR", caches.join("local"));
    let shown = format!("cargo {} {}", fixed.join(" "), arguments.join(" "));
    artifact(cargo, &shown, target, library)
}

fn artifact(
    mut command: Command,
    shown: &str,
    target: &str,
    announced: fn(&str, &str) -> Option<PathBuf>,
) -> Result<PathBuf> {
    eprintln!("building: {shown}");
    let mut child = command
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} could not be started", command.get_program().display()))?;
    let mut built = None;
    if let Some(messages) = child.stdout.take() {
        for line in BufReader::new(messages).lines() {
            let line = line.context("cargo's messages could not be read")?;
            built = announced(&line, target).or(built);
        }
    }
    let status = child.wait().context("cargo could not be waited for")?;
    if !status.success() {
        bail!("`{shown}` failed ({status}); the compiler's own messages are above");
    }
    built.with_context(|| format!("`{shown}` succeeded but named no file of `{target}`"))
}

/// The executable that a line of cargo's JSON messages announces for `target`, if it does.
fn executable(line: &str, target: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let announced = message["reason"] == "compiler-artifact"
        && message["target"]["name"] == target
        && message["profile"]["test"] == false;
    message["executable"].as_str().filter(|_| announced).map(PathBuf::from)
}

/// The loadable library that a line of cargo's JSON messages announces for `target`, if it does.
fn library(line: &str, target: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != target {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    let mut loadable = files.filter(|file| file.ends_with(std::env::consts::DLL_SUFFIX));
    loadable.next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = r#"{"reason":"compiler-artifact","target":{"name":"plug","kind":["cdylib"]},
        "filenames":["target/release/libplug.rlib","target/release/libplug.so"]}"#;

    const ARTIFACT: &str = r#"{"reason":"compiler-artifact","target":{"name":"wan-alpha",
        "kind":["bin"]},"profile":{"test":false},"executable":"target/release/wan-alpha"}"#;

    #[test]
    fn executable_is_taken_from_its_own_artifact_only() {
        let found = |line: &str| executable(line, "wan-alpha");
        assert_eq!(found(ARTIFACT), Some(PathBuf::from("target/release/wan-alpha")));
        assert_eq!(found(&ARTIFACT.replace(r#""test":false"#, r#""test":true"#)), None);
        assert_eq!(found(&ARTIFACT.replace(r#""name":"wan-alpha""#, r#""name":"other""#)), None);
        assert_eq!(found(&ARTIFACT.replace(r#""target/release/wan-alpha""#, "null")), None);
        assert_eq!(found("   Compiling something"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_is_the_file_that_can_be_loaded() {
        assert_eq!(library(LIBRARY, "plug"), Some(PathBuf::from("target/release/libplug.so")));
        assert_eq!(library(LIBRARY, "other"), None);
        assert_eq!(library(ARTIFACT, "wan-alpha"), None);
    }

    #[test]
    fn variables_of_the_outer_cargo_are_not_handed_on() {
        // Cargo sets CARGO_PKG_NAME for this very test.
        let command = command(&Tree::at(std::path::Path::new(".")), ["test"]);
        let removed = |wanted: &str| {
            command.get_envs().any(|(name, value)| name == wanted && value.is_none())
        };
        assert!(env::var_os("CARGO_PKG_NAME").is_some());
        assert!(removed("CARGO_PKG_NAME"));
        assert!(!removed("CARGO_HOME"));
        assert!(!removed("PATH"));
    }
}

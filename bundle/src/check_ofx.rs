//! `cargo xtask check-ofx`: the headless host of the tests as a validator of any OpenFX plug-in.
//!
//! The validator is a program of its own, since this crate knows nothing of OpenFX; it runs each
//! check in a process apart. Neither it nor the plug-in needs set-up.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::tree::Tree;
use crate::{cargo, exit_code};

#[derive(clap::Args)]
pub(crate) struct CheckOfxOptions {
    /// A bundle folder, or a binary on its own; this checkout's plug-in by default.
    #[arg(value_name = "BUNDLE")]
    file: Option<PathBuf>,
    /// The last level to run: 1 load, 2 describe, 3 parameters, 4 render, 5 threads, 6 hosts,
    /// 7 state, 8 faults, 9 fuzz, 10 soak.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=10))]
    level: u8,
    /// Write the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results to this file as JUnit.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fail on advice too.
    #[arg(long)]
    strict: bool,
    /// Further arguments of the validator; `-- --help` names them.
    #[arg(last = true)]
    rest: Vec<OsString>,
}

pub(crate) fn run(tree: &Tree, options: &CheckOfxOptions) -> Result<ExitCode> {
    // As the tests build it, who share it and its crates with this command: these have the features that the
    // tests want of them, one of which is therefore named.
    let chosen = ["--workspace", "--bin", "check-ofx", "--test", "check"];
    let validator = cargo::build(tree, &chosen, "check-ofx")?;
    let file = match &options.file {
        Some(file) => file.clone(),
        None => cargo::build_library(
            tree,
            &["--release", "--package", "wan-alpha-ofx"],
            "wan_alpha_ofx",
        )?,
    };
    let status = Command::new(&validator)
        .args(arguments(options, &file))
        .status()
        .with_context(|| format!("{} could not be started", validator.display()))?;
    Ok(exit_code(status))
}

fn arguments(options: &CheckOfxOptions, file: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![file.into(), "--level".into()];
    arguments.push(options.level.to_string().into());
    for (name, path) in [("--json", &options.json), ("--junit", &options.junit)] {
        if let Some(path) = path {
            arguments.extend([name.into(), path.into()]);
        }
    }
    if options.strict {
        arguments.push("--strict".into());
    }
    arguments.extend(options.rest.iter().cloned());
    arguments
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: CheckOfxOptions,
    }

    #[test]
    fn what_is_typed_reaches_the_validator() {
        let typed =
            ["x", "My.ofx.bundle", "--level", "3", "--json", "a.json", "--strict", "--", "-v"];
        let line = Line::parse_from(typed);
        let found = arguments(&line.options, Path::new("My.ofx.bundle"));
        assert_eq!(found, ["My.ofx.bundle", "--level", "3", "--json", "a.json", "--strict", "-v"]);
        let bare = Line::parse_from(["x"]);
        assert_eq!(arguments(&bare.options, Path::new("lib.so")), ["lib.so", "--level", "8"]);
        assert!(bare.options.file.is_none());
    }
}

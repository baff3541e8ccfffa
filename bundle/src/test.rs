//! `cargo xtask test`: set-up, then every test; with `--slow`, the trainings of minutes instead.

use std::process::ExitCode;

use anyhow::Result;

use crate::tree::Tree;
use crate::{cargo, setup};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what takes minutes: trainings from nothing whose losses have to halve
    #[arg(long)]
    slow: bool,

    /// Handed to `cargo test --workspace` as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// The exit code is cargo's; its output, the closing lines included, passes through untouched.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<ExitCode> {
    setup::ensure(tree)?;
    let fixed: &[&str] = if options.slow {
        // A target of its own behind a feature, so that nothing else is built anew.
        &["test", "--package", "wan-alpha", "--features", "slow", "--test", "slow"]
    } else {
        &["test", "--workspace"]
    };
    let rest = options.arguments.iter().map(String::as_str);
    let show = if options.slow { &["--", "--nocapture"][..] } else { &[] };
    let arguments = fixed.iter().copied().chain(rest).chain(show.iter().copied());
    let status = cargo::status(&mut cargo::command(tree, arguments))?;
    Ok(crate::exit_code(status))
}

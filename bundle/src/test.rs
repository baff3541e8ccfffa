//! `cargo xtask test`: set-up, then every test.

use std::process::ExitCode;

use anyhow::Result;

use crate::tree::Tree;
use crate::{cargo, setup};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handed to `cargo test --workspace` as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// The exit code is cargo's; its output, the closing lines included, passes through untouched.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<ExitCode> {
    setup::ensure(tree)?;
    let fixed = ["test".to_owned(), "--workspace".to_owned()];
    let status = cargo::status(&mut cargo::command(tree, fixed.iter().chain(&options.arguments)))?;
    Ok(crate::exit_code(status))
}

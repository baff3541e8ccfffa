//! gpu-check
mod pack;
use std::path::PathBuf;
use std::process::ExitCode;
use anyhow::Result;
use crate::tree::Tree;
const DRAFT_MODEL: &str = "resources/draft-model";
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_name = "DIR")]
    pack: Option<PathBuf>,
}
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let tree = Tree::find()?;
    if let Some(p) = &options.pack { pack::make(&tree, p)?; }
    Ok(ExitCode::SUCCESS)
}

//! The syntax of `wan-alpha inspect`.

use std::path::PathBuf;

use clap::Args;

/// Files to look into.
#[derive(Debug, Args)]
pub(crate) struct InspectFiles {
    /// Images and movies, ours or not: PNG, EXR, JPEG, WebP, MOV, MP4, WebM, Matroska
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Certificates, PEM, of whom you trust to say who signed: a signature whose certificate leads to one of
    /// them is told as trusted
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,

    /// Print JSON, for programs: all texts that the files hold
    #[arg(long)]
    pub(crate) json: bool,
}

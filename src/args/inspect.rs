//! The syntax of `wan-alpha inspect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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

    /// Fail unless each file has all of these, for scripts; separated by commas
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) require: Vec<RequiredMark>,

    /// Print JSON, for programs: all texts that the files hold
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a file can be required to say of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RequiredMark {
    /// The file says how it came to be (IPTC's digital source type)
    Origin,
    /// It is signed, and the signature holds, whoever signed
    Signature,
    /// It is signed by somebody whose certificate leads to one of --trust
    Trusted,
}

//! The example `load` of the model's crate, and a folder for the random models that it makes and loads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::{THREADS, example};
use crate::setup::{ByteCount, check_disk};
use crate::tree::Tree;
use crate::{cargo, setup};

/// Text encoder, tokenizer and decoders, which a model is not found without.
const OTHERS: &str = "tests/data/t2v-euler/model";

/// The example, built, and what it works on.
pub(super) struct LoadExample {
    program: PathBuf,
    /// Where the parts lie that it does not make.
    others: PathBuf,
    folder: TempDir,
}

impl LoadExample {
    /// Builds it; its random models will take `disk` bytes. `bench` is what is measured with it.
    pub(super) fn ready(tree: &Tree, bench: &str, disk: ByteCount) -> Result<Self> {
        let others = tree.root().join(OTHERS);
        ensure!(others.is_dir(), "{OTHERS} is missing: `git checkout -- {OTHERS}` brings it back");
        setup::ensure(tree)?;
        let wanted = ["--release", "--package", "wan-alpha-core", "--example", "load"];
        let program = cargo::build(tree, &wanted, "load")?;
        check_disk(&std::env::temp_dir(), disk)?;
        let folder = tempfile::Builder::new().prefix("wan-alpha-bench-").tempdir()?;
        eprintln!(
            "bench: {bench}: {disk} of random models are made in {} and removed again",
            folder.path().display()
        );
        Ok(Self { program, others, folder })
    }

    /// The program as it is now.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Where models are made.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the program answers that is called so on a folder of a model.
    pub(super) fn answer<T: DeserializeOwned>(
        &self,
        how: &str,
        model: &Path,
        more: &[&str],
    ) -> Result<T> {
        example::answer(called(&self.program, how, model).args(more))
    }

    /// What `program`, this one or that of an earlier commit, answers once it has loaded a model.
    pub(super) fn load<T: DeserializeOwned>(
        &self,
        program: &Path,
        how: &str,
        model: &Path,
    ) -> Result<T> {
        example::answer(called(program, how, model).arg(&self.others))
    }

    /// Removes what was made.
    pub(super) fn close(self) -> Result<()> {
        self.folder.close().context("the random models could not be removed")
    }
}

fn called(program: &Path, how: &str, model: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(how).arg(model).env("OMP_NUM_THREADS", THREADS.to_string());
    command
}

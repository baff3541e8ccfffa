//! The programs of an earlier commit, which later ones are compared with: built once from the
//! repository's history, and kept.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::tree::Tree;
use crate::{cargo, setup};

/// No case may be slower than it is there.
pub(super) const COMMIT: &str = "7783599";

/// Examples of core; `load` is not in that commit, and is put there.
const EXAMPLES: [&str; 2] = ["bench", "load"];

/// `core/examples/load` as it is compiled there: ours, but for the files that depend on the library's
/// version.
const LOAD: [(&str, &str); 5] = [
    ("main.rs", include_str!("../../../core/examples/load/main.rs")),
    ("model.rs", include_str!("../../../core/examples/load/model.rs")),
    ("peak.rs", include_str!("../../../core/examples/load/peak.rs")),
    ("loading.rs", include_str!("../../bench/before/loading.rs")),
    ("stored.rs", include_str!("../../bench/before/stored.rs")),
];

/// The programs of [`COMMIT`].
pub(super) struct Before {
    folder: PathBuf,
}

impl Before {
    /// Built, unless they are there from an earlier run.
    pub(super) fn ready(tree: &Tree) -> Result<Self> {
        let folder = tree.root().join("target/bench").join(COMMIT);
        let before = Self { folder };
        if before.is_built() {
            return Ok(before);
        }
        setup::ensure(tree)?;
        eprintln!("bench: building commit {COMMIT}, to compare with (once; minutes)");
        before.lay_out(tree)?;
        before.build(tree)?;
        Ok(before)
    }

    pub(super) fn program(&self, example: &str) -> PathBuf {
        self.folder.join(format!("{example}{}", std::env::consts::EXE_SUFFIX))
    }

    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// The sources that stand there are those of now.
    fn is_built(&self) -> bool {
        let load = self.source().join("core/examples/load");
        let same = |(name, text): &(&str, &str)| {
            fs::read_to_string(load.join(name)).is_ok_and(|found| found == *text)
        };
        LOAD.iter().all(same) && EXAMPLES.iter().all(|example| self.program(example).is_file())
    }

    /// Writes the earlier commit's files into its folder, in place of what was there.
    fn lay_out(&self, tree: &Tree) -> Result<()> {
        let source = self.source();
        let shown = || format!("{} cannot be laid out", tree.short(&source));
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).with_context(shown)?;
        }
        fs::create_dir_all(&source).with_context(shown)?;
        archive(tree.root(), COMMIT, &source)?;
        let load = source.join("core/examples/load");
        fs::create_dir_all(&load).with_context(shown)?;
        for (name, text) in LOAD {
            fs::write(load.join(name), text).with_context(shown)?;
        }
        Ok(())
    }

    fn build(&self, tree: &Tree) -> Result<()> {
        let there = Tree::of(&self.source());
        // Dependencies are the same as ours, and are compiled once for both.
        let target = tree.root().join("target");
        let mut variables: Vec<(&str, OsString)> = vec![("CARGO_TARGET_DIR", target.into())];
        // Its own configuration points into a `.setup` that it does not have.
        if setup::foreign_libtorch(tree).is_none() {
            variables.push(("LIBTORCH", tree.libtorch().into()));
        }
        let clang = tree.setup().join("libclang");
        for (name, folder) in [("LIBCLANG_PATH", "lib"), ("C_INCLUDE_PATH", "include")] {
            if std::env::var_os(name).is_none_or(|set| set.is_empty()) {
                variables.push((name, clang.join(folder).into()));
            }
        }
        for example in EXAMPLES {
            let wanted = ["--release", "--package", "wan-alpha-core", "--example", example];
            let built = cargo::build_in(&there, &wanted, example, &variables)?;
            // Ours will stand there next.
            let kept = self.program(example);
            fs::copy(&built, &kept)
                .with_context(|| format!("{} cannot be written", kept.display()))?;
        }
        Ok(())
    }
}

/// Writes a commit's files into a folder.
fn archive(repository: &Path, commit: &str, folder: &Path) -> Result<()> {
    let missing = || {
        format!(
            "commit {commit}, which is compared with, is not in this repository; `git fetch \
             --unshallow` brings its history"
        )
    };
    let mut git = Command::new("git")
        .current_dir(repository)
        .args(["archive", "--format=tar", commit])
        .stdout(Stdio::piped())
        .spawn()
        .context("git could not be started")?;
    let Some(files) = git.stdout.take() else { bail!("git has no standard output") };
    let unpacked = Command::new("tar")
        .arg("-x")
        .current_dir(folder)
        .stdin(files)
        .status()
        .context("tar could not be started")?;
    let archived = git.wait().context("git could not be waited for")?;
    ensure!(archived.success(), missing());
    ensure!(unpacked.success(), "tar could not unpack commit {commit} ({unpacked})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_is_not_there_is_told_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("git").arg("init").arg("-q").arg(folder.path()).status().unwrap();
        assert!(made.success());
        let error = archive(folder.path(), "1234567", folder.path()).unwrap_err().to_string();
        assert!(error.contains("1234567") && error.contains("--unshallow"), "{error}");
    }

    #[test]
    fn every_module_of_the_program_is_laid_out() {
        let (_, main) = LOAD[0];
        let modules = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        for module in modules {
            let file = format!("{module}.rs");
            assert!(LOAD.iter().any(|(name, _)| *name == file), "{file}");
        }
    }

    #[test]
    fn programs_count_only_with_the_sources_they_were_built_from() {
        let folder = tempfile::tempdir().unwrap();
        let before = Before { folder: folder.path().to_owned() };
        let load = before.source().join("core/examples/load");
        fs::create_dir_all(&load).unwrap();
        for (name, text) in LOAD {
            fs::write(load.join(name), text).unwrap();
        }
        assert!(!before.is_built());
        EXAMPLES.iter().for_each(|example| fs::write(before.program(example), "").unwrap());
        assert!(before.is_built());
        fs::write(load.join("peak.rs"), "// other").unwrap();
        assert!(!before.is_built());
    }
}

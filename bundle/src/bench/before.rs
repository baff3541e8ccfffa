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

/// An example of that commit.
#[derive(Clone, Copy)]
pub(super) struct EarlierProgram {
    package: &'static str,
    example: &'static str,
}

/// Transformer, decoder and steps of training.
pub(super) const BENCH: EarlierProgram = of("wan-alpha-core", "bench");
/// Loading; it is not in that commit, and is put there.
pub(super) const LOADING: EarlierProgram = of("wan-alpha-core", "load");
/// Drawing frames into a host's image.
pub(super) const DRAWING: EarlierProgram = of("wan-alpha-ofx", "draw_take");

const fn of(package: &'static str, example: &'static str) -> EarlierProgram {
    EarlierProgram { package, example }
}

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
struct Before {
    folder: PathBuf,
}

/// A program of [`COMMIT`]: built, unless it is there from an earlier run. It is built to where ours
/// is, and so before ours.
pub(super) fn program(tree: &Tree, wanted: EarlierProgram) -> Result<PathBuf> {
    let before = Before { folder: tree.root().join("target/bench").join(COMMIT) };
    let program = before.program(wanted);
    let is_laid_out = before.is_laid_out();
    if is_laid_out && program.is_file() {
        return Ok(program);
    }
    setup::ensure(tree)?;
    let EarlierProgram { package, example } = wanted;
    eprintln!("bench: building {example} of {package} at commit {COMMIT} (once; minutes)");
    if !is_laid_out {
        before.lay_out(tree)?;
    }
    before.build(tree, wanted)?;
    Ok(program)
}

impl Before {
    fn program(&self, wanted: EarlierProgram) -> PathBuf {
        self.folder.join(format!("{}{}", wanted.example, std::env::consts::EXE_SUFFIX))
    }

    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// The sources that stand there are those of now.
    fn is_laid_out(&self) -> bool {
        let load = self.source().join("core/examples/load");
        let same = |(name, text): &(&str, &str)| {
            fs::read_to_string(load.join(name)).is_ok_and(|found| found == *text)
        };
        LOAD.iter().all(same)
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

    fn build(&self, tree: &Tree, wanted: EarlierProgram) -> Result<()> {
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
        let EarlierProgram { package, example } = wanted;
        let arguments = ["--release", "--package", package, "--example", example];
        let built = cargo::build_in(&there, &arguments, example, &variables)?;
        // Ours will stand there next.
        let kept = self.program(wanted);
        fs::copy(&built, &kept).with_context(|| format!("{} cannot be written", kept.display()))?;
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
    fn sources_count_only_as_they_are_now() {
        let folder = tempfile::tempdir().unwrap();
        let before = Before { folder: folder.path().to_owned() };
        let load = before.source().join("core/examples/load");
        fs::create_dir_all(&load).unwrap();
        for (name, text) in LOAD {
            fs::write(load.join(name), text).unwrap();
        }
        assert!(before.is_laid_out());
        fs::write(load.join("peak.rs"), "// other").unwrap();
        assert!(!before.is_laid_out());
        fs::remove_file(load.join("peak.rs")).unwrap();
        assert!(!before.is_laid_out());
    }
}

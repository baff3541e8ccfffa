//! Where things lie in the checkout.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The checkout that this command was started in.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Cargo names the crate's folder when it runs the command; a binary run by hand falls back to
    /// the folder it was built from.
    pub(crate) fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().context("this crate's folder has no parent")?;
        ensure!(
            root.join("Cargo.toml").is_file() && root.join("bundle/Cargo.toml").is_file(),
            "{} is not a checkout of wan-alpha-ofx: run `cargo xtask` from inside one",
            root.display()
        );
        Ok(Self { root: root.to_path_buf() })
    }

    /// The tree of another checkout, which is not looked at.
    pub(crate) fn of(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self::of(root)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Everything that set-up makes.
    pub(crate) fn setup(&self) -> PathBuf {
        self.root.join(".setup")
    }

    /// The libtorch that `.cargo/config.toml` points `LIBTORCH` to.
    pub(crate) fn libtorch(&self) -> PathBuf {
        self.setup().join("libtorch")
    }

    /// Wheels on their way, kept until what they hold is laid out.
    pub(crate) fn wheels(&self) -> PathBuf {
        self.setup().join("wheels")
    }

    /// What set-up has laid out, with sizes and hashes.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.setup().join("manifest.json")
    }

    /// The Python environment of the benchmark.
    pub(crate) fn python(&self) -> PathBuf {
        self.setup().join("python")
    }

    /// A path as a person in the checkout would type it.
    pub(crate) fn short<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

//! `cargo xtask bundle`: the folder that hosts load.
//!
//! What goes where is one description, [`Layout`]; making it is copying. A bundle appears whole or
//! not at all: it is laid out beside its place and moved there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::tree::Tree;
use crate::{cargo, setup};

/// The bundle's name; the plug-in inside must have it too.
const NAME: &str = "WanAlpha.ofx";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the bundle goes.
    #[arg(long, value_name = "DIR", default_value = "target/bundle")]
    to: PathBuf,
}

pub(crate) fn run(tree: &Tree, options: &Options) -> Result<ExitCode> {
    setup::ensure(tree)?;
    let release = |package| ["--release", "--package", package];
    let plugin = cargo::build_library(tree, &release("wan-alpha-ofx"), "wan_alpha_ofx")?;
    let engine = cargo::build(tree, &release("wan-alpha"), "wan-alpha")?;
    let layout = Layout::of_this_system(plugin, engine);
    let made = layout.make(&tree.root().join(&options.to))?;
    println!("{}", tree.short(&made));
    eprintln!(
        "the engine in it finds libtorch in this checkout's .setup: the bundle is for this machine \
         only. A host finds it with OFX_PLUGIN_PATH={}",
        tree.root().join(&options.to).display()
    );
    Ok(ExitCode::SUCCESS)
}

/// What a bundle holds: files below `Contents`, and where they come from.
struct Layout {
    files: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// OpenFX names the folder of binaries after the system.
    fn of_this_system(plugin: PathBuf, engine: PathBuf) -> Self {
        let system = match std::env::consts::OS {
            "windows" => "Win64".to_owned(),
            "macos" => "MacOS".to_owned(),
            _ => format!("Linux-{}", std::env::consts::ARCH.replace('_', "-")),
        };
        let binaries = Path::new(&system);
        let command = format!("wan-alpha{}", std::env::consts::EXE_SUFFIX);
        Self { files: vec![(binaries.join(NAME), plugin), (binaries.join(command), engine)] }
    }

    /// Lays the bundle out in `folder`, in the place of an earlier one.
    fn make(&self, folder: &Path) -> Result<PathBuf> {
        let bundle = folder.join(format!("{NAME}.bundle"));
        let new = folder.join(format!("{NAME}.bundle.new"));
        remove(&new)?;
        for (place, source) in &self.files {
            let target = new.join("Contents").join(place);
            let parent = target.parent().unwrap_or(folder);
            fs::create_dir_all(parent)
                .with_context(|| format!("{} cannot be made", parent.display()))?;
            fs::copy(source, &target).with_context(|| {
                format!("{} cannot be copied to {}", source.display(), target.display())
            })?;
        }
        remove(&bundle)?;
        fs::rename(&new, &bundle)
            .with_context(|| format!("{} cannot be put in its place", bundle.display()))?;
        Ok(bundle)
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_laid_out_as_hosts_look_for_it_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let [plugin, engine] = ["plugin.so", "engine"].map(|name| folder.path().join(name));
        let out = folder.path().join("out");
        for text in ["old", "new"] {
            fs::write(&plugin, text).unwrap();
            fs::write(&engine, text).unwrap();
            let bundle = Layout::of_this_system(plugin.clone(), engine.clone()).make(&out).unwrap();
            assert_eq!(bundle, out.join("WanAlpha.ofx.bundle"));
            let systems: Vec<_> = fs::read_dir(bundle.join("Contents")).unwrap().collect();
            let [Ok(system)] = &systems[..] else { panic!("{systems:?}") };
            assert_eq!(fs::read_to_string(system.path().join("WanAlpha.ofx")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    }

    #[test]
    fn what_is_missing_is_named_and_leaves_the_bundle_before() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("plugin.so");
        fs::write(&plugin, "x").unwrap();
        let engine = folder.path().join("engine");
        let made = Layout::of_this_system(plugin.clone(), plugin.clone()).make(folder.path());
        let error = Layout::of_this_system(plugin, engine).make(folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains("engine"), "{error:#}");
        assert!(made.unwrap().join("Contents").is_dir());
    }
}

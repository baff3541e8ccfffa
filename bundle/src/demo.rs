//! `cargo xtask demo`: from a bare checkout to frames of a take that came out of the node.
//!
//! Set-up, the bundle with the draft model in it, and an afternoon with the node in the headless host
//! of the tests: prompt, traveling ellipse, Generate, progress, frames. Everything but set-up and the
//! bundle lies in `out/demo`. The engine that was started is stopped, whatever happens.

mod page;
pub(crate) mod studio;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Deserialize;

use crate::bundle::BuildProfile;
use crate::bundle::layout::NAME;
use crate::tree::Tree;
use crate::{bundle, cargo, setup};
use page::Page;
use studio::DemoFolders;

/// The model that ships, which the bundle brings along.
const MODEL: &str = "resources/draft-model";
const OUT: &str = "out/demo";
/// Says that a folder is the demo's.
const MARK: &str = "made-by-demo.txt";
/// Of the kinds, colors and ways that it knows.
const PROMPT: &str = "A large orange flame with a bright core moves from left to right in the middle \
                      of the frame.";
/// Its own size and length.
const SIZE: [&str; 2] = ["96", "96"];
const FRAMES: &str = "17";
const SEED: &str = "7";

#[derive(clap::Args)]
pub(crate) struct DemoOptions {
    /// Where frames, takes and the engine's log go. What is there is removed.
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// How the bundle is compiled.
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    profile: BuildProfile,
}

/// The options of `cargo xtask bundle`, as they are when nothing but these is said.
#[derive(Parser)]
struct BundleLine {
    #[command(flatten)]
    options: bundle::BundleOptions,
}

/// What the host says it wrote.
#[derive(Debug, Deserialize)]
struct DemoFiles {
    frames: u32,
    width: u32,
    height: u32,
    exr: Vec<PathBuf>,
    png: Vec<PathBuf>,
    contact_sheet: PathBuf,
    take: String,
    heard: Vec<String>,
    seconds: f64,
}

pub(crate) fn run(tree: &Tree, options: &DemoOptions) -> Result<ExitCode> {
    let begun = Instant::now();
    let model = tree.root().join(MODEL);
    ensure!(
        model.is_dir(),
        "{MODEL} is missing: the demo draws with the model there. Bring it back, for example \
         with `git checkout -- {MODEL}`, and run again"
    );
    setup::ensure(tree)?;
    let line = BundleLine::parse_from(["bundle", "--profile", options.profile.name()]);
    let laid_out = bundle::run(tree, &line.options)?;
    ensure!(laid_out == ExitCode::SUCCESS, "no bundle was made; why is said above");
    let bundle = tree.root().join(options.profile.place()).join(format!("{NAME}.bundle"));
    // As the tests build it, who share it and its crates with this command: these have the features that the
    // tests want of them, one of which is therefore named.
    let chosen = ["--workspace", "--bin", "demo-host", "--test", "check"];
    let host = cargo::build(tree, &chosen, "demo-host")?;

    let out = tree.root().join(&options.out);
    clear(&out)?;
    let studio = DemoFolders::in_folder(&out, engine_of(&bundle)?)?;
    println!("\nthe node, in a host:");
    let made = tell(&studio, &host, &bundle, &out);
    // Before anything else is said, and also where it failed.
    let stopped = studio.close(tree);
    let (written, ()) = (made?, stopped?);
    ensure!(written.frames > 0, "the host ended well but wrote no frames into {}", out.display());
    let page = Page { tree, bundle: &bundle, written: &written, took: begun.elapsed() };
    println!("\n{}", page.text());
    Ok(ExitCode::SUCCESS)
}

/// The engine that the bundle brings.
fn engine_of(bundle: &Path) -> Result<PathBuf> {
    let name = format!("wan-alpha{}", std::env::consts::EXE_SUFFIX);
    let contents = bundle.join("Contents");
    let systems = fs::read_dir(&contents)
        .with_context(|| format!("{} cannot be read", contents.display()))?;
    let mut engines = systems.flatten().map(|system| system.path().join(&name));
    engines
        .find(|engine| engine.is_file())
        .with_context(|| format!("{} has no engine {name}", bundle.display()))
}

/// The afternoon; what it prints on the way goes to the terminal.
fn tell(studio: &DemoFolders, host: &Path, bundle: &Path, out: &Path) -> Result<DemoFiles> {
    let mut command = Command::new(host);
    command.arg(bundle).arg("--out").arg(out).args(["--prompt", PROMPT]);
    command.args(["--width", SIZE[0], "--height", SIZE[1]]);
    command.args(["--frames", FRAMES, "--seed", SEED]);
    let output = studio
        .surround(&mut command)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} could not be started", host.display()))?;
    ensure!(
        output.status.success(),
        "the host ended with {}; its own message is above, and the engine's are in {}",
        output.status,
        studio.log().display()
    );
    serde_json::from_slice(&output.stdout).context("the host does not say what it wrote")
}

/// Frames of an earlier demo would be taken for this one's. What is nobody's demo is left alone.
fn clear(out: &Path) -> Result<()> {
    let shown = out.display();
    if out.exists() {
        let nothing = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        ensure!(
            nothing || out.join(MARK).is_file(),
            "{shown} is there and is not from an earlier demo: name another folder with --out"
        );
        fs::remove_dir_all(out).with_context(|| format!("{shown} cannot be removed"))?;
    }
    fs::create_dir_all(out)
        .and_then(|()| fs::write(out.join(MARK), "cargo xtask demo removes this folder\n"))
        .with_context(|| format!("{shown} cannot be made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_an_earlier_demo_are_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join(OUT);
        clear(&out).unwrap();
        fs::write(out.join("demo.0099.exr"), "").unwrap();
        clear(&out).unwrap();
        clear(&out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);

        let theirs = root.path().join("shots");
        fs::create_dir(&theirs).unwrap();
        clear(&theirs).unwrap();
        fs::remove_file(theirs.join(MARK)).unwrap();
        fs::write(theirs.join("plate.0001.exr"), "").unwrap();
        assert!(clear(&theirs).unwrap_err().to_string().contains("--out"));
        assert!(theirs.join("plate.0001.exr").is_file());
    }

    #[test]
    fn the_engine_is_that_of_the_bundle() {
        let root = tempfile::tempdir().unwrap();
        let bundle = root.path().join("WanAlpha.ofx.bundle");
        let system = bundle.join("Contents/Linux-x86-64");
        fs::create_dir_all(&system).unwrap();
        fs::create_dir_all(bundle.join("Contents/Resources")).unwrap();
        assert!(engine_of(&bundle).unwrap_err().to_string().contains("has no engine"));
        let engine = system.join(format!("wan-alpha{}", std::env::consts::EXE_SUFFIX));
        fs::write(&engine, "").unwrap();
        assert_eq!(engine_of(&bundle).unwrap(), engine);
    }
}

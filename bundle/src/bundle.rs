//! `cargo xtask bundle`: the folder that hosts load.
//!
//! What goes where is one description, [`BundleLayout`]; making it is copying, checking it is reading
//! the files. A bundle appears whole and checked, or not at all. What keeps it from running on every
//! system that it is meant for is measured, said, and written into it.

mod check;
mod elf;
pub(crate) mod layout;
mod libtorch;
pub(crate) mod make;
mod notices;
mod shell_help;
#[cfg(test)]
mod test_planted_faults;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::tree::Tree;
use crate::{cargo, setup};
use layout::{BundleLayout, BundleParts, EngineLibraries, FileSource, NAME, ONLY_HERE};

/// Where a bundle goes, and where `install` takes it from.
pub(crate) const PLACE: &str = "target/bundle";

/// Where one goes that is not optimized, which nobody should install by mistake.
const DEV_PLACE: &str = "target/bundle-dev";

/// The oldest glibc that the plug-in is linked for.
const PLUGIN_TARGET: &str = "x86_64-unknown-linux-gnu.2.28";

/// Read by the build script of the engine.
const RUN_PATH: &str = "WAN_ALPHA_BUILD_RUN_PATH";

#[derive(clap::Args)]
pub(crate) struct BundleOptions {
    /// Where the bundle goes. [default: target/bundle, and target/bundle-dev with `--profile dev`]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Bring CUDA's part of libtorch (3.1 GB).
    #[arg(long)]
    cuda: bool,
    /// Bring no libtorch: the engine uses this one, which must be of the same build.
    #[arg(long, value_name = "DIR", conflicts_with = "cuda")]
    system_libtorch: Option<PathBuf>,
    /// Bring this libstdc++.so.6, for systems whose own is too old for the engine.
    #[arg(long, value_name = "FILE")]
    libstdcxx: Option<PathBuf>,
    /// For others: refuse to make a bundle that runs on this machine only.
    #[arg(long)]
    release: bool,
    /// Link the plug-in with this machine's own linker and glibc. Quicker; for this machine only.
    #[arg(long, conflicts_with = "release")]
    without_zig: bool,
    /// How node and engine are compiled: `dev` shares its crates with the tests, and is soon compiled
    /// after them and slow. For this machine only.
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    profile: BuildProfile,
}

/// Those of cargo's profiles that a bundle is compiled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum BuildProfile {
    /// Optimized, as what is handed on.
    #[default]
    Release,
    /// As the tests are compiled.
    Dev,
}

impl BuildProfile {
    /// Its name for cargo, and for the command line here.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Where its bundles go when nothing is said.
    pub(crate) fn place(self) -> &'static Path {
        Path::new(match self {
            Self::Release => PLACE,
            Self::Dev => DEV_PLACE,
        })
    }
}

pub(crate) fn run(tree: &Tree, options: &BundleOptions) -> Result<ExitCode> {
    let layout = BundleLayout::here();
    ensure!(
        !(options.release && options.profile == BuildProfile::Dev),
        "--release is for others, and --profile dev for this machine: leave one of them out"
    );
    setup::ensure_for_bundle(tree, options.cuda, !options.without_zig)?;
    let plugin = build_plugin(tree, options)?;
    let engine = build_engine(tree, layout, options.profile)?;
    let parts = BundleParts {
        libraries: libraries(tree, options, &engine)?,
        c2pa: setup::c2pa_library(tree),
        only_here: known_reasons(options),
        plugin,
        engine,
        resources: tree.root().join("resources"),
        license: tree.root().join("LICENSE"),
        crates: notices::of_crates(tree)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let plist = parts.resources.join("Info.plist");
    let plist = fs::read_to_string(&plist)
        .with_context(|| format!("{} cannot be read", plist.display()))?;
    let draft = files_below(&parts.resources.join("draft-model"))?;
    let items = layout.items(&parts, &plist, &draft);
    let shared = items.iter().filter(|item| matches!(item.source, FileSource::Share(_))).count();

    let to = options.to.as_deref().unwrap_or_else(|| options.profile.place());
    let folder = tree.root().join(to);
    eprintln!("bundle: {} files, {shared} of them shared with set-up where possible", items.len());
    let (bundle, reasons) =
        make::make(&items, &folder, |new| examine(new, layout, &parts, options.release))?;
    println!("{}", tree.short(&bundle));
    let is_usual_place = folder == tree.root().join(PLACE);
    eprintln!("{}", closing_words(&folder, &reasons, draft.is_empty(), is_usual_place));
    Ok(ExitCode::SUCCESS)
}

fn build_plugin(tree: &Tree, options: &BundleOptions) -> Result<PathBuf> {
    let arguments = ["--profile", options.profile.name(), "--package", "wan-alpha-ofx"];
    if options.without_zig {
        return cargo::build_library(tree, &arguments, "wan_alpha_ofx");
    }
    let built = cargo::zig_build_library(
        tree,
        &setup::zig(tree),
        PLUGIN_TARGET,
        &arguments,
        "wan_alpha_ofx",
    );
    built.context(
        "the plug-in could not be linked for glibc 2.28 (`--without-zig` links it for this machine \
         only)",
    )
}

fn build_engine(tree: &Tree, layout: &BundleLayout, profile: BuildProfile) -> Result<PathBuf> {
    let name = profile.name();
    match profile {
        BuildProfile::Release => {
            let run_path = layout.run_path.map(|path| (RUN_PATH, path));
            let arguments = ["--profile", name, "--package", "wan-alpha"];
            cargo::build_with(tree, &arguments, "wan-alpha", run_path)
        }
        // The tests' own: a plain build looks beside itself first. Its crates have the features that the tests
        // want of them, one of which is therefore named: with others they would be compiled once more.
        BuildProfile::Dev => {
            let chosen = ["--workspace", "--bin", "wan-alpha", "--test", "threads"];
            cargo::build(tree, &[&["--profile", name], &chosen[..]].concat(), "wan-alpha")
        }
    }
}

fn libraries(tree: &Tree, options: &BundleOptions, engine: &Path) -> Result<EngineLibraries> {
    let built_with = setup::foreign_libtorch(tree).unwrap_or_else(|| tree.libtorch());
    if let Some(named) = &options.system_libtorch {
        ensure!(
            options.libstdcxx.is_none(),
            "--libstdcxx has no place beside --system-libtorch: the folder is the user's"
        );
        return libtorch::of_user(named, &built_with, engine).map(EngineLibraries::Users);
    }
    let mut files = libtorch::needed_by(engine, &built_with.join("lib"))?;
    if options.cuda {
        files = libtorch::with_all_of(files, &setup::cuda(tree).join("lib"))?;
    }
    if let Some(file) = &options.libstdcxx {
        ensure!(
            file.file_name().is_some_and(|name| name == "libstdc++.so.6"),
            "--libstdcxx {} must be a file of the name libstdc++.so.6, by which it is asked for",
            file.display()
        );
        files.push(file.clone());
    }
    Ok(EngineLibraries::Brought { files, build: libtorch::build(&built_with)? })
}

/// Why this bundle is for this machine only, as far as the options say.
fn known_reasons(options: &BundleOptions) -> Vec<String> {
    let own_linker = options
        .without_zig
        .then(|| "the plug-in was linked for this machine's own glibc (--without-zig)".to_owned());
    let users = options.system_libtorch.as_ref().map(|folder| {
        format!("the engine uses the libtorch in {} (--system-libtorch)", folder.display())
    });
    let slow = (options.profile == BuildProfile::Dev)
        .then(|| "node and engine are not optimized (--profile dev)".to_owned());
    own_linker.into_iter().chain(users).chain(slow).collect()
}

/// Every file below a folder, which may be absent, by its place in it.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(inside) = open.pop().filter(|inside| inside.is_dir()) {
        let entries = fs::read_dir(&inside)
            .with_context(|| format!("{} cannot be read", inside.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(place) = path.strip_prefix(folder) {
                files.push(place.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Checks a bundle before it takes its place, and marks it if it is for this machine only.
/// Returns the reasons for that.
fn examine(
    new: &Path,
    layout: &BundleLayout,
    parts: &BundleParts,
    release: bool,
) -> Result<Vec<String>> {
    let report = check::check(new, layout, &parts.version)?;
    eprint!("{report}");
    ensure!(
        report.faults.is_empty(),
        "the bundle is not fit for use:\n  {}",
        report.faults.join("\n  ")
    );
    let contents = new.join("Contents");
    let engine = contents.join(layout.engine());
    starts(&engine, &parts.version)?;
    shell_help::write(&contents, &engine)?;
    let mut reasons = parts.only_here.clone();
    reasons.extend(report.above_floor);
    if reasons.is_empty() {
        return Ok(reasons);
    }
    ensure!(
        !release,
        "--release: this bundle would run on this machine and its like only:\n  {}\nbundle/README.md \
         says how a release is built",
        reasons.join("\n  ")
    );
    let file = contents.join(ONLY_HERE);
    let text = format!(
        "This bundle was made for the machine that made it, and may not run on others:\n\n- {}\n",
        reasons.join("\n- ")
    );
    fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(reasons)
}

/// The engine finds its libraries with an empty environment, and is of the version it should be.
fn starts(engine: &Path, version: &str) -> Result<()> {
    let output = Command::new(engine)
        .arg("--version")
        .env_clear()
        .output()
        .with_context(|| format!("{} could not be started", engine.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.trim() != format!("wan-alpha {version}") {
        bail!(
            "{} --version said `{}` ({}), expected `wan-alpha {version}`; on standard error: {}",
            engine.display(),
            said.trim(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// `is_usual_place`: `install` takes its bundle from this folder, where nothing else is said.
fn closing_words(
    folder: &Path,
    reasons: &[String],
    no_draft: bool,
    is_usual_place: bool,
) -> String {
    let mut lines = vec!["the bundle is made and checked, and its engine starts".to_owned()];
    if no_draft {
        lines.push("no draft model is in it: resources/draft-model does not exist".to_owned());
    }
    if !reasons.is_empty() {
        lines.push("THIS MACHINE ONLY, because".to_owned());
        lines.extend(reasons.iter().map(|reason| format!("  {reason}")));
    }
    let from = match is_usual_place {
        true => String::new(),
        false => format!(" --from \"{}\"", folder.join(format!("{NAME}.bundle")).display()),
    };
    lines.push(format!(
        "install it with `cargo xtask install{from}`, or let a host find it where it is with \
         OFX_PLUGIN_PATH={}",
        folder.display()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests;

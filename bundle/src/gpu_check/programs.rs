//! What is checked: the engine of a bundle, of this checkout, or of a pack; the draft model that
//! comes with it; and a Python with torch.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::process::{Stop, run};
use super::{DRAFT_MODEL, GpuCheckOptions, pack};
use crate::bundle::layout::{BUILD_VERSION, BundleLayout};
use crate::tree::Tree;
use crate::{cargo, setup};

/// Of a Python that is asked what it has; a first import of torch reads gigabytes.
const ASKING: Duration = Duration::from_secs(90);

/// Says, as JSON, where torch and NVIDIA's libraries of a Python lie.
const QUESTION: &str = "
import json, os, sys
import torch
root = os.path.dirname(torch.__file__)
site = os.path.dirname(root)
folders = [os.path.join(root, 'lib')]
for inside, _, files in os.walk(os.path.join(site, 'nvidia')):
    if os.path.basename(inside) == 'lib' and any('.so' in file for file in files):
        folders.append(inside)
print(json.dumps({'version': torch.__version__, 'git': torch.version.git_version,
                  'folders': folders, 'python': sys.executable}))
";

/// The engine, models and Python that the check runs.
pub(super) struct CheckPrograms {
    /// Where they are from, in words for the report.
    pub(super) from: &'static str,
    pub(super) engine: PathBuf,
    pub(super) draft_model: PathBuf,
    /// Or why there is none.
    pub(super) python: Result<TorchPython, String>,
}

/// A Python with torch.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TorchPython {
    /// The path of the interpreter, as it says itself.
    #[serde(rename = "python")]
    pub(super) program: PathBuf,
    pub(super) version: String,
    git: String,
    /// Of torch's libraries, and of those that it asks for.
    folders: Vec<PathBuf>,
}

impl CheckPrograms {
    /// Finds, and in a checkout builds, what the options name. `scratch` is a folder for a pack's
    /// program, beside which its libraries have to lie.
    pub(super) fn of(options: &GpuCheckOptions, scratch: &Path, stop: &Stop) -> Result<Self> {
        let mut programs = Self::named(options, scratch, stop)?;
        // They are run elsewhere.
        for path in [&mut programs.engine, &mut programs.draft_model] {
            *path =
                path.canonicalize().with_context(|| format!("{} is missing", path.display()))?;
        }
        Ok(programs)
    }

    fn named(options: &GpuCheckOptions, scratch: &Path, stop: &Stop) -> Result<Self> {
        if let Some(pack) = &options.from {
            return of_pack(pack, options, scratch, stop);
        }
        let tree = Tree::find();
        let own = tree.as_ref().ok().map(|tree| tree.python().join("bin/python"));
        let python = find_python(options.python.as_deref(), own.as_deref(), stop);
        if let Some(bundle) = &options.bundle {
            return of_bundle(bundle, python);
        }
        let tree = tree?;
        let engine = match &options.engine {
            Some(engine) => engine.clone(),
            None => {
                setup::ensure_for_check(&tree)?;
                cargo::build(&tree, &["--release", "--package", "wan-alpha"], "wan-alpha")?
            }
        };
        let draft_model = tree.root().join(DRAFT_MODEL);
        Ok(Self { from: "a checkout", engine, draft_model, python })
    }
}

fn of_bundle(bundle: &Path, python: Result<TorchPython, String>) -> Result<CheckPrograms> {
    let contents = bundle.join("Contents");
    let layout = BundleLayout::here();
    let engine = contents.join(layout.binaries).join(layout.command);
    ensure!(
        engine.is_file(),
        "{} has no engine {}: it is no bundle of this plug-in for this system",
        bundle.display(),
        layout.command
    );
    let draft_model = contents.join("Resources/draft-model");
    Ok(CheckPrograms { from: "a bundle", engine, draft_model, python })
}

fn of_pack(
    pack: &Path,
    options: &GpuCheckOptions,
    scratch: &Path,
    stop: &Stop,
) -> Result<CheckPrograms> {
    ensure!(pack::is_pack(pack), "{} is no pack of `gpu-check --pack`", pack.display());
    let python = find_python(options.python.as_deref(), None, stop);
    let place = scratch.join("program");
    let engine = match &python {
        Ok(python) => lay_out(&pack.join(pack::BIN).join(pack::ENGINE), python, &place)
            .context("the pack's program cannot be laid out beside the libraries of torch")?,
        // It says itself what it lacks.
        Err(_) => pack.join(pack::BIN).join(pack::ENGINE),
    };
    let draft_model = pack.join("draft-model");
    Ok(CheckPrograms { from: "a pack", engine, draft_model, python })
}

/// The program, and beside it links to all libraries of a Python's torch: as in a bundle. Nothing is
/// written where that torch is.
fn lay_out(program: &Path, python: &TorchPython, place: &Path) -> Result<PathBuf> {
    let lib = place.join("lib");
    fs::create_dir_all(&lib)?;
    let copy = place.join(pack::ENGINE);
    fs::copy(program, &copy).with_context(|| format!("{} cannot be copied", program.display()))?;
    for folder in &python.folders {
        let entries =
            fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let link = lib.join(&name);
            if name.contains(".so") && !link.exists() {
                place_library(&path, &link)
                    .with_context(|| format!("{} cannot be linked", path.display()))?;
            }
        }
    }
    let build = format!("{}\n{}\n", python.version, python.git);
    fs::write(lib.join(BUILD_VERSION), build)?;
    Ok(copy)
}

/// The engine looks for the build of CUDA's half beside the file itself, wherever links lead: that
/// one has to be here, under a second name or as a copy.
fn place_library(library: &Path, link: &Path) -> std::io::Result<()> {
    let library = library.canonicalize()?;
    if link.file_name().is_some_and(|name| name == "libtorch_cuda.so") {
        return fs::hard_link(&library, link).or_else(|_| fs::copy(&library, link).map(|_| ()));
    }
    std::os::unix::fs::symlink(&library, link)
}

/// The Python that was named, else the one of the benchmarks where there is one, else the system's.
fn find_python(
    named: Option<&Path>,
    own: Option<&Path>,
    stop: &Stop,
) -> Result<TorchPython, String> {
    if let Some(named) = named {
        return ask(named, stop);
    }
    if let Some(own) = own.filter(|own| own.exists()) {
        return ask(own, stop);
    }
    ask(Path::new("python3"), stop)
}

fn ask(python: &Path, stop: &Stop) -> Result<TorchPython, String> {
    let mut command = Command::new(python);
    command.args(["-B", "-c", QUESTION]).stdin(Stdio::null());
    let asked = run(&mut command, ASKING, stop).map_err(|error| format!("{error:#}"))?;
    if !asked.end.is_success() {
        let words = asked.last_words();
        return Err(format!(
            "{} has no torch that can be used ({words}); --python names another one",
            python.display()
        ));
    }
    serde_json::from_str(&asked.stdout())
        .map_err(|error| format!("{} answered something else: {error}", python.display()))
}

/// Where results go when nothing is said.
pub(super) fn default_out() -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    match Tree::find() {
        Ok(tree) if here.starts_with(tree.root()) => tree.root().join("out/gpu-check"),
        _ => here.join("gpu-check"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn python_that(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("python");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_python_without_torch_is_told_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let stop = Stop::default();
        let bare = python_that(folder.path(), "echo \"No module named 'torch'\" >&2; exit 1");
        let told = find_python(Some(&bare), None, &stop).unwrap_err();
        assert!(told.contains("No module named") && told.contains("--python"), "{told}");
        let told = find_python(Some(Path::new("/absent/python")), None, &stop).unwrap_err();
        assert!(told.contains("/absent/python could not be started"), "{told}");
    }

    #[test]
    fn libraries_lie_beside_the_program_and_nothing_is_written_where_they_come_from() {
        let folder = tempfile::tempdir().unwrap();
        let torch = folder.path().join("site/torch/lib");
        let nvidia = folder.path().join("site/nvidia/cudnn/lib");
        for (lib, names) in [
            (&torch, &["libtorch_cuda.so", "libtorch_cpu.so", "notes.txt"][..]),
            (&nvidia, &["libcudnn.so.9"][..]),
        ] {
            fs::create_dir_all(lib).unwrap();
            names.iter().for_each(|name| fs::write(lib.join(name), name).unwrap());
        }
        let program = folder.path().join("wan-alpha");
        fs::write(&program, "program").unwrap();
        let python = TorchPython {
            program: "python3".into(),
            version: "2.11.0+cu130".to_owned(),
            git: "abc".to_owned(),
            folders: vec![torch.clone(), nvidia],
        };
        let place = folder.path().join("program");
        let copy = lay_out(&program, &python, &place).unwrap();
        assert_eq!(copy, place.join("wan-alpha"));
        let text = |name: &str| fs::read_to_string(place.join("lib").join(name)).unwrap();
        for name in ["libtorch_cuda.so", "libtorch_cpu.so", "libcudnn.so.9"] {
            assert_eq!(text(name), name);
        }
        assert_eq!(text(BUILD_VERSION), "2.11.0+cu130\nabc\n");
        assert!(!place.join("lib/notes.txt").exists());
        // Where this file really is, its build is named.
        let cuda = place.join("lib/libtorch_cuda.so").canonicalize().unwrap();
        assert!(cuda.with_file_name(BUILD_VERSION).exists());
        assert_eq!(fs::read_dir(&torch).unwrap().count(), 3);
    }

    #[test]
    fn what_is_no_bundle_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let none = Err("none".to_owned());
        let error = of_bundle(folder.path(), none).err().unwrap().to_string();
        assert!(error.contains("has no engine"), "{error}");
    }
}

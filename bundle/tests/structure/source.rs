//! The files of the workspace, parsed, and the targets that they are compiled into.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syn::{Attribute, Meta, Token};

/// Folders that hold no source of ours, beside those whose names begin with a dot.
const LEFT_OUT: [&str; 2] = ["target", "out"];

/// A checkout, read once. Paths are relative to its root.
pub(crate) struct Workspace {
    /// Every Rust file, whether a target reaches it or not.
    pub(crate) files: BTreeMap<PathBuf, Source>,
    /// What cargo would compile.
    pub(crate) targets: Vec<Target>,
}

/// One file, parsed without macros being expanded.
pub(crate) struct Source {
    /// Its syntax tree; spans know their lines.
    pub(crate) syntax: syn::File,
    /// Its number of lines.
    pub(crate) lines: usize,
}

/// One library, program, test, example or build script.
pub(crate) struct Target {
    /// The file that the compiler is given.
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// Reads every file below `root`, and asks cargo for the targets.
    pub(crate) fn read(root: &Path) -> Self {
        Self::with_targets(root, targets(root))
    }

    /// Reads every file below `root`, where no manifest is needed.
    pub(crate) fn with_targets(root: &Path, targets: Vec<Target>) -> Self {
        let mut files = BTreeMap::new();
        read_folder(root, root, &mut files);
        Self { files, targets }
    }
}

/// Adds the Rust files of a folder and of those in it.
fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Source>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !LEFT_OUT.contains(&name.as_str()) {
                read_folder(root, &path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let syntax = syn::parse_file(&text)
                .unwrap_or_else(|error| panic!("{} is not Rust: {error}", path.display()));
            let short = path.strip_prefix(root).unwrap().to_path_buf();
            files.insert(short, Source { syntax, lines: text.lines().count() });
        }
    }
}

/// The targets of all packages; nothing is resolved or fetched.
fn targets(root: &Path) -> Vec<Target> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(root).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata ended with {}:\n{said}", output.status);
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let folder = Path::new(metadata["workspace_root"].as_str().unwrap());
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for target in package["targets"].as_array().unwrap() {
            let path = Path::new(target["src_path"].as_str().unwrap());
            found.push(Target { root: path.strip_prefix(folder).unwrap().to_path_buf() });
        }
    }
    found
}

/// Whether a file is a test by where it lies; `tests/host` and its like serve tests alone.
pub(crate) fn among_tests(path: &Path) -> bool {
    path.iter().any(|part| part == "tests")
}

/// Whether an item is compiled for tests alone.
pub(crate) fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<Meta>().is_ok_and(|condition| asks_for_tests(&condition)))
    })
}

/// Whether a condition holds in tests alone: `test`, or `all` with it, or `any` of nothing else.
fn asks_for_tests(condition: &Meta) -> bool {
    let parts = || {
        let list = condition.require_list().ok()?;
        list.parse_args_with(syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated).ok()
    };
    if condition.path().is_ident("all") {
        parts().is_some_and(|parts| parts.iter().any(asks_for_tests))
    } else if condition.path().is_ident("any") {
        parts().is_some_and(|parts| parts.iter().all(asks_for_tests))
    } else {
        condition.path().is_ident("test")
    }
}

//! The licenses of all crates that the node and the command are built of, from what cargo knows of them
//! and the texts in their packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo;
use crate::tree::Tree;

/// What is in the bundle.
const PROGRAMS: [&str; 2] = ["wan-alpha", "wan-alpha-ofx"];

/// The system that bundles are made for: crates for others are not in it.
const SYSTEM: &str = "x86_64-unknown-linux-gnu";

/// How the names of files with licenses begin.
const NAMES: [&str; 6] = ["license", "licence", "copying", "notice", "unlicense", "copyright"];

/// Folders of a package that may hold such files.
const FOLDERS: [&str; 4] = ["", "licenses", "LICENSES", "license"];

/// One crate, as its package describes it.
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    license: &'a str,
    /// Where its source is kept.
    repository: &'a str,
    /// Texts of its licenses.
    texts: Vec<String>,
}

/// All notices as one text: a list of the crates, then each text once.
pub(super) fn of_crates(tree: &Tree) -> Result<String> {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", SYSTEM];
    let output = cargo::command(tree, arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cargo metadata could not be started")?;
    ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    written(&packages(&metadata)?)
}

/// The packages that the programs are linked of, other than our own, by name and version.
fn packages(metadata: &Value) -> Result<Vec<Package<'_>>> {
    let used = used(metadata);
    let all = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let ids = all.iter().filter(|package| !package["source"].is_null());
    let mut packages = Vec::new();
    for package in ids.filter(|package| text(package, "id").is_some_and(|id| used.contains(id))) {
        let manifest = text(package, "manifest_path").context("a package without a place")?;
        let folder = Path::new(manifest).parent().unwrap_or(Path::new("."));
        packages.push(Package {
            name: text(package, "name").unwrap_or_default(),
            version: text(package, "version").unwrap_or_default(),
            license: text(package, "license").unwrap_or("as its text says"),
            repository: text(package, "repository").unwrap_or("its package on crates.io"),
            texts: texts_in(folder)?,
        });
    }
    packages.sort_by_key(|package| (package.name, package.version));
    ensure!(!packages.is_empty(), "cargo metadata knows no crate that {PROGRAMS:?} is built of");
    Ok(packages)
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of[name].as_str()
}

/// Ids of all packages that code of the programs is from, without those for building and testing.
fn used(metadata: &Value) -> BTreeSet<&str> {
    let nodes = metadata["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let needs: BTreeMap<&str, Vec<&str>> = nodes
        .iter()
        .filter_map(|node| {
            let deps = node["deps"].as_array()?.iter().filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array();
                kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            });
            Some((
                text(node, "id")?,
                deps.filter_map(|dependency| text(dependency, "pkg")).collect(),
            ))
        })
        .collect();
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = packages.iter().filter(|package| {
        package["source"].is_null()
            && text(package, "name").is_some_and(|name| PROGRAMS.contains(&name))
    });
    let mut open: Vec<&str> = ours.filter_map(|package| text(package, "id")).collect();
    let mut used = BTreeSet::new();
    while let Some(id) = open.pop() {
        if used.insert(id) {
            open.extend(needs.get(id).into_iter().flatten());
        }
    }
    used
}

/// Texts of licenses in a package, each once.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for place in FOLDERS {
        // Most packages have no such folder.
        let entries = fs::read_dir(folder.join(place)).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let path = entry.path();
            let is_text = !name.ends_with(".rs") && !name.ends_with(".html");
            let inside = !place.is_empty() || NAMES.iter().any(|begin| name.starts_with(begin));
            if path.is_file() && is_text && inside {
                let bytes = fs::read(&path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
                found.insert(text.trim().to_owned());
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn written(packages: &[Package<'_>]) -> Result<String> {
    let mut out = format!(
        "The {} crates that WanAlpha.ofx and wan-alpha are built of, and their licenses.\n\
         Where a crate offers several, any of them may be chosen.\n\n",
        packages.len()
    );
    let mut below: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Package { name, version, license, repository, texts } in packages {
        let and = if texts.is_empty() { "; its package holds no text of it" } else { "" };
        out.push_str(&format!("{name} {version}: {license}; {repository}{and}\n"));
        for text in texts {
            below.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    let line = "=".repeat(80);
    for (text, names) in below {
        out.push_str(&format!("\n{line}\n{}:\n\n{text}\n", names.join(", ")));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_the_programs_is_named_with_its_license() {
        let tree = Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let text = of_crates(&tree).unwrap();
        let list = text.split("=====").next().unwrap();
        let named = |name: &str| list.lines().any(|line| line.starts_with(&format!("{name} ")));
        for name in ["clap", "tch", "torch-sys", "openfx-sys", "noto-sans-mono-bitmap"] {
            assert!(named(name), "{name} is not named");
        }
        // Ours, and what is for tests alone.
        for name in ["wan-alpha-core", "proptest", "html5ever", "assert_cmd"] {
            assert!(!named(name), "{name} is named");
        }
        let without = list.lines().filter(|line| line.ends_with("holds no text of it")).count();
        let all = list.lines().filter(|line| line.contains("; ")).count();
        assert!(all > 150 && without * 5 < all, "{without} of {all} have no text");
        assert!(text.contains("Permission is hereby granted, free of charge"));
    }

    #[test]
    fn the_notices_of_libtorch_are_those_of_the_pinned_wheel() {
        let pins = include_str!("../../pins/cpu.txt");
        let torch = pins.lines().find_map(|line| line.strip_prefix("torch==")).unwrap();
        let version = torch.split_whitespace().next().unwrap();
        let notices = include_str!("../../../resources/licences/libtorch-parts.txt");
        let first = notices.lines().next().unwrap();
        assert!(
            first.contains(&format!("PyTorch {version},")),
            "{first} is not of {version}: make it anew with resources/licences/of-wheel.py"
        );
        for part in ["third_party/fbgemm", "third_party/ideep/mkl-dnn", "third_party/cpuinfo"] {
            assert!(notices.contains(part), "{part}");
        }
    }
}

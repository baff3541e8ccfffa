//! What the documents name is there: files in backticks, and the targets of links.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that a path in a document may count from, besides the document's own.
const ROOTS: [&str; 6] = ["", "core", "take", "ofx-plugin", "bundle", "tests/host"];

/// First parts of what is meant as a path.
const FOLDERS: [&str; 9] = [
    "src/",
    "core/",
    "take/",
    "ofx-plugin/",
    "bundle/",
    "tests/",
    "resources/",
    "docs/",
    "findings/",
];

/// Folders that come with the first result that somebody adds.
const STILL_TO_COME: [&str; 1] = ["docs/gpu-checks/"];

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every document of ours.
fn documents() -> Vec<PathBuf> {
    let folders =
        ["", "docs", "bundle", "resources/draft-model", "resources/examples", "tests/data"];
    let files = folders.iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

/// Whether a name stands for many files, or for one that the reader makes.
fn is_pattern(path: &str) -> bool {
    path.contains(['*', '…', '<', '{']) || path.contains("NAME") || STILL_TO_COME.contains(&path)
}

/// What stands between two marks, as often as it does.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

#[test]
fn files_that_are_named_are_there() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let own = document.parent().unwrap();
        let is_there = |path: &str| {
            own.join(path).exists()
                || ROOTS.iter().any(|from| root().join(from).join(path).exists())
        };
        // Every other piece lies between backticks; a fence of three gives empty ones.
        let quoted = text.split('`').skip(1).step_by(2);
        let named = quoted.filter(|path| {
            FOLDERS.iter().any(|folder| path.starts_with(folder))
                && !path.contains(char::is_whitespace)
                && !is_pattern(path)
        });
        for path in named.filter(|path| !is_there(path)) {
            missing.push(format!("{}: `{path}`", document.display()));
        }
        let targets = between(&text, "](", ")").filter(|target| !target.contains("://"));
        for target in targets {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !own.join(path).exists() {
                missing.push(format!("{}: link to {target}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "documents name what is not there:\n{}", missing.join("\n"));
}

#[test]
fn the_front_page_stays_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 180, "README.md has {lines} lines, expected at most 180: move some to docs/");
}

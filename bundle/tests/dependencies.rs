//! What dependencies may be, read from `deny.toml`, so that it holds where `cargo-deny` is not
//! installed: licenses, exceptions, registries, and how many crates there are.
//!
//! `cargo deny check` reads the same file and checks more (advisories, yanked releases); it takes
//! longer to build than everything else here and is part of a release.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq};

/// Crates that the command may be built of, without those for building and testing.
const CRATES_OF_THE_COMMAND: usize = 250;
/// The same of the node: as many as at commit 7783599, after which they may only become fewer.
const CRATES_OF_THE_NODE: usize = 71;

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What cargo prints.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `deny.toml`.
fn rules() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

/// The strings of a list in a table.
fn strings(table: &toml::Value, name: &str) -> BTreeSet<String> {
    let list = table[name].as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The packages of the lock file on the platforms that `deny.toml` names, other than our own.
fn dependencies() -> Vec<Value> {
    let rules = rules();
    let targets = strings(&rules["graph"], "targets");
    let mut arguments = vec!["metadata", "--format-version", "1", "--locked", "--all-features"];
    for target in &targets {
        arguments.extend(["--filter-platform", target]);
    }
    let metadata: Value = serde_json::from_str(&cargo(&arguments)).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    packages.into_iter().filter(|package| !package["source"].is_null()).collect()
}

#[test]
fn licenses_are_those_that_are_allowed() {
    let rules = rules();
    let allowed = strings(&rules["licenses"], "allow");
    let exceptions: BTreeMap<String, BTreeSet<String>> = rules["licenses"]["exceptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|exception| {
            let name = exception["crate"].as_str().unwrap().to_owned();
            (name, strings(exception, "allow"))
        })
        .collect();
    let mut refused = Vec::new();
    let mut needed = BTreeSet::new();
    for package in dependencies() {
        let name = package["name"].as_str().unwrap();
        let Some(license) = package["license"].as_str() else {
            refused.push(format!("{name} names no license"));
            continue;
        };
        let expression = Expression::parse_mode(license, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name}: {license}: {error}"));
        let among =
            |list: &BTreeSet<String>, license: &LicenseReq| list.contains(&license.to_string());
        if expression.evaluate(|license| among(&allowed, license)) {
            continue;
        }
        let own = exceptions.get(name).cloned().unwrap_or_default();
        if expression.evaluate(|license| among(&allowed, license) || among(&own, license)) {
            needed.insert(name.to_owned());
        } else {
            refused.push(format!("{name}: {license}"));
        }
    }
    assert!(refused.is_empty(), "licenses that deny.toml does not allow: {refused:#?}");
    let unused: Vec<_> = exceptions.keys().filter(|name| !needed.contains(*name)).collect();
    assert!(unused.is_empty(), "exceptions in deny.toml that no crate needs: {unused:?}");
}

#[test]
fn crates_come_from_the_registry() {
    for package in dependencies() {
        let source = package["source"].as_str().unwrap();
        assert!(source.starts_with("registry+"), "{} comes from {source}", package["name"]);
    }
}

/// How many crates a package is built of by itself.
fn crates_of(package: &str) -> usize {
    let lines = cargo(&["tree", "-e", "normal", "--prefix", "none", "--no-dedupe", "-p", package]);
    let name = |line: &str| line.split(" (").next().unwrap_or_default().trim().to_owned();
    lines.lines().map(name).filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().len()
}

#[test]
fn dependencies_do_not_grow_unnoticed() {
    for (package, most) in
        [("wan-alpha", CRATES_OF_THE_COMMAND), ("wan-alpha-ofx", CRATES_OF_THE_NODE)]
    {
        let found = crates_of(package);
        assert!(
            found <= most,
            "{package} is built of {found} crates, expected at most {most}: look with `cargo tree \
             -e normal -p {package}` whether a new one is worth it"
        );
    }
}

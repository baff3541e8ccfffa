//! The script that checks the node in Nuke, against a module that plays as much of Nuke as it asks for.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wan_alpha_ofx::params::TABLE;

/// Runs the script in a host with something wrong; how it ends, and its report.
fn smoke(wrong: &str) -> (bool, Value) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let ids: Vec<_> = TABLE.iter().map(|parameter| parameter.id.to_str().unwrap()).collect();
    let output = Command::new("python3")
        .arg(here.join("../resources/hosts/nuke_smoke.py"))
        .arg(&report)
        .env("PYTHONPATH", here.join("tests/data/fake-hosts"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TMPDIR", folder.path())
        .env("FAKE_NUKE", wrong)
        .env("FAKE_NUKE_PARAMETERS", ids.join(","))
        .output()
        .unwrap();
    let text = std::fs::read(&report).unwrap_or_default();
    let complained = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{complained}"));
    (output.status.success(), report)
}

#[test]
fn the_script_for_nuke_passes_and_fails_where_it_should() {
    let (passed, report) = smoke("");
    assert!(passed && report["failed"] == 0, "{report:#}");
    assert_eq!((&report["host"], &report["version"]), (&"Nuke".into(), &"17.0v2".into()));
    assert_eq!(report["checks"].as_array().unwrap().len(), 6);
    for (wrong, check, says) in [
        ("class", "the node can be made", "Unknown command"),
        ("panel", "its panel has every parameter, once", "lacks ellipseCenter"),
        ("empty", "the take is in the middle, and transparent around", "0.2 was expected"),
        ("delivers", "a missing take fails the render in words", "did not fail"),
    ] {
        let (passed, report) = smoke(wrong);
        let checks = report["checks"].as_array().unwrap();
        let failed: Vec<_> = checks.iter().filter(|check| check["passed"] == false).collect();
        let found = failed.iter().find(|failed| failed["check"] == check);
        let found = found.unwrap_or_else(|| panic!("{report:#}"));
        assert!(!passed && found["found"].as_str().unwrap().contains(says), "{report:#}");
    }
}

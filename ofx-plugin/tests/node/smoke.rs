//! The scripts that check the node in Nuke and in Natron, against modules that play as much of these as
//! they ask for.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wan_alpha_ofx::params::TABLE;

/// Runs a script in a host with something wrong; how it ends, and its report.
fn smoke(script: &str, wrong: &str) -> (bool, Value) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let ids: Vec<_> = TABLE.iter().map(|parameter| parameter.id.to_str().unwrap()).collect();
    let output = Command::new("python3")
        .arg(here.join("../resources/hosts").join(script))
        .arg(&report)
        .env("PYTHONPATH", here.join("tests/data/fake-hosts"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TMPDIR", folder.path())
        .env("WAN_ALPHA_SMOKE_REPORT", &report)
        .env("FAKE_HOST", wrong)
        .env("FAKE_HOST_PARAMETERS", ids.join(","))
        .output()
        .unwrap();
    let text = std::fs::read(&report).unwrap_or_default();
    let complained = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{complained}"));
    (output.status.success(), report)
}

/// Runs a script in a host where nothing is wrong, then with one thing after the other, each of which
/// one check finds, in these words.
fn passes_and_fails(script: &str, name: [&str; 2], checks: usize, wrongs: &[[&str; 3]]) {
    let (passed, report) = smoke(script, "");
    assert!(passed && report["failed"] == 0, "{report:#}");
    assert_eq!([&report["host"], &report["version"]], name);
    assert_eq!(report["checks"].as_array().unwrap().len(), checks);
    for [wrong, check, says] in wrongs {
        let (passed, report) = smoke(script, wrong);
        let checks = report["checks"].as_array().unwrap();
        let failed: Vec<_> = checks.iter().filter(|check| check["passed"] == false).collect();
        let found = failed.iter().find(|failed| failed["check"] == *check);
        let found = found.unwrap_or_else(|| panic!("{report:#}"));
        assert!(!passed && found["found"].as_str().unwrap().contains(says), "{report:#}");
    }
}

#[test]
fn the_script_for_nuke_passes_and_fails_where_it_should() {
    passes_and_fails(
        "nuke_smoke.py",
        ["Nuke", "17.0v2"],
        6,
        &[
            ["class", "the node can be made", "Unknown command"],
            ["panel", "its panel has every parameter, once", "lacks ellipseCenter"],
            ["empty", "the take is in the middle, and transparent around", "0.2 was expected"],
            ["delivers", "a missing take fails the render in words", "did not fail"],
        ],
    );
}

#[test]
fn the_script_for_natron_passes_and_fails_where_it_should() {
    passes_and_fails(
        "natron_smoke.py",
        ["Natron", "2.5.0"],
        4,
        &[
            ["class", "the node can be made", "Natron knows no org.wanalpha.generator"],
            ["panel", "its panel has every parameter", "lacks ellipseCenter"],
            ["empty", "a render makes the take", "nothing is in flame.0001.png"],
            ["delivers", "a missing take fails the render", "frames were written"],
        ],
    );
}

//! What `wan-alpha model export --diffusers` writes, loaded by Diffusers itself: every part must load
//! without a tensor missing or left over, and compute what the authors' code computes.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BenchOutcome, BenchRow, THREADS, environment, example};
use crate::tree::Tree;
use crate::{cargo, setup};

/// The case that is exported, and what the authors' code computes with it.
const CASE: &str = "tests/data/t2v-euler";
const SCRIPT: &str = "bundle/bench/export_side.py";
/// The most that a part may differ by, of its largest number: both sides compute in float32.
const LIMIT: f64 = 1e-4;
/// What the script has to answer for.
const PARTS: [&str; 6] = ["dora", "encoder", "text_encoder", "transformer", "vae_alpha", "vae_rgb"];

/// What the script answers.
#[derive(Deserialize)]
struct ExportErrors {
    errors: BTreeMap<String, f64>,
    versions: Value,
}

/// One line of output.
#[derive(Serialize)]
struct ExportLine {
    bench: &'static str,
    export_s: f64,
    errors: BTreeMap<String, f64>,
    limit: f64,
    versions: Value,
}

pub(super) fn measure(tree: &Tree) -> Result<BenchOutcome> {
    let case = tree.root().join(CASE);
    ensure!(case.is_dir(), "{CASE} is missing: `git checkout -- {CASE}` brings it back");
    setup::ensure(tree)?;
    let python = environment::ensure(tree)?;
    let program = cargo::build(tree, &["--release", "--package", "wan-alpha"], "wan-alpha")?;
    let room = tempfile::tempdir().context("no folder for temporary files")?;
    let out = room.path().join("exported");
    let clock = Instant::now();
    let mut export = Command::new(&program);
    export.args(["--quiet", "model", "export"]).arg(case.join("model"));
    let status = export.arg("--diffusers").arg(&out).stdout(std::process::Stdio::null()).status();
    let status = status.with_context(|| format!("{} could not be started", program.display()))?;
    ensure!(status.success(), "the export failed ({status}; its own message is above)");
    let export_s = clock.elapsed().as_secs_f64();
    let mut script = Command::new(&python);
    script.arg(tree.root().join(SCRIPT)).arg(&out).arg(case.join("golden.safetensors"));
    let answer = example::answer(script.env("OMP_NUM_THREADS", THREADS.to_string()))?;
    BenchOutcome::new(&judge(answer, export_s)?, |line: &ExportLine| vec![line.row()])
}

/// Fails where Diffusers computes something else than it should.
fn judge(answer: ExportErrors, export_s: f64) -> Result<ExportLine> {
    let ExportErrors { errors, versions } = answer;
    let parts: Vec<&str> = errors.keys().map(String::as_str).collect();
    ensure!(parts == PARTS, "Diffusers has computed with {parts:?}, not with {PARTS:?}");
    for (part, error) in &errors {
        if error.is_nan() || *error > LIMIT {
            bail!(
                "Diffusers' {part} differs by {error:.1e} of its largest number: at most {LIMIT:.0e}"
            );
        }
    }
    Ok(ExportLine { bench: "export", export_s, errors, limit: LIMIT, versions })
}

impl ExportLine {
    fn row(&self) -> BenchRow {
        BenchRow {
            name: self.bench.to_owned(),
            ours_s: self.export_s,
            theirs_s: None,
            ratio: None,
            limit: None,
            to_before: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_must_be_there_and_right() {
        let all = || BTreeMap::from(PARTS.map(|part| (part.to_owned(), 1e-6)));
        let judged = |errors| judge(ExportErrors { errors, versions: Value::Null }, 0.5);
        let refusal = |errors| judged(errors).err().unwrap().to_string();
        assert_eq!(judged(all()).unwrap().errors.len(), PARTS.len());
        for wrong in [f64::NAN, 0.5] {
            let mut errors = all();
            errors.insert("dora".to_owned(), wrong);
            assert!(refusal(errors).contains("Diffusers' dora differs"));
        }
        let mut errors = all();
        errors.remove("vae_rgb");
        assert!(refusal(errors).contains("\"vae_alpha\"]"));
    }
}

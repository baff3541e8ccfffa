//! What the draft model draws of prompts and ellipses that it was not trained on, measured.
//!
//! Drawn clips are held out, a take is made of each one's caption and ellipses, and `wan-alpha eval
//! takes` tells how far it is from what was asked; `eval reconstruction` how well the autoencoder
//! gives the clips themselves back. A take that is there already is not made again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// What says how a model is used.
const RECORD: &str = "wan-alpha.json";
/// The same clips for every model.
const SEED: &str = "1";

/// What is judged, and how.
#[derive(Clone, Copy)]
pub(super) struct DraftJudge<'a> {
    pub(super) command: &'a Path,
    /// The folder of the model that is judged.
    pub(super) model: &'a Path,
    pub(super) prompts: u32,
    /// Which drawn clips are asked for, by the edition's number.
    pub(super) edition: u64,
    /// The language of the prompts, `en` or `zh`.
    pub(super) language: &'static str,
    /// Width, height and frames, in place of the model's own.
    pub(super) shape: Option<[u64; 3]>,
    /// Steps of sampling, in place of the model's own.
    pub(super) steps: Option<u32>,
    /// μ, in place of the node's default.
    pub(super) mu: Option<f64>,
    /// Whether the autoencoder is measured too.
    pub(super) autoencoder: bool,
    pub(super) device: &'a str,
}

/// One prompt, with what is known of the clip that it describes.
struct AskedClip {
    clip: String,
    caption: String,
    labels: Vec<(String, String)>,
}

/// Both reports, as `wan-alpha eval --json` leaves them; null for one that was not asked for.
pub(super) struct EvalReports {
    pub(super) takes: Value,
    pub(super) reconstruction: Value,
}

impl EvalReports {
    /// A mean over the takes.
    pub(super) fn takes(&self, name: &str) -> Option<f64> {
        self.takes["summary"][name]["value"].as_f64()
    }

    /// A mean over the clips that were given back.
    pub(super) fn reconstruction(&self, name: &str) -> Option<f64> {
        self.reconstruction["summary"][name]["value"].as_f64()
    }
}

impl DraftJudge<'_> {
    /// Makes the takes and both reports. Everything goes into `out`: `asked`, `takes`, reports.
    pub(super) fn run(&self, out: &Path) -> Result<EvalReports> {
        fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
        let asked = out.join("asked");
        if !asked.join("table.csv").is_file() {
            let [width, height, frames] = self.shape.map_or_else(|| self.own_shape(), Ok)?;
            let mut draw = Command::new(self.command);
            draw.args(["data", "procedural", "--held-out", "--seed", SEED]);
            draw.args(["--size", &format!("{width}x{height}"), "--frames", &frames.to_string()]);
            draw.args(["--edition", &self.edition.to_string(), "--language", self.language]);
            draw.args(["--count", &self.prompts.to_string(), "--out"]).arg(&asked);
            finish(&mut draw, "drawing what is held out")?;
        }
        let rows = rows(&asked.join("table.csv"), self.edition)?;
        let begun = Instant::now();
        let mut lines = Vec::new();
        let mut made = 0;
        for (index, row) in rows.iter().enumerate() {
            let folder = out.join("takes").join(&row.clip);
            let track = asked.join(&row.clip).join("track.json");
            if !folder.join("take.json").is_file() {
                let mut render = self.render(row, &track, index, &folder);
                finish(&mut render, &format!("take {} of {}", index + 1, rows.len()))?;
                made += 1;
            }
            lines.push(line(row, &folder, &track)?.to_string());
        }
        if made > 0 {
            println!("{made} takes, {:.1} s each", begun.elapsed().as_secs_f64() / f64::from(made));
        }
        let table = out.join("asked.jsonl");
        let text = lines.join("\n") + "\n";
        fs::write(&table, text).with_context(|| format!("cannot write {}", table.display()))?;
        let mut takes = Command::new(self.command);
        takes.args(["eval", "takes", "--asked"]).arg(&table);
        let takes = report(&mut takes, out, "takes")?;

        if !self.autoencoder {
            return Ok(EvalReports { takes, reconstruction: Value::Null });
        }
        let mut given_back = Command::new(self.command);
        given_back.args(["eval", "reconstruction"]);
        given_back.args(rows.iter().take(RECONSTRUCTED).map(|row| asked.join(&row.clip)));
        given_back.arg("--model").arg(self.model).args(["--device", self.device]);
        let reconstruction = report(&mut given_back, out, "reconstruction")?;
        Ok(EvalReports { takes, reconstruction })
    }

    /// Width, height and frames that the model is used at.
    fn own_shape(&self) -> Result<[u64; 3]> {
        let file = self.model.join(RECORD);
        let read = || -> Result<[u64; 3]> {
            let record: Value = serde_json::from_slice(&fs::read(&file)?)?;
            let get = |name: &str| {
                record["defaults"][name].as_u64().with_context(|| format!("no default {name}"))
            };
            Ok([get("width")?, get("height")?, get("frames")?])
        };
        read().with_context(|| format!("cannot read {}", file.display()))
    }

    fn render(&self, row: &AskedClip, track: &Path, index: usize, folder: &Path) -> Command {
        let mut render = Command::new(self.command);
        render.args(["render", "--prompt", &row.caption, "--seed", &index.to_string()]);
        render.arg("--model").arg(self.model).arg("--ellipse-track").arg(track);
        render
            .args(["--no-store", "--format", "png", "--device", self.device, "--out"])
            .arg(folder);
        if let Some(mu) = self.mu {
            render.args(["--mu", &mu.to_string()]);
        }
        if let Some([width, height, frames]) = self.shape {
            render.args(["--width", &width.to_string(), "--height", &height.to_string()]);
            render.args(["--frames", &frames.to_string()]);
        }
        if let Some(steps) = self.steps {
            render.args(["--steps", &steps.to_string()]);
        }
        render
    }
}

/// Runs a measurement that leaves its report in `out`, and reads it.
fn report(command: &mut Command, out: &Path, name: &str) -> Result<Value> {
    let json = out.join(format!("{name}.json"));
    command.arg("--json").arg(&json);
    command.arg("--html").arg(out.join(format!("{name}.html")));
    let status = command.status().with_context(|| format!("{name} could not be measured"))?;
    ensure!(status.success(), "{name} could not be measured: {status}");
    let read = || -> Result<Value> { Ok(serde_json::from_slice(&fs::read(&json)?)?) };
    read().with_context(|| format!("cannot read {}", json.display()))
}

/// Clips that are given back by the autoencoder.
const RECONSTRUCTED: usize = 32;

/// Runs to the end without a word, unless it fails.
fn finish(command: &mut Command, what: &str) -> Result<()> {
    eprint!("\r{what}\x1b[K");
    let _ = std::io::stderr().flush();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: the command could not be started"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}: {}", output.status, words.trim());
    eprint!("\r\x1b[K");
    Ok(())
}

/// As `eval takes --asked` reads it.
fn line(row: &AskedClip, folder: &Path, track: &Path) -> Result<Value> {
    let read = || -> Result<Value> { Ok(serde_json::from_slice(&fs::read(track)?)?) };
    let ellipses = read().with_context(|| format!("cannot read {}", track.display()))?;
    let labels: serde_json::Map<_, _> =
        row.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    Ok(json!({
        "folder": folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
        "prompt": row.caption,
        "labels": labels,
        "ellipse": ellipses,
    }))
}

/// The rows of a drawn set. From the second edition on, half of the prompts are the short captions: the
/// subject alone, as people type it.
fn rows(table: &Path, edition: u64) -> Result<Vec<AskedClip>> {
    let read = || -> Result<Vec<AskedClip>> {
        let mut reader = csv::Reader::from_path(table)?;
        let names = reader.headers()?.clone();
        let column = |name: &str| {
            names
                .iter()
                .position(|there| there == name)
                .with_context(|| format!("no column {name}"))
        };
        let (clip, caption, labels) = (column("colour")?, column("caption")?, column("labels")?);
        let short = column("caption_short")?;
        let row = |(number, record): (usize, csv::Result<csv::StringRecord>)| -> Result<AskedClip> {
            let record = record?;
            let caption = if edition > 1 && number % 2 == 1 { short } else { caption };
            let get = |column: usize| record.get(column).unwrap_or_default().to_owned();
            let label = |pair: &str| {
                let (name, value) = pair.split_once('=')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            };
            let labels = get(labels).split(';').filter_map(label).collect();
            Ok(AskedClip { clip: get(clip), caption: get(caption), labels })
        };
        reader.records().enumerate().map(row).collect()
    };
    read().with_context(|| format!("cannot read {}", table.display()))
}

/// Where the takes and the reports of a judgment go.
pub(super) fn folder(out: &Path, edition: u64, mu: Option<f64>) -> PathBuf {
    let mu = mu.map_or(String::new(), |mu| format!("-mu-{mu}"));
    out.join(format!("judged-edition-{edition}{mu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_drawn_set_become_lines_that_eval_reads() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("table.csv");
        let text = "colour,caption,caption_short,kind,labels\n\
                    clip-0,\"Smoke, thin. It rises.\",smoke,moving,colour=red; kind=smoke\n\
                    clip-1,\"A ball. It sinks.\",a ball,moving,colour=red; kind=ball\n";
        fs::write(&table, text).unwrap();
        let prompts = |edition| -> Vec<String> {
            rows(&table, edition).unwrap().into_iter().map(|row| row.caption).collect()
        };
        assert_eq!(prompts(1), ["Smoke, thin. It rises.", "A ball. It sinks."]);
        assert_eq!(prompts(2), ["Smoke, thin. It rises.", "a ball"]);
        let rows = rows(&table, 1).unwrap();
        assert_eq!((rows.len(), rows[0].clip.as_str()), (2, "clip-0"));
        let track = folder.path().join("track.json");
        fs::write(&track, r#"[{"x":0.5,"y":0.25,"a":0.3,"b":0.3,"angle":0}]"#).unwrap();
        let line = line(&rows[0], folder.path(), &track).unwrap();
        assert_eq!(line["labels"], json!({ "colour": "red", "kind": "smoke" }));
        assert_eq!(line["prompt"], "Smoke, thin. It rises.");
        assert_eq!(line["ellipse"][0]["y"], 0.25);
    }
}

//! What each of the paper's three ideas does (table 3, figure 7): short runs without them.
//!
//! Each row trains an RGBA autoencoder and a transformer of its own, 64×64 and 9 frames, from the
//! draft model's base ones, and is judged as the draft model is; without the mean sampler it is the
//! transformer alone. A run that is there goes on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use toml::Table;

use super::judge::{DraftJudge, EvalReports};
use super::train;

/// A row of the table.
struct AblationRow {
    name: &'static str,
    rendering: bool,
    bidirectional: bool,
    mean_sampler: bool,
    /// Whose autoencoder it is, if not its own.
    shares: Option<&'static str>,
}

/// As table 3 and figure 7 have them: one idea less in each row.
const ROWS: [AblationRow; 4] = [
    AblationRow {
        name: "all",
        rendering: true,
        bidirectional: true,
        mean_sampler: true,
        shares: None,
    },
    AblationRow {
        name: "no-mean-sampler",
        rendering: true,
        bidirectional: true,
        mean_sampler: false,
        shares: Some("all"),
    },
    AblationRow {
        name: "rendering-only",
        rendering: true,
        bidirectional: false,
        mean_sampler: false,
        shares: None,
    },
    AblationRow {
        name: "none",
        rendering: false,
        bidirectional: false,
        mean_sampler: false,
        shares: None,
    },
];

/// Stages that a row runs; what they start from is the draft model's.
const AUTOENCODER: &str = "5-rgba";
const TRANSFORMER: &str = "6-transformer";
const SIDE: i64 = 64;
const FRAMES: i64 = 9;
/// Steps of both: eight minutes on two cores at most.
const AUTOENCODER_STEPS: i64 = 240;
const TRANSFORMER_STEPS: i64 = 400;
const POOL: i64 = 480;

/// What all rows share.
pub(super) struct Ablation<'a> {
    pub(super) command: &'a Path,
    /// Settings of the stages.
    pub(super) stages: &'a Path,
    /// The draft model's runs, and the table's folder among them.
    pub(super) out: &'a Path,
    /// What a request leaves out.
    pub(super) defaults: &'a Path,
    pub(super) prompts: u32,
    pub(super) device: &'a str,
}

impl Ablation<'_> {
    /// Trains and judges every row, and leaves `ablations/table.md`.
    pub(super) fn run(&self) -> Result<()> {
        let folder = self.out.join("ablations");
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let defaults = folder.join("defaults.json");
        write(&defaults, &self.defaults()?.to_string())?;
        let mut text = HEAD.to_owned();
        for row in &ROWS {
            println!("\n{}:", row.name);
            let begun = Instant::now();
            let measured = self.row(row, &folder, &defaults)?;
            println!("{}: {:.1} minutes", row.name, begun.elapsed().as_secs_f64() / 60.0);
            text += &line(row, &measured);
        }
        let table = folder.join("table.md");
        write(&table, &text)?;
        println!("\n{text}\nthe table is in {}", table.display());
        Ok(())
    }

    fn row(&self, row: &AblationRow, folder: &Path, defaults: &Path) -> Result<EvalReports> {
        let own = folder.join(row.name);
        let autoencoder = folder.join(row.shares.unwrap_or(row.name)).join(AUTOENCODER);
        if row.shares.is_none() {
            let settings = self.settings(AUTOENCODER, |task| {
                task.insert("rendering".to_owned(), row.rendering.into());
                if !row.bidirectional {
                    task.insert("bidirectional".to_owned(), 0.0.into());
                }
            })?;
            self.train(&settings, &autoencoder, AUTOENCODER_STEPS)?;
        }
        let transformer = own.join(TRANSFORMER);
        let settings = self.settings(TRANSFORMER, |task| {
            let files = toml::Value::from(vec![autoencoder.join("model").display().to_string()]);
            task.insert("encoder".to_owned(), files.clone());
            task.insert("decoders".to_owned(), files);
            if !row.mean_sampler {
                task.insert("mu".to_owned(), 0.0.into());
            }
        })?;
        self.train(&settings, &transformer, TRANSFORMER_STEPS)?;
        let model = own.join("model");
        if !model.is_dir() {
            let tokenizer = self.out.join("1-tokenizer/model");
            let parts = [&tokenizer, &autoencoder.join("model"), &transformer.join("model")];
            super::pack(self.command, &parts, defaults, &model)?;
        }
        let judge = DraftJudge {
            command: self.command,
            model: &model,
            prompts: self.prompts,
            edition: self.edition()?,
            language: "en",
            shape: None,
            steps: None,
            mu: (!row.mean_sampler).then_some(0.0),
            autoencoder: true,
            device: self.device,
        };
        judge.run(&own.join("judged"))
    }

    /// The edition of drawn clips that the transformers are trained on.
    fn edition(&self) -> Result<u64> {
        let mut settings = read(&self.stages.join(format!("{TRANSFORMER}.toml")))?;
        let said = table(&mut settings, "data").and_then(|data| data.get("edition")?.as_integer());
        Ok(said.and_then(|said| u64::try_from(said).ok()).unwrap_or(1))
    }

    /// A stage's settings, shortened, with paths that hold from anywhere.
    fn settings(&self, stage: &str, change: impl FnOnce(&mut Table)) -> Result<Table> {
        let file = self.stages.join(format!("{stage}.toml"));
        let mut settings = read(&file)?;
        let missing = || format!("{} has no such table", file.display());
        let task = table(&mut settings, "task").with_context(missing)?;
        for value in task.iter_mut().filter(|(name, _)| PATHS.contains(&name.as_str())) {
            absolute(value.1, self.out);
        }
        change(task);
        let data = table(&mut settings, "data").with_context(missing)?;
        data.remove("shapes");
        for (name, value) in [("height", SIDE), ("width", SIDE), ("frames", FRAMES)] {
            data.insert(name.to_owned(), value.into());
        }
        if let Some(pool) = data.get_mut("pool") {
            *pool = POOL.into();
        }
        Ok(settings)
    }

    fn train(&self, settings: &Table, out: &Path, steps: i64) -> Result<()> {
        let mut settings = settings.clone();
        settings.insert("steps".to_owned(), steps.into());
        let file = out.with_extension("toml");
        let folder = out.parent().unwrap_or(out);
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        write(&file, &toml::to_string(&settings).context("settings cannot be written")?)?;
        let status = train(self.command, &file, out, self.device, None)?;
        ensure!(status.success(), "{} did not end well: {status}", out.display());
        Ok(())
    }

    /// The draft model's, at the size of these runs.
    fn defaults(&self) -> Result<Value> {
        let text = fs::read(self.defaults)
            .with_context(|| format!("cannot read {}", self.defaults.display()))?;
        let mut defaults: Value = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no JSON", self.defaults.display()))?;
        for (name, value) in [("width", SIDE), ("height", SIDE), ("frames", FRAMES)] {
            defaults[name] = json!(value);
        }
        Ok(defaults)
    }
}

/// Settings of a task that are files of other runs.
const PATHS: [&str; 8] =
    ["base", "text_base", "tokenizer", "encoder", "decoders", "dit", "text", "start"];

fn absolute(value: &mut toml::Value, folder: &Path) {
    match value {
        toml::Value::String(path) => *path = folder.join(&*path).display().to_string(),
        toml::Value::Array(paths) => paths.iter_mut().for_each(|path| absolute(path, folder)),
        _ => {}
    }
}

fn table<'a>(settings: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    settings.get_mut(name)?.as_table_mut()
}

fn read(file: &Path) -> Result<Table> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.parse().with_context(|| format!("{} is no TOML", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

const HEAD: &str = "\
| rendering | bidirectional | mean sampler | color PSNR | alpha PSNR | color SSIM | alpha SSIM | \
holes | leak | off center | right color |
|---|---|---|---|---|---|---|---|---|---|---|
";

fn line(row: &AblationRow, measured: &EvalReports) -> String {
    let mut line = String::new();
    for idea in [row.rendering, row.bidirectional, row.mean_sampler] {
        line += if idea { "| yes " } else { "| – " };
    }
    let cell = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    for (name, digits) in
        [("colour_psnr", 2), ("alpha_psnr", 2), ("colour_ssim", 3), ("alpha_ssim", 3)]
    {
        let _ = write!(line, "| {} ", cell(measured.reconstruction(name), digits));
    }
    for (name, digits) in [("holes", 4), ("leak", 4), ("centre_distance", 3)] {
        let _ = write!(line, "| {} ", cell(measured.takes(name), digits));
    }
    let _ = writeln!(line, "| {} % |", cell(measured.takes("colour_right"), 0));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_short_run_of_the_stage_from_the_draft_models_parts() {
        let tree = crate::tree::Tree::find().unwrap();
        let stages = tree.root().join(super::super::STAGES);
        let out = std::path::PathBuf::from("/runs");
        let ablation = Ablation {
            command: Path::new("wan-alpha"),
            stages: &stages,
            out: &out,
            defaults: &stages.join(super::super::DEFAULTS),
            prompts: 1,
            device: "cpu",
        };
        let settings = ablation
            .settings(AUTOENCODER, |task| {
                task.insert("rendering".to_owned(), false.into());
            })
            .unwrap();
        assert_eq!(settings["task"]["base"][0].as_str(), Some("/runs/3-clips/model"));
        assert_eq!(settings["task"]["rendering"].as_bool(), Some(false));
        assert_eq!(settings["task"]["kind"].as_str(), Some("rgba-vae"));
        assert_eq!(settings["data"]["width"].as_integer(), Some(SIDE));
        let settings = ablation.settings(TRANSFORMER, |_| {}).unwrap();
        assert_eq!(settings["data"]["pool"].as_integer(), Some(POOL));
        assert_eq!(ablation.edition().unwrap(), 1);
        assert_eq!(ablation.defaults().unwrap()["frames"], FRAMES);
    }

    #[test]
    fn a_row_of_the_table_has_every_column() {
        let summary = |name: &str, value: f64| json!({"summary": {name: {"value": value}}});
        let measured = EvalReports {
            takes: summary("colour_right", 81.3),
            reconstruction: summary("alpha_psnr", 30.126),
        };
        let line = line(&ROWS[2], &measured);
        assert!(line.starts_with("| yes | – | – | – | 30.13 |"), "{line}");
        assert!(line.ends_with("| 81 % |\n"), "{line}");
        let columns = |line: &str| line.matches('|').count();
        assert!(HEAD.lines().all(|head| columns(head) == columns(&line)));
    }
}

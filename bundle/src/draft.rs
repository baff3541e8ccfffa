//! `cargo xtask draft`: trains the draft model from nothing, stage after stage, and packs it.
//!
//! The stages are the TOML files of `resources/draft-training`, in the order of their names; each run
//! has a folder of that name beside a copy of its settings, which is where the next ones find it. A
//! run that was stopped goes on, so that the same command goes on with all of them.

mod ablate;
mod judge;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::tree::Tree;
use crate::{cargo, exit_code, setup};

/// Settings of the stages.
const STAGES: &str = "resources/draft-training";
/// What the model does where a request is silent.
const DEFAULTS: &str = "defaults.json";
const OUT: &str = "out/draft";
/// The model that ships.
const SHIPPED: &str = "resources/draft-model";
const NAME: &str = "draft";
/// Steps of a stage of the smoke version, at most: all of the path, nothing to look at.
const SMOKE_STEPS: u64 = 3;

#[derive(clap::Args)]
pub(crate) struct DraftOptions {
    /// Where the runs and the packed model go.
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Every stage for a few steps only: proves the way, draws nothing.
    #[arg(long)]
    smoke: bool,
    /// Train nothing: make takes of prompts and ellipses that were held out, and measure them.
    #[arg(long, conflicts_with = "smoke")]
    judge: bool,
    /// Train short runs without the rendering losses, the bidirectional loss and the mean sampler,
    /// and measure them alike.
    #[arg(long, conflicts_with_all = ["smoke", "judge"])]
    ablate: bool,
    /// How many takes are measured, with --judge [default: 128] or --ablate [default: 32].
    #[arg(long, value_name = "N")]
    prompts: Option<u32>,
    /// The drawn clips that are asked for, with --judge: 1, eight kinds; 2, ten, as a draft model is
    /// judged by.
    #[arg(long, value_name = "N", requires = "judge", default_value_t = 2)]
    edition: u64,
    /// A folder of stages and of defaults.json; given again, stages that go on from those before, and
    /// the last one's defaults count.
    #[arg(long, value_name = "DIR", default_value = STAGES)]
    stages: Vec<PathBuf>,
    /// μ in place of the node's default, with --judge.
    #[arg(long, requires = "judge")]
    mu: Option<f64>,
    /// The model to judge [default: the packed one, or else the one that ships].
    #[arg(long, value_name = "DIR", requires = "judge")]
    model: Option<PathBuf>,
    /// What to compute with: auto, cpu, cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(crate) fn run(tree: &Tree, options: &DraftOptions) -> Result<ExitCode> {
    ensure!(
        options.prompts.is_none() || options.judge || options.ablate,
        "--prompts counts takes that are measured: give --judge or --ablate with it"
    );
    setup::ensure(tree)?;
    let built = cargo::build(tree, &["--release", "--package", "wan-alpha"], "wan-alpha")?;
    let out = tree.root().join(&options.out);
    fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    let command = kept(&built, &out)?;
    if options.judge {
        return judge(tree, &command, &out, options);
    }
    let folders: Vec<PathBuf> =
        options.stages.iter().map(|folder| tree.root().join(folder)).collect();
    let stages = stages(&folders)?;
    let folder = folders.last().context("--stages: no folder")?;
    if options.ablate {
        let ablation = ablate::Ablation {
            command: &command,
            stages: folder,
            out: &out,
            defaults: &folder.join(DEFAULTS),
            prompts: options.prompts.unwrap_or(32),
            device: &options.device,
        };
        return ablation.run().map(|()| ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    for (name, file) in &stages {
        println!("\n{name}:");
        let settings = out.join(format!("{name}.toml"));
        fs::copy(file, &settings)
            .with_context(|| format!("{} cannot be written", settings.display()))?;
        let steps = options.smoke.then(|| smoke_steps(file)).transpose()?;
        let status = train(&command, &settings, &out.join(name), &options.device, steps)?;
        if !status.success() {
            eprintln!("{name} did not end well; the same command goes on with it");
            return Ok(exit_code(status));
        }
    }
    let packed = out.join("model");
    pack(&command, &parts(&out, &stages)?, &folder.join(DEFAULTS), &packed)?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{minutes:.0} minutes; the model is in {}", packed.display());
    Ok(ExitCode::SUCCESS)
}

/// A copy of the built command for as long as this takes: whoever makes a bundle meanwhile replaces the
/// built one by one that looks for libtorch beside itself.
fn kept(built: &Path, out: &Path) -> Result<PathBuf> {
    let command = out.join(built.file_name().unwrap_or(built.as_os_str()));
    let copy = || -> std::io::Result<()> {
        let new = command.with_extension("new");
        fs::copy(built, &new)?;
        fs::rename(&new, &command)
    };
    copy().with_context(|| format!("{} cannot be written", command.display()))?;
    Ok(command)
}

/// Runs a stage, or goes on with it.
fn train(
    command: &Path,
    settings: &Path,
    out: &Path,
    device: &str,
    steps: Option<u64>,
) -> Result<ExitStatus> {
    let mut train = Command::new(command);
    train.arg("train").arg(settings).arg("--out").arg(out).args(["--device", device]);
    if let Some(steps) = steps {
        train.args(["--steps", &steps.to_string()]);
    }
    train.status().with_context(|| format!("{} could not be started", out.display()))
}

/// Makes one folder of parts that lie in several; what is there is replaced.
fn pack(command: &Path, parts: &[impl AsRef<Path>], defaults: &Path, packed: &Path) -> Result<()> {
    if packed.exists() {
        fs::remove_dir_all(packed)
            .with_context(|| format!("{} cannot be replaced", packed.display()))?;
    }
    let mut pack = Command::new(command);
    pack.args(["model", "pack", NAME, "--transparent"]).args(parts.iter().map(AsRef::as_ref));
    pack.arg("--defaults").arg(defaults).arg("--out").arg(packed);
    let status = pack.status().context("the model could not be packed")?;
    ensure!(status.success(), "the model could not be packed: {status}");
    Ok(())
}

fn judge(tree: &Tree, command: &Path, out: &Path, options: &DraftOptions) -> Result<ExitCode> {
    let packed = out.join("model");
    let model = match &options.model {
        Some(model) => tree.root().join(model),
        None if packed.is_dir() => packed,
        None => tree.root().join(SHIPPED),
    };
    ensure!(
        model.is_dir(),
        "there is no model in {}: `cargo xtask draft` trains one",
        model.display()
    );
    let folder = judge::folder(out, options.edition, options.mu);
    let own = judge::DraftJudge {
        command,
        model: &model,
        prompts: options.prompts.unwrap_or(128),
        edition: options.edition,
        language: "en",
        shape: None,
        steps: None,
        mu: options.mu,
        // It knows nothing of μ.
        autoencoder: options.mu.is_none(),
        device: &options.device,
    };
    if options.mu.is_some() {
        own.run(&folder)?;
    } else {
        verdict::Judgments::of(own, &folder)?.write(&folder)?;
    }
    println!("reports are in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Names and settings, in order: folder after folder, each by the numbers that its names begin with.
fn stages(folders: &[PathBuf]) -> Result<Vec<(String, PathBuf)>> {
    let mut stages = Vec::new();
    for folder in folders {
        let numbered =
            stages_of(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for (_, name, path) in numbered {
            ensure!(
                stages.iter().all(|(other, _)| *other != name),
                "two folders of --stages have a stage {name}; its results have one place"
            );
            stages.push((name, path));
        }
    }
    Ok(stages)
}

/// Numbers, names and settings of a folder's stages, by number.
fn stages_of(folder: &Path) -> Result<Vec<(u32, String, PathBuf)>> {
    let mut stages = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            let number = name.split('-').next().and_then(|number| number.parse().ok());
            let number = number
                .with_context(|| format!("{name}.toml: its name must begin with a number"))?;
            stages.push((number, name.to_owned(), path));
        }
    }
    stages.sort();
    ensure!(!stages.is_empty(), "there are no stages in it");
    Ok(stages)
}

/// A tokenizer needs all of its captions.
fn smoke_steps(settings: &Path) -> Result<u64> {
    let text = fs::read_to_string(settings)
        .with_context(|| format!("cannot read {}", settings.display()))?;
    let settings: toml::Table =
        text.parse().with_context(|| format!("{} is no TOML", settings.display()))?;
    let steps = settings.get("steps").and_then(toml::Value::as_integer).unwrap_or_default();
    let kind = settings.get("task").and_then(|task| task.get("kind")?.as_str());
    let steps = u64::try_from(steps).unwrap_or_default();
    Ok(if kind == Some("tokenizer") { steps } else { steps.min(SMOKE_STEPS) })
}

/// The results that make up the model: of a file that several stages leave, the last one's.
fn parts(out: &Path, stages: &[(String, PathBuf)]) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::<PathBuf>::new();
    for (name, _) in stages {
        let folder = out.join(name).join("model");
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            parts.retain(|part| part.file_name() != path.file_name());
            parts.push(path);
        }
    }
    if parts.is_empty() {
        bail!("the stages left nothing in {}", out.display());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_that_several_stages_leave_the_last_counts() {
        let out = tempfile::tempdir().unwrap();
        let stages = ["1-a", "2-b"].map(|name| (name.to_owned(), PathBuf::new()));
        for (name, files) in [("1-a", ["x.pth", "y.bin"]), ("2-b", ["x.pth", "z.json"])] {
            let model = out.path().join(name).join("model");
            fs::create_dir_all(&model).unwrap();
            for file in files {
                fs::write(model.join(file), "").unwrap();
            }
        }
        let mut found: Vec<_> = parts(out.path(), &stages)
            .unwrap()
            .into_iter()
            .map(|path| path.strip_prefix(out.path()).unwrap().display().to_string())
            .collect();
        found.sort();
        assert_eq!(found, ["1-a/model/y.bin", "2-b/model/x.pth", "2-b/model/z.json"]);
    }

    #[test]
    fn the_stages_are_there_in_their_order_and_a_smoke_run_is_short() {
        let folder = Tree::find().unwrap().root().join(STAGES);
        let mixture = folder.join("mixture");
        assert!(folder.join(DEFAULTS).is_file() && mixture.join(DEFAULTS).is_file());
        let found = stages(&[folder.clone(), mixture]).unwrap();
        let numbers: Vec<_> =
            found.iter().map(|(name, _)| name.split('-').next().unwrap().to_owned()).collect();
        let expected: Vec<_> = (1..=found.len()).map(|number| number.to_string()).collect();
        assert!(found.len() >= 15 && numbers == expected, "{numbers:?}");
        for (name, file) in &found {
            let steps = smoke_steps(file).unwrap();
            assert!(steps == SMOKE_STEPS || name.contains("tokenizer"), "{name}: {steps}");
        }
        assert!(stages(&[folder.clone(), folder]).is_err());
    }
}

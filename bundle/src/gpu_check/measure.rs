//! The parts that measure single operations of the transformer and the decoder: in Python, which
//! has libtorch's memory and time at hand, op by op as core calls them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::{self, ProgramEnd, ProgramRun};
use super::report::Measurement;
use super::{Check, OutOfTime, PartVerdict};

/// The scripts, which import each other.
const SCRIPTS: [(&str, &str); 4] = [
    ("measure.py", include_str!("python/measure.py")),
    ("clock.py", include_str!("python/clock.py")),
    ("block.py", include_str!("python/block.py")),
    ("decoder.py", include_str!("python/decoder.py")),
];
/// From the scripts' own limit to ours.
const GRACE: Duration = Duration::from_secs(4);

/// Has the scripts measure one part: on the card, or small on the processor where there is none.
pub(super) fn run(check: &mut Check<'_>, part: &str, limit: Duration) -> Result<PartVerdict> {
    let python = match &check.programs.python {
        Ok(python) => python.program.clone(),
        Err(why) => return Ok(PartVerdict::LeftOut(why.clone())),
    };
    let mut command = Command::new(python);
    command.arg("-B").arg(lay_out(check)?).args(arguments(part, check.card.is_some(), limit));
    let cache = check.scratch.join("cuda-cache");
    command.env("CUDA_CACHE_PATH", cache).env("OMP_WAIT_POLICY", "passive");
    let run = process::run(&mut command, limit, check.stop)?;
    for line in run.stdout().lines() {
        let measurement = serde_json::from_str::<Measurement>(line)
            .with_context(|| format!("measure.py said something else than a line: {line}"))?;
        check.measured(measurement)?;
    }
    judge(&run, check.card.is_some())
}

fn judge(run: &ProgramRun, card: bool) -> Result<PartVerdict> {
    match run.end {
        ProgramEnd::Exit(status) if status.success() && card => Ok(PartVerdict::Done),
        ProgramEnd::Exit(status) if status.success() => {
            let why =
                "there is no card: measured small on the processor, which says nothing of speed";
            Ok(PartVerdict::LeftOut(why.to_owned()))
        }
        ProgramEnd::Exit(status) => bail!("measure.py ended with {status}: {}", run.last_words()),
        ProgramEnd::OutOfTime => {
            let text = "was ended in the middle of a measurement; what it had measured is there";
            Err(OutOfTime(format!("measure.py {text} ({:.0} s)", run.seconds())).into())
        }
        ProgramEnd::Stopped => bail!("measure.py was stopped"),
    }
}

fn arguments(part: &str, card: bool, limit: Duration) -> Vec<String> {
    let seconds = limit.saturating_sub(GRACE).as_secs_f64();
    let device: &[&str] = if card { &["cuda"] } else { &["cpu", "--small"] };
    let line = [part, "--device"].into_iter().chain(device.iter().copied()).map(str::to_owned);
    line.chain(["--seconds".to_owned(), format!("{seconds:.0}")]).collect()
}

fn lay_out(check: &Check<'_>) -> Result<PathBuf> {
    let folder = check.scratch.join("python");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        SCRIPTS.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    };
    write().with_context(|| format!("{} cannot be written", folder.display()))?;
    Ok(folder.join(SCRIPTS[0].0))
}

/// Makes a kernel fail in a process of its own, which loses its context: the words that libtorch has
/// for it are those that an engine has to know. Nobody else's work may be on the card meanwhile:
/// under NVIDIA's multi-process service one context is shared.
pub(super) fn provoke_fault(check: &mut Check<'_>, limit: Duration) -> Result<PartVerdict> {
    if check.card.is_none() {
        return Ok(PartVerdict::LeftOut("there is no card whose context could be lost".to_owned()));
    }
    check.stop_engine()?;
    match others(check, limit / 4)? {
        Some(why) => Ok(PartVerdict::LeftOut(why)),
        None => run(check, "fault", limit / 2),
    }
}

/// Why a fault might reach the work of others, if it might or if that cannot be known.
fn others(check: &Check<'_>, limit: Duration) -> Result<Option<String>> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-compute-apps=pid", "--format=csv,noheader"]);
    let run = process::run(&mut command, limit, check.stop);
    let Ok(run) = run else {
        return Ok(Some("nvidia-smi is not there to say who else computes on the card".to_owned()));
    };
    if !run.end.is_success() {
        return Ok(Some(format!("nvidia-smi does not say who computes: {}", run.last_words())));
    }
    let count = run.stdout().lines().filter(|line| !line.trim().is_empty()).count();
    Ok(why_not(count, shares_contexts()))
}

fn why_not(programs: usize, shared: bool) -> Option<String> {
    if shared {
        return Some(
            "NVIDIA's multi-process service runs here: a fault may reach others".to_owned(),
        );
    }
    (programs > 0)
        .then(|| format!("{programs} other programs compute on the cards of this machine"))
}

/// Whether NVIDIA's multi-process service runs.
fn shares_contexts() -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = processes.filter_map(|p| fs::read_to_string(p.path().join("comm")).ok());
    names.any(|name| name.starts_with("nvidia-cuda-mps"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu_check::process::Stop;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> ProgramRun {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        process::run(&mut command, LIMIT, &Stop::default()).unwrap()
    }

    #[test]
    fn without_a_card_the_scripts_measure_small_on_the_processor() {
        let words = |card| arguments("block", card, LIMIT).join(" ");
        assert_eq!(words(true), "block --device cuda --seconds 26");
        assert_eq!(words(false), "block --device cpu --small --seconds 26");
    }

    #[test]
    fn how_the_scripts_end_is_told() {
        assert!(matches!(judge(&shell("exit 0"), true), Ok(PartVerdict::Done)));
        let Ok(PartVerdict::LeftOut(why)) = judge(&shell("exit 0"), false) else { panic!() };
        assert!(why.contains("no card"), "{why}");
        let error = judge(&shell("echo it broke >&2; exit 1"), true).err().unwrap().to_string();
        assert!(error.contains("it broke"), "{error}");
        let run = ProgramRun { end: ProgramEnd::OutOfTime, ..shell("exit 0") };
        assert!(judge(&run, true).err().unwrap().is::<OutOfTime>());
    }

    #[test]
    fn no_fault_is_provoked_beside_others() {
        assert_eq!(why_not(0, false), None);
        assert!(why_not(2, false).unwrap().contains("2 other programs"));
        assert!(why_not(0, true).unwrap().contains("multi-process"));
    }

    /// The scripts themselves, where this machine has a Python with torch: named by
    /// `GPU_CHECK_PYTHON`, or made by `cargo xtask bench`.
    #[test]
    fn the_scripts_measure_every_part_on_the_processor() {
        let own =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.setup/python/bin/python");
        let named = std::env::var_os("GPU_CHECK_PYTHON").map(PathBuf::from);
        let Some(python) = named.or_else(|| own.exists().then_some(own)) else {
            eprintln!("left out: no Python with torch; `cargo xtask bench dit-1` makes one");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in SCRIPTS {
            fs::write(folder.path().join(name), text).unwrap();
        }
        for (part, wanted) in [
            ("attention", &["self-attention"][..]),
            ("block", &["peak", "time"][..]),
            ("decoding", &["take, float32", "convolution 3×3×3, 96 channels, float32"][..]),
            ("copies", &["to the card, pageable"][..]),
        ] {
            let mut command = Command::new(&python);
            command.arg("-B").arg(folder.path().join(SCRIPTS[0].0));
            command.args(arguments(part, false, Duration::from_secs(300)));
            let run =
                process::run(&mut command, Duration::from_secs(300), &Stop::default()).unwrap();
            assert!(run.end.is_success(), "{part}: {}", run.last_words());
            let lines = run.stdout();
            let found: Vec<Measurement> =
                lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for what in wanted {
                assert!(found.iter().any(|found| found.what == *what), "{part}: {what} in {lines}");
            }
            let bad: Vec<_> = found.iter().filter(|found| found.holds == Some(false)).collect();
            assert!(bad.is_empty(), "{part}: {bad:?}");
        }
    }
}

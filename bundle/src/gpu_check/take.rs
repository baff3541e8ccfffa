//! The part `take`: the draft model's take on the card twice and on the processor once. Equal bits
//! twice; nearly equal pictures on both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use png::Transformations;
use serde_json::Value;

use super::report::{Measurement, four_digits};
use super::{Check, PartVerdict};

/// Of the kinds, colors and ways that the draft model knows.
const PROMPT: &str = "A large orange flame with a bright core moves from left to right in the middle \
                      of the frame.";
const SEED: &str = "7";
/// Card and processor round differently, step after step.
const LEAST_PSNR: f64 = 40.0;

pub(super) fn compare(check: &mut Check<'_>, limit: Duration) -> Result<PartVerdict> {
    let usable = check.report.found("machine", "the program can use the card");
    let device = match (&check.card, usable.and_then(|found| found.holds)) {
        (None, _) => "cpu",
        // Named, so that the program says why it cannot.
        (Some(_), Some(false)) => "cuda",
        (Some(_), _) => "auto",
    };
    let deadline = Instant::now() + limit;
    let first = render(check, device, "first", deadline)?;
    let second = render(check, device, "second", deadline)?;
    let same = same_bits(&first, &second)?;
    let measurement = Measurement::new("same bits twice", same).with("on", device);
    check.measured(measurement.expected("yes", same))?;
    if device == "cpu" {
        let why = "there is no card: the take was made twice on the processor only";
        return Ok(PartVerdict::LeftOut(why.to_owned()));
    }
    let there = render(check, "cpu", "processor", deadline)?;
    let psnr = psnr(&first, &there)?;
    let measurement = Measurement::number("card beside CPU", psnr, "dB");
    check.measured(measurement.expected(format!("> {LEAST_PSNR}"), psnr > LEAST_PSNR))?;
    Ok(PartVerdict::Done)
}

/// Makes the take and says how long it took.
fn render(check: &mut Check<'_>, device: &str, name: &str, deadline: Instant) -> Result<PathBuf> {
    let out = check.scratch.join(name);
    let model = check.programs.draft_model.clone();
    let [out_text, model] = [&out, &model].map(|path| path.to_string_lossy().into_owned());
    let line = ["render", "--model", &model, "--prompt", PROMPT, "--seed", SEED];
    let line = [&line[..], &["--no-store", "--device", device, "--out", &out_text]].concat();
    let run = check.told(&line, deadline.saturating_duration_since(Instant::now()))?;
    let text = fs::read_to_string(out.join("take.json")).context("take.json cannot be read")?;
    let take: Value = serde_json::from_str(&text).context("take.json is no JSON")?;
    let on = take["device"].as_str().unwrap_or_default().to_owned();
    let here = on.to_lowercase().contains("cpu") == (device == "cpu");
    let place = if device == "cpu" { "on the processor" } else { "on the card" };
    let mut measurement = Measurement::number(format!("{name} take"), run.seconds(), "s");
    for (stage, seconds) in take["timings"].as_object().into_iter().flatten() {
        if let Some(seconds) = seconds.as_f64() {
            measurement = measurement.with(&format!("{stage}_s"), four_digits(seconds));
        }
    }
    check.measured(measurement.with("device", on).expected(place, here))?;
    Ok(out)
}

/// Frames by name, without what tells how long they took.
fn frames(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut frames = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rgba.")) {
            frames.push(path);
        }
    }
    frames.sort();
    ensure!(!frames.is_empty(), "{} holds no frames", folder.display());
    Ok(frames)
}

fn same_bits(one: &Path, other: &Path) -> Result<bool> {
    let pairs = [frames(one)?, frames(other)?];
    let [ours, theirs] = &pairs;
    if ours.len() != theirs.len() {
        return Ok(false);
    }
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours.file_name() != theirs.file_name() || fs::read(ours)? != fs::read(theirs)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of all channels of all frames, in dB; infinite where nothing differs.
fn psnr(one: &Path, other: &Path) -> Result<f64> {
    let is_png = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "png");
    let of =
        |folder| -> Result<Vec<_>> { Ok(frames(folder)?.into_iter().filter(is_png).collect()) };
    let (ours, theirs) = (of(one)?, of(other)?);
    ensure!(ours.len() == theirs.len() && !ours.is_empty(), "the takes differ in length");
    let (mut sum, mut count) = (0.0, 0usize);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let (ours, theirs) = (samples(ours)?, samples(theirs)?);
        ensure!(ours.len() == theirs.len(), "the takes differ in size");
        sum += ours.iter().zip(&theirs).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        count += ours.len();
    }
    Ok(-10.0 * (sum / count as f64).log10())
}

/// Samples of a picture of 8 or 16 bits, 0 to 1.
fn samples(path: &Path) -> Result<Vec<f64>> {
    let read = || -> Result<Vec<f64>> {
        let mut decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path)?));
        decoder.set_transformations(Transformations::EXPAND);
        let mut reader = decoder.read_info()?;
        let size = reader.output_buffer_size().context("it is too large")?;
        let mut bytes = vec![0; size];
        let frame = reader.next_frame(&mut bytes)?;
        bytes.truncate(frame.buffer_size());
        Ok(match frame.bit_depth {
            png::BitDepth::Sixteen => {
                let pairs = bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
                pairs.map(|pair| f64::from(u16::from_be_bytes(pair)) / 65_535.0).collect()
            }
            _ => bytes.iter().map(|byte| f64::from(*byte) / 255.0).collect(),
        })
    };
    read().with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A take of one frame of 2 × 1 RGBA in 16 bits.
    fn take(folder: &Path, name: &str, samples: [u16; 8]) -> PathBuf {
        let take = folder.join(name);
        fs::create_dir_all(&take).unwrap();
        fs::write(take.join("take.json"), name).unwrap();
        let file = fs::File::create(take.join("rgba.0000.png")).unwrap();
        let mut encoder = png::Encoder::new(file, 2, 1);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Sixteen);
        let bytes: Vec<u8> = samples.into_iter().flat_map(u16::to_be_bytes).collect();
        encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
        take
    }

    #[test]
    fn takes_are_compared_sample_by_sample() {
        let folder = tempfile::tempdir().unwrap();
        let one = take(folder.path(), "one", [0, 655, 65_535, 9, 1, 2, 3, 4]);
        let same = take(folder.path(), "same", [0, 655, 65_535, 9, 1, 2, 3, 4]);
        let other = take(folder.path(), "other", [655, 0, 64_880, 664, 656, 657, 658, 659]);
        assert!(same_bits(&one, &same).unwrap());
        assert_eq!(psnr(&one, &same).unwrap(), f64::INFINITY);
        assert!(!same_bits(&one, &other).unwrap());
        // Every sample is 655/65535 away.
        let expected = -20.0 * (655.0f64 / 65_535.0).log10();
        assert!((psnr(&one, &other).unwrap() - expected).abs() < 1e-9);

        fs::write(other.join("rgba.0001.png"), "").unwrap();
        assert!(!same_bits(&one, &other).unwrap());
        assert!(psnr(&one, &other).unwrap_err().to_string().contains("length"));
        fs::remove_file(one.join("rgba.0000.png")).unwrap();
        assert!(same_bits(&one, &same).unwrap_err().to_string().contains("no frames"));
    }
}

//! What was written is read back: frames, tags, alpha and color.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use wan_alpha_take::counted::counted;

use super::MovieShape;
use super::codec::{Container, MovieFormat, PixelFormat, Tolerance};
use super::program::Ffmpeg;
use crate::media::embedded::riff;
use crate::media::video::stream_details;

/// Which frames of a movie are compared with what was given. All are decoded and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Verify {
    /// The first and the last one
    #[default]
    Ends,
    /// Every one
    All,
    /// None, and nothing is read back
    None,
}

/// What was given of the frames that are compared.
pub(super) struct KeptFrames {
    verify: Verify,
    frames: usize,
    ends: Vec<(usize, Vec<u8>)>,
    /// Where nothing is known of the places of others.
    only_first: bool,
    /// All of them, one after the other.
    all: Option<File>,
}

impl KeptFrames {
    pub(super) fn new(verify: Verify, frames: usize) -> Result<Self> {
        let all = (verify == Verify::All).then(tempfile::tempfile).transpose();
        let all = all.context("no temporary file can be made")?;
        Ok(Self { verify, frames, ends: Vec::new(), only_first: false, all })
    }

    /// Keeps the next frame, if it is one of them.
    pub(super) fn add(&mut self, index: usize, samples: Vec<u8>) -> Result<()> {
        match (self.verify, &mut self.all) {
            (Verify::All, Some(file)) => file.write_all(&samples)?,
            (Verify::Ends, _) if index == 0 || index + 1 == self.frames => {
                self.ends.push((index, samples));
            }
            _ => {}
        }
        Ok(())
    }

    fn frame(&mut self, index: usize, length: usize) -> Result<Option<Vec<u8>>> {
        if self.only_first && index > 0 {
            return Ok(None);
        }
        if let Some(file) = &mut self.all {
            let mut samples = vec![0; length];
            file.seek(SeekFrom::Start((index * length) as u64))?;
            file.read_exact(&mut samples)?;
            return Ok(Some(samples));
        }
        let place = self.ends.iter().position(|(kept, _)| *kept == index);
        Ok(place.map(|place| self.ends.swap_remove(place).1))
    }
}

/// Reads a movie back. What could not be looked at is returned in words.
pub(super) fn check(
    ffmpeg: &Ffmpeg,
    format: &MovieFormat,
    shape: &MovieShape,
    file: &Path,
    mut kept: KeptFrames,
) -> Result<Option<String>> {
    if kept.verify == Verify::None {
        return Ok(None);
    }
    let expected = if format.container == Container::WebP {
        count_webp(shape, file)?
    } else {
        check_tags(format, file)?;
        shape.frames
    };
    if expected < shape.frames {
        // Of frames that are equal one is kept: none after the first is where it was.
        kept.only_first = true;
    }
    let mut command = decoding(ffmpeg, format, file);
    let mut child = command.spawn().context("ffmpeg cannot be started")?;
    let mut pipe = child.stdout.take().context("ffmpeg has no output")?;
    let (width, height) = (shape.width, shape.height);
    let length = match format.pixels {
        PixelFormat::Yuva420p => width * height * 5 / 2,
        PixelFormat::Bgra => width * height * 4,
        _ => width * height * 8,
    };
    let mut read = 0;
    let mut worst = Ok(());
    loop {
        let mut samples = Vec::new();
        (&mut pipe).take(length as u64).read_to_end(&mut samples)?;
        if samples.len() < length {
            break;
        }
        if let Some(given) = kept.frame(read, length)?.filter(|_| worst.is_ok()) {
            worst = compare(&given, &samples, format.pixels, format.tolerance)
                .with_context(|| format!("frame {read} is not read back as it was given"));
        }
        read += 1;
    }
    let status = child.wait().context("ffmpeg has gone")?;
    worst?;
    if format.container == Container::WebP && read == 0 {
        // Its decoder of animated WebP is newer than its encoder.
        let version = &ffmpeg.version;
        return Ok(Some(format!(
            "{version} does not read animated WebP: only its parts were counted"
        )));
    }
    ensure!(
        status.success() && read == expected,
        "{read} of its {} can be read back",
        counted(expected, "frame")
    );
    Ok(None)
}

/// The call that decodes all of a movie and converts nothing.
fn decoding(ffmpeg: &Ffmpeg, format: &MovieFormat, file: &Path) -> Command {
    let pixels = read_as(format.pixels);
    let mut command = ffmpeg.command();
    command.args(["-v", "error"]);
    command.args(format.decoder.iter().flat_map(|decoder| ["-c:v", decoder]));
    let mut input = OsString::from("file:");
    input.push(file);
    command.arg("-i").arg(input).args([
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
    ]);
    command.args(["-pix_fmt", pixels, "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// What ffmpeg is to decode to, so that it converts nothing.
const fn read_as(pixels: PixelFormat) -> &'static str {
    match pixels {
        // What ProRes is decoded to: two bits more than its encoder takes.
        PixelFormat::Yuva444p10 => "yuva444p12le",
        other => other.name(),
    }
}

fn check_tags(format: &MovieFormat, file: &Path) -> Result<()> {
    let details = stream_details(file)?;
    let expected = format.tags.said();
    ensure!(
        expected.is_none_or(|expected| details.iter().any(|detail| detail == expected)),
        "its color is to be {}, and is read back as {}",
        expected.unwrap_or_default(),
        if details.is_empty() { "nothing".to_owned() } else { details.join(", ") }
    );
    Ok(())
}

/// How many pictures a WebP file holds.
fn count_webp(shape: &MovieShape, file: &Path) -> Result<usize> {
    let bytes = std::fs::read(file)?;
    let chunks = riff::chunks(&bytes)?;
    let moving = chunks.iter().filter(|(kind, _)| *kind == b"ANMF").count();
    let still = chunks.iter().filter(|(kind, _)| [&b"VP8L"[..], b"VP8 "].contains(kind)).count();
    let pictures = moving + still;
    let expected = shape.frames;
    ensure!(
        (1..=expected).contains(&pictures),
        "it holds {} of {}",
        counted(pictures, "picture"),
        counted(expected, "frame")
    );
    Ok(pictures)
}

/// Compares a frame with what was given, plane by plane.
fn compare(given: &[u8], read: &[u8], pixels: PixelFormat, tolerance: Tolerance) -> Result<()> {
    if tolerance.alpha == 0.0 && tolerance.color == 0.0 {
        // Between frames WebP leaves any color where nothing is seen.
        let is_hidden = |place: usize| {
            let alpha = place / 4 * 4 + 3;
            pixels == PixelFormat::Bgra
                && given.get(alpha) == Some(&0)
                && read.get(alpha) == Some(&0)
        };
        let mut pairs = given.iter().zip(read).enumerate();
        let found = pairs.find(|(place, (given, read))| given != read && !is_hidden(*place));
        let Some((place, (given, read))) = found else { return Ok(()) };
        bail!("byte {place} is {read} in place of {given}");
    }
    let words = |bytes: &[u8], scale: f64| -> Vec<f64> {
        match pixels {
            PixelFormat::Yuva420p => bytes.iter().map(|byte| f64::from(*byte)).collect(),
            _ => {
                let words = bytes.as_chunks::<2>().0.iter();
                words.map(|word| f64::from(u16::from_le_bytes(*word)) * scale).collect()
            }
        }
    };
    let given = words(given, 1.0);
    let is_ten_bits = pixels == PixelFormat::Yuva444p10;
    let raw = words(read, 1.0);
    let (luma, alpha_from) = match pixels {
        PixelFormat::Yuva420p => (given.len() * 2 / 5, given.len() * 3 / 5),
        _ => (given.len() / 4, given.len() * 3 / 4),
    };
    let most = if is_ten_bits { 1023.0 } else { 255.0 };
    let (mut squares, mut seen) = (0.0, 0.0);
    for place in 0..luma {
        let (alpha, found) = (given[alpha_from + place], raw[alpha_from + place]);
        // 12 bits to the nearest of 10, for alpha, whose whole is 4095; luma is shifted by two bits.
        let found = if is_ten_bits { (found * 1023.0 / 4095.0).round() } else { found };
        ensure!(
            (alpha - found).abs() <= tolerance.alpha,
            "alpha {alpha} of {most} is read back as {found} (pixel {place})"
        );
        let color = if is_ten_bits { raw[place] / 4.0 } else { raw[place] };
        squares += (color - given[place]).powi(2) * alpha / most;
        seen += alpha / most;
    }
    let error = if seen > 0.0 { (squares / seen).sqrt() } else { 0.0 };
    ensure!(
        error <= tolerance.color,
        "its brightness is off by {error:.1} steps of {most} on average, expected {} at most",
        tolerance.color
    );
    Ok(())
}

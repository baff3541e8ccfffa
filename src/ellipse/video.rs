//! A video's alpha through ffmpeg: every frame comes over a pipe as a PAM picture, grey and alpha in
//! 16 bits, which carries its own size.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use wan_alpha_take::fit::{Compressor, Coverage};

use crate::output::SIZE_LIMIT;

/// What a video says of its subject.
pub(super) struct Alpha {
    pub(super) coverage: Coverage,
    /// It is opaque throughout, so that brightness stood in.
    pub(super) by_luma: bool,
}

/// One frame.
struct Picture {
    width: usize,
    height: usize,
    grey: Vec<f32>,
    alpha: Vec<f32>,
}

/// Reads a video; `step` hears of every frame and may end it.
pub(super) fn read(
    path: &Path,
    threshold: f64,
    step: impl FnMut(u32) -> Result<()>,
) -> Result<Alpha> {
    let mut said = tempfile::tempfile().context("no temporary file can be made")?;
    let mut child = start(path, said.try_clone()?)?;
    let stdout = child.stdout.take().context("ffmpeg has no output")?;
    let read = compress(BufReader::new(stdout), threshold, step);
    if read.is_err() {
        // It may be waiting for us to read on; if it has ended by itself, all the better.
        let _ = child.kill();
    }
    let status = child.wait().context("ffmpeg has gone")?;
    let complaint = complaint(&mut said);
    match read {
        Ok(Some(alpha)) if status.success() => Ok(alpha),
        // What went wrong is likelier to be in ffmpeg's words than in ours.
        Err(error) if complaint.is_empty() => Err(error.context(path.display().to_string())),
        Ok(None) if complaint.is_empty() => bail!("{} has no picture", path.display()),
        _ => bail!("ffmpeg cannot read {}: {complaint}", path.display()),
    }
}

fn start(path: &Path, said: File) -> Result<Child> {
    let mut input = std::ffi::OsString::from("file:");
    input.push(path);
    Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(input)
        .args(["-map", "0:v:0", "-fps_mode", "passthrough"])
        .args(["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", "ya16be", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said)
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "{} is neither .png nor .exr, and ffmpeg, which reads videos, is not on PATH: \
                 install ffmpeg (5.1 or later), or give a PNG or EXR sequence",
                path.display()
            ),
            _ => anyhow!("ffmpeg cannot be started: {error}"),
        })
}

/// The end of what ffmpeg said, in one line.
fn complaint(said: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = said.rewind().and_then(|()| said.take(4096).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).trim().replace('\n', "; ");
    if read.is_ok() { text } else { String::new() }
}

/// Both planes at once: which of them is the alpha is known at the end.
fn compress(
    mut pipe: impl BufRead,
    threshold: f64,
    mut step: impl FnMut(u32) -> Result<()>,
) -> Result<Option<Alpha>> {
    let mut planes: Option<[Compressor; 2]> = None;
    let mut opaque = true;
    while let Some(picture) = next(&mut pipe)? {
        let [grey, alpha] = match &mut planes {
            Some(planes) => planes,
            none => {
                let new = || Compressor::new(picture.width, picture.height, threshold);
                none.insert([new()?, new()?])
            }
        };
        opaque &= picture.alpha.iter().all(|value| *value == 1.0);
        grey.push(&picture.grey)?;
        alpha.push(&picture.alpha)?;
        step(alpha.frames())?;
    }
    let Some([grey, alpha]) = planes else {
        return Ok(None);
    };
    let coverage = if opaque { grey } else { alpha }.finish()?;
    Ok(Some(Alpha { coverage, by_luma: opaque }))
}

/// The next picture, None at the end of the pipe.
fn next(pipe: &mut impl BufRead) -> Result<Option<Picture>> {
    if pipe.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let [mut width, mut height, mut depth, mut most] = [0; 4];
    let mut first = true;
    loop {
        let mut line = String::new();
        pipe.by_ref().take(80).read_line(&mut line).context("ffmpeg sends no PAM picture")?;
        let line = line.trim_end();
        let (word, number) = line.split_once(' ').unwrap_or((line, ""));
        let field = match word {
            "P7" if first => {
                first = false;
                continue;
            }
            "ENDHDR" => break,
            "TUPLTYPE" => continue,
            "WIDTH" => &mut width,
            "HEIGHT" => &mut height,
            "DEPTH" => &mut depth,
            "MAXVAL" => &mut most,
            _ => bail!("ffmpeg sends no PAM picture: {line:?} is not a line of its header"),
        };
        ensure!(!first, "ffmpeg sends no PAM picture: it begins with {line:?}");
        *field = number.parse::<usize>().with_context(|| format!("ffmpeg sends {line:?}"))?;
    }
    ensure!(
        [depth, most] == [2, 65535] && (1..=SIZE_LIMIT).contains(&width.max(height)),
        "ffmpeg sends pictures of {width} × {height} with {depth} channels up to {most}, not grey \
         and alpha in 16 bits"
    );
    let mut bytes = vec![0; width * height * 4];
    pipe.read_exact(&mut bytes).context("ffmpeg's last picture is cut off")?;
    let value = |bytes: [u8; 2]| f32::from(u16::from_be_bytes(bytes)) / 65535.0;
    let pixels = bytes.as_chunks::<4>().0;
    let grey = pixels.iter().map(|&[high, low, ..]| value([high, low])).collect();
    let alpha = pixels.iter().map(|&[.., high, low]| value([high, low])).collect();
    Ok(Some(Picture { width, height, grey, alpha }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pam(width: usize, height: usize, [grey, alpha]: [u16; 2]) -> Vec<u8> {
        let mut bytes = format!(
            "P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 2\nMAXVAL 65535\nTUPLTYPE \
             GRAYSCALE_ALPHA\nENDHDR\n"
        )
        .into_bytes();
        for _ in 0..width * height {
            bytes.extend(grey.to_be_bytes());
            bytes.extend(alpha.to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Option<Alpha>> {
        compress(bytes, 0.1, |_| Ok(()))
    }

    #[test]
    fn alpha_counts_unless_all_is_opaque() {
        let clip = [pam(16, 8, [0, 40000]), vec![]].concat();
        let alpha = read(&clip).unwrap().unwrap();
        assert_eq!((alpha.coverage.values(), alpha.by_luma), (&[1.0, 1.0][..], false));
        let opaque = read(&pam(16, 8, [0, 65535])).unwrap().unwrap();
        assert_eq!((opaque.coverage.values(), opaque.by_luma), (&[0.0, 0.0][..], true));
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        let whole = pam(16, 8, [0, 0]);
        let failure = |bytes: &[u8]| format!("{:#}", read(bytes).err().unwrap());
        assert!(failure(&whole[..whole.len() - 1]).contains("cut off"));
        assert!(failure(b"\x89PNG\n").contains("no PAM picture"));
        assert!(failure(b"WIDTH 3\n").contains("begins with"));
        let mut colour = whole.clone();
        let at = whole.windows(7).position(|bytes| bytes == b"DEPTH 2").unwrap();
        colour[at + 6] = b'4';
        assert!(failure(&colour).contains("4 channels"), "{}", failure(&colour));
        let two = [whole.clone(), whole].concat();
        assert!(failure(&two).contains("2 frames: expected 4n+1"));
    }
}

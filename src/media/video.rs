//! Videos through ffmpeg: every frame comes over a pipe as a PAM picture, which carries its own size.
//!
//! In 8 bits, as the released training has them: ffmpeg's way from 8 bits to 16 leaves an opaque
//! pixel a little transparent (255 becomes 65532 or 65280), and whether a region is opaque matters.

mod embedded_profile;
mod probe;
mod whole;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use wan_alpha_take::counted::counted;

use super::color_space::ColorSpace;
use super::error::{self, MediaError};
use super::file_kind::{head, not_for_ffmpeg};
use super::frame::SIZE_LIMIT;
use super::sequence::is_image;
pub(super) use probe::{MovieTags, stream_details};

/// What ffmpeg is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Samples {
    /// Two channels, gray and alpha.
    Gray,
    /// Four channels: red, green, blue and alpha.
    Rgba,
}

impl Samples {
    const fn channels(self) -> usize {
        match self {
            Self::Gray => 2,
            Self::Rgba => 4,
        }
    }

    const fn format(self) -> &'static str {
        match self {
            Self::Gray => "ya8",
            Self::Rgba => "rgba",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Gray => "gray and alpha",
            Self::Rgba => "color and alpha",
        }
    }
}

/// One frame: `[height, width, channels]`, 0 to 1.
pub(crate) struct VideoPicture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<f32>,
}

impl VideoPicture {
    /// The planes of a frame that was asked for as [`Samples::Gray`]: gray, alpha.
    pub(crate) fn gray_and_alpha(&self) -> [Vec<f32>; 2] {
        [0, 1].map(|place| self.values.iter().skip(place).step_by(2).copied().collect())
    }
}

/// Whether a path is that of a file that ffmpeg is asked to read.
pub(crate) fn is_movie(path: &Path) -> bool {
    path.is_file() && !is_image(path)
}

/// How many frames a video has, which only decoding says for sure, and what ffmpeg says of them.
pub(crate) fn count(path: &Path) -> error::Result<(usize, Option<String>)> {
    let mut video = Video::open(path, Samples::Gray, None)?;
    let mut frames = 0;
    while video.next()?.is_some() {
        frames += 1;
    }
    Ok((frames, video.said.take()))
}

/// A video being read.
pub(crate) struct Video {
    path: PathBuf,
    about: MovieTags,
    samples: Samples,
    pipe: BufReader<ChildStdout>,
    child: Child,
    /// What ffmpeg writes of what it finds.
    log: File,
    read: usize,
    said: Option<String>,
}

impl Video {
    /// Has ffmpeg open a video. `color` is what a person says that its colors are.
    pub(crate) fn open(
        path: &Path,
        samples: Samples,
        color: Option<&ColorSpace>,
    ) -> error::Result<Self> {
        let open = || {
            check_kind(path)?;
            let log = tempfile::tempfile().context("no temporary file can be made")?;
            let about = MovieTags::of(path)?;
            if let Some(words) = about.lacks_movie {
                bail!("{}: {words}: give a movie, or images as PNG or EXR", path.display());
            }
            let mut child = start(path, samples, &about, color, log.try_clone()?)?;
            let pipe = BufReader::new(child.stdout.take().context("ffmpeg has no output")?);
            let path = path.to_owned();
            Ok(Self { path, about, samples, pipe, child, log, read: 0, said: None })
        };
        open().map_err(MediaError::Unreadable)
    }

    /// Where the video is.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What ffmpeg says of it.
    pub(super) fn about(&self) -> &MovieTags {
        &self.about
    }

    /// The next frame; None after the last.
    pub(crate) fn next(&mut self) -> error::Result<Option<VideoPicture>> {
        let picture = match next(&mut self.pipe, self.samples) {
            Ok(Some(picture)) => {
                self.read += 1;
                Ok(Some(picture))
            }
            Ok(None) => self.end(Ok(())).map(|()| None),
            Err(error) => self.end(Err(error)).map(|()| None),
        };
        picture.map_err(MediaError::Unreadable)
    }

    /// What ffmpeg says of the movie that does not keep it from being read; None before its last frame.
    pub(crate) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// What went wrong is likelier to be in ffmpeg's words than in ours.
    fn end(&mut self, read: Result<()>) -> Result<()> {
        if read.is_err() {
            // It may be waiting for us to read on; if it has ended by itself, all the better.
            let _ = self.child.kill();
        }
        let status = self.child.wait().context("ffmpeg has gone")?;
        let complaint = complaint(&mut self.log);
        let path = self.path.display();
        match read {
            Ok(()) if status.success() && self.read > 0 && !is_of_damage(&complaint) => {
                let words = || format!("ffmpeg says of it: {complaint}");
                self.said = (!complaint.is_empty()).then(words);
                Ok(())
            }
            Err(error) if complaint.is_empty() => Err(error.context(path.to_string())),
            Ok(()) if complaint.is_empty() && self.read == 0 && status.success() => {
                bail!("{path} has no picture")
            }
            _ if complaint.contains("Unknown decoder") => bail!(
                "the alpha of {path} is kept by ffmpeg's decoder {} alone, which this ffmpeg lacks: \
                 install one with libvpx, or write it as ProRes 4444 or a PNG sequence",
                self.about.decoder.unwrap_or_default()
            ),
            _ if complaint.is_empty() => Err(self.broken(&status.to_string())),
            _ => Err(self.broken(&complaint)),
        }
    }

    /// Why not all of its frames are there; `reason` is what ffmpeg says.
    fn broken(&self, reason: &str) -> anyhow::Error {
        let (path, read) = (self.path.display(), self.read);
        let claimed = self.about.claimed_frames.filter(|claimed| *claimed >= read as u64);
        let claimed_more = claimed.is_some_and(|claimed| claimed > read as u64);
        let claimed = claimed
            .map_or_else(String::new, |frames| format!(", of about {frames} that it claims"));
        if read == 0 {
            return anyhow!(
                "none of the frames of {path} can be decoded{claimed}: it is damaged, or of a kind that this \
                 ffmpeg does not know; copy or write it again, or give PNG or EXR images (reason: {reason})"
            );
        }
        let rest = claimed_more.then(|| {
            format!(", or write the whole ones as a movie of their own (`ffmpeg -i IN -frames:v {read} OUT`)")
        });
        anyhow!(
            "{path} is damaged: {} could be decoded{claimed}; copy or write it again{} (reason: {reason})",
            counted(read, "frame"),
            rest.unwrap_or_default()
        )
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        // Both do nothing to a process that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Refuses what ffmpeg would read as something else, or in less than it holds.
fn check_kind(path: &Path) -> Result<()> {
    let unread = || format!("cannot read {}", path.display());
    if let Some(words) = not_for_ffmpeg(path, &head(path).with_context(unread)?) {
        bail!("{words}");
    }
    if let Some(words) = whole::missing(path).with_context(unread)? {
        bail!("{}: {words}; copy or write it again", path.display());
    }
    Ok(())
}

fn start(
    path: &Path,
    samples: Samples,
    about: &MovieTags,
    color: Option<&ColorSpace>,
    said: File,
) -> Result<Child> {
    let decoder = about.decoder.map(|decoder| ["-c:v", decoder]);
    let matrix = about.matrix_as_said(color);
    let matrix = matrix.map(|name| ["-vf".to_owned(), format!("setparams=colorspace={name}")]);
    Command::new("ffmpeg")
        // The first that is damaged ends it; nothing is turned or mirrored.
        .args(["-nostdin", "-v", "error", "-xerror", "-noautorotate", "-err_detect", "crccheck"])
        .args(decoder.iter().flatten())
        .arg("-i")
        .arg(input(path))
        .args(["-map", "0:V:0", "-fps_mode", "passthrough"])
        .args(matrix.iter().flatten())
        .args(["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", samples.format(), "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said)
        .spawn()
        .map_err(|error| unstarted(path, &error))
}

/// A name that ffmpeg takes for nothing but a file.
fn input(path: &Path) -> OsString {
    let mut input = OsString::from("file:");
    input.push(path);
    input
}

fn unstarted(path: &Path, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "{} is neither .png nor .exr, and ffmpeg, which reads videos, is not on PATH: install \
             ffmpeg (5.1 or later), or give a PNG or EXR sequence",
            path.display()
        ),
        _ => anyhow!("ffmpeg cannot be started: {error}"),
    }
}

/// The beginning of what ffmpeg said, in one line.
fn complaint(said: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = said.rewind().and_then(|()| said.take(4096).read_to_end(&mut bytes));
    if read.is_ok() { in_one_line(&String::from_utf8_lossy(&bytes)) } else { String::new() }
}

/// What ffmpeg says first, without the places in memory that it says of its parts, and without what follows of
/// it everywhere else.
fn in_one_line(text: &str) -> String {
    const MOST: usize = 2;
    const FOLLOWS: [&str; 6] = [
        "Task finished with error",
        "Terminating thread",
        "Conversion failed",
        "Nothing was written",
        "Error opening input",
        "Error while opening",
    ];
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let mut line = line.trim();
        while let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            line = rest.trim();
        }
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let follows = |line: &&str| FOLLOWS.iter().any(|words| line.starts_with(words));
    let told: Vec<&str> = lines
        .iter()
        .filter(|line| !follows(line))
        .chain(lines.iter().filter(|line| follows(line)))
        .take(MOST)
        .copied()
        .collect();
    told.join("; ")
}

/// Whether what ffmpeg says, and reads on, is that something is missing or damaged.
fn is_of_damage(complaint: &str) -> bool {
    const WORDS: [&str; 10] = [
        "prematurely",
        "corrupt",
        "damaged",
        "mismatch",
        "truncat",
        "decode failed",
        "decoding error",
        "error while decoding",
        "partial file",
        "concealing",
    ];
    let complaint = complaint.to_lowercase();
    WORDS.iter().any(|words| complaint.contains(words))
}

/// The next picture, None at the end of the pipe.
fn next(pipe: &mut impl BufRead, samples: Samples) -> Result<Option<VideoPicture>> {
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
        [depth, most] == [samples.channels(), 255]
            && (1..=SIZE_LIMIT).contains(&width)
            && (1..=SIZE_LIMIT).contains(&height),
        "ffmpeg sends pictures of {width} × {height} with {depth} channels up to {most}, not {} in \
         8 bits",
        samples.words()
    );
    let mut bytes = vec![0; width * height * depth];
    pipe.read_exact(&mut bytes).context("ffmpeg's last picture is cut off")?;
    let values = bytes.into_iter().map(|sample| f32::from(sample) / 255.0).collect();
    Ok(Some(VideoPicture { width, height, values }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pam(width: usize, height: usize, samples: &[u8]) -> Vec<u8> {
        let depth = samples.len();
        let mut bytes =
            format!("P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL 255\nENDHDR\n")
                .into_bytes();
        for _ in 0..width * height {
            bytes.extend(samples);
        }
        bytes
    }

    #[test]
    fn pictures_come_one_after_the_other() {
        let bytes = [pam(3, 2, &[0, 255]), pam(1, 1, &[255, 0])].concat();
        let mut pipe = bytes.as_slice();
        let first = next(&mut pipe, Samples::Gray).unwrap().unwrap();
        assert_eq!((first.width, first.height), (3, 2));
        assert_eq!(first.values, [0.0, 1.0].repeat(6));
        assert_eq!(next(&mut pipe, Samples::Gray).unwrap().unwrap().values, [1.0, 0.0]);
        assert!(next(&mut pipe, Samples::Gray).unwrap().is_none());
        let rgba = pam(2, 1, &[0, 255, 0, 255]);
        let rgba = next(&mut rgba.as_slice(), Samples::Rgba).unwrap().unwrap();
        assert_eq!(rgba.values, [0.0, 1.0, 0.0, 1.0].repeat(2));
    }

    #[test]
    fn what_ffmpeg_says_is_told_without_its_places_in_memory_and_damage_is_known() {
        let said = "[png @ 0x5643] chunk too big\n[vist#0:0/png @ 0x5643] [dec:png @ 0x56] Decoding error: \
                    Invalid data\n[vost#0:0/pam @ 0x1] Task finished with error code: -1\n";
        let told = in_one_line(said);
        assert_eq!(told, "chunk too big; Decoding error: Invalid data");
        assert_eq!(in_one_line("Conversion failed!\n"), "Conversion failed!");
        for damage in [
            told.as_str(),
            "File ended prematurely",
            "LZW decode failed",
            "slice CRC mismatch 46758A7B!at 0.5 seconds",
            "corrupt input packet in stream 0",
        ] {
            assert!(is_of_damage(damage), "{damage}");
        }
        // Of sound movies of cameras.
        assert!(!is_of_damage("unable to decode APP fields: Invalid data found"));
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        let whole = pam(16, 8, &[0, 0]);
        let failure =
            |mut bytes: &[u8]| format!("{:#}", next(&mut bytes, Samples::Gray).err().unwrap());
        assert!(failure(&whole[..whole.len() - 1]).contains("cut off"));
        assert!(failure(b"\x89PNG\n").contains("no PAM picture"));
        assert!(failure(b"WIDTH 3\n").contains("begins with"));
        assert!(failure(&pam(2, 2, &[0; 4])).contains("4 channels"));
        let mut large = b"P7\nWIDTH 9\nHEIGHT 4000000000\nDEPTH 2\nMAXVAL 255\nENDHDR\n".to_vec();
        assert!(failure(&large).contains("9 × 4000000000"));
        large.clear();
        assert!(next(&mut large.as_slice(), Samples::Gray).unwrap().is_none());
    }
}

//! Videos through ffmpeg: every frame comes over a pipe as a PAM picture, which carries its own size.
//!
//! In 8 bits, as the released training has them: ffmpeg's way from 8 bits to 16 leaves an opaque
//! pixel a little transparent (255 becomes 65532 or 65280), and whether a region is opaque matters.

mod complaint;
mod embedded_profile;
mod frame_sizes;
mod input;
mod private_name;
mod probe;
mod transport_stream;
mod whole;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::NamedTempFile;
use wan_alpha_take::counted::counted;

use super::color_space::ColorSpace;
use super::error::{self, MediaError};
use super::frame::SIZE_LIMIT;
use super::sequence::is_image;
use complaint::{in_one_line, is_of_damage};
use frame_sizes::ToldSizes;
use input::MovieInput;
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
    input: MovieInput,
    /// What ffmpeg writes of what it finds, read beside it.
    log: File,
    /// The sizes of frames that the log tells of.
    sizes: ToldSizes,
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
            let input = MovieInput::of(path)?;
            let about = MovieTags::of(path)?;
            if let Some(words) = about.lacks_movie {
                bail!("{}: {words}: give a movie, or images as PNG or EXR", path.display());
            }
            // Two handles, so that reading it moves nothing of where ffmpeg writes.
            let said = NamedTempFile::new().context("no temporary file can be made")?;
            let log = said.reopen().context("a temporary file is gone")?;
            let mut child = input.decode(samples.format(), &about, color, said.into_file())?;
            let pipe = BufReader::new(child.stdout.take().context("ffmpeg has no output")?);
            let path = path.to_owned();
            let (sizes, read, said) = (ToldSizes::default(), 0, None);
            Ok(Self { path, about, samples, pipe, child, input, log, sizes, read, said })
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
            // What it says of a frame, it says before it sends it.
            Ok(Some(picture)) => self.check_sizes().map(|()| {
                self.read += 1;
                Some(picture)
            }),
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
        self.check_sizes()?;
        let said = self.log_text();
        let complaint = in_one_line(&self.input.without_name(&said));
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
            _ if complaint.is_empty() && status.code().is_none() => bail!(
                "ffmpeg itself crashed when it read {path} ({status}): install another version of it, or give PNG \
                 or EXR images"
            ),
            _ if complaint.is_empty() => Err(self.broken(&status.to_string())),
            _ => Err(self.broken(&complaint)),
        }
    }

    /// The beginning of what ffmpeg has said so far.
    fn log_text(&mut self) -> String {
        const MOST: u64 = 1 << 16;
        let mut bytes = Vec::new();
        let read = self.log.rewind().and_then(|()| (&self.log).take(MOST).read_to_end(&mut bytes));
        if read.is_ok() { String::from_utf8_lossy(&bytes).into_owned() } else { String::new() }
    }

    /// Refuses frames of several sizes: ffmpeg brings those after a change into the size of those before it.
    fn check_sizes(&mut self) -> Result<()> {
        let Some([from, to]) = self.sizes.change(&self.log) else { return Ok(()) };
        let _ = self.child.kill();
        let frames = self.input.frames_before_change(&self.about);
        let after = frames
            .map_or_else(String::new, |frames| format!(" after {}", counted(frames, "frame")));
        let cut = frames
            .map_or_else(String::new, |frames| format!(" (`ffmpeg -i IN -frames:v {frames} OUT`)"));
        bail!(
            "{}: its frames change size from {} × {} to {} × {}{after}, and a clip has one: cut it there{cut}, or \
             write all of it in one size (`ffmpeg -i IN -vf scale={}:{} OUT`)",
            self.path.display(),
            from[0],
            from[1],
            to[0],
            to[1],
            from[0],
            from[1]
        );
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
                 ffmpeg does not know; copy or write it again, or give PNG or EXR images{} (reason: {reason})",
                self.input.about_gap().unwrap_or_default()
            );
        }
        let rest = claimed_more.then(|| {
            format!(", or write the whole ones as a movie of their own (`ffmpeg -i IN -frames:v {read} OUT`)")
        });
        let rest = self.input.about_gap().map(str::to_owned).or(rest);
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

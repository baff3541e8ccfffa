//! Movies written: through ffmpeg, which is given pixels as its encoders take them, and APNG without it.
//!
//! Each format says in `codec` what its pixels are and what its file says of them. The way there
//! (`samples`) is ours, and no filter or scaler of ffmpeg's touches a value: its versions differ in both
//! matrix and alpha. What was written is read back (`verify`) before the file gets its name.

mod apng;
mod codec;
mod program;
mod samples;
mod verify;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::NamedTempFile;
use wan_alpha_take::frame::Frame;

use super::atomic_file::{explain_write, folder_of, unfinished_file, write_whole};
use super::embedded::{iso_boxes, riff};
use super::provenance::{Provenance, xmp};
use super::signature::{FileSigner, sidecar_of};
use apng::Apng;
use codec::{Container, MovieFormat};
pub(crate) use codec::{MovieCodec, RECIPE_TAG};
use program::Ffmpeg;
use verify::KeptFrames;
pub(crate) use verify::Verify;

/// What a movie is, besides its pixels.
#[derive(Clone, Debug)]
pub(crate) struct MovieShape {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) frames: usize,
    /// Whether any pixel may be transparent.
    pub(crate) has_alpha: bool,
}

/// A movie that can be written: its program is there and able.
pub(crate) struct MoviePlan {
    codec: MovieCodec,
    path: PathBuf,
    shape: MovieShape,
    provenance: Provenance,
    verify: Verify,
    /// None of what needs none.
    ffmpeg: Option<Ffmpeg>,
    /// Who signs it; none: nobody.
    signer: Option<Arc<FileSigner>>,
}

impl MoviePlan {
    /// Looks for the program; an error says what to install.
    pub(crate) fn new(
        codec: MovieCodec,
        path: PathBuf,
        shape: MovieShape,
        provenance: Provenance,
        verify: Verify,
    ) -> Result<Self> {
        let ffmpeg = match codec.format() {
            Some(format) => Some(Ffmpeg::for_format(&format, codec)?),
            None => None,
        };
        if let Some(format) = codec.format().filter(|format| format.has_half_chroma()) {
            let even = shape.width.is_multiple_of(2) && shape.height.is_multiple_of(2);
            if !even {
                bail!(
                    "{codec} keeps color for every second pixel, and frames are {} × {}: expected even \
                     sides; crop them, or write {}",
                    shape.width,
                    shape.height,
                    format.instead()
                );
            }
        }
        Ok(Self { codec, path, shape, provenance, verify, ffmpeg, signer: None })
    }

    /// The same movie, signed before it is read back.
    pub(crate) fn signed_by(self, signer: Option<Arc<FileSigner>>) -> Self {
        Self { signer, ..self }
    }

    /// Begins the file, under another name.
    pub(crate) fn begin(self) -> Result<MovieWriter> {
        let folder = folder_of(&self.path).to_owned();
        let temporary =
            unfinished_file(&folder).map_err(|error| explain_write(&self.path, &error))?;
        let encoder = match (&self.ffmpeg, self.codec.format()) {
            (Some(ffmpeg), Some(format)) => {
                let kept = KeptFrames::new(self.verify, self.shape.frames)?;
                let running = RunningFfmpeg::start(
                    ffmpeg,
                    &format,
                    &self.shape,
                    &self.provenance,
                    temporary.path(),
                )?;
                MovieEncoder::Ffmpeg { running, format, kept }
            }
            _ => {
                let file = temporary.reopen()?;
                MovieEncoder::Apng(Apng::begin(file, &self.shape, &self.provenance)?)
            }
        };
        Ok(MovieWriter { plan: self, encoder, temporary })
    }
}

/// A movie being written.
pub(crate) struct MovieWriter {
    plan: MoviePlan,
    /// Goes before its file does.
    encoder: MovieEncoder,
    temporary: NamedTempFile,
}

enum MovieEncoder {
    Ffmpeg { running: RunningFfmpeg, format: MovieFormat, kept: KeptFrames },
    Apng(Apng),
}

impl MovieWriter {
    /// Writes the next frame.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>) -> Result<()> {
        let codec = self.plan.codec;
        let path = &self.plan.path;
        match &mut self.encoder {
            MovieEncoder::Apng(apng) => apng.frame(frame),
            MovieEncoder::Ffmpeg { running, format, kept } => {
                let samples = samples::of(frame, format.pixels);
                let written = running.pipe.as_mut().map(|pipe| pipe.write_all(&samples));
                match written {
                    Some(Ok(())) => kept.add(frame.index, samples),
                    _ => Err(running.failure()),
                }
            }
        }
        .with_context(|| format!("frame {} of {} ({codec})", frame.index, path.display()))
    }

    /// Ends the file, reads it back, and gives it its name. What is to be said of the check is returned.
    pub(crate) fn finish(self) -> Result<(PathBuf, Option<String>)> {
        let Self { plan, encoder, temporary } = self;
        let work = || {
            let (whole, sidecar, remark) = match encoder {
                MovieEncoder::Apng(apng) => {
                    apng.finish()?;
                    let (whole, sidecar) = signed(&plan, temporary)?;
                    (whole, sidecar, None)
                }
                MovieEncoder::Ffmpeg { running, format, kept } => {
                    running.finish()?;
                    mark(&plan, &format, temporary.path())?;
                    let (whole, sidecar) = signed(&plan, temporary)?;
                    let ffmpeg = plan.ffmpeg.as_ref().context("ffmpeg has gone")?;
                    let remark = verify::check(ffmpeg, &format, &plan.shape, whole.path(), kept)?;
                    (whole, sidecar, remark)
                }
            };
            whole.as_file().sync_all()?;
            // First, so that no movie is there without it.
            if let Some(sidecar) = sidecar {
                write_whole(&sidecar_of(&plan.path), &sidecar)?;
            }
            whole.persist(&plan.path).map_err(|error| explain_write(&plan.path, &error.error))?;
            Ok(remark)
        };
        let remark: Result<Option<String>> = work();
        let remark = remark.with_context(|| format!("{} ({})", plan.path.display(), plan.codec))?;
        Ok((plan.path, remark))
    }
}

/// The whole file, signed where somebody signs, and the signature where that lies beside it.
fn signed(plan: &MoviePlan, whole: NamedTempFile) -> Result<(NamedTempFile, Option<Vec<u8>>)> {
    match &plan.signer {
        Some(signer) => signer.seal_file(whole, &plan.path, &plan.provenance),
        None => Ok((whole, None)),
    }
}

/// Puts the marks of origin, and the recipe, into a file whose format ffmpeg has no words for.
fn mark(plan: &MoviePlan, format: &MovieFormat, file: &Path) -> Result<()> {
    let packet = xmp::packet(&plan.provenance, true);
    match format.container {
        Container::Mov => {
            let mut open = File::options().read(true).write(true).open(file)?;
            iso_boxes::add_xmp(&mut open, &packet)
        }
        Container::WebP => {
            let size = [plan.shape.width, plan.shape.height];
            let bytes = std::fs::read(file)?;
            let marked = riff::with_xmp(&bytes, &packet, size, plan.shape.has_alpha)?;
            Ok(std::fs::write(file, marked)?)
        }
        // Its tags are ffmpeg's to write.
        Container::Matroska | Container::WebM => Ok(()),
    }
}

/// ffmpeg at work.
struct RunningFfmpeg {
    child: Child,
    /// None once all is written.
    pipe: Option<ChildStdin>,
    said: File,
}

impl RunningFfmpeg {
    fn start(
        ffmpeg: &Ffmpeg,
        format: &MovieFormat,
        shape: &MovieShape,
        provenance: &Provenance,
        to: &Path,
    ) -> Result<Self> {
        let said = tempfile::tempfile().context("no temporary file can be made")?;
        let size = format!("{}x{}", shape.width, shape.height);
        let mut command = ffmpeg.command();
        command
            .args(["-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", format.pixels.name()])
            .args(["-video_size", &size, "-framerate", &provenance.frame_rate.to_string()])
            .args(["-i", "pipe:0", "-an", "-vf", format.tags.filter()])
            // Nothing in the file that differs from run to run.
            .args(["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"])
            .args(["-c:v", format.encoder])
            .args(format.options);
        if matches!(format.container, Container::Matroska | Container::WebM) {
            for (name, text) in codec::matroska_tags(provenance)? {
                command.arg("-metadata").arg(format!("{name}={text}"));
            }
        }
        let mut output = std::ffi::OsString::from("file:");
        output.push(to);
        command.args(["-f", format.container.name()]).arg(output);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said.try_clone()?);
        let mut child =
            command.spawn().map_err(|error| anyhow!("ffmpeg cannot be started: {error}"))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe, said })
    }

    /// Why it takes nothing more.
    fn failure(&mut self) -> anyhow::Error {
        self.pipe = None;
        let ended = self.child.wait();
        let mut text = String::new();
        let read =
            self.said.rewind().and_then(|()| (&self.said).take(4096).read_to_string(&mut text));
        let text = text.trim().replace('\n', "; ");
        match (read, ended) {
            (Ok(_), _) if !text.is_empty() => anyhow!("ffmpeg says: {text}"),
            (_, Ok(status)) => anyhow!("ffmpeg ended early ({status})"),
            (_, Err(error)) => anyhow!("ffmpeg has gone: {error}"),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.pipe = None;
        if self.child.wait().context("ffmpeg has gone")?.success() {
            return Ok(());
        }
        Err(self.failure())
    }
}

impl Drop for RunningFfmpeg {
    fn drop(&mut self) {
        // Both do nothing to a process that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A take on disk: `rgba.0000.exr`, `rgba.0000.png`, …, `contact-sheet.png`, `take.json`.
//!
//! Frames are encoded and written one by one as the decoders hand them on; all that is kept of
//! them is a few thumbnails for the contact sheet. Every file appears whole or not at all, and its
//! bytes depend on nothing but the take. Invariant: a folder holds the files of one take.

mod folder;
mod record;
mod sink;

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, ensure};
use serde_json::{Map, Value};
use wan_alpha_take::TakeRequest;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::frame::Frame;

use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::write_whole;
use crate::media::contact_sheet::ContactSheet;
use crate::media::provenance::Provenance;
use crate::media::{exr, png};
use folder::Folder;
pub(crate) use folder::{PROGRAM, TAKE, is_replaced};
pub(crate) use record::add_circumstances;
pub(crate) use sink::WriterSink;

const SHEET: &str = "contact-sheet.png";

/// A file format for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Half float, ZIP, linear Rec.709, premultiplied: for compositing
    Exr,
    /// 16 bit, sRGB, straight (unpremultiplied): for everything else
    Png,
}

impl Format {
    const fn extension(self) -> &'static str {
        match self {
            Self::Exr => "exr",
            Self::Png => "png",
        }
    }
}

/// A take to be written.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) folder: PathBuf,
    pub(crate) formats: Vec<Format>,
    pub(crate) frames: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) provenance: Provenance,
}

impl Plan {
    /// The take of a request, in a folder.
    pub(crate) fn of(request: &TakeRequest, folder: &Path, formats: Vec<Format>) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            formats,
            frames: request.frames as usize,
            width: request.width as usize,
            height: request.height as usize,
            provenance: Provenance {
                software: Provenance::this_program(),
                description: request.prompt.clone(),
                recipe: request.to_canonical(),
                frame_rate: i32::try_from(request.take_rate)?,
            },
        })
    }
}

impl Plan {
    /// Whether a file of this name is one of its frames.
    fn writes(&self, name: &str) -> bool {
        self.formats.iter().any(|format| {
            let number = name.strip_prefix("rgba.").and_then(|rest| {
                rest.strip_suffix(format.extension())?.strip_suffix('.')?.parse::<usize>().ok()
            });
            number.is_some_and(|number| number < self.frames)
        })
    }
}

/// Writes a take's frames, in order, then its contact sheet.
pub(crate) struct Writer {
    plan: Plan,
    folder: Folder,
    sheet: ContactSheet,
    frames: Vec<PathBuf>,
    next: usize,
}

impl Writer {
    /// Makes the folder and refuses early what would fail late. Nothing of a take that is already
    /// there is touched before the first [`Writer::write`].
    /// Frames that go and are not replaced, of another format or beyond the end, are told to `remark`.
    pub(crate) fn create(plan: Plan, remark: impl Fn(&str)) -> Result<Self> {
        let folder = Folder::open(&plan.folder).or_exit(Exit::BadInput)?;
        let going = folder.frames_that_go(|name| plan.writes(name))?;
        if let [first, ..] = &going[..] {
            remark(&format!(
                "{} holds an earlier take: {} of its frames {} with the first new one and {} not come \
                 again, such as {first}",
                plan.folder.display(),
                counted(going.len(), "file"),
                verb(going.len(), "goes", "go"),
                verb(going.len(), "does", "do")
            ));
        }
        let sheet = ContactSheet::new(plan.frames, plan.width, plan.height);
        Ok(Self { plan, folder, sheet, frames: Vec::new(), next: 0 })
    }

    /// Writes the next frame in every format of the plan.
    pub(crate) fn write(&mut self, frame: Frame<'_>) -> Result<()> {
        let plan = &self.plan;
        ensure!(
            frame.index == self.next && self.next < plan.frames,
            "frame {} came where frame {} of {} was due",
            frame.index,
            self.next,
            plan.frames,
        );
        ensure!(
            (frame.width, frame.height) == (plan.width, plan.height),
            "frame {} is {} × {}, the take {} × {}",
            frame.index,
            frame.width,
            frame.height,
            plan.width,
            plan.height,
        );
        frame.check()?;
        if self.next == 0 {
            self.folder.begin()?;
        }
        // Compressing costs more than writing, so the formats are made side by side.
        let encoded = thread::scope(|scope| {
            let works: Vec<_> = plan
                .formats
                .iter()
                .map(|&format| {
                    let work = move || match format {
                        Format::Exr => exr::encode(&frame, &plan.provenance),
                        Format::Png => png::encode(&frame, &plan.provenance),
                    };
                    (format, scope.spawn(work))
                })
                .collect();
            self.sheet.offer(&frame);
            works.into_iter().map(|(format, work)| (format, work.join())).collect::<Vec<_>>()
        });
        for (format, bytes) in encoded {
            let extension = format.extension();
            let Ok(bytes) = bytes else {
                anyhow::bail!("the {extension} encoder broke off at frame {}", frame.index);
            };
            let path = self.folder.path().join(format!("rgba.{:04}.{extension}", frame.index));
            write_whole(&path, &bytes?)?;
            self.frames.push(path);
        }
        self.next += 1;
        Ok(())
    }

    /// Writes the contact sheet. The take is complete once [`Written::describe`] has been called.
    pub(crate) fn finish(self) -> Result<Written> {
        let (next, frames) = (self.next, self.plan.frames);
        ensure!(next == frames, "only {next} of {frames} frames were made");
        let bytes = png::encode_sheet(&self.sheet, &self.plan.provenance)?;
        let sheet = self.folder.path().join(SHEET);
        write_whole(&sheet, &bytes)?;
        Ok(Written { folder: self.folder, frames: self.frames, sheet })
    }
}

/// The files of a take, all on disk.
pub(crate) struct Written {
    folder: Folder,
    /// In the order they were written.
    pub(crate) frames: Vec<PathBuf>,
    pub(crate) sheet: PathBuf,
}

impl Written {
    /// Writes `take.json`: what the caller says (request, versions, timings) beside our own
    /// `program` and `state`, by which a later run knows the folder again.
    pub(crate) fn describe(&self, take: Map<String, Value>) -> Result<PathBuf> {
        self.folder.finish(take)
    }

    /// The folder that everything is in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Lets a write beyond the process's file size limit (`ulimit -f`) end in an error that can be
/// explained; unhandled, its signal kills the process without a word and leaves the temporary
/// file behind. Called once, by main, before any work.
pub(crate) fn survive_file_size_limit() -> Result<()> {
    #[cfg(unix)]
    {
        use std::sync::{Arc, atomic::AtomicBool};
        // A handler that does nothing of use is enough: the write then fails with EFBIG.
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! A take on disk: `rgba.0000.exr`, `rgba.0000.png`, …, `contact-sheet.png`, `take.json`.
//!
//! Frames are encoded and written one by one as the decoders hand them on; all that is kept of
//! them is a few thumbnails for the contact sheet. Every file appears whole or not at all, and its
//! bytes depend on nothing but the take, how it is written, and the time in its marks of origin.
//! Invariant: a folder holds the files of one take.

mod folder;
mod format;
mod movies;
mod names;
mod record;
mod settings;
mod sink;

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, ensure};
use serde_json::{Map, Value};
use wan_alpha_take::TakeRequest;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::frame::Frame;

use crate::exit::{Exit, OrExit};
use crate::media::contact_sheet::ContactSheet;
use crate::media::frame_look::FrameLook;
use crate::media::provenance::Provenance;
use crate::media::signature::{SIDECAR, SealedBytes, sealed};
use crate::media::{exr, png};
use folder::Folder;
pub(crate) use folder::{PROGRAM, TAKE, has_all_files, is_replaced, names_in};
pub(crate) use format::Format;
use movies::Movies;
pub(crate) use names::{FrameNames, MOST_DIGITS};
pub(crate) use record::add_circumstances;
pub(crate) use settings::FileSettings;
pub(crate) use sink::WriterSink;

const SHEET: &str = crate::media::contact_sheet::FILE_NAME;

/// A take to be written.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) folder: PathBuf,
    pub(crate) settings: FileSettings,
    pub(crate) frames: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) provenance: Provenance,
}

impl Plan {
    /// The take of a request, in a folder.
    pub(crate) fn of(
        request: &TakeRequest,
        folder: &Path,
        settings: &FileSettings,
    ) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            settings: settings.clone(),
            frames: request.frames as usize,
            width: request.width as usize,
            height: request.height as usize,
            provenance: settings.provenance(request)?,
        })
    }

    /// Refuses what writing the take would end with, as far as that can be seen before anything is made:
    /// a folder that cannot be written to or has files of others in it, a mask of another size, movies for
    /// which there is no program.
    pub(crate) fn refuse_unwritable(self) -> Result<()> {
        let FileSettings { names, force, .. } = &self.settings;
        Folder::refuse_unwritable(&self.folder, names, *force).or_exit(Exit::BadInput)?;
        self.with_movies().map(drop)
    }

    /// The same with what its frames are seen over fitted to them, and its movies.
    fn with_movies(mut self) -> Result<(Self, Movies)> {
        self.settings.look = self.settings.look.fitted(self.width, self.height)?;
        let movies = Movies::plan(&self, &self.folder).or_exit(Exit::BadInput)?;
        Ok((self, movies))
    }

    /// Whether a file of this name is one of its files.
    fn writes(&self, name: &str) -> bool {
        let FileSettings { formats, names, signer, .. } = &self.settings;
        let is_of = |format: &Format, extension: &str| match format.movie() {
            None => names.index_of(name, extension).is_some_and(|index| index < self.frames),
            Some(_) => name == names.movie(extension),
        };
        formats.iter().any(|format| {
            let is_signed = signer.is_some() && format.is_signed_beside();
            is_of(format, format.extension()) || is_signed && is_of(format, SIDECAR)
        })
    }
}

/// Writes a take's frames, in order, then its contact sheet.
pub(crate) struct Writer {
    plan: Plan,
    folder: Folder,
    sheet: ContactSheet,
    movies: Movies,
    frames: Vec<PathBuf>,
    next: usize,
}

impl Writer {
    /// Makes the folder and refuses early what would fail late. Nothing of a take that is already
    /// there is touched before the first [`Writer::write`].
    /// Frames that go and are not replaced, of another format or beyond the end, are told to `remark`.
    pub(crate) fn create(plan: Plan, remark: impl Fn(&str)) -> Result<Self> {
        let FileSettings { names, force, .. } = &plan.settings;
        let folder = Folder::open(&plan.folder, names, *force).or_exit(Exit::BadInput)?;
        let (plan, movies) = plan.with_movies()?;
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
        Ok(Self { plan, folder, sheet, movies, frames: Vec::new(), next: 0 })
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
        let seen = plan.settings.look.pixels(&frame);
        let seen = Frame { rgba: &seen, ..frame };
        let images = plan.settings.formats.iter().filter(|format| format.movie().is_none());
        // Compressing costs more than writing, so the formats are made side by side.
        let (names, folder) = (&plan.settings.names, self.folder.path());
        let encoded = thread::scope(|scope| {
            let works: Vec<_> = images
                .map(|&format| {
                    let path = folder.join(names.frame(frame.index, format.extension()));
                    let work = scope.spawn({
                        let path = path.clone();
                        move || encode(format, plan, [&frame, &seen], &path)
                    });
                    (path, work)
                })
                .collect();
            self.sheet.offer(&frame);
            let movies = self.movies.write(&seen);
            let works = works.into_iter().map(|(path, work)| (path, work.join()));
            movies.map(|()| works.collect::<Vec<_>>())
        })?;
        for (path, made) in encoded {
            let Ok(made) = made else {
                anyhow::bail!("the encoder of {} broke off", path.display());
            };
            made?.write(&path)?;
            self.frames.push(path);
        }
        self.next += 1;
        Ok(())
    }

    /// Writes the contact sheet. The take is complete once [`Written::describe`] has been called.
    pub(crate) fn finish(mut self) -> Result<Written> {
        let (next, frames) = (self.next, self.plan.frames);
        ensure!(next == frames, "only {next} of {} were made", counted(frames, "frame"));
        let Plan { settings, provenance, .. } = &self.plan;
        let sheet = self.folder.path().join(SHEET);
        let bytes = png::encode_sheet(&self.sheet, provenance)?;
        sealed(bytes, &sheet, settings.signer.as_deref(), provenance)?.write(&sheet)?;
        let (movies, remarks) = self.movies.finish()?;
        self.frames.extend(movies);
        Ok(Written { folder: self.folder, frames: self.frames, sheet, remarks })
    }
}

/// The file of a frame, signed where somebody signs: as it was made where alpha alone is written, else as it
/// is seen.
fn encode(
    format: Format,
    plan: &Plan,
    [made, seen]: [&Frame<'_>; 2],
    path: &Path,
) -> Result<SealedBytes> {
    let Plan { settings, provenance, .. } = plan;
    let bytes = match (format, &settings.look) {
        (Format::Exr, FrameLook::AlphaOnly) => exr::encode_alpha(made, &settings.exr, provenance),
        (Format::Exr, _) => exr::encode(seen, &settings.exr, provenance),
        (_, FrameLook::AlphaOnly) => png::encode_alpha(made, settings.png, provenance),
        _ => png::encode(seen, settings.png, provenance),
    }?;
    sealed(bytes, path, settings.signer.as_deref(), provenance)
}

/// The files of a take, all on disk.
pub(crate) struct Written {
    folder: Folder,
    /// Frames in the order they were written, then movies.
    pub(crate) frames: Vec<PathBuf>,
    pub(crate) sheet: PathBuf,
    /// What is to be said of how movies were checked.
    pub(crate) remarks: Vec<String>,
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

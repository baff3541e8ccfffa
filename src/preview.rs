//! `--preview`: what a take is going to be, written as one small picture after each step.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow};
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::{Stage, Watch, preview};
use wan_alpha_take::Warning;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::models::LatentPreview;

use crate::media::atomic_file::{probe_file, write_passing};
use crate::media::png::{PngSettings, PngTag, encode};
use crate::media::provenance::Provenance;

/// The file that a preview is written to, anew each time.
pub(crate) struct PreviewFile {
    path: PathBuf,
    provenance: Provenance,
    /// That it cannot be written is said once.
    has_failed: AtomicBool,
}

impl PreviewFile {
    /// A preview that says so much of its origin.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(path: &Path, provenance: Provenance) -> Result<Self> {
        probe_file(path)?;
        Ok(Self { path: path.to_owned(), provenance, has_failed: AtomicBool::new(false) })
    }

    /// Writes a picture; where that fails, or there is none, it is said, and the work goes on.
    pub(crate) fn show_or_warn(&self, picture: Option<&OwnedFrame>, watch: &dyn Watch) {
        let shown = match picture {
            Some(picture) => self.show(picture),
            None => Err(anyhow!("it came without all of its pixels")),
        };
        if let Err(error) = shown
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            watch.warn(&format!("the preview is not written: {error:#}"));
        }
    }

    fn show(&self, picture: &OwnedFrame) -> Result<()> {
        let settings = PngSettings { is_8_bit: true, color: PngTag::Srgb };
        write_passing(&self.path, &encode(&picture.borrowed(), settings, &self.provenance)?)?;
        Ok(())
    }
}

/// Hands everything on to a [`Watch`], and shows what steps lead to, where that is wanted.
pub(crate) struct PreviewWatch<'a> {
    pub(crate) watch: &'a dyn Watch,
    /// Where, and by which map.
    pub(crate) shown: Option<(&'a PreviewFile, &'a LatentPreview)>,
}

impl Watch for PreviewWatch<'_> {
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        self.watch.progress(stage, step, of);
    }

    fn writes(&self, verb: &str, step: usize, of: usize) {
        self.watch.writes(verb, step, of);
    }

    fn wants_prediction(&self) -> bool {
        self.shown.is_some()
    }

    fn prediction(&self, latent: &Tensor) {
        let Some((file, map)) = self.shown else { return };
        let begun = Instant::now();
        match preview::middle_cells(latent) {
            Ok((width, height, cells)) => {
                file.show_or_warn(Some(&map.picture(width, height, &cells)), self.watch);
            }
            Err(error) => self.watch.warn(&format!("there is no preview of this step: {error}")),
        }
        log::debug!("the preview took {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    }

    fn go_on(&self) -> bool {
        self.watch.go_on()
    }

    fn check(&self, stage: Stage) -> wan_alpha_core::Result<()> {
        self.watch.check(stage)
    }

    fn waits_for_others(&self, waits: bool) {
        self.watch.waits_for_others(waits);
    }

    fn pauses(&self) -> bool {
        self.watch.pauses()
    }

    fn rest_paused(&self, stage: Stage, step: usize, of: usize) {
        self.watch.rest_paused(stage, step, of);
    }

    fn warn(&self, message: &str) {
        self.watch.warn(message);
    }

    fn warn_quoting(&self, message: &str) {
        self.watch.warn_quoting(message);
    }

    fn tell(&self, warning: &Warning) {
        self.watch.tell(warning);
    }
}

//! The movies of a take, written while its frames come.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use wan_alpha_take::frame::Frame;

use super::Plan;
use super::settings::FileSettings;
use crate::exit::{Exit, OrExit};
use crate::media::frame_look::FrameLook;
use crate::media::movie::{MoviePlan, MovieShape, MovieWriter};
use crate::media::signature::sidecar_of;

/// Movies that are planned, then written.
#[derive(Default)]
pub(super) struct Movies {
    planned: Vec<MoviePlan>,
    running: Vec<MovieWriter>,
}

impl Movies {
    /// Looks whether all that are asked for can be written.
    pub(super) fn plan(plan: &Plan, folder: &Path) -> Result<Self> {
        let Plan { settings, frames, width, height, provenance, .. } = plan;
        let FileSettings { formats, names, look, verify, signer, .. } = settings;
        let shape = MovieShape {
            width: *width,
            height: *height,
            frames: *frames,
            has_alpha: matches!(look, FrameLook::Whole),
        };
        let mut planned = Vec::new();
        let mut paths: Vec<PathBuf> = Vec::new();
        for (format, codec) in formats.iter().filter_map(|format| Some((format, format.movie()?))) {
            let path = folder.join(names.movie(format.extension()));
            ensure!(
                !paths.contains(&path),
                "--format has two movies that would both be {}: write one after the other, with another \
                 --name or --out",
                path.display()
            );
            paths.push(path.clone());
            if signer.is_some() && format.is_signed_beside() {
                let beside = sidecar_of(&path);
                ensure!(
                    !paths.contains(&beside),
                    "--format has two movies whose signatures would both be {}: write one after the other, \
                     with another --name or --out",
                    beside.display()
                );
                paths.push(beside);
            }
            let plan = MoviePlan::new(codec, path, shape.clone(), provenance.clone(), *verify)?;
            planned.push(plan.signed_by(signer.clone()));
        }
        Ok(Self { planned, running: Vec::new() })
    }

    /// Writes the next frame, as it is seen, into all of them.
    pub(super) fn write(&mut self, frame: &Frame<'_>) -> Result<()> {
        for plan in self.planned.drain(..) {
            self.running.push(plan.begin()?);
        }
        self.running.iter_mut().try_for_each(|movie| movie.frame(frame))
    }

    /// Ends all of them; where they are, and what is to be said of their checks.
    pub(super) fn finish(self) -> Result<(Vec<PathBuf>, Vec<String>)> {
        let mut paths = Vec::new();
        let mut remarks = Vec::new();
        for movie in self.running {
            let (path, remark) = movie.finish().or_exit(Exit::Failed)?;
            paths.push(path);
            remarks.extend(remark);
        }
        Ok((paths, remarks))
    }
}

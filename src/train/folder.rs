//! The folder of a run: its settings, its states, its log, its pictures and its results.
//!
//! ```text
//! settings.json   what the run is; compared when it goes on
//! state/          step-00000250.safetensors, …: parameters, moments, averages
//! log.jsonl       a line for each step and each measurement
//! events.out.tfevents.wan-alpha   the same for TensorBoard
//! losses.png      the curves
//! samples/        what the networks made along the way
//! model/          the results in the released formats
//! ```
//!
//! Invariants: one process writes to a folder; a state appears whole or not at all; the log never
//! knows of a step that the state it goes on from has not made.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::train::write_safetensors;
use wan_alpha_core::weights::TensorFile;

use super::settings::Settings;
use super::tensorboard::EventFile;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::write_whole;
use crate::write_lock::WriteLock;

/// The remark in a state's header, and its one value.
const KIND: (&str, &str) = ("wan-alpha.kind", "training-state-1");

/// The folder of a run, opened and locked against other runs.
pub(super) struct RunFolder {
    path: PathBuf,
    /// Held as long as the run lasts.
    _lock: WriteLock,
}

/// A state to go on from.
pub(super) struct SavedState {
    pub(super) step: u64,
    pub(super) file: TensorFile,
}

impl RunFolder {
    /// Makes the folder, or takes up the run in it if it is the same one.
    pub(super) fn open(path: &Path, settings: &Settings) -> Result<Self> {
        let open = || -> Result<Self> {
            for sub in ["state", "samples", "model"] {
                fs::create_dir_all(path.join(sub))?;
            }
            let lock = WriteLock::of_folder(path)?;
            let about = path.join("settings.json");
            if about.exists() {
                let before = fs::read(&about)?;
                let before: Settings = serde_json::from_slice(&before)
                    .context("its settings.json is of another version of this program")?;
                let differences = settings.differences(&before)?;
                if !differences.is_empty() {
                    bail!(
                        "it holds another run: {}; choose another folder, or give the settings back",
                        differences.join("; ")
                    );
                }
            }
            write_whole(&about, &serde_json::to_vec_pretty(settings)?)?;
            Ok(Self { path: path.to_owned(), _lock: lock })
        };
        let opened = open().with_context(|| format!("cannot use the folder {}", path.display()));
        opened.or_exit(Exit::BadInput)
    }

    /// The newest state that can be read; a damaged one is told of and passed over.
    pub(super) fn newest(&self, watch: &dyn Watch) -> Result<Option<SavedState>> {
        for (step, path) in self.states()?.into_iter().rev() {
            match TensorFile::open(&path) {
                Ok(file) => return Ok(Some(SavedState { step, file })),
                Err(error) => watch.warn(&format!("{error}; going on from the state before it")),
            }
        }
        Ok(None)
    }

    /// Writes a state and takes away all but the last `keep`.
    pub(super) fn save(&self, step: u64, tensors: &[(String, Tensor)], keep: usize) -> Result<()> {
        let remarks = BTreeMap::from([(KIND.0.to_owned(), KIND.1.to_owned())]);
        write_safetensors(&self.state(step), tensors, &remarks)?;
        let states = self.states()?;
        for (_, path) in states.iter().take(states.len().saturating_sub(keep)) {
            fs::remove_file(path)
                .with_context(|| format!("cannot remove the old state {}", path.display()))?;
        }
        Ok(())
    }

    fn state(&self, step: u64) -> PathBuf {
        self.path.join("state").join(format!("step-{step:08}.safetensors"))
    }

    /// Steps and files of the states, rising.
    fn states(&self) -> Result<BTreeMap<u64, PathBuf>> {
        let folder = self.path.join("state");
        let list = || -> Result<BTreeMap<u64, PathBuf>> {
            let mut states = BTreeMap::new();
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let step = name
                    .strip_prefix("step-")
                    .and_then(|rest| rest.strip_suffix(".safetensors"))
                    .and_then(|step| step.parse().ok());
                if let Some(step) = step {
                    states.insert(step, path);
                }
            }
            Ok(states)
        };
        list().with_context(|| format!("cannot list {}", folder.display()))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// What TensorBoard reads.
    pub(super) fn events(&self) -> PathBuf {
        EventFile::path(&self.path)
    }

    pub(super) fn plot(&self) -> PathBuf {
        self.path.join("losses.png")
    }

    /// Where a picture of what the networks make at a step goes.
    pub(super) fn sample(&self, step: u64, name: &str) -> PathBuf {
        self.path.join("samples").join(format!("step-{step:08}-{name}.png"))
    }

    pub(super) fn model(&self) -> PathBuf {
        self.path.join("model")
    }
}

impl SavedState {
    /// A tensor of the state, as [`wan_alpha_core::train::Optimizer::restore`] asks for it.
    pub(super) fn read(
        &self,
        opened: Device,
        name: &str,
    ) -> wan_alpha_core::Result<Option<Tensor>> {
        self.file.entry(name).map(|_| self.file.read(opened, name)).transpose()
    }
}

//! What the engine is to do: the script, and how often engines were started with it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use wan_alpha_take::Warning;
use wan_alpha_take::engine::message::ProblemCode;

/// A script. Every field may be left out.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Script {
    /// What the engine says of itself.
    pub(crate) version: String,
    pub(crate) numerics: u32,
    pub(crate) protocol: u32,
    /// What a take goes through.
    pub(crate) stages: Vec<Stage>,
    pub(crate) step_ms: u64,
    pub(crate) heartbeat_ms: u64,
    pub(crate) unread_ms: u64,
    pub(crate) idle_ms: u64,
    pub(crate) alone_ms: Option<u64>,
    /// Whether it says how long a take still takes.
    pub(crate) estimates: bool,
    /// How long it opens its device, listening meanwhile.
    pub(crate) opening_ms: u64,
    /// Why that fails; nothing can be made then.
    pub(crate) not_opened: Option<String>,
    /// Why it uses no GPU.
    pub(crate) unused: Option<String>,
    /// Whether it sends what a take is going to be after each step of sampling: two pixels beside each other,
    /// of which the first is red as the steps are done and half there, and the second blue.
    pub(crate) previews: bool,
    /// What it warns of as it begins a take; it stands in the take's record.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) faults: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) steps: u32,
}

/// What goes wrong, and where. Without a stage: `start` is before it listens, `listen` once it does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) stage: String,
    #[serde(default)]
    pub(crate) step: u32,
    /// Only in the first so many engines.
    #[serde(default = "always")]
    pub(crate) engines: u32,
    pub(crate) what: Action,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Ends the process in order.
    Exit,
    /// Ends as a crash does.
    Abort,
    /// Does nothing at all any more, heartbeats included.
    Hang,
    /// Is slow; heartbeats go on.
    Sleep { ms: u64 },
    /// Waits until there is a file of this name beside the script, or until nobody wants the take any
    /// more; heartbeats go on. So a test says how long a take lasts, and no clock does.
    Gate { file: String },
    /// Waits until it has been told to pause, for the first time, or until nobody wants the take any more.
    UntilPaused,
    /// Says what is no message.
    Garbage,
    /// Says a line of 1 MiB.
    LongLine,
    /// Closes its socket and its connections, and lives on for a while.
    Close,
    /// Fails the take with these words.
    Fail { code: ProblemCode, message: String, remedy: String },
    /// Loses its device: says so and ends.
    GpuFault { message: String, remedy: String },
}

fn always() -> u32 {
    u32::MAX
}

impl Default for Script {
    fn default() -> Self {
        let stage = |name: &str, steps| Stage { name: name.to_owned(), steps };
        Self {
            version: "0.1.0".to_owned(),
            numerics: wan_alpha_take::NUMERICS,
            protocol: wan_alpha_take::engine::message::PROTOCOL,
            stages: vec![stage("text", 2), stage("sampling", 4), stage("decode", 3)],
            step_ms: 2,
            heartbeat_ms: 100,
            unread_ms: 1000,
            // Who starts one ends it, however long that lasts.
            idle_ms: 120_000,
            alone_ms: None,
            estimates: true,
            opening_ms: 0,
            not_opened: None,
            unused: None,
            previews: false,
            warnings: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl Script {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The fault of this place, for the engine of this number.
    pub(crate) fn fault(&self, stage: &str, step: u32, engine: u32) -> Option<&Action> {
        let here =
            |fault: &&Fault| fault.stage == stage && fault.step == step && engine <= fault.engines;
        self.faults.iter().find(here).map(|fault| &fault.what)
    }
}

/// Adds how a take ended to what is known of the script's takes, in a file beside it.
pub(crate) fn note_end(script: &Path, how: &str) -> Result<()> {
    let path = script.with_extension("ends");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // At once, so that nobody reads half a line.
    Ok(file.write_all(format!("{how}\n").as_bytes())?)
}

/// Adds this engine to those started with the script, in a file beside it. Returns its number,
/// from 1.
pub(crate) fn count_start(script: &Path) -> Result<u32> {
    let path = script.with_extension("starts");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(u32::try_from(fs::read_to_string(&path)?.lines().count())?)
}

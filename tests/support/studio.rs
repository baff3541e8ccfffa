//! A user's folders: named models, takes, and the engine that is started there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use wan_alpha_take::NUMERICS;
use wan_alpha_take::engine::client::{ClientSetup, Deadlines, EngineClient, EngineCommand};
use wan_alpha_take::engine::message::Identity;
use wan_alpha_take::visible_gpus::VisibleGpus;

pub(crate) struct Studio {
    room: TempDir,
}

impl Studio {
    /// With a model, `tiny`.
    pub(crate) fn new() -> Self {
        let studio = Self::empty();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/t2v-euler/model");
        studio.ok(&["model", "add", "tiny", data.to_str().unwrap()]);
        studio
    }

    /// A folder without any model in it.
    pub(crate) fn empty() -> Self {
        Self { room: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// What the command and its engine find in their environment; sockets in their own folder under
    /// `run`.
    pub(crate) fn environment(&self, run: &str) -> Vec<(OsString, OsString)> {
        let folders = [
            ("HOME", "home"),
            ("WAN_ALPHA_MODELS", "models"),
            ("WAN_ALPHA_STORE", "takes"),
            ("WAN_ALPHA_RUN", run),
            ("XDG_STATE_HOME", run),
        ];
        let folders = folders.map(|(name, folder)| (name, self.path(folder).into_os_string()));
        let others = [
            ("PATH", std::env::var_os("PATH").unwrap()),
            ("OMP_WAIT_POLICY", "passive".into()),
            ("OMP_NUM_THREADS", "1".into()),
            ("WAN_ALPHA_IDLE", "20".into()),
            // Files say when they were written; so all of a test say the same.
            ("SOURCE_DATE_EPOCH", "0".into()),
        ];
        folders.into_iter().chain(others).map(|(name, value)| (name.into(), value)).collect()
    }

    /// The command, in this user's environment.
    pub(crate) fn command(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(arguments).env_clear().envs(self.environment(run));
        command
    }

    /// A client as a host has it, for what no command asks of an engine.
    pub(crate) fn client(&self, run: &str, more: &[(&str, &str)]) -> EngineClient {
        self.client_of(run, &["engine", "run"], more)
    }

    /// The same, of an engine that is started so.
    pub(crate) fn client_of(
        &self,
        run: &str,
        arguments: &[&str],
        more: &[(&str, &str)],
    ) -> EngineClient {
        let more = more.iter().map(|(name, value)| (name.into(), value.into()));
        EngineClient::new(ClientSetup {
            identity: Identity::new(env!("CARGO_PKG_VERSION"), NUMERICS),
            run: self.path(run),
            gpus: VisibleGpus::default(),
            engine: EngineCommand {
                program: env!("CARGO_BIN_EXE_wan-alpha").into(),
                arguments: arguments.iter().map(OsString::from).collect(),
                environment: self.environment(run).into_iter().chain(more).collect(),
                log: self.path(run).join("wan-alpha/engine.log"),
                detached: true,
            },
            deadlines: Deadlines::default(),
        })
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command("run", arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> (String, String) {
        told(self.run(arguments))
    }

    /// A small request of `tiny` in a file.
    pub(crate) fn request(&self, name: &str, seed: u32, frames: u32) -> String {
        self.request_with(name, seed, frames, |_| ())
    }

    /// A request of this model, changed by the test.
    pub(crate) fn request_with(
        &self,
        name: &str,
        seed: u32,
        frames: u32,
        change: impl FnOnce(&mut Value),
    ) -> String {
        let latent_frames = (frames as usize - 1) / 4 + 1;
        let ellipse = json!({ "x": 0.5, "y": 0.5, "a": 0.6, "b": 1.0, "angle": 0.0 });
        let mut request = json!({
            "version": 1, "numerics": NUMERICS, "prompt": "smoke",
            "negative_prompt": null, "seed": seed, "frames": frames, "width": 64, "height": 48,
            "take_rate": 16, "ellipse": vec![ellipse; latent_frames], "mask": null,
            "mu": vec![0.05; latent_frames], "mu_scale": 1.0, "steps": 12, "shift": 5.0,
            "guidance": 1.0, "solver": "unipc", "dora_strength": 1.0, "distill_strength": 1.0,
            "precision": "f32", "decode_tiling": "whole", "model": "tiny",
            "model_fingerprint": self.fingerprint("tiny"), "first_image": null,
        });
        change(&mut request);
        let path = self.path(name);
        fs::write(&path, request.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Of a model by its name; null where there is none.
    fn fingerprint(&self, model: &str) -> Value {
        let record = fs::read_to_string(self.path("models").join(model).join("wan-alpha.json"));
        record.map_or(Value::Null, |record| {
            serde_json::from_str::<Value>(&record).unwrap()["fingerprint"].clone()
        })
    }

    /// The takes in the store, with their bytes.
    pub(crate) fn takes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let names: BTreeSet<_> = fs::read_dir(self.path("takes"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        let takes = names.into_iter().filter(|path| path.extension().is_some_and(|e| e == "take"));
        takes.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        for run in ["run", "run-b"] {
            let _ = self.command(run, &["engine", "stop"]).output();
        }
    }
}

/// stdout and stderr of a call that must have succeeded.
#[track_caller]
pub(crate) fn told(output: Output) -> (String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (stdout, stderr)
}

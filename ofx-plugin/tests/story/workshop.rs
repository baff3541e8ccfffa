//! Everything around a node: a bundle, a model's record, a store, and a scripted engine.
//!
//! The plug-in reads the environment of its process, and each test wants another one. So each runs
//! in a process of its own, which is this test binary started again for that one test.

use std::fs;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wan_alpha_take::models::{Defaults, Manifest, ModelRoots};
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{Fingerprint, Precision, TakeKey, TakeRequest};
use wan_alpha_test_host::{ARCHITECTURE, Frame, Host, Node, Plugin, Profile};

/// Longer than anything takes on a machine that does other things too. Only a failure lasts so long.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long a test may last. One that hangs is ended by name, and the others go on.
const LIMIT: Duration = Duration::from_secs(600);

/// What opens the gate of [`Workshop::gate`].
const GATE: &str = "gate-is-open";

/// The scripted engine's program, built once for all tests.
const ENGINE: &str = "scripted-engine";
static ENGINE_BUILT: Once = Once::new();

/// Where the test's own process finds its workshop.
const HOME: &str = "WAN_ALPHA_TEST_HOME";

/// Width, height and frames of the takes of the model here.
pub(crate) const SIZE: [u32; 2] = [64, 48];
pub(crate) const FRAMES: u32 = 9;

/// The world of one test.
pub(crate) struct Workshop {
    home: PathBuf,
}

/// Tests in processes of their own, with variables in their environment.
macro_rules! alone {
    ($(fn $name:ident($workshop:ident $(, $variable:literal = $value:literal)*) $body:block)+) => {
        $(
            #[test]
            fn $name() {
                crate::workshop::Workshop::alone(
                    concat!(module_path!(), "::", stringify!($name)),
                    &[$(($variable, $value)),*],
                    |$workshop| $body,
                );
            }
        )+
    };
}
pub(crate) use alone;

impl Workshop {
    /// Runs the test in a process of its own.
    #[track_caller]
    pub(crate) fn alone(path: &str, variables: &[(&str, &str)], test: impl FnOnce(&Self)) {
        if let Some(home) = std::env::var_os(HOME) {
            test(&Self { home: home.into() });
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let workshop = Self { home: home.path().to_owned() };
        workshop.furnish();
        let name = path.split_once("::").unwrap().1;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--nocapture", "--test-threads=1"]);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("WAN_ALPHA_") {
                child.env_remove(variable);
            }
        }
        child
            .env(HOME, home.path())
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", workshop.at("state"))
            .env("XDG_DATA_HOME", workshop.at("data"))
            .env_remove("XDG_RUNTIME_DIR")
            .env("WAN_ALPHA_STORE", workshop.store_folder())
            .env("WAN_ALPHA_MODELS", workshop.at("models"))
            .env("WAN_ALPHA_RUN", workshop.at("run"))
            .env("WAN_ALPHA_SCRIPT", workshop.at("script.json"))
            .env("WAN_ALPHA_ENGINE", workshop.at("engine"))
            .envs(variables.iter().copied());
        let (status, [said, complained]) = ended_in_time(&mut child);
        workshop.end_engines();
        // The host sees a panic of the plug-in as a failure like others; its process does not.
        let is_well = status.is_some_and(|status| status.success());
        let status = status.map_or_else(
            || format!("not over within {LIMIT:?}, and ended"),
            |status| status.to_string(),
        );
        assert!(
            is_well && !complained.contains("panicked at") && said.contains("1 passed"),
            "{name}: {status}\n{said}\n{complained}"
        );
        print!("{said}");
    }

    fn furnish(&self) {
        self.script(&json!({}));
        fs::create_dir(self.at("data")).unwrap();
        ENGINE_BUILT.call_once(|| drop(built(ENGINE)));
        self.install_engine();
        self.add_model("scripted", 5);
        let binaries = self.bundle().join("Contents").join(ARCHITECTURE);
        fs::create_dir_all(&binaries).unwrap();
        fs::copy(plugin(), binaries.join("WanAlpha.ofx")).unwrap();
    }

    /// There is an engine, from now on.
    pub(crate) fn install_engine(&self) {
        #[cfg(unix)]
        std::os::unix::fs::symlink(beside(ENGINE), self.at("engine")).unwrap();
    }

    /// A record; the scripted engine asks for no weights.
    pub(crate) fn add_model(&self, name: &str, fingerprint: u8) {
        let defaults = Defaults {
            width: Some(SIZE[0]),
            height: Some(SIZE[1]),
            frames: Some(FRAMES),
            steps: Some(4),
            guidance: Some(1.0),
            precision: Some(Precision::F32),
            ..Defaults::default()
        };
        let record = Manifest::new(name, Fingerprint([fingerprint; 32]), Vec::new(), defaults, 1);
        self.models().add(&record).unwrap();
    }

    /// Writes a model's record otherwise.
    pub(crate) fn change_model(&self, name: &str, change: impl FnOnce(&mut Manifest)) {
        let mut record = self.models().find(name).unwrap().manifest;
        change(&mut record);
        self.models().add(&record).unwrap();
    }

    fn models(&self) -> ModelRoots {
        ModelRoots { roots: vec![self.at("models")], ..ModelRoots::default() }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.at("WanAlpha.ofx.bundle")
    }

    pub(crate) fn store_folder(&self) -> PathBuf {
        self.at("takes")
    }

    pub(crate) fn store(&self) -> Store {
        Store::new([self.store_folder()])
    }

    /// What the engines started from now on do.
    pub(crate) fn script(&self, script: &Value) {
        // Engines that are just starting read one or the other.
        fs::write(self.at("script.new"), script.to_string()).unwrap();
        fs::rename(self.at("script.new"), self.at("script.json")).unwrap();
    }

    /// One thing that goes wrong in the first so many engines.
    pub(crate) fn fault(&self, stage: &str, step: u32, engines: u32, what: Value) {
        let fault = json!({ "stage": stage, "step": step, "engines": engines, "what": what });
        self.script(&json!({ "faults": [fault] }));
    }

    /// At this place every take waits until the gate is open, in engines started from now on; so that
    /// a test sees one at work however slow or fast the machine is.
    pub(crate) fn gate(&self, stage: &str, step: u32) {
        let waits = json!({ "gate": { "file": GATE } });
        self.script(&json!({ "faults": [{ "stage": stage, "step": step, "what": waits }] }));
    }

    /// The same after the first step, and after the second every take waits until the engine has been paused.
    pub(crate) fn gate_before_pausing(&self) {
        let waits = json!({ "gate": { "file": GATE } });
        self.script(&json!({ "faults": [
            { "stage": "sampling", "step": 1, "what": waits },
            { "stage": "sampling", "step": 2, "what": "until-paused" },
        ] }));
    }

    /// Lets takes go on.
    pub(crate) fn open_gate(&self) {
        fs::write(self.at(GATE), "").unwrap();
    }

    /// Has takes wait again.
    pub(crate) fn close_gate(&self) {
        fs::remove_file(self.at(GATE)).unwrap();
    }

    /// The plug-in in a host, as it is loaded once in each session.
    pub(crate) fn load(&self, profile: Profile) -> (Host, Plugin) {
        let host = Host::new(profile).caching_in(&self.at("host-cache"));
        let plugin = host.load(self.bundle()).unwrap();
        (host, plugin)
    }

    /// The processes of the engines that were started.
    pub(crate) fn engines(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.at("script.starts")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Ends the engine that runs, so that the next one reads the script anew.
    pub(crate) fn end_engine(&self) {
        self.end_engines();
    }

    /// How the takes ended that engines had begun: `done`, `failed` or `stopped`.
    pub(crate) fn ends(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("script.ends")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn takes(&self) -> Vec<TakeKey> {
        self.store().list().takes.iter().map(|take| take.description.key).collect()
    }

    fn end_engines(&self) {
        for process in self.engines() {
            let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(&*self.home.to_string_lossy()) {
                let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
            }
        }
    }
}

/// Runs a test's process to its end, or to the limit of time (None), and what it printed to both
/// streams. They are files: an engine that holds a pipe open would be waited for.
fn ended_in_time(command: &mut Command) -> (Option<ExitStatus>, [String; 2]) {
    let mut streams = [(); 2].map(|()| tempfile::tempfile().unwrap());
    let [out, err] = streams.each_ref().map(|stream| stream.try_clone().unwrap());
    let mut child = command.stdout(out).stderr(err).spawn().unwrap();
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let printed = streams.each_mut().map(|stream| {
        let mut bytes = Vec::new();
        stream.rewind().unwrap();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (status, printed)
}

/// The plug-in that cargo built beside this test.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join(format!("libwan_alpha_ofx{}", std::env::consts::DLL_SUFFIX))
}

/// Where cargo puts a program: beside the folder of this test.
fn beside(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A program of the workspace, built by the same cargo into the same place as this test.
pub(crate) fn built(name: &str) -> PathBuf {
    let program = beside(name);
    let profile = program.parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // The whole workspace's features, with which most of its crates are there.
    build
        .args(["build", "--quiet", "--offline", "--workspace", "--bin", name])
        .arg("--target-dir")
        .arg(profile.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{name} cannot be built");
    program
}

/// A node that shows takes as they are, pixel for pixel in the middle of the frame.
pub(crate) fn plain_node(node: &Node, prompt: &str) {
    node.set("prompt", prompt);
    node.set("fit", 3);
    node.set("transfer", 1);
}

/// An event that every host has: the artist closes the panel and opens it again.
pub(crate) fn event(node: &Node) {
    node.close_panel();
    node.open_panel();
}

/// Lets events come until the status says something.
#[track_caller]
pub(crate) fn until_status(node: &Node, what: &str, mut says: impl FnMut(&str) -> bool) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        event(node);
        let status = node.text("status");
        if says(&status) {
            return status;
        }
        assert!(Instant::now() < end, "not {what} within {PATIENCE:?}: {status:?}");
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Memory of this process that is not on the disk, in bytes.
pub(crate) fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    anonymous.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Threads of this process.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Open files and sockets of this process.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits without any event in the host.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a node has asked for.
#[track_caller]
pub(crate) fn request(node: &Node) -> TakeRequest {
    TakeRequest::from_parameter(&node.text("takeRequest")).unwrap()
}

/// The take that a node has asked for, from the store.
#[track_caller]
pub(crate) fn take(workshop: &Workshop, node: &Node) -> Take {
    let key = request(node).key().unwrap();
    assert_eq!(node.text("takeKey"), key.to_string());
    workshop.store().find(&key).take.unwrap_or_else(|| panic!("{key} is not in the store"))
}

/// Whether a picture shows a frame of a take, premultiplied, pixel for pixel in the middle.
pub(crate) fn shows(frame: &Frame, take: &Take, index: u32) -> bool {
    let Some(image) = frame.picture() else { return false };
    let source = take.frame(index).unwrap();
    let (width, height) = (source.width as i32, source.height as i32);
    let [left, bottom, right, top] = image.bounds();
    let (x0, y0) = ((left + right - width) / 2, (bottom + top - height) / 2);
    let tolerance = match image.depth() {
        wan_alpha_test_host::Depth::Byte => 0.5 / 255.0 + 1e-6,
        _ => 1e-3,
    };
    (0..height).all(|y| {
        (0..width).all(|x| {
            let at = ((height - 1 - y) * width + x) as usize * 4;
            let value = |channel: usize| source[at + channel].to_f32();
            let alpha = value(3).clamp(0.0, 1.0);
            let wanted = [value(0) * alpha, value(1) * alpha, value(2) * alpha, alpha];
            let found = image.pixel(x0 + x, y0 + y);
            wanted.iter().zip(found).all(|(wanted, found)| (wanted - found).abs() <= tolerance)
        })
    })
}

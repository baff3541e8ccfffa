//! What the environment says, read once; nothing else in the program looks at it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;
use wan_alpha_core::models::ModelRoots;
use wan_alpha_take::endpoint::choose_run_directory;

/// The variables of the program, and the folders of the user.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `WAN_ALPHA_MODELS`, or the user's own folder of models; and `WAN_ALPHA_MODEL`.
    pub(crate) models: ModelRoots,
    /// For what can be made again.
    pub(crate) cache: Option<PathBuf>,
    /// `WAN_ALPHA_STORE`, or the user's own folder of takes.
    pub(crate) stores: Vec<PathBuf>,
    /// `WAN_ALPHA_STORE_LIMIT` in gigabytes, as bytes.
    pub(crate) store_limit: Option<u64>,
    /// `WAN_ALPHA_RUN`, or where the system keeps sockets.
    pub(crate) run: PathBuf,
    /// For latents, logs and what was learned.
    pub(crate) state: PathBuf,
    /// `WAN_ALPHA_ENGINE`: the program to start as the engine.
    pub(crate) engine: Option<PathBuf>,
    /// `WAN_ALPHA_IDLE`: seconds without jobs after which an engine ends.
    pub(crate) idle: Option<Duration>,
    /// `CUDA_VISIBLE_DEVICES`.
    pub(crate) gpu_mask: Option<String>,
    /// The machine's name.
    pub(crate) host: String,
    /// CUDA's half of libtorch may lie in any of these.
    pub(crate) libraries: Vec<PathBuf>,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let folders = ProjectDirs::from("org", "wanalpha", "wan-alpha");
        let program = env::current_exe().ok().and_then(|path| path.canonicalize().ok());
        let around: Vec<PathBuf> = program
            .iter()
            .flat_map(|program| program.ancestors().skip(1).map(Path::to_owned))
            .collect();
        let own = folders.as_ref().map(|folders| folders.data_dir().join("models"));
        let roots = env::var_os("WAN_ALPHA_MODELS")
            .map_or_else(|| own.into_iter().collect(), |list| env::split_paths(&list).collect());
        let preferred = env::var("WAN_ALPHA_MODEL").ok().filter(|name| !name.is_empty());
        let data = folders.as_ref().map(|folders| folders.data_dir().to_owned());
        let state =
            folders.as_ref().map(|f| f.state_dir().unwrap_or(f.data_local_dir()).to_owned());
        let session = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let asked = env::var_os("WAN_ALPHA_RUN").map(PathBuf::from);
        let number =
            |name: &str| env::var(name).ok().and_then(|text| text.trim().parse::<f64>().ok());
        Self {
            stores: env::var_os("WAN_ALPHA_STORE").map_or_else(
                || data.into_iter().map(|data| data.join("takes")).collect(),
                |list| {
                    env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect()
                },
            ),
            store_limit: number("WAN_ALPHA_STORE_LIMIT").map(|gigabytes| (gigabytes * 1e9) as u64),
            run: choose_run_directory(asked.as_deref(), session.as_deref(), &env::temp_dir()),
            state: state.unwrap_or_else(|| env::temp_dir().join("wan-alpha-state")),
            engine: env::var_os("WAN_ALPHA_ENGINE").map(PathBuf::from),
            idle: number("WAN_ALPHA_IDLE")
                .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
                .map(Duration::from_secs_f64),
            gpu_mask: env::var("CUDA_VISIBLE_DEVICES").ok(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            models: ModelRoots { roots, preferred, draft: draft_folders(&around) },
            cache: folders.map(|folders| folders.cache_dir().to_owned()),
            libraries: library_folders(&around),
        }
    }
}

/// What an engine may see of its starter's environment: what it needs to find its files, its
/// libraries, its GPU and the user's language, and its own variables.
const PASSED_ON: [&str; 19] = [
    "HOME",
    "USER",
    "LOGNAME",
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "XDG_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
];

impl Environment {
    /// The environment of an engine that is started from here.
    pub(crate) fn for_engine(&self) -> Vec<(OsString, OsString)> {
        let passed = |name: &str| {
            PASSED_ON.contains(&name)
                || name.starts_with("WAN_ALPHA_")
                || name.starts_with("CUDA_")
                || name.starts_with("NVIDIA_")
        };
        let mut variables: Vec<_> =
            env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passed)).collect();
        // An engine shares its machine with a host that computes too: its threads wait asleep.
        variables.push(("OMP_WAIT_POLICY".into(), "passive".into()));
        variables
    }
}

/// In a bundle's Resources, beside the program, and in a checkout.
fn draft_folders(around: &[PathBuf]) -> Vec<PathBuf> {
    let beside = around.first().into_iter().map(|folder| folder.join("draft-model"));
    let bundled = around.iter().map(|folder| folder.join("Resources/draft-model"));
    let checkout = around.iter().map(|folder| folder.join("resources/draft-model"));
    bundled.chain(beside).chain(checkout).filter(|folder| folder.is_dir()).collect()
}

/// Beside the program, in a `lib` beside its folder, and where set-up puts it in a checkout.
fn library_folders(around: &[PathBuf]) -> Vec<PathBuf> {
    let beside =
        around.first().into_iter().flat_map(|folder| [folder.clone(), folder.join("../lib")]);
    let checkout = around.iter().map(|folder| folder.join(".setup/libtorch-cuda/lib"));
    beside.chain(checkout).filter(|folder| folder.is_dir()).collect()
}

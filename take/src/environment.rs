//! What environment variables and the user's folders mean to plug-in, engine and command.
//!
//! A program's or the plug-in's entry asks for its [`Surroundings`], once, and [`Environment::of`] says
//! what follows from them. Nothing else in this library reads either.

mod process;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::endpoint::choose_run_directory;
use crate::memory_limit::CapSource;
use crate::models::ModelRoots;
use crate::visible_gpus::VisibleGpus;

/// The name of the library for C2PA signatures, as its makers give it.
pub const C2PA_FILE: &str = if cfg!(windows) {
    "c2pa_c.dll"
} else if cfg!(target_os = "macos") {
    "libc2pa_c.dylib"
} else {
    "libc2pa_c.so"
};

/// A process as it finds itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Its environment variables, with their values.
    pub variables: Vec<(OsString, OsString)>,
    /// Where the user's programs keep what must last, if the user has a home.
    pub data: Option<PathBuf>,
    /// Where they keep logs and what was learned.
    pub state: Option<PathBuf>,
    /// Where they keep what can be made again.
    pub cache: Option<PathBuf>,
    /// Where temporary files go.
    pub temporary: PathBuf,
    /// The folder that it works in, which paths that are relative begin at.
    pub working: Option<PathBuf>,
    /// The program's or plug-in's own file.
    pub program: Option<PathBuf>,
    /// The name of this machine.
    pub host: String,
}

/// The variables of the program, and the folders of the user.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `WAN_ALPHA_MODELS`, or the user's own folder of models; and `WAN_ALPHA_MODEL`.
    pub models: ModelRoots,
    /// `WAN_ALPHA_HUB`: the hub that models are fetched from, in place of the public one.
    pub hub: Option<String>,
    /// For what can be made again.
    pub cache: Option<PathBuf>,
    /// `WAN_ALPHA_STORE`, or the user's own folder of takes.
    pub stores: Vec<PathBuf>,
    /// `WAN_ALPHA_STORE_LIMIT` in gigabytes, as bytes.
    pub store_limit: Option<u64>,
    /// `WAN_ALPHA_MEMORY` in gigabytes, as bytes: what may be used of the device at most.
    pub memory: Option<u64>,
    /// Where that was set.
    pub memory_by: CapSource,
    /// In words: limits that are set to what is no number, and count as not set.
    pub misread: Vec<String>,
    /// `WAN_ALPHA_HEADROOM` in gigabytes, as bytes: what is left free of the device.
    pub headroom: Option<u64>,
    /// `WAN_ALPHA_RUN`, or where the system keeps sockets.
    pub run: PathBuf,
    /// For latents, logs and what was learned.
    pub state: PathBuf,
    /// `WAN_ALPHA_ENGINE`: the program to start as the engine.
    pub engine: Option<PathBuf>,
    /// `WAN_ALPHA_IDLE`: seconds without jobs after which an engine ends.
    pub idle: Option<Duration>,
    /// `WAN_ALPHA_BATCH`: this host renders for a farm, whatever it says of itself.
    pub batch: bool,
    /// `WAN_ALPHA_MISSING`: what a batch host does where a take is missing.
    pub missing: Option<String>,
    /// `WAN_ALPHA_ALLOW_CPU`: a batch render may compute a large model without a GPU.
    pub allow_cpu: bool,
    /// `WAN_ALPHA_LOG`: how much is logged, from `off` to `trace`.
    pub log: Option<log::LevelFilter>,
    /// `CUDA_VISIBLE_DEVICES`, `CUDA_DEVICE_ORDER` and `WAN_ALPHA_DEVICE`: which graphics cards are
    /// seen, and what computes where no `--device` says it.
    pub gpus: VisibleGpus,
    /// Whether the program lies in a bundle that hosts load.
    pub in_bundle: bool,
    /// The name of this machine, which tells its claims from others'.
    pub host: String,
    /// CUDA's half of libtorch may lie in any of these.
    pub libraries: Vec<PathBuf>,
    /// `WAN_ALPHA_C2PA`, or else those files around the program that can be the library for signatures.
    pub c2pa: Vec<PathBuf>,
    /// `OMP_NUM_THREADS` says on how many threads the processor computes.
    pub has_thread_count: bool,
    /// `SOURCE_DATE_EPOCH`: seconds since 1970 that files say they were written at, in place of the time.
    pub source_date: Option<u64>,
    /// What an engine started from here finds in its own environment.
    pub for_engine: Vec<(OsString, OsString)>,
}

impl Environment {
    /// What follows from the surroundings. Looks which of a few folders around the program exist.
    #[must_use]
    pub fn of(surroundings: Surroundings) -> Self {
        let Surroundings { mut variables, data, state, cache, temporary, working, program, host } =
            surroundings;
        whole_paths(&mut variables, working.as_deref());
        let set = |name: &str| {
            let found = variables.iter().find(|(variable, _)| variable == name);
            found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
        };
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().trim().to_owned());
        // Anything else counts as not set, which removes and ends nothing; `doctor` names it.
        let number = |name: &str| {
            let number = text(name).and_then(|text| text.parse::<f64>().ok());
            number.filter(|number| number.is_finite() && *number >= 0.0)
        };
        let bytes = |name: &str| number(name).map(|gigabytes| (gigabytes * 1e9) as u64);
        let flag = |name: &str| text(name).is_some_and(|text| text != "0");
        let list = |name: &str, own: &str| match set(name) {
            Some(list) => split_paths(list),
            None => data.iter().map(|data| data.join(own)).collect(),
        };
        let program = program.and_then(|path| path.canonicalize().ok());
        let around: Vec<PathBuf> = program
            .iter()
            .flat_map(|program| program.ancestors().skip(1).map(Path::to_owned))
            .collect();
        let [asked, session] =
            ["WAN_ALPHA_RUN", "XDG_RUNTIME_DIR"].map(|name| set(name).map(Path::new));
        Self {
            models: ModelRoots {
                roots: list("WAN_ALPHA_MODELS", "models"),
                preferred: text("WAN_ALPHA_MODEL"),
                draft: draft_folders(&around),
            },
            hub: text("WAN_ALPHA_HUB"),
            cache,
            stores: list("WAN_ALPHA_STORE", "takes"),
            store_limit: bytes("WAN_ALPHA_STORE_LIMIT"),
            memory: bytes("WAN_ALPHA_MEMORY"),
            memory_by: CapSource::Variable,
            misread: misread(&text, &number),
            headroom: bytes("WAN_ALPHA_HEADROOM"),
            run: choose_run_directory(asked, session, &temporary),
            state: state.unwrap_or_else(|| temporary.join("wan-alpha-state")),
            engine: set("WAN_ALPHA_ENGINE").map(PathBuf::from),
            idle: number("WAN_ALPHA_IDLE")
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            batch: flag("WAN_ALPHA_BATCH"),
            missing: text("WAN_ALPHA_MISSING"),
            allow_cpu: flag("WAN_ALPHA_ALLOW_CPU"),
            log: text("WAN_ALPHA_LOG").and_then(|level| level.parse().ok()),
            gpus: visible_gpus(&variables),
            in_bundle: around.iter().any(|folder| is_bundle(folder)),
            host,
            libraries: library_folders(&around),
            c2pa: c2pa_files(set("WAN_ALPHA_C2PA"), &around),
            has_thread_count: set("OMP_NUM_THREADS").is_some(),
            source_date: text("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok()),
            for_engine: for_engine(&variables),
        }
    }

    /// Where an engine writes its log.
    #[must_use]
    pub fn engine_log(&self) -> PathBuf {
        self.state.join("engine.log")
    }

    /// Where the node in hosts writes its log.
    #[must_use]
    pub fn node_log(&self) -> PathBuf {
        self.state.join("node.log")
    }
}

fn visible_gpus(variables: &[(OsString, OsString)]) -> VisibleGpus {
    let lossy = |name: &str| {
        let found = variables.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    let text =
        |name: &str| lossy(name).map(|text| text.trim().to_owned()).filter(|t| !t.is_empty());
    VisibleGpus {
        // Set and empty means that no card is seen.
        mask: lossy("CUDA_VISIBLE_DEVICES"),
        order: text("CUDA_DEVICE_ORDER"),
        device: text("WAN_ALPHA_DEVICE"),
    }
}

/// Variables that name a folder or a file, or several of them.
const PATHS: [&str; 5] =
    ["WAN_ALPHA_STORE", "WAN_ALPHA_MODELS", "WAN_ALPHA_RUN", "WAN_ALPHA_ENGINE", "WAN_ALPHA_C2PA"];

/// Makes the paths in variables whole, once: an engine works in another folder than who starts it, and
/// no shell has been there to replace a `~`.
fn whole_paths(variables: &mut [(OsString, OsString)], working: Option<&Path>) {
    let home = variables.iter().find(|(name, _)| name == "HOME" || name == "USERPROFILE");
    let home = home.map(|(_, home)| PathBuf::from(home)).filter(|home| home.is_absolute());
    let whole = |path: PathBuf| match (path.strip_prefix("~"), &home, working) {
        (Ok(rest), Some(home), _) => home.join(rest),
        (_, _, Some(working)) if path.is_relative() => working.join(path),
        _ => path,
    };
    let named = variables.iter_mut().filter(|(name, value)| {
        !value.is_empty() && PATHS.iter().any(|path| name.as_os_str() == *path)
    });
    for (name, value) in named {
        // A program without a folder is looked for where programs are.
        let is_program = name == "WAN_ALPHA_ENGINE" && Path::new(&value).components().count() == 1;
        let paths: Vec<_> = if is_program {
            continue;
        } else if name == "WAN_ALPHA_STORE" || name == "WAN_ALPHA_MODELS" {
            split_paths(value).into_iter().map(whole).collect()
        } else {
            vec![whole(PathBuf::from(&*value))]
        };
        // What cannot be a list stays as it is.
        if let Ok(joined) = std::env::join_paths(paths) {
            *value = joined;
        }
    }
}

/// What an engine may see of its starter's environment: what it needs to find its files, its
/// libraries, its GPU and the user's language, and its own variables.
const PASSED_ON: [&str; 23] = [
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
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
];

fn for_engine(variables: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let passed = |name: &str| {
        PASSED_ON.contains(&name)
            || name.starts_with("WAN_ALPHA_")
            || name.starts_with("CUDA_")
            || name.starts_with("NVIDIA_")
    };
    variables.iter().filter(|(name, _)| name.to_str().is_some_and(passed)).cloned().collect()
}

/// A list of folders as the system writes it; empty entries, which would mean the working
/// directory, are left out.
fn split_paths(list: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// In a bundle's Resources, beside the program, and in a checkout.
fn draft_folders(around: &[PathBuf]) -> Vec<PathBuf> {
    let beside = around.first().into_iter().map(|folder| folder.join("draft-model"));
    let bundled = around.iter().map(|folder| folder.join("Resources/draft-model"));
    let checkout = around.iter().map(|folder| folder.join("resources/draft-model"));
    bundled.chain(beside).chain(checkout).filter(|folder| folder.is_dir()).collect()
}

fn is_bundle(folder: &Path) -> bool {
    folder.to_string_lossy().ends_with(".ofx.bundle")
}

/// Beside the program, in a bundle's `lib` there, in a `lib` beside the program's folder, and where
/// set-up puts it in a checkout.
fn library_folders(around: &[PathBuf]) -> Vec<PathBuf> {
    let folders = |folder: &PathBuf| [folder.clone(), folder.join("lib"), folder.join("../lib")];
    let beside = around.first().into_iter().flat_map(folders);
    let checkout = around.iter().map(|folder| folder.join(".setup/libtorch-cuda/lib"));
    beside.chain(checkout).filter(|folder| folder.is_dir()).collect()
}

/// The file of the library for signatures: the one that is named, whether it is there or not, or all that
/// lie where libraries of ours do.
fn c2pa_files(named: Option<&OsStr>, around: &[PathBuf]) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.into()];
    }
    let name = C2PA_FILE;
    let places = |folder: &PathBuf| [folder.join(name), folder.join("lib").join(name)];
    let beside = around.first().into_iter().flat_map(places);
    let checkout = around.iter().map(|folder| folder.join(".setup/c2pa/lib").join(name));
    beside.chain(checkout).filter(|file| file.is_file()).collect()
}

/// Limits whose text is no number, in words.
fn misread(
    text: &dyn Fn(&str) -> Option<String>,
    number: &dyn Fn(&str) -> Option<f64>,
) -> Vec<String> {
    let limits =
        ["WAN_ALPHA_STORE_LIMIT", "WAN_ALPHA_MEMORY", "WAN_ALPHA_HEADROOM", "WAN_ALPHA_IDLE"];
    let words = |name: &str| {
        let found = text(name).filter(|_| number(name).is_none())?;
        Some(format!("{name} is {found:?}: expected a number, 0 or more; it counts as not set"))
    };
    limits.into_iter().filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Environment::of(Surroundings {
            variables,
            data: Some("/home/me/data".into()),
            temporary: "/scratch".into(),
            ..Surroundings::default()
        })
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let found = environment(&[("WAN_ALPHA_STORE", ""), ("WAN_ALPHA_BATCH", "0")]);
        assert_eq!(found.stores, [Path::new("/home/me/data/takes")]);
        assert_eq!(found.models.roots, [Path::new("/home/me/data/models")]);
        assert_eq!(found.state, Path::new("/scratch/wan-alpha-state"));
        assert!(!found.batch && !found.allow_cpu && found.idle.is_none());
    }

    #[test]
    fn what_is_set_counts() {
        let found = environment(&[
            ("WAN_ALPHA_STORE", "/a::/b"),
            ("WAN_ALPHA_STORE_LIMIT", " 2.5 "),
            ("WAN_ALPHA_MEMORY", "12"),
            ("WAN_ALPHA_HEADROOM", "-1"),
            ("WAN_ALPHA_IDLE", "1e400"),
            ("WAN_ALPHA_BATCH", "1"),
            ("WAN_ALPHA_RUN", "/run/here"),
            ("WAN_ALPHA_LOG", "debug"),
        ]);
        assert_eq!(found.log, Some(log::LevelFilter::Debug));
        assert_eq!(found.stores, [Path::new("/a"), Path::new("/b")]);
        assert_eq!(found.store_limit, Some(2_500_000_000));
        assert_eq!((found.memory, found.headroom), (Some(12_000_000_000), None));
        let [headroom, idle] = &found.misread[..] else { panic!("{:?}", found.misread) };
        assert!(headroom.starts_with("WAN_ALPHA_HEADROOM is \"-1\": expected a number"));
        assert!(idle.starts_with("WAN_ALPHA_IDLE is "));
        assert_eq!((found.idle, found.batch), (None, true));
        assert_eq!(found.run, Path::new("/run/here"));
    }

    #[test]
    fn the_library_for_signatures_is_the_named_one_or_lies_around_the_program() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let program = root.join("target/debug/wan-alpha");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        let of = |variables| {
            let program = Some(program.clone());
            Environment::of(Surroundings { variables, program, ..Surroundings::default() }).c2pa
        };
        assert!(of(Vec::new()).is_empty());
        let places = ["target/debug/lib", ".setup/c2pa/lib"].map(|place| root.join(place));
        let files = places.map(|place| {
            std::fs::create_dir_all(&place).unwrap();
            let file = place.join(C2PA_FILE);
            std::fs::write(&file, "").unwrap();
            file
        });
        assert_eq!(of(Vec::new()), files);
        let named = vec![("WAN_ALPHA_C2PA".into(), "/not/there.so".into())];
        assert_eq!(of(named), [Path::new("/not/there.so")]);
    }

    #[test]
    fn paths_are_made_whole_once_for_host_and_engine() {
        let variables = [
            ("HOME", "/home/me"),
            ("WAN_ALPHA_STORE", "takes:~/takes:/shared"),
            ("WAN_ALPHA_MODELS", "~"),
            ("WAN_ALPHA_RUN", "./run"),
            ("WAN_ALPHA_ENGINE", "wan-alpha"),
        ];
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let of = |variables, working: &str| {
            let working = Some(working.into());
            Environment::of(Surroundings { variables, working, ..Surroundings::default() })
        };
        let host = of(variables, "/projects/one");
        // The engine is started with what the host passes on, in a folder of its own.
        let engine = of(host.for_engine.clone(), "/");
        for found in [&host, &engine] {
            let stores = ["/projects/one/takes", "/home/me/takes", "/shared"].map(Path::new);
            assert_eq!(found.stores, stores);
            assert_eq!(found.models.roots, [Path::new("/home/me")]);
            assert!(found.run.starts_with("/projects/one/run"), "{:?}", found.run);
            assert_eq!(found.engine.as_deref(), Some(Path::new("wan-alpha")));
        }
    }

    #[test]
    fn an_engine_sees_what_it_needs_and_nothing_of_its_host() {
        let host = [
            ("PYTHONHOME", "/opt/nuke"),
            ("LD_PRELOAD", "x"),
            ("QT_PLUGIN_PATH", "y"),
            ("HOME", "/home/me"),
            ("WAN_ALPHA_STORE", "/a"),
            ("CUDA_VISIBLE_DEVICES", "1"),
            ("PYTORCH_ALLOC_CONF", "max_split_size_mb:512"),
            ("PYTORCH_CUDA_ALLOC_CONF", "backend:native"),
        ];
        let found = environment(&host);
        let names: Vec<_> = found.for_engine.iter().filter_map(|(name, _)| name.to_str()).collect();
        let own = ["HOME", "WAN_ALPHA_STORE", "CUDA_VISIBLE_DEVICES"];
        let allocator = ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"];
        assert_eq!(names, [&own[..], &allocator].concat());
        assert_eq!(found.gpus.mask.as_deref(), Some("1"));
    }
}

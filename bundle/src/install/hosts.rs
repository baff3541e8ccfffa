//! The hosts: what they remember of plug-ins, whether they run, what to do in them.
//!
//! A host keeps a list of what it found at its last scan, and some never look again at a plug-in
//! that failed once. Such a list is renamed, never deleted, and never while its host is running:
//! that would write it again when it ends.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A host and its habits.
pub(crate) struct KnownHost {
    pub(crate) name: &'static str,
    /// How names of its processes begin, as the kernel has them.
    processes: &'static [&'static str],
    caches: Option<Caches>,
    /// What to do in it after an installation.
    pub(crate) next: &'static str,
}

/// Files named `prefix…suffix` in a folder of the user's.
struct Caches {
    folder: fn(&User) -> Option<PathBuf>,
    prefix: &'static str,
    suffix: &'static str,
}

pub(crate) const HOSTS: [KnownHost; 4] = [
    KnownHost {
        name: "Nuke",
        processes: &["Nuke"],
        caches: Some(Caches {
            folder: |user| Some(user.nuke.join("ofxplugincache")),
            prefix: "ofxplugincache_Nuke",
            suffix: ".xml",
        }),
        next: "start it; the node is in the menu of nodes, or press Tab and type WanAlpha",
    },
    KnownHost {
        name: "DaVinci Resolve",
        processes: &["resolve", "DaVinci"],
        caches: Some(Caches {
            folder: |user| Some(user.home.as_ref()?.join(".local/share/DaVinciResolve/configs")),
            prefix: "OFXPluginCache",
            suffix: ".xml",
        }),
        next: "start it; see that Preferences > Video Plugins has it enabled and loaded, then look \
               under Effects > OpenFX > Generators",
    },
    KnownHost {
        name: "Fusion",
        processes: &["Fusion"],
        caches: None,
        next: "start it; Preferences > OpenFX must have it enabled, then add the tool by name",
    },
    KnownHost {
        name: "Natron",
        processes: &["Natron"],
        caches: Some(Caches {
            folder: |user| Some(user.cache()?.join("INRIA/Natron/OFXLoadCache")),
            prefix: "OFXCache_",
            suffix: ".xml",
        }),
        next: "start it; press Tab in the node graph and type WanAlpha",
    },
];

/// Whose hosts they are.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) home: Option<PathBuf>,
    /// `XDG_DATA_HOME` and `XDG_CACHE_HOME`, where they are set.
    pub(crate) data_home: Option<PathBuf>,
    pub(crate) cache_home: Option<PathBuf>,
    /// `XDG_STATE_HOME` and `XDG_RUNTIME_DIR`, where they are set.
    pub(crate) state_home: Option<PathBuf>,
    pub(crate) runtime: Option<PathBuf>,
    /// Where temporary files go.
    pub(crate) temporary: PathBuf,
    /// The number of the user.
    pub(crate) number: u32,
    /// Nuke's folder for temporary files.
    pub(crate) nuke: PathBuf,
    /// Where the kernel shows processes.
    pub(crate) processes: PathBuf,
}

/// What became of a host's list.
#[derive(Debug)]
pub(crate) enum CacheFate {
    Aside { host: &'static str, from: PathBuf, to: PathBuf },
    InUse { host: &'static str, file: PathBuf, process: String },
    Stuck { host: &'static str, file: PathBuf, error: io::Error },
}

impl User {
    /// The person who typed the command, through `sudo` too.
    pub(crate) fn find() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let by_sudo = set("SUDO_UID").and_then(|uid| uid.to_str()?.parse::<u32>().ok());
        let own = rustix::process::getuid().as_raw();
        let nuke = |uid: u32| PathBuf::from(format!("/var/tmp/nuke-u{uid}"));
        let processes = PathBuf::from("/proc");
        if let Some(uid) = by_sudo.filter(|_| own == 0) {
            let (home, nuke, temporary) = (home_of(uid)?, nuke(uid), env::temp_dir());
            let user = Self { home, nuke, processes, temporary, number: uid, ..Self::default() };
            return Ok(user);
        }
        Ok(Self {
            home: set("HOME").map(PathBuf::from),
            data_home: set("XDG_DATA_HOME").map(PathBuf::from),
            cache_home: set("XDG_CACHE_HOME").map(PathBuf::from),
            state_home: set("XDG_STATE_HOME").map(PathBuf::from),
            runtime: set("XDG_RUNTIME_DIR").map(PathBuf::from),
            temporary: env::temp_dir(),
            number: own,
            nuke: set("NUKE_TEMP_DIR").map_or_else(|| nuke(own), PathBuf::from),
            processes,
        })
    }

    pub(crate) fn state(&self) -> Option<PathBuf> {
        let home = || Some(self.home.as_ref()?.join(".local/state"));
        self.state_home.clone().or_else(home)
    }

    pub(crate) fn data(&self) -> Option<PathBuf> {
        let home = || Some(self.home.as_ref()?.join(".local/share"));
        self.data_home.clone().or_else(home)
    }

    pub(crate) fn cache(&self) -> Option<PathBuf> {
        let home = || Some(self.home.as_ref()?.join(".cache"));
        self.cache_home.clone().or_else(home)
    }

    /// The number of a running process whose name begins like one of these.
    fn running(&self, names: &[&str]) -> Option<String> {
        let entries = fs::read_dir(&self.processes).into_iter().flatten().filter_map(Result::ok);
        entries.into_iter().find_map(|entry| {
            let number = entry.file_name().to_string_lossy().into_owned();
            number.parse::<u32>().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            names.iter().any(|begin| name.starts_with(begin)).then_some(number)
        })
    }
}

/// From the system's list of users, wherever it keeps that.
fn home_of(uid: u32) -> Result<Option<PathBuf>> {
    let output = Command::new("getent")
        .args(["passwd", &uid.to_string()])
        .output()
        .context("getent, which knows the home folders of users, could not be started")?;
    let line = String::from_utf8_lossy(&output.stdout);
    Ok(line.trim().split(':').nth(5).filter(|home| !home.is_empty()).map(PathBuf::from))
}

/// Renames the lists of hosts that are not running.
pub(crate) fn set_caches_aside(user: &User) -> Vec<CacheFate> {
    HOSTS.iter().flat_map(|host| of_host(host, user)).collect()
}

fn of_host(host: &KnownHost, user: &User) -> Vec<CacheFate> {
    let found = host.caches.as_ref().map(|caches| caches.find(user)).unwrap_or_default();
    if found.is_empty() {
        return Vec::new();
    }
    let running = user.running(host.processes);
    let fate = |file: PathBuf| {
        if let Some(process) = running.clone() {
            return CacheFate::InUse { host: host.name, file, process };
        }
        let to = aside(&file);
        match fs::rename(&file, &to) {
            Ok(()) => CacheFate::Aside { host: host.name, from: file, to },
            Err(error) => CacheFate::Stuck { host: host.name, file, error },
        }
    };
    found.into_iter().map(fate).collect()
}

/// A name that no host takes for its list.
fn aside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".before-wan-alpha");
    name.into()
}

impl Caches {
    fn find(&self, user: &User) -> Vec<PathBuf> {
        let Some(folder) = (self.folder)(user) else {
            return Vec::new();
        };
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let named = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| name.starts_with(self.prefix) && name.ends_with(self.suffix))
        };
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(named).collect();
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "list").unwrap();
    }

    #[test]
    fn lists_are_renamed_unless_their_host_is_running() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let user = User {
            home: Some(home.to_owned()),
            nuke: home.join("nuke-u1"),
            processes: home.join("proc"),
            ..User::default()
        };
        let nuke = home.join("nuke-u1/ofxplugincache/ofxplugincache_Nuke15.1v2-64.xml");
        let other = home.join("nuke-u1/ofxplugincache/notes.xml");
        let resolve = home.join(".local/share/DaVinciResolve/configs/OFXPluginCacheV2.xml");
        let natron = home.join(".cache/INRIA/Natron/OFXLoadCache/OFXCache_2.5.0_Release_64.xml");
        for file in [&nuke, &other, &resolve, &natron] {
            write(file);
        }
        for (number, name) in [("17", "bash\n"), ("18", "Natron-bin\n"), ("self", "Nuke\n")] {
            write(&home.join("proc").join(number).join("comm"));
            fs::write(home.join("proc").join(number).join("comm"), name).unwrap();
        }

        let fates = set_caches_aside(&user);
        assert_eq!(fates.len(), 3, "{fates:?}");
        assert!(!nuke.exists() && aside(&nuke).is_file());
        assert!(!resolve.exists() && aside(&resolve).is_file());
        assert!(natron.is_file() && other.is_file());
        let in_use = fates.iter().find_map(|fate| match fate {
            CacheFate::InUse { host, file, process } => {
                Some((*host, file.clone(), process.clone()))
            }
            _ => None,
        });
        assert_eq!(in_use, Some(("Natron", natron, "18".to_owned())));
        assert_eq!(set_caches_aside(&user).len(), 1, "what lies aside is not found again");
    }

    #[test]
    fn a_user_without_home_has_no_lists() {
        let user = User { nuke: "absent".into(), processes: "absent".into(), ..User::default() };
        assert!(set_caches_aside(&user).is_empty());
        assert_eq!(user.data(), None);
    }

    #[test]
    fn the_home_of_a_user_by_number_is_known_to_the_system() {
        assert!(home_of(0).unwrap().is_some_and(|home| home.is_absolute()));
        assert_eq!(home_of(4_000_000_123).unwrap(), None);
    }
}

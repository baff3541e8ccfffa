//! What a bundle holds, and where, on each system: data, no deeds.
//!
//! Libraries lie with the binaries of their architecture, never in `Resources`, since one bundle may
//! hold several architectures; on macOS in `Frameworks`, where signing looks for them.

use std::path::{Path, PathBuf};

/// Base name of bundle and plug-in, which hosts want to be the same.
pub(crate) const NAME: &str = "WanAlpha.ofx";

/// The node's identifier, by which hosts find its icon.
pub(crate) const IDENTIFIER: &str = "org.wanalpha.generator";

/// Names of files and folders that differ between systems.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BundleLayout {
    /// Folder of the binaries, as OpenFX names it.
    pub(crate) binaries: &'static str,
    /// The engine's file name; the plug-in looks for it beside itself.
    pub(crate) command: &'static str,
    /// Folder of the engine's libraries.
    pub(crate) libraries: &'static str,
    /// From the engine to its libraries, in the loader's words; Windows looks beside the program.
    pub(crate) run_path: Option<&'static str>,
}

pub(crate) const LINUX_X86_64: BundleLayout = BundleLayout {
    binaries: "Linux-x86-64",
    command: "wan-alpha",
    libraries: "Linux-x86-64/lib",
    run_path: Some("$ORIGIN/lib"),
};

pub(crate) const LINUX_AARCH64: BundleLayout = BundleLayout {
    binaries: "Linux-aarch64",
    command: "wan-alpha",
    libraries: "Linux-aarch64/lib",
    run_path: Some("$ORIGIN/lib"),
};

pub(crate) const WINDOWS: BundleLayout = BundleLayout {
    binaries: "Win64",
    command: "wan-alpha.exe",
    libraries: "Win64",
    run_path: None,
};

pub(crate) const MACOS: BundleLayout = BundleLayout {
    binaries: "MacOS",
    command: "wan-alpha",
    libraries: "Frameworks",
    run_path: Some("@executable_path/../Frameworks"),
};

/// What goes into a bundle.
pub(crate) struct BundleParts {
    pub(crate) plugin: PathBuf,
    pub(crate) engine: PathBuf,
    pub(crate) libraries: EngineLibraries,
    /// The library for signatures, which the engine opens where one is asked for.
    pub(crate) c2pa: PathBuf,
    /// The checkout's folder `resources`: icon, property list, draft model.
    pub(crate) resources: PathBuf,
    /// The project's own license.
    pub(crate) license: PathBuf,
    /// The licenses of all crates, as one text.
    pub(crate) crates: String,
    pub(crate) version: String,
    /// Why the bundle is for this machine only, if anything is known before it is made.
    pub(crate) only_here: Vec<String>,
}

/// Where the engine of a bundle finds libtorch.
pub(crate) enum EngineLibraries {
    /// In the bundle, with the build that they are of.
    Brought { files: Vec<PathBuf>, build: String },
    /// The user's own, in this folder.
    Users(PathBuf),
}

/// One file or link below `Contents`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) place: PathBuf,
    pub(crate) source: FileSource,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileSource {
    /// A copy that shares nothing with the file.
    Copy(PathBuf),
    /// Large, and replaced rather than changed by whoever made it: may be the same file.
    Share(PathBuf),
    Text(String),
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// Which build the libraries beside it are of; the engine compares it before it opens CUDA.
pub(crate) const BUILD_VERSION: &str = "build-version";
pub(crate) const ONLY_HERE: &str = "Resources/THIS-MACHINE-ONLY.txt";
/// What shells complete the command line by.
pub(crate) const COMPLETIONS: &str = "Resources/completions";
/// Pages for `man`, in a folder of their section as it wants them.
pub(crate) const MANUAL: &str = "Resources/man/man1";
const TEMPLATE_VERSION: &str = "@VERSION@";

impl BundleLayout {
    /// Of the system that this program runs on.
    pub(crate) fn here() -> &'static Self {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("windows", _) => &WINDOWS,
            ("macos", _) => &MACOS,
            (_, "aarch64") => &LINUX_AARCH64,
            _ => &LINUX_X86_64,
        }
    }

    pub(crate) fn plugin(&self) -> PathBuf {
        Path::new(self.binaries).join(NAME)
    }

    pub(crate) fn engine(&self) -> PathBuf {
        Path::new(self.binaries).join(self.command)
    }

    /// Everything in the bundle. `plist` is the text of the template; `draft` holds the files of
    /// the draft model by their place in it, none where there is no such model.
    pub(crate) fn items(&self, parts: &BundleParts, plist: &str, draft: &[PathBuf]) -> Vec<Item> {
        let item = |place: PathBuf, source| Item { place, source };
        let resource = |name: &str| {
            let place = Path::new("Resources").join(name);
            Item { place, source: FileSource::Copy(parts.resources.join(name)) }
        };
        let mut items = vec![
            item(self.plugin(), FileSource::Copy(parts.plugin.clone())),
            item(self.engine(), FileSource::Copy(parts.engine.clone())),
            item(
                "Info.plist".into(),
                FileSource::Text(plist.replace(TEMPLATE_VERSION, &parts.version)),
            ),
            resource(&format!("{IDENTIFIER}.png")),
            resource(&format!("{IDENTIFIER}.svg")),
            resource("licences/libtorch.txt"),
            resource("licences/libraries.txt"),
            resource("licences/libtorch-parts.txt"),
            resource("licences/noto-font.txt"),
            item("Resources/licences/crates.txt".into(), FileSource::Text(parts.crates.clone())),
            item(
                "Resources/licences/wan-alpha.txt".into(),
                FileSource::Copy(parts.license.clone()),
            ),
        ];
        let libraries = Path::new(self.libraries);
        // A folder of the user's gets nothing of ours; the engine looks beside itself too.
        let beside = match &parts.libraries {
            EngineLibraries::Brought { .. } => libraries,
            EngineLibraries::Users(_) => Path::new(self.binaries),
        };
        items.extend(
            parts
                .c2pa
                .file_name()
                .map(|name| item(beside.join(name), FileSource::Share(parts.c2pa.clone()))),
        );
        match &parts.libraries {
            EngineLibraries::Brought { files, build } => {
                let files = files.iter().filter_map(|file| Some((file.file_name()?, file)));
                items.extend(files.map(|(name, file)| {
                    item(libraries.join(name), FileSource::Share(file.clone()))
                }));
                items.push(item(libraries.join(BUILD_VERSION), FileSource::Text(build.clone())));
            }
            EngineLibraries::Users(folder) => {
                items.push(item(libraries.into(), FileSource::Link(folder.clone())));
            }
        }
        items.extend(draft.iter().map(|file| {
            let place = Path::new("draft-model").join(file);
            let source = FileSource::Share(parts.resources.join(&place));
            Item { place: Path::new("Resources").join(place), source }
        }));
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(layout: &BundleLayout, libraries: EngineLibraries) -> Vec<String> {
        let parts = BundleParts {
            plugin: "built/plugin".into(),
            engine: "built/engine".into(),
            libraries,
            c2pa: "c2pa/libc2pa_c.so".into(),
            resources: "resources".into(),
            license: "LICENSE".into(),
            crates: "crates".into(),
            version: "1.2.3".into(),
            only_here: Vec::new(),
        };
        let items = layout.items(&parts, "<v>@VERSION@</v>", &["config.json".into()]);
        let plist = items.iter().find(|item| item.place == Path::new("Info.plist")).unwrap();
        assert_eq!(plist.source, FileSource::Text("<v>1.2.3</v>".into()));
        let mut places: Vec<_> = items
            .iter()
            .map(|item| item.place.to_string_lossy().replace('\\', "/"))
            .filter(|place| !place.starts_with("Resources/licences/"))
            .collect();
        places.sort();
        places
    }

    fn brought(names: &[&str]) -> EngineLibraries {
        let files = names.iter().map(|name| Path::new("libtorch/lib").join(name)).collect();
        EngineLibraries::Brought { files, build: "2.13.0\n".into() }
    }

    /// What is the same on every system.
    const RESOURCES: [&str; 3] = [
        "Resources/draft-model/config.json",
        "Resources/org.wanalpha.generator.png",
        "Resources/org.wanalpha.generator.svg",
    ];

    #[test]
    fn linux_keeps_libraries_in_a_folder_beside_the_engine() {
        for (layout, folder) in [(LINUX_X86_64, "Linux-x86-64"), (LINUX_AARCH64, "Linux-aarch64")] {
            let mut expected = vec!["Info.plist".to_owned()];
            let libraries = ["build-version", "libc10.so", "libc2pa_c.so"];
            expected.push(format!("{folder}/WanAlpha.ofx"));
            expected.extend(libraries.map(|name| format!("{folder}/lib/{name}")));
            expected.push(format!("{folder}/wan-alpha"));
            expected.extend(RESOURCES.map(str::to_owned));
            assert_eq!(places(&layout, brought(&["libc10.so"])), expected);
        }
    }

    #[test]
    fn windows_keeps_libraries_beside_the_engine() {
        let mut expected = vec!["Info.plist"];
        expected.extend(RESOURCES);
        expected.extend(["Win64/WanAlpha.ofx", "Win64/build-version", "Win64/c10.dll"]);
        expected.extend(["Win64/libc2pa_c.so", "Win64/wan-alpha.exe"]);
        assert_eq!(places(&WINDOWS, brought(&["c10.dll"])), expected);
    }

    #[test]
    fn macos_keeps_libraries_where_signing_looks_for_them() {
        let mut expected = vec![
            "Frameworks/build-version",
            "Frameworks/libc10.dylib",
            "Frameworks/libc2pa_c.so",
            "Info.plist",
            "MacOS/WanAlpha.ofx",
            "MacOS/wan-alpha",
        ];
        expected.extend(RESOURCES);
        assert_eq!(places(&MACOS, brought(&["libc10.dylib"])), expected);
    }

    #[test]
    fn the_users_own_libtorch_is_a_link_in_the_libraries_place() {
        let found = places(&LINUX_X86_64, EngineLibraries::Users("/opt/libtorch/lib".into()));
        assert!(found.contains(&"Linux-x86-64/lib".to_owned()), "{found:?}");
        assert!(!found.iter().any(|place| place.starts_with("Linux-x86-64/lib/")), "{found:?}");
        assert!(found.contains(&"Linux-x86-64/libc2pa_c.so".to_owned()), "{found:?}");
    }

    #[test]
    fn each_run_path_leads_from_the_engine_to_the_libraries() {
        for layout in [&LINUX_X86_64, &LINUX_AARCH64, &MACOS] {
            let way = layout.run_path.unwrap();
            let way = way.replace("$ORIGIN", layout.binaries);
            let way = way.replace("@executable_path/..", "").replace('\\', "/");
            assert_eq!(way.trim_start_matches('/'), layout.libraries);
        }
    }
}

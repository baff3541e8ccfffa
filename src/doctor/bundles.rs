//! Bundles where hosts look for them: whether the plug-in can be loaded and its engine runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::DoctorFinding;
use crate::take::can_write;

const ABOUT: &str = "bundle";
const NAME: &str = "WanAlpha.ofx";

/// Where hosts look beside `OFX_PLUGIN_PATH`.
const USUAL: &[&str] = if cfg!(windows) {
    &["C:\\Program Files\\Common Files\\OFX\\Plugins"]
} else if cfg!(target_os = "macos") {
    &["/Library/OFX/Plugins"]
} else {
    &["/usr/OFX/Plugins", "/usr/OFX/Nuke", "/usr/OFX/Natron"]
};

/// `program`: this one's file, which may lie in a bundle itself.
pub(super) fn look(program: Option<&Path>) -> Vec<DoctorFinding> {
    let path = std::env::var_os("OFX_PLUGIN_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.retain(|folder| !folder.as_os_str().is_empty());
    folders.extend(USUAL.iter().map(PathBuf::from));
    let bundles = found(&folders);
    let own = program.and_then(bundle_of);
    let unseen = own.filter(|own| !bundles.iter().any(|(_, bundle)| bundle == own));
    let mut findings: Vec<_> = bundles
        .iter()
        .flat_map(|(folder, bundle)| {
            let by = found_by(folder, &path);
            let found = format!("{} is found, {by}", bundle.display());
            [vec![DoctorFinding::ok(ABOUT, found)], examine(bundle)].concat()
        })
        .collect();
    if let Some(own) = &unseen {
        findings.push(not_seen(own));
        findings.extend(examine(own));
    } else if bundles.is_empty() {
        findings.push(none(&folders));
    }
    if bundles.len() > 1 {
        let says = format!("{} bundles hold this plug-in; hosts use one of them", bundles.len());
        let remedy = "uninstall the others, or name the folder of the one that is meant first in \
                      OFX_PLUGIN_PATH";
        findings.push(DoctorFinding::attention(ABOUT, says, remedy));
    }
    findings
}

/// The bundle that a program lies in.
fn bundle_of(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().ok()?;
    let name = format!("{NAME}.bundle");
    program.ancestors().find(|folder| folder.ends_with(&name)).map(Path::to_owned)
}

fn none(folders: &[PathBuf]) -> DoctorFinding {
    let listed: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let install = match as_root(Path::new(USUAL[0])) {
        "" => "cargo xtask install".to_owned(),
        sudo => format!(
            "{sudo}target/debug/xtask install ({} is root's), or without root cargo xtask install --user",
            USUAL[0]
        ),
    };
    DoctorFinding::attention(
        ABOUT,
        format!("no {NAME}.bundle in {}", listed.join(", ")),
        format!("cargo xtask bundle, then {install}"),
    )
}

/// This program's own bundle, where no host looks for it.
fn not_seen(bundle: &Path) -> DoctorFinding {
    let (shown, folder) = (bundle.display(), bundle.parent().unwrap_or(bundle).display());
    let sudo = as_root(Path::new(USUAL[0]));
    DoctorFinding::attention(
        ABOUT,
        format!("{shown} is the one that this program lies in; no host looks for it there"),
        format!(
            "{sudo}mkdir -p {0} && {sudo}cp -r {shown} {0}/, or OFX_PLUGIN_PATH={folder} in the environment \
             that hosts start in",
            USUAL[0]
        ),
    )
}

/// What a command that writes to a folder, or makes it, begins with: `sudo ` where this user may not.
fn as_root(folder: &Path) -> &'static str {
    if cfg!(windows) || can_write(folder) { "" } else { "sudo " }
}

fn found_by(folder: &Path, search_path: &OsStr) -> &'static str {
    if std::env::split_paths(search_path).any(|one| one == folder) {
        "by hosts whose environment has this OFX_PLUGIN_PATH"
    } else if folder.ends_with("Nuke") {
        "by Nuke"
    } else if folder.ends_with("Natron") {
        "by Natron"
    } else {
        "by every host"
    }
}

/// Each bundle with the folder that hosts search and find it in: there, or in a folder below, where
/// versions lie side by side.
fn found(folders: &[PathBuf]) -> Vec<(PathBuf, PathBuf)> {
    let mut bundles: Vec<(PathBuf, PathBuf)> = Vec::new();
    for folder in folders {
        let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut below: Vec<_> = below.map(|entry| entry.path()).collect();
        below.sort();
        for place in [folder.clone()].into_iter().chain(below) {
            let bundle = place.join(format!("{NAME}.bundle"));
            let bundle = bundle.canonicalize().unwrap_or(bundle);
            if bundle.is_dir() && !bundles.iter().any(|(_, known)| *known == bundle) {
                bundles.push((folder.clone(), bundle));
            }
        }
    }
    bundles
}

fn examine(bundle: &Path) -> Vec<DoctorFinding> {
    let contents = bundle.join("Contents");
    let systems = std::fs::read_dir(&contents).into_iter().flatten().flatten();
    let Some(binaries) =
        systems.map(|entry| entry.path()).find(|system| system.join(NAME).is_file())
    else {
        let says = format!("{} holds no {NAME}", contents.display());
        return vec![DoctorFinding::fault(ABOUT, says, "lay the bundle out again")];
    };
    vec![plugin(&binaries.join(NAME)), engine(&binaries)]
}

/// The loader's own words name what is missing: a library, or a version of a symbol.
#[allow(unsafe_code)]
fn plugin(file: &Path) -> DoctorFinding {
    // SAFETY: the file is this project's plug-in, which runs nothing when it is loaded; whoever put
    // another file there could as well have put it where a host loads it.
    match unsafe { libloading::Library::new(file) } {
        Ok(library) => {
            // It stays mapped anyhow.
            std::mem::forget(library);
            DoctorFinding::ok(ABOUT, format!("{} can be loaded", file.display()))
        }
        Err(error) => DoctorFinding::fault(
            ABOUT,
            format!("{} cannot be loaded: {error}", file.display()),
            "use a bundle that was made for this system",
        ),
    }
}

/// Run with nothing in its environment, as hosts' own would only mislead it.
fn engine(binaries: &Path) -> DoctorFinding {
    let program = binaries.join(format!("wan-alpha{}", std::env::consts::EXE_SUFFIX));
    let remedy = "lay the bundle out again, for this system";
    let output = match Command::new(&program).arg("--version").env_clear().output() {
        Ok(output) => output,
        Err(error) => {
            let says = format!("{} cannot be started: {error}", program.display());
            return DoctorFinding::fault(ABOUT, says, remedy);
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let says = format!("{} does not run: {}", program.display(), text(&output.stderr));
        return DoctorFinding::fault(ABOUT, says, remedy);
    }
    let (found, ours) = (text(&output.stdout), format!("wan-alpha {}", env!("CARGO_PKG_VERSION")));
    if found == ours {
        return DoctorFinding::ok(ABOUT, format!("{} runs: {found}", program.display()));
    }
    DoctorFinding::attention(
        ABOUT,
        format!("{} is {found}, this is {ours}", program.display()),
        "install the same version of both",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::DoctorVerdict;

    fn bundle_with(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join(format!("{NAME}.bundle"));
        let binaries = bundle.join("Contents/Linux-x86-64");
        std::fs::create_dir_all(&binaries).unwrap();
        for (name, text) in files {
            std::fs::write(binaries.join(name), text).unwrap();
        }
        (folder, bundle)
    }

    #[test]
    fn a_bundle_is_found_once_however_often_its_folder_is_named() {
        let (folder, bundle) = bundle_with(&[]);
        let other = folder.path().join("WanAlpha-1.2.3").join(format!("{NAME}.bundle"));
        std::fs::create_dir_all(&other).unwrap();
        let root = folder.path().to_owned();
        let folders = [root.clone(), root.join("."), "/nowhere".into()];
        let expected = [bundle, other].map(|path| (root.clone(), path.canonicalize().unwrap()));
        assert_eq!(found(&folders), expected);
    }

    #[test]
    fn a_program_knows_the_bundle_that_it_lies_in() {
        let (folder, bundle) = bundle_with(&[("wan-alpha", "a program")]);
        let program = bundle.join("Contents/Linux-x86-64/wan-alpha");
        let own = bundle.canonicalize().unwrap();
        assert_eq!(bundle_of(&program), Some(own.clone()));
        let findings = look(Some(&program));
        let says = format!("{} is the one that this program lies in", own.display());
        let found = findings.iter().find(|finding| finding.says.starts_with(&says)).unwrap();
        let remedy = found.remedy.as_deref().unwrap();
        assert!(remedy.contains(&format!("OFX_PLUGIN_PATH={}", own.parent().unwrap().display())));
        // Nothing says any more that there is none.
        assert!(!findings.iter().any(|finding| finding.says.starts_with("no ")), "{findings:?}");
        assert_eq!(bundle_of(&folder.path().join("elsewhere")), None);
    }

    #[test]
    fn rights_that_are_needed_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(as_root(&folder.path().join("new")), "");
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(as_root(&file.join("below")), "sudo ");
    }

    #[test]
    fn who_finds_a_bundle_is_said() {
        let by = |folder: &str| found_by(Path::new(folder), OsStr::new("/a:/shared/OFX"));
        assert!(by("/shared/OFX").contains("OFX_PLUGIN_PATH"));
        assert_eq!(by("/usr/OFX/Nuke"), "by Nuke");
        assert_eq!(by("/usr/OFX/Plugins"), "by every host");
    }

    #[test]
    fn what_is_wrong_with_a_bundle_is_a_fault() {
        let (_folder, empty) = bundle_with(&[]);
        assert_eq!(examine(&empty)[0].verdict, DoctorVerdict::Fault);
        let (_folder, broken) = bundle_with(&[(NAME, "no library")]);
        let findings = examine(&broken);
        assert!(
            findings.iter().all(|finding| finding.verdict == DoctorVerdict::Fault),
            "{findings:?}"
        );
        assert!(findings[0].says.contains("cannot be loaded"), "{findings:?}");
        assert!(findings[1].says.contains("cannot be started"), "{findings:?}");
    }
}

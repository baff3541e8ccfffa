//! The folders of takes: whether takes can be published, and whether those whom a folder is for can read
//! what is in it.

use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::store::{FolderAccess, Place, Store, barred};

use super::DoctorFinding;
use crate::accounts::{group_name, user_name};
use crate::take::{can_write, whom};

const ABOUT: &str = "store";

/// Looks at every folder of the store.
pub(super) fn look(environment: &Environment) -> Vec<DoctorFinding> {
    let store = Store::new(environment.stores.clone());
    let places = store.places();
    let mut findings = Vec::new();
    let mut published = false;
    for place in &places {
        let (folder, takes) = (place.folder.display(), counted(place.takes, "take"));
        let free =
            place.free.map_or(String::new(), |free| format!(", {} GB free", free / 1_000_000_000));
        let says = match (can_write(&place.folder), published) {
            (true, false) if place.exists => {
                format!("{folder}: {takes}{free}; takes are published here")
            }
            (true, false) => format!("{folder} is made with the first take{free}"),
            _ => format!("{folder}: {takes}, for reading{free}"),
        };
        published |= can_write(&place.folder);
        findings.push(DoctorFinding::ok(ABOUT, says));
        findings.extend(shared(place));
    }
    if !published {
        let says = "no folder of takes can be written: nothing can be generated";
        findings.push(DoctorFinding::fault(
            ABOUT,
            says,
            "set WAN_ALPHA_STORE to a folder of yours",
        ));
    }
    for problem in &store.list().problems {
        findings.push(DoctorFinding::attention(
            ABOUT,
            problem.to_string(),
            "wan-alpha take verify",
        ));
    }
    findings
}

/// What keeps those out whom a folder is for; nothing of a folder that is its owner's alone.
fn shared(place: &Place) -> Vec<DoctorFinding> {
    let Some(access) = place.access.filter(|access| access.is_for_group() || access.is_for_all())
    else {
        return Vec::new();
    };
    let folder = place.folder.display();
    let mut findings = Vec::new();
    if let Some((path, owner)) = place.closed.first() {
        let says = format!(
            "{folder} is {}, but {} in it {} not, such as {} of {}, mode {}",
            whom(&access),
            counted(place.closed.len(), "take"),
            verb(place.closed.len(), "is", "are"),
            path.file_name().unwrap_or_default().display(),
            user_name(*owner),
            FolderAccess::of(path).map_or_else(
                |_| "unknown".to_owned(),
                |about| { format!("{:04o}, group {}", about.mode, group_name(about.group)) }
            )
        );
        let remedy = format!(
            "let their owners run `{}`; one file is opened by `chgrp {} FILE && chmod {:04o} FILE`",
            command(&access),
            group_name(access.group),
            access.file_mode()
        );
        findings.push(DoctorFinding::attention(ABOUT, says, remedy));
    }
    let is_written_by_group = access.is_for_group() && access.mode & 0o020 != 0;
    if is_written_by_group && !access.is_set_gid() {
        let says = format!(
            "{folder} is {} without set-gid: what other programs put there keeps their own group",
            whom(&access)
        );
        let remedy = format!("chmod g+s {folder}, or as its owner `{}`", command(&access));
        findings.push(DoctorFinding::attention(ABOUT, says, remedy));
    }
    if let Some((above, mode)) = barred(&place.folder, &access) {
        let says = format!(
            "{folder} is {}, but they do not get through {} (mode {mode:04o})",
            whom(&access),
            above.display()
        );
        findings.push(DoctorFinding::attention(
            ABOUT,
            says,
            format!("chmod o+x {}", above.display()),
        ));
    }
    findings
}

/// What prepares a folder for those whom it is for.
fn command(access: &FolderAccess) -> String {
    let whom = if access.is_for_all() { "everyone".to_owned() } else { group_name(access.group) };
    format!("wan-alpha take where --share {whom}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_wrong_mode_is_named_with_the_command_that_mends_it() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        use std::path::Path;
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("takes");
        fs::create_dir(&folder).unwrap();
        let take = folder.join(format!("{}.take", "a".repeat(64)));
        fs::write(&take, "x").unwrap();
        let set = |path: &Path, mode: u32| {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let found = || -> Vec<String> {
            let place = &Store::new([folder.clone()]).places()[0];
            shared(place).iter().map(ToString::to_string).collect()
        };
        set(base.path(), 0o700);
        set(&folder, 0o700);
        set(&take, 0o600);
        assert!(found().is_empty());
        set(&folder, 0o777);
        let text = found().join("\n");
        for words in [
            "1 take in it is not",
            "mode 0600",
            "take where --share everyone",
            "chmod 0664",
            "without set-gid",
            "chmod g+s",
            "do not get through",
        ] {
            assert!(text.contains(words), "`{words}` is not in: {text}");
        }
        set(base.path(), 0o755);
        set(&folder, 0o2777);
        set(&take, 0o664);
        // What is above the temporary folder is the machine's affair.
        assert!(found().iter().all(|finding| finding.contains("get through")), "{:?}", found());
    }
}

//! Installations into folders of every kind.

use std::fs;

use super::place::{install, only_here, own_folder, uninstall, version, versions_beside};
use super::*;

/// A bundle of this plug-in that says which version it is.
fn bundle(folder: &Path, version: &str) -> PathBuf {
    let bundle = folder.join(format!("made-{version}/WanAlpha.ofx.bundle"));
    fs::create_dir_all(bundle.join("Contents/Linux-x86-64/lib")).unwrap();
    fs::create_dir_all(bundle.join("Contents/Resources")).unwrap();
    let plist = include_str!("../../../resources/Info.plist").replace("@VERSION@", version);
    fs::write(bundle.join("Contents/Info.plist"), plist).unwrap();
    fs::write(bundle.join("Contents/Linux-x86-64/WanAlpha.ofx"), version).unwrap();
    fs::write(bundle.join("Contents/Linux-x86-64/lib/libc10.so"), "library").unwrap();
    fs::write(bundle.join("Contents/Resources/icon.svg"), "<svg/>").unwrap();
    std::os::unix::fs::symlink("Linux-x86-64", bundle.join("Contents/link")).unwrap();
    bundle
}

fn plugin(folder: &Path) -> String {
    let place = folder.join("WanAlpha.ofx.bundle/Contents/Linux-x86-64/WanAlpha.ofx");
    fs::read_to_string(place).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn installing_twice_and_another_version_replaces_what_was_there() {
    let made = tempfile::tempdir().unwrap();
    let place = made.path().join("OFX/Plugins");
    let (old, new) = (bundle(made.path(), "1.0.0"), bundle(made.path(), "1.1.0"));
    assert_eq!(install(&old, &place).unwrap(), None);
    assert_eq!(install(&old, &place).unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(install(&new, &place).unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(plugin(&place), "1.1.0");
    assert_eq!(names(&place), ["WanAlpha.ofx.bundle"]);
    let link = place.join("WanAlpha.ofx.bundle/Contents/link");
    assert_eq!(fs::read_link(link).unwrap(), Path::new("Linux-x86-64"));

    assert_eq!(uninstall(&place).unwrap(), [""; 0].map(PathBuf::from));
    assert_eq!(names(&place), [""; 0]);
    let error = uninstall(&place).unwrap_err().to_string();
    assert!(error.contains("there is no"), "{error}");
}

#[test]
fn two_versions_lie_side_by_side_and_go_one_by_one() {
    let made = tempfile::tempdir().unwrap();
    let place = made.path().join("Plugins");
    for version in ["1.0.0", "1.1.0"] {
        let bundle = bundle(made.path(), version);
        install(&bundle, &own_folder(&place, version)).unwrap();
    }
    assert_eq!(versions_beside(&place), ["1.0.0", "1.1.0"]);
    for version in ["1.0.0", "1.1.0"] {
        assert_eq!(plugin(&own_folder(&place, version)), version);
    }
    uninstall(&own_folder(&place, "1.0.0")).unwrap();
    assert_eq!(names(&place), ["WanAlpha-1.1.0"]);
}

#[test]
fn a_place_that_cannot_be_written_is_told_and_nothing_is_half_done() {
    let made = tempfile::tempdir().unwrap();
    let bundle = bundle(made.path(), "1.0.0");
    // The superuser may write into any folder; nobody into these.
    let file = made.path().join("file");
    fs::write(&file, "").unwrap();
    let below = made.path().join("new/folder");
    for place in [file.clone(), file.join("below"), PathBuf::from("/proc/OFX/Plugins")] {
        let error = format!("{:#}", install(&bundle, &place).unwrap_err());
        assert!(error.contains("cannot be written to") && error.contains("--user"), "{error}");
    }
    fs::remove_file(bundle.join("Contents/Info.plist")).unwrap();
    assert!(install(&bundle, &below).is_err());
    assert_eq!(names(made.path()), ["file", "made-1.0.0"], "folders made for it are gone too");
}

#[test]
fn an_installation_that_fails_leaves_the_one_before() {
    let made = tempfile::tempdir().unwrap();
    let place = made.path().join("Plugins");
    install(&bundle(made.path(), "1.0.0"), &place).unwrap();
    let broken = bundle(made.path(), "1.1.0");
    fs::remove_file(broken.join("Contents/Info.plist")).unwrap();
    assert!(install(&broken, &place).is_err());
    assert_eq!(plugin(&place), "1.0.0");
    assert_eq!(names(&place), ["WanAlpha.ofx.bundle"]);
}

#[test]
fn what_install_did_not_place_is_left_alone() {
    let made = tempfile::tempdir().unwrap();
    let place = made.path().join("Plugins");
    let new = bundle(made.path(), "1.0.0");
    // A bundle that somebody copied there.
    let copied = place.join("WanAlpha.ofx.bundle");
    fs::create_dir_all(copied.join("Contents")).unwrap();
    for told in [install(&new, &place).map(|_| ()), uninstall(&place).map(|_| ())] {
        let error = told.unwrap_err().to_string();
        assert!(error.contains("was not placed by"), "{error}");
    }
    fs::remove_dir_all(&copied).unwrap();

    install(&new, &place).unwrap();
    let own = copied.join("Contents/Resources/my-preset.json");
    fs::write(&own, "mine").unwrap();
    let error = install(&new, &place).unwrap_err().to_string();
    assert!(error.contains("my-preset.json"), "{error}");
    assert_eq!(uninstall(&place).unwrap(), std::slice::from_ref(&own));
    assert_eq!(fs::read_to_string(own).unwrap(), "mine");
    assert_eq!(names(&copied.join("Contents")), ["Resources"]);
}

#[test]
fn a_bundle_of_another_plug_in_is_refused() {
    let made = tempfile::tempdir().unwrap();
    let other = bundle(made.path(), "1.0.0");
    let plist = other.join("Contents/Info.plist");
    let text = fs::read_to_string(&plist).unwrap().replace("org.wanalpha.generator", "org.other");
    fs::write(plist, text).unwrap();
    let error = version(&other).unwrap_err().to_string();
    assert!(error.contains("org.other"), "{error}");
    assert!(install(&other, &made.path().join("Plugins")).is_err());
}

#[test]
fn a_bundle_for_one_machine_is_warned_of_with_its_reasons() {
    let made = tempfile::tempdir().unwrap();
    let bundle = bundle(made.path(), "1.0.0");
    assert_eq!(only_here(&bundle).unwrap(), None);
    let text = "This bundle was made for …:\n\n- wan-alpha asks for GLIBC_2.39\n- and so on\n";
    fs::write(bundle.join("Contents/Resources/THIS-MACHINE-ONLY.txt"), text).unwrap();
    let warning = only_here(&bundle).unwrap().unwrap();
    assert!(warning.starts_with("warning: ") && warning.contains("GLIBC_2.39"), "{warning}");
}

#[test]
fn where_hosts_must_be_told_to_look_is_said() {
    let root = Path::new("/shared/OFX");
    let told = search_words(root, None);
    assert!(told.contains("export OFX_PLUGIN_PATH=/shared/OFX"), "{told}");
    let told = search_words(root, Some("/a:/shared/OFX".as_ref()));
    assert!(told.contains("names /shared/OFX"), "{told}");
}

//! What `bundle` says of what it made.

use super::*;

#[test]
fn the_closing_words_name_every_reason() {
    let words = closing_words(Path::new("out"), &[], false, true);
    assert!(words.contains("OFX_PLUGIN_PATH=out") && !words.contains("THIS MACHINE"), "{words}");
    let words = closing_words(Path::new("out"), &["too new".to_owned()], true, false);
    assert!(words.contains("THIS MACHINE ONLY") && words.contains("  too new"), "{words}");
    assert!(words.contains("resources/draft-model does not exist"), "{words}");
    assert!(words.contains("cargo xtask install --from \"out/WanAlpha.ofx.bundle\"`"), "{words}");
}

#[test]
fn files_of_a_folder_are_found_at_any_depth_and_an_absent_folder_has_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("a/b/c"), "").unwrap();
    fs::write(folder.path().join("d"), "").unwrap();
    let found = files_below(folder.path()).unwrap();
    assert_eq!(found, [PathBuf::from("a/b/c"), PathBuf::from("d")]);
    assert!(files_below(&folder.path().join("absent")).unwrap().is_empty());
}

#[test]
fn an_engine_that_does_not_start_or_is_of_another_version_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let engine = folder.path().join("engine");
    let write = |text: &str| {
        fs::write(&engine, text).unwrap();
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("#!/bin/sh\n[ -z \"$HOME\" ] && echo wan-alpha 1.2.3\n");
    starts(&engine, "1.2.3").unwrap();
    assert!(starts(&engine, "1.2.4").unwrap_err().to_string().contains("said `wan-alpha 1.2.3`"));
    write("#!/bin/sh\necho libtorch_cpu.so: not found >&2\nexit 127\n");
    assert!(starts(&engine, "1.2.3").unwrap_err().to_string().contains("libtorch_cpu.so: not"));
    fs::remove_file(&engine).unwrap();
    assert!(starts(&engine, "1.2.3").unwrap_err().to_string().contains("could not be started"));
}

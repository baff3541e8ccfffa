//! Saved today, opened tomorrow.

use std::fs;

use wan_alpha_test_host::{Host, OpenError, Profile, Restore, Rule};

use crate::{Scene, file, mischief};

fn saved_text(profile: Profile) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shot.json");
    let scene = Scene::new(profile);
    scene.node.set("level", 0.25);
    scene.node.set("status", "not to be saved");
    scene.project.save(&path);
    fs::read_to_string(&path).unwrap()
}

#[test]
fn what_is_saved_is_up_to_the_host() {
    let everything = saved_text(Profile::plain());
    assert!(everything.contains("\"count\"") && everything.contains("\"level\""));
    let changed = saved_text(Profile::natron());
    assert!(!changed.contains("\"count\"") && changed.contains("\"level\""), "{changed}");
    assert!(!everything.contains("not to be saved"), "{everything}");
}

#[test]
fn values_and_keys_come_back_before_the_instance_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shot.json");
    let scene = Scene::new(Profile::natron());
    scene.node.set("text", "zwölf \"Katzen\" [im] {Gras}");
    scene.node.key("centre", 3.0, [0.25, 1.0]);
    scene.node.key("centre", 4.0, [0.5, 2.0]);
    scene.node.set("mischief", mischief("set in create"));
    scene.project.go_to(3.5);
    scene.project.save(&path);
    drop(scene);

    for (restore, rules) in
        [(Restore::BeforeCreate, vec![Rule::NoSetInCreate]), (Restore::AfterCreate, vec![])]
    {
        let host = Host::new(Profile { restore, ..Profile::natron() }).collecting();
        let plugin = host.load(file()).unwrap();
        let project = plugin.open(&path).unwrap();
        let found: Vec<_> = host.faults().iter().map(|fault| fault.rule).collect();
        assert_eq!(found, rules, "{restore:?}");
        let node = project.node("Node1").unwrap();
        assert_eq!(node.text("text"), "zwölf \"Katzen\" [im] {Gras}");
        assert_eq!((project.time(), node.doubles("centre")), (3.5, vec![0.375, 1.5]));
        assert_eq!(project.settings().size, [64.0, 32.0]);
    }
}

#[test]
fn a_copy_has_the_same_values_and_is_another_node() {
    let scene = Scene::new(Profile::natron());
    scene.node.set("level", 0.25);
    let copy = scene.project.duplicate(&scene.node).unwrap();
    assert_eq!((copy.name(), copy.double("level")), ("Node2", 0.25));
    copy.set("level", 0.75);
    assert_eq!(scene.node.double("level"), 0.25);
    scene.node.delete();
    assert_eq!(scene.project.nodes().len(), 1);
}

#[test]
fn what_is_no_project_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shot.json");
    let scene = Scene::new(Profile::plain());
    let open = || scene.plugin.open(&path).err().unwrap();
    assert!(matches!(open(), OpenError::File { .. }));
    fs::write(&path, "[]").unwrap();
    assert!(matches!(open(), OpenError::Format { .. }));
    scene.project.save(&path);
    let other = fs::read_to_string(&path).unwrap().replace("org.wanalpha.test.bad0", "of.others");
    fs::write(&path, other).unwrap();
    assert!(matches!(open(), OpenError::OtherPlugin { .. }));
}

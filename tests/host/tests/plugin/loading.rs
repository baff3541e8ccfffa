//! From a file to a plug-in in use.

use std::fs;

use wan_alpha_test_bad_plugin::BAD_FROM_THE_START;
use wan_alpha_test_host::{ARCHITECTURE, Context, Host, LoadError, ParamKind, Profile};

use crate::{Scene, file};

#[test]
fn a_bundle_is_loaded_as_a_lone_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("Bad.ofx.bundle");
    let binaries = bundle.join("Contents").join(ARCHITECTURE);
    fs::create_dir_all(&binaries).unwrap();
    fs::create_dir_all(bundle.join("Contents/Resources")).unwrap();
    fs::write(bundle.join("Contents/Resources/note.txt"), "beside it").unwrap();
    fs::copy(file(), binaries.join("Bad.ofx")).unwrap();
    for path in [bundle, file()] {
        let host = Host::new(Profile::plain());
        let plugin = host.load(&path).unwrap();
        assert_eq!(plugin.details().identifier, "org.wanalpha.test.bad0");
        assert_eq!(plugin.contexts(), [Context::Generator, Context::General]);
        let told = plugin.properties().text("OfxPluginPropFilePath").unwrap();
        assert!(told.ends_with(".ofx.bundle"), "{told}");
        let note = fs::read_to_string(format!("{told}/Contents/Resources/note.txt"));
        assert_eq!(note.is_ok(), path.is_dir());
    }
}

#[test]
fn what_is_not_there_is_said() {
    let host = Host::new(Profile::plain());
    let missing = host.load("no/such/Thing.ofx.bundle").err().unwrap();
    assert!(matches!(missing, LoadError::Missing { .. }), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("Text.ofx");
    fs::write(&text, "no binary").unwrap();
    let refused = host.load(&text).err().unwrap();
    assert!(matches!(refused, LoadError::Library { .. }), "{refused}");
    let binary = host.open(file()).unwrap();
    let count = i32::try_from(BAD_FROM_THE_START.len()).unwrap() + 1;
    assert_eq!((binary.count(), binary.has(count)), (count, false));
    assert!(!binary.exports("OfxSetHost") && binary.exports("OfxGetPlugin"));
    let beyond = binary.plugin(count).err().unwrap();
    assert!(matches!(beyond, LoadError::NoSuchPlugin { .. }), "{beyond}");
    let filters = Host::new(Profile::plain().with_contexts(&[Context::Filter]));
    let useless = filters.load(file()).err().unwrap();
    assert!(matches!(useless, LoadError::NoContext { .. }), "{useless}");
}

#[test]
fn each_loading_has_statics_of_its_own() {
    let [first, second] = [Profile::nuke(), Profile::natron()].map(Scene::new);
    first.node.press("go");
    second.node.press("go");
    assert_eq!((first.node.text("status"), second.node.int("count")), ("gone".to_owned(), 1));
}

#[test]
fn descriptions_can_be_looked_at() {
    let scene = Scene::new(Profile::plain());
    let general = scene.plugin.described(Context::General).unwrap();
    assert_eq!(general.clips(), ["Source", "Output"]);
    assert_eq!(general.clip("Source").unwrap().ints("OfxImageClipPropOptional"), [1]);
    let (kind, level) = general.param("level").unwrap();
    assert_eq!((kind, level.doubles("OfxParamPropMax")), (ParamKind::Double, vec![1.0]));
    assert!(level.was_set("OfxParamPropMax") && !level.was_set("OfxParamPropDisplayMax"));
    assert_eq!(general.params().len(), 15);
}

#[test]
fn suites_and_functions_can_be_missing() {
    for suite in ["OfxPropertySuite", "OfxImageEffectSuite", "OfxParameterSuite"] {
        let host = Host::new(Profile::plain().without_suite(suite));
        let refused = host.load(file()).err().unwrap();
        assert!(matches!(refused, LoadError::Refused { .. }), "{suite}: {refused}");
    }
    let profile = Profile::plain()
        .without_suite("OfxMessageSuite")
        .with_null("OfxProgressSuite", "progressStart");
    let scene = Scene::collecting(profile);
    assert_eq!(scene.node.press("ask").raw(), 1);
    scene.node.press("work");
    assert_eq!(scene.node.text("status"), "cancelled", "an update without a start is none");
}

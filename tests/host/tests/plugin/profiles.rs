//! What tells the hosts apart.

use wan_alpha_test_host::{Context, Made, Profile, RenderAsk, Status};

use crate::Scene;

#[test]
fn hosts_say_who_they_are() {
    for (profile, name, contexts, draws) in [
        (Profile::plain(), "org.wanalpha.testhost", 2, true),
        (Profile::nuke(), "uk.co.thefoundry.nuke", 1, false),
        (Profile::resolve(), "DaVinciResolve", 2, false),
        (Profile::natron(), "fr.inria.Natron", 2, false),
    ] {
        let scene = Scene::new(profile);
        let told = scene.host.properties();
        assert_eq!(told.text("OfxPropName").as_deref(), Some(name));
        assert_eq!(told.ints("OfxImageEffectHostPropIsBackground"), [0]);
        assert_eq!(scene.plugin.contexts().len(), contexts, "{name}");
        assert_eq!(scene.node.context(), scene.plugin.contexts()[0]);
        let strokes = scene.node.overlay().unwrap().draw().strokes;
        assert_eq!(!strokes.is_empty(), draws, "{name}");
        assert!(!scene.node.view(scene.project.time()).failed(), "{name}");
    }
    let farm = Scene::new(Profile::nuke().in_background());
    assert_eq!(farm.host.properties().ints("OfxImageEffectHostPropIsBackground"), [1]);
    assert!(farm.node.overlay().is_none(), "nobody is there to see it");
    assert_eq!(farm.project.time(), 1001.0);
}

#[test]
fn nuke_evaluates_what_the_plugin_reads_and_keeps_what_was_typed() {
    let scene = Scene::new(Profile::nuke()).with("dangling string");
    scene.node.set("text", "a [cat] on {grass}");
    assert_eq!(scene.node.text("text"), "a [cat] on {grass}");
    let scene = Scene::collecting(Profile::nuke()).with("dangling string");
    scene.node.set("text", "[nothing is left of this]");
    scene.node.press("go");
    assert_eq!(scene.node.text("status"), "");
}

#[test]
fn resolve_makes_instances_anew_and_clamps_what_has_no_range() {
    let scene = Scene::new(Profile::resolve());
    scene.node.set("unbounded", 40.0);
    assert_eq!(scene.node.double("unbounded"), 1.0);
    scene.node.set("level", 0.25);
    let data = |scene: &Scene| scene.node.properties().pointer("OfxImageEffectPropPluginHandle");
    let before = data(&scene);
    scene.node.press("go");
    assert_ne!(data(&scene), before, "made anew");
    assert_eq!((scene.node.int("count"), scene.node.text("status").as_str()), (1, "gone"));
    let image = scene.node.thumbnail(0.0, 0.5);
    assert_eq!(image.pixel(2, 2)[2], 0.75, "the other instance knows as well");
    let plain = Scene::new(Profile::plain());
    plain.node.set("unbounded", 40.0);
    assert_eq!(plain.node.double("unbounded"), 40.0);
}

#[test]
fn resolve_has_images_of_one_size() {
    let scene = Scene::new(Profile::resolve());
    let mut settings = scene.project.settings();
    settings.offset = [10.0, 10.0];
    scene.project.set_settings(settings);
    assert_eq!(scene.node.region(1.0).1, [10.0, 10.0, 74.0, 42.0]);
    assert_eq!(scene.node.view(1.0).image().bounds(), [0, 0, 64, 32]);
}

#[test]
fn names_that_a_host_lacks_are_unknown() {
    let scene = Scene::collecting(Profile::plain().without_properties(&["OfxPropLabel"]));
    assert!(scene.host.unknown_properties().contains(&"OfxPropLabel on Descriptor".to_owned()));
    assert_eq!(scene.host.faults(), []);
}

#[test]
fn every_host_shows_the_same_picture() {
    let picture = |profile: Profile| {
        let scene = Scene::new(profile);
        let frame = scene.node.view(1.0);
        assert_eq!((frame.status, &frame.made), (Status::OK, &Made::Rendered));
        let whole = scene.node.render(&RenderAsk::at(1.0));
        assert_eq!(frame.image(), whole.image());
        frame.image().clone()
    };
    let plain = picture(Profile::plain());
    for profile in [Profile::nuke(), Profile::resolve(), Profile::natron()] {
        assert_eq!(picture(profile), plain);
    }
}

#[test]
fn a_context_that_is_not_there_is_refused() {
    let scene = Scene::new(Profile::nuke());
    let refused = scene.project.add(Context::Generator).err().unwrap();
    assert!(refused.to_string().contains("Generator"), "{refused}");
}

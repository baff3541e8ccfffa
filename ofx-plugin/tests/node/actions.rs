//! One node on a canvas.

use wan_alpha_ofx::params::{ALPHA_MODE, Hosts, START_FRAME, STATUS, Shown, TABLE};
use wan_alpha_test_host::{
    Context, Host, Profile, Reason, RenderAsk, Rule, Settings, Source, Status,
};

use crate::Scene;

fn id(id: &std::ffi::CStr) -> &str {
    id.to_str().unwrap()
}

#[test]
fn instances_come_and_go() {
    let Scene { node, project, .. } = &Scene::new(Profile::plain(), Context::General);
    for parameter in TABLE.iter().filter(|parameter| parameter.hosts != Hosts::Filters) {
        let id = id(parameter.id);
        assert_eq!(node.is_enabled(id), parameter.shown != Shown::ReadOnly, "{id}");
        assert_eq!(node.is_secret(id), parameter.shown == Shown::Hidden, "{id}");
        if parameter.shown == Shown::ReadOnly {
            assert!(node.param_properties(id).was_set("OfxParamPropEnabled"), "{id}");
        }
    }
    let data = || node.properties().pointer("OfxPropInstanceData");
    assert_ne!(data(), 0);
    // Once more than a host should.
    assert_eq!(node.action("OfxActionDestroyInstance"), Status::OK);
    assert_eq!(data(), 0);
    node.delete();
    project.add(Context::Generator).unwrap();
}

#[test]
fn a_plugin_that_was_unloaded_can_be_used_again() {
    let host = Host::new(Profile::plain());
    let binary = host.open(crate::file()).unwrap();
    for _ in 0..3 {
        let plugin = binary.plugin(0).unwrap();
        plugin.project().add(Context::General).unwrap();
    }
}

#[test]
fn region_is_the_project_or_the_format_of_the_source() {
    let Scene { node, project, .. } = &Scene::new(Profile::plain(), Context::Generator);
    let settings = project.settings();
    project.set_settings(Settings { offset: [-10.0, 20.0], ..settings.clone() });
    assert_eq!(node.region(7.0), (Status::OK, [-10.0, 20.0, 1910.0, 1100.0]));
    project.set_settings(Settings { size: [0.0, 0.0], ..settings });
    assert_eq!(node.region(7.0).0, Status::REPLY_DEFAULT);
    let sizeless = Profile::plain().without_properties(&["OfxImageEffectPropProjectSize"]);
    let Scene { node, .. } = &Scene::new(sizeless, Context::Generator);
    assert_eq!(node.region(7.0).0, Status::REPLY_DEFAULT);

    let Scene { node, .. } = &Scene::new(Profile::plain(), Context::General);
    assert_eq!(node.region(7.0), (Status::OK, [0.0, 0.0, 1920.0, 1080.0]));
    let wanted = [5.0, 6.0, 70.0, 80.0];
    assert_eq!(node.regions_of_interest(7.0, wanted).0, Status::REPLY_DEFAULT);

    // A plate moves in its region of definition; the take does not slide with it.
    for moved in [0.0, 250.0] {
        let plate = Source::over([100.0 + moved, 50.0, 740.0 + moved, 530.0]);
        node.connect("Source", plate.clone());
        assert_eq!(node.region(7.0), (Status::OK, [0.0, 0.0, 1920.0, 1080.0]));
        node.connect("Source", plate.with_format([-10, 0, 990, 500]));
        assert_eq!(node.region(7.0), (Status::OK, [-10.0, 0.0, 990.0, 500.0]));
    }
    // What covers nothing, or is in a format of nothing, says nothing of where the take lies.
    for nothing in [Source::over([4.0; 4]), Source::over([0.0; 4]).with_format([0; 4])] {
        node.connect("Source", nothing.clone());
        assert_eq!(node.region(7.0), (Status::OK, [0.0, 0.0, 1920.0, 1080.0]));
        let frame = node.render(&RenderAsk::at(7.0));
        assert!(frame.picture().is_some(), "{}", frame.says());
    }
    let (status, regions) = node.regions_of_interest(7.0, wanted);
    assert_eq!(status, Status::OK);
    assert_eq!(regions, [("Source".to_owned(), [5.0, 6.0, 5.0, 6.0])]);
}

#[test]
fn preferences_follow_the_alpha_mode() {
    let Scene { node, .. } = &Scene::new(Profile::plain(), Context::Generator);
    for (mode, alpha) in [(0, "OfxImageAlphaPremultiplied"), (1, "OfxImageAlphaUnPremultiplied")] {
        node.set(id(ALPHA_MODE), mode);
        let (status, preferences) = node.preferences();
        assert_eq!((status, preferences.premultiplication.as_str()), (Status::OK, alpha));
        assert!(preferences.frame_varying && !preferences.continuous_samples);
        let told = node.clip_properties("Output").text("OfxImageEffectPropPreMultiplication");
        assert_eq!(told.as_deref(), Some(alpha), "asked again when the mode changes");
    }
}

#[test]
fn a_new_node_shows_words_and_nothing_else() {
    let Scene { node, .. } = &Scene::new(Profile::plain(), Context::Generator);
    let ask = RenderAsk::at(0.0);
    let frame = node.render(&ask);
    let image = frame.image();
    let written = image.pixels().filter(|pixel| pixel[3] > 0.0).count();
    assert!(written > 1000 && written < image.width() * image.height() / 4, "{written}");
    assert_eq!(frame.pixel(0, 0), [0.0; 4]);
    let silent = Profile::plain().without_suite("OfxMessageSuite");
    let Scene { node, .. } = &Scene::new(silent, Context::Generator);
    assert_eq!(node.render(&ask).status, Status::OK);
    node.set("missing", 3);
    assert!(node.render(&ask).image().pixels().all(|pixel| pixel == [0.0; 4]));
}

#[test]
fn only_a_press_is_a_press() {
    let Scene { node, .. } = &Scene::new(Profile::plain(), Context::General);
    let status = || node.text(id(STATUS));
    for (reason, name, reply) in [
        (Reason::PluginEdited, "generate", Status::REPLY_DEFAULT),
        (Reason::Time, "generate", Status::OK),
        (Reason::UserEdited, "prompt", Status::OK),
        (Reason::UserEdited, "ResolveUseAlphaForTrackCompositing", Status::OK),
    ] {
        let found = node.changed(name, reason, 0.0);
        assert_eq!((found, status().as_str()), (reply, ""), "{name}, {reason:?}");
    }
    node.connect("Source", Source::over([0.0, 0.0, 10.0, 10.0]));
    assert_eq!((status().as_str(), node.int("revision")), ("", 0));
}

#[test]
fn a_take_ends_only_where_nothing_is_wanted_after_it() {
    let Scene { node, .. } = &Scene::new(Profile::plain(), Context::General);
    assert_eq!(node.time_domain().0, Status::REPLY_DEFAULT);
    node.set("outside", 3);
    node.set("startFrame", 100);
    // 81 frames of 16 to the second, at 24 to the second.
    assert_eq!(node.time_domain(), (Status::OK, [100.0, 220.0]));
    node.set("speed", 2.0);
    node.set("frames", 17);
    assert_eq!(node.time_domain(), (Status::OK, [100.0, 112.0]));
}

#[test]
fn start_here_moves_the_start_in_one_edit() {
    let Scene { node, project, .. } = &Scene::new(Profile::plain(), Context::Generator);
    let start = || node.int(id(START_FRAME));
    project.go_to(86_400.4);
    assert_eq!(node.press("startHere"), Status::OK);
    assert_eq!(start(), 86_400);
    assert_eq!((node.undo_steps(), node.int("startTyped")), (vec!["Start here".to_owned()], 1));
    for time in [f64::NAN, f64::INFINITY, 1e12] {
        assert_eq!(node.changed("startHere", Reason::UserEdited, time), Status::FAILED);
    }
    assert_eq!(start(), 86_400);
    node.undo();
    assert_eq!(start(), 0);
}

#[test]
fn what_is_unknown_or_out_of_place_does_no_harm() {
    // Asked with a null handle, or about a node that is gone, it answers what no host expects.
    let host = Host::new(Profile::plain()).tolerating(Rule::FittingStatus);
    let Scene { node, plugin, .. } = &Scene::of(host, Context::Generator);
    for action in [
        "OfxImageEffectActionIsIdentity",
        "OfxImageEffectActionGetFramesNeeded",
        "OfxActionPurgeCaches",
        "OfxActionOfTheFuture",
        "",
    ] {
        assert_eq!(node.action(action), Status::REPLY_DEFAULT, "{action}");
    }
    assert_eq!(plugin.raw_action(None), Status::FAILED);
    for action in [
        "OfxActionDescribe",
        "OfxImageEffectActionDescribeInContext",
        "OfxActionCreateInstance",
        "OfxActionDestroyInstance",
        "OfxActionInstanceChanged",
        "OfxImageEffectActionGetRegionOfDefinition",
        "OfxImageEffectActionGetClipPreferences",
        "OfxImageEffectActionRender",
    ] {
        assert_eq!(plugin.raw_action(Some(action)), Status::ERR_BAD_HANDLE, "{action}");
    }
    assert_eq!(node.action("OfxActionDestroyInstance"), Status::OK);
    assert_eq!(node.preferences().0, Status::ERR_BAD_HANDLE);
}

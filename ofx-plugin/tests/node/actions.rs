//! One node on a canvas.

use wan_alpha_ofx::params::{ALPHA_MODE, START_FRAME, STATUS, Shown, TABLE};

use crate::support::{
    BAD_HANDLE, Effect, FAILED, GENERAL, GENERATOR, Host, OK, Plugin, REPLY_DEFAULT, Set, Value,
};

fn doubles(values: &[f64]) -> Vec<Value> {
    values.iter().copied().map(Value::Double).collect()
}

fn at(time: f64) -> Set {
    let arguments = Set::default();
    arguments.put("OfxPropTime", [Value::Double(time)]);
    arguments
}

/// The host says that the artist changed something.
fn changed(plugin: &Plugin, node: &Effect, kind: &str, name: &str, reason: &str, time: f64) -> i32 {
    let arguments = at(time);
    arguments.put("OfxPropType", [Value::text(kind)]);
    arguments.put("OfxPropName", [Value::text(name)]);
    arguments.put("OfxPropChangeReason", [Value::text(reason)]);
    plugin.action("OfxActionInstanceChanged", Some(node), Some(&arguments), None)
}

fn pressed(plugin: &Plugin, node: &Effect, button: &str, time: f64) -> i32 {
    changed(plugin, node, "OfxTypeParameter", button, "OfxChangeUserEdited", time)
}

fn region(plugin: &Plugin, node: &Effect) -> (i32, Vec<Value>) {
    let reply = Set::default();
    let action = "OfxImageEffectActionGetRegionOfDefinition";
    let status = plugin.action(action, Some(node), Some(&at(7.0)), Some(&reply));
    (status, reply.get("OfxImageEffectPropRegionOfDefinition"))
}

#[test]
fn instances_come_and_go() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERAL);
    for parameter in TABLE {
        node.with_parameter(parameter.id, |made| {
            let (enabled, secret) = match parameter.shown {
                Shown::Editable => (vec![], vec![]),
                Shown::ReadOnly => (vec![Value::Int(0)], vec![]),
                Shown::Hidden => (vec![], vec![Value::Int(1)]),
            };
            assert_eq!(made.properties.get("OfxParamPropEnabled"), enabled, "{}", made.id);
            assert_eq!(made.properties.get("OfxParamPropSecret"), secret, "{}", made.id);
        });
    }
    assert!(node.edits.borrow().is_empty(), "making an instance changes no parameter");
    let null = [Value::Pointer(std::ptr::null_mut())];
    assert_ne!(node.properties.get("OfxPropInstanceData"), null);
    for _ in 0..2 {
        assert_eq!(plugin.action("OfxActionDestroyInstance", Some(&node), None, None), OK);
        assert_eq!(node.properties.get("OfxPropInstanceData"), null);
    }
    assert_eq!(plugin.action("OfxActionUnload", None, None, None), OK);
    assert_eq!(plugin.action("OfxActionLoad", None, None, None), OK);
    assert_eq!(plugin.action("OfxActionCreateInstance", Some(&node), None, None), OK);
    assert_eq!(plugin.action("OfxActionDestroyInstance", Some(&node), None, None), OK);
}

#[test]
fn region_is_the_project_or_the_connected_source() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    node.properties.put("OfxImageEffectPropProjectOffset", doubles(&[-10.0, 20.0]));
    assert_eq!(region(&plugin, &node), (OK, doubles(&[-10.0, 20.0, 1910.0, 1100.0])));
    for unknown in [&[0.0, 0.0][..], &[]] {
        node.properties.put("OfxImageEffectPropProjectSize", doubles(unknown));
        assert_eq!(region(&plugin, &node), (REPLY_DEFAULT, vec![]));
    }

    let (plugin, node) = Plugin::with_instance(&host, GENERAL);
    assert_eq!(region(&plugin, &node), (OK, doubles(&[0.0, 0.0, 1920.0, 1080.0])));
    let interest = |arguments: &Set, reply: &Set| {
        let action = "OfxImageEffectActionGetRegionsOfInterest";
        plugin.action(action, Some(&node), Some(arguments), Some(reply))
    };
    let arguments = at(7.0);
    arguments.put("OfxImageEffectPropRegionOfInterest", doubles(&[5.0, 6.0, 70.0, 80.0]));
    assert_eq!(interest(&arguments, &Set::default()), REPLY_DEFAULT);

    node.with_clip("Source", |clip| {
        clip.properties.put("OfxImageClipPropConnected", [Value::Int(1)]);
        clip.region.set([100.0, 50.0, 740.0, 530.0]);
    });
    assert_eq!(region(&plugin, &node), (OK, doubles(&[100.0, 50.0, 740.0, 530.0])));
    let reply = Set::default();
    assert_eq!(interest(&arguments, &reply), OK);
    assert_eq!(reply.get("OfxImageClipPropRoI_Source"), doubles(&[5.0, 6.0, 5.0, 6.0]));
}

#[test]
fn preferences_follow_the_alpha_mode() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    for (mode, alpha) in [(0, "OfxImageAlphaPremultiplied"), (1, "OfxImageAlphaUnPremultiplied")] {
        node.with_parameter(ALPHA_MODE, |parameter| parameter.int.set(mode));
        let reply = Set::default();
        let action = "OfxImageEffectActionGetClipPreferences";
        assert_eq!(plugin.action(action, Some(&node), None, Some(&reply)), OK);
        assert_eq!(reply.texts("OfxImageEffectPropPreMultiplication"), [alpha]);
        assert_eq!(reply.get("OfxImageEffectFrameVarying"), [Value::Int(1)]);
        assert_eq!(reply.get("OfxImageClipPropContinuousSamples"), [Value::Int(0)]);
    }
}

#[test]
fn a_render_fails_in_words_until_there_are_takes() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    let render = || plugin.action("OfxImageEffectActionRender", Some(&node), Some(&at(0.0)), None);
    assert_eq!(render(), FAILED);
    let message = node.message.borrow().clone().unwrap();
    assert!(message.contains("cannot make or show takes yet"), "{message}");
    // Nuke renders again only once the message is gone.
    let reply = changed(&plugin, &node, "OfxTypeParameter", "prompt", "OfxChangeUserEdited", 0.0);
    assert_eq!(reply, REPLY_DEFAULT);
    assert_eq!(*node.message.borrow(), None);

    let host = Host::complete().without("OfxMessageSuite");
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    assert_eq!(plugin.action("OfxImageEffectActionRender", Some(&node), None, None), FAILED);
}

#[test]
fn buttons_say_what_they_cannot_do() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    let status = || node.with_parameter(STATUS, |status| status.text.borrow().clone());
    for (reason, name) in [
        ("OfxChangePluginEdited", "generate"),
        ("OfxChangeTime", "generate"),
        ("OfxChangeUserEdited", "prompt"),
        ("OfxChangeUserEdited", "ResolveUseAlphaForTrackCompositing"),
    ] {
        let reply = changed(&plugin, &node, "OfxTypeParameter", name, reason, 0.0);
        assert_eq!((reply, status().as_str()), (REPLY_DEFAULT, ""), "{name}, {reason}");
    }
    let clip = changed(&plugin, &node, "OfxTypeClip", "Source", "OfxChangeUserEdited", 0.0);
    assert_eq!(clip, REPLY_DEFAULT);
    assert_eq!(pressed(&plugin, &node, "generate", 0.0), OK);
    assert!(status().contains("nothing was started"), "{}", status());
}

#[test]
fn start_here_moves_the_start_in_one_edit() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    let start = || node.with_parameter(START_FRAME, |start| start.int.get());
    assert_eq!(pressed(&plugin, &node, "startHere", 86_400.4), OK);
    assert_eq!(start(), 86_400);
    assert_eq!(*node.edits.borrow(), ["Start here"]);
    for time in [f64::NAN, f64::INFINITY, 1e12] {
        assert_eq!(pressed(&plugin, &node, "startHere", time), FAILED);
    }
    assert_eq!(start(), 86_400);
}

#[test]
fn what_is_unknown_or_out_of_place_does_no_harm() {
    let host = Host::complete();
    let (plugin, node) = Plugin::with_instance(&host, GENERATOR);
    for action in [
        "OfxImageEffectActionIsIdentity",
        "OfxImageEffectActionGetTimeDomain",
        "OfxImageEffectActionGetFramesNeeded",
        "OfxActionBeginInstanceEdit",
        "OfxActionPurgeCaches",
        "OfxActionOfTheFuture",
        "",
    ] {
        assert_eq!(plugin.action(action, Some(&node), None, None), REPLY_DEFAULT, "{action}");
    }
    assert_eq!(plugin.null_action(), FAILED);
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
        assert_eq!(plugin.action(action, None, None, None), BAD_HANDLE, "{action}");
    }
    // Asked about a node that was never made.
    let stranger = node.instance(GENERATOR);
    let action = "OfxImageEffectActionGetClipPreferences";
    let reply = Set::default();
    assert_eq!(plugin.action(action, Some(&stranger), None, Some(&reply)), BAD_HANDLE);
}

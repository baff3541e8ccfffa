//! What a host learns, in every context, from every kind of host.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use wan_alpha_ofx::params::{Group, Kind, Lines, Parameter, Shown, TABLE, Unit};

use crate::support::{
    Effect, FILTER, GENERAL, GENERATOR, Host, MISSING_HOST_FEATURE, OK, Plugin, Set, UNSUPPORTED,
    Value,
};

/// Newer than OpenFX 1.0, or known to be absent in some host.
const NOT_EVERYWHERE: &[&str] = &[
    "OfxPropShortLabel",
    "OfxPropLongLabel",
    "OfxPropVersionLabel",
    "OfxPropPluginDescription",
    "OfxImageEffectPluginPropHostFrameThreading",
    "OfxImageEffectInstancePropSequentialRender",
    "OfxImageEffectPropNoSpatialAwareness",
    "OfxImageEffectPropClipPreferencesSlaveParam",
    "OfxImageClipPropIsMask",
    "OfxImageClipPropFieldExtraction",
    "OfxParamPropScriptName",
    "OfxParamPropCanUndo",
    "OfxParamPropCacheInvalidation",
    "OfxParamPropDefaultCoordinateSystem",
    "OfxParamPropDoubleType",
    "OfxParamPropIncrement",
    "OfxParamPropDigits",
    "OfxParamPropGroupOpen",
    "OfxParamPropPageChild",
];

fn text(text: &CStr) -> Vec<Value> {
    vec![Value::text(text.to_str().unwrap())]
}

#[test]
fn plugin_is_one_and_named_for_good() {
    let plugin = Plugin::load();
    assert_eq!(plugin.count(), 1);
    assert!(plugin.get(1).is_null() && plugin.get(-1).is_null());
    let details = plugin.details();
    let (api, version, identifier, major) = &details;
    assert_eq!((api.as_str(), *version), ("OfxImageEffectPluginAPI", 1));
    assert_eq!((identifier.as_str(), *major), ("org.wanalpha.generator", 1));
}

/// As hosts scan: once to know the plug-in, once to use it, on the same descriptor.
#[test]
fn scanning_twice_is_fast_and_the_same() {
    let host = Host::complete();
    let plugin = Plugin::load();
    let begun = Instant::now();
    let descriptor = Box::<Effect>::default();
    let mut described = Vec::new();
    for _ in 0..2 {
        plugin.set_host(&host);
        assert_eq!(plugin.action("OfxActionLoad", None, None, None), OK);
        assert_eq!(plugin.describe(&descriptor), OK);
        for context in [GENERATOR, GENERAL] {
            let effect = Box::<Effect>::default();
            assert_eq!(plugin.describe_in(context, &effect), OK);
            described.push(effect);
        }
        assert_eq!(plugin.action("OfxActionUnload", None, None, None), OK);
    }
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_millis(20), "{elapsed:?}");
    for (first, second) in [(0, 2), (1, 3)] {
        assert_eq!(described[first].clip_names(), described[second].clip_names());
        let (first, second) = (&described[first].parameters, &described[second].parameters);
        for (first, second) in first.borrow().iter().zip(second.borrow().iter()) {
            assert_eq!(first.id, second.id);
            assert_eq!(first.properties.all(), second.properties.all());
        }
    }
}

#[test]
fn effect_says_what_it_can() {
    let host = Host::complete();
    let plugin = Plugin::loaded_into(&host);
    let effect = Box::<Effect>::default();
    assert_eq!(plugin.describe(&effect), OK);
    let ours = &effect.properties;
    assert_eq!(ours.texts("OfxPropLabel"), ["WanAlpha"]);
    assert_eq!(ours.texts("OfxImageEffectPropSupportedContexts"), [GENERATOR, GENERAL]);
    let mut depths = ours.texts("OfxImageEffectPropSupportedPixelDepths");
    assert_eq!(depths[0], "OfxBitDepthFloat");
    depths.sort();
    let all = ["OfxBitDepthByte", "OfxBitDepthFloat", "OfxBitDepthHalf", "OfxBitDepthShort"];
    assert_eq!(depths, all);
    let safety = ours.texts("OfxImageEffectPluginRenderThreadSafety");
    assert_eq!(safety, ["OfxImageEffectRenderFullySafe"]);
    assert_eq!(ours.texts("OfxImageEffectPropClipPreferencesSlaveParam"), ["alphaMode"]);
    for (name, expected) in [
        ("OfxImageEffectPropSupportsTiles", 1),
        ("OfxImageEffectPropSupportsMultiResolution", 1),
        ("OfxImageEffectPropTemporalClipAccess", 0),
        ("OfxImageEffectPluginPropHostFrameThreading", 0),
        ("OfxImageEffectPluginPropSingleInstance", 0),
        ("OfxImageEffectPluginPropFieldRenderTwiceAlways", 0),
        // The header's macro has another name than the property.
        ("OfxImageEffectPropMultipleClipDepths", 0),
        ("OfxImageEffectPropSupportsMultipleClipPARs", 0),
    ] {
        assert_eq!(ours.get(name), [Value::Int(expected)], "{name}");
    }
}

#[test]
fn clips_fit_the_context() {
    let host = Host::complete();
    let plugin = Plugin::loaded_into(&host);
    let generator = Box::<Effect>::default();
    assert_eq!(plugin.describe_in(GENERATOR, &generator), OK);
    assert_eq!(generator.clip_names(), ["Output"]);
    let general = Box::<Effect>::default();
    assert_eq!(plugin.describe_in(GENERAL, &general), OK);
    assert_eq!(general.clip_names(), ["Source", "Output"]);
    for name in ["Source", "Output"] {
        general.with_clip(name, |clip| {
            let components = clip.properties.texts("OfxImageEffectPropSupportedComponents");
            assert_eq!(components, ["OfxImageComponentRGBA"], "{name}");
        });
    }
    general.with_clip("Source", |clip| {
        assert_eq!(clip.properties.get("OfxImageClipPropOptional"), [Value::Int(1)]);
    });
    let other = Box::<Effect>::default();
    assert_eq!(plugin.describe_in(FILTER, &other), UNSUPPORTED);
}

#[test]
fn parameters_are_those_of_the_table() {
    let host = Host::complete();
    let plugin = Plugin::loaded_into(&host);
    for context in [GENERATOR, GENERAL] {
        let effect = Box::<Effect>::default();
        assert_eq!(plugin.describe_in(context, &effect), OK);
        for parameter in TABLE {
            effect.with_parameter(parameter.id, |described| {
                check(parameter, &described.kind, &described.properties);
            });
        }
        for &group in Group::ALL {
            effect.with_parameter(group.id(), |described| {
                assert_eq!(described.kind, "OfxParamTypeGroup");
                assert_eq!(described.properties.get("OfxPropLabel"), text(group.label()));
            });
        }
        assert_eq!(effect.parameters.borrow().len(), TABLE.len() + Group::ALL.len() + 1);
        effect.with_parameter(c"controls", |page| {
            assert_eq!(page.kind, "OfxParamTypePage");
            let shown = TABLE.iter().filter(|parameter| parameter.shown != Shown::Hidden);
            let shown: Vec<_> = shown.map(|parameter| parameter.id.to_str().unwrap()).collect();
            assert_eq!(page.properties.texts("OfxParamPropPageChild"), shown);
        });
    }
}

fn check(parameter: &Parameter, kind: &str, properties: &Set) {
    let id = parameter.id.to_str().unwrap();
    let expect = |name: &str, expected: &[Value]| {
        assert_eq!(properties.get(name), expected, "{name} of {id}");
    };
    let flag = |name: &str, expected: bool| expect(name, &[Value::Int(expected.into())]);
    expect("OfxParamPropScriptName", &text(parameter.id));
    expect("OfxPropLabel", &text(parameter.label));
    expect("OfxParamPropHint", &text(parameter.hint));
    expect("OfxParamPropParent", &text(parameter.group.id()));
    flag("OfxParamPropSecret", parameter.shown == Shown::Hidden);
    // Nuke would never enable it again.
    expect("OfxParamPropEnabled", &[]);
    if parameter.kind == Kind::Button {
        assert_eq!(kind, "OfxParamTypePushButton");
        return;
    }
    flag("OfxParamPropAnimates", parameter.animates);
    flag("OfxParamPropPersistant", parameter.persistent);
    flag("OfxParamPropEvaluateOnChange", parameter.evaluates);
    flag("OfxParamPropCanUndo", parameter.undoable);
    let numbers = |default: &[Value], range: [Value; 2], display: [Value; 2]| {
        let every = |value: &Value| vec![value.clone(); default.len()];
        expect("OfxParamPropDefault", default);
        expect("OfxParamPropMin", &every(&range[0]));
        expect("OfxParamPropMax", &every(&range[1]));
        expect("OfxParamPropDisplayMin", &every(&display[0]));
        expect("OfxParamPropDisplayMax", &every(&display[1]));
    };
    let plain = || expect("OfxParamPropDoubleType", &text(c"OfxParamDoubleTypePlain"));
    let canonical = || {
        let expected = text(c"OfxParamCoordinatesCanonical");
        expect("OfxParamPropDefaultCoordinateSystem", &expected);
    };
    match parameter.kind {
        Kind::Text { default, lines } => {
            assert_eq!(kind, "OfxParamTypeString");
            expect("OfxParamPropDefault", &text(default));
            let mode = match lines {
                Lines::Single => c"OfxParamStringIsSingleLine",
                Lines::Multiple => c"OfxParamStringIsMultiLine",
            };
            expect("OfxParamPropStringMode", &text(mode));
        }
        Kind::Int { default, range, display } => {
            assert_eq!(kind, "OfxParamTypeInteger");
            numbers(&[Value::Int(default)], range.map(Value::Int), display.map(Value::Int));
        }
        Kind::Double { default, range, display, unit, .. } => {
            assert_eq!(kind, "OfxParamTypeDouble");
            let default = [Value::Double(default)];
            numbers(&default, range.map(Value::Double), display.map(Value::Double));
            canonical();
            match unit {
                Unit::Plain => plain(),
                Unit::Angle => {
                    expect("OfxParamPropDoubleType", &text(c"OfxParamDoubleTypeAngle"));
                }
            }
        }
        Kind::Double2D { default, range, display, .. } => {
            assert_eq!(kind, "OfxParamTypeDouble2D");
            let default = default.map(Value::Double);
            numbers(&default, range.map(Value::Double), display.map(Value::Double));
            canonical();
            plain();
        }
        Kind::Choice { options } => {
            assert_eq!(kind, "OfxParamTypeChoice");
            let options: Vec<_> = options.iter().flat_map(|option| text(option)).collect();
            expect("OfxParamPropChoiceOption", &options);
            expect("OfxParamPropDefault", &[Value::Int(0)]);
        }
        Kind::Button => {}
    }
}

#[test]
fn hosts_without_the_generator_context_get_general_and_resolve_gets_generator() {
    for (host, contexts, expected) in [
        ("uk.co.thefoundry.nuke", &[FILTER, GENERAL][..], GENERAL),
        ("DaVinciResolveLite", &[FILTER, GENERAL, GENERATOR][..], GENERATOR),
    ] {
        let host = Host::new(host, contexts);
        let plugin = Plugin::loaded_into(&host);
        let effect = Box::<Effect>::default();
        assert_eq!(plugin.describe(&effect), OK);
        assert_eq!(effect.properties.texts("OfxImageEffectPropSupportedContexts"), [expected]);
        assert_eq!(plugin.describe_in(expected, &effect), OK);
    }
    let host = Host::new("of.no.use", &[FILTER]);
    let plugin = Plugin::load();
    plugin.set_host(&host);
    assert_eq!(plugin.action("OfxActionLoad", None, None, None), MISSING_HOST_FEATURE);
}

#[test]
fn only_the_three_suites_are_required() {
    for suite in ["OfxPropertySuite", "OfxImageEffectSuite", "OfxParameterSuite"] {
        let host = Host::complete().without(suite);
        let plugin = Plugin::load();
        plugin.set_host(&host);
        let load = || plugin.action("OfxActionLoad", None, None, None);
        assert_eq!(load(), MISSING_HOST_FEATURE, "{suite}");
        assert_eq!(load(), MISSING_HOST_FEATURE, "{suite}");
        let effect = Box::<Effect>::default();
        assert_eq!(plugin.describe(&effect), MISSING_HOST_FEATURE, "{suite}");
    }
    let host = Host::complete().without("OfxMessageSuite");
    let plugin = Plugin::loaded_into(&host);
    let effect = Box::<Effect>::default();
    assert_eq!(plugin.describe(&effect), OK);
    assert_eq!(plugin.describe_in(GENERAL, &effect), OK);
}

#[test]
fn properties_that_a_host_lacks_are_done_without() {
    let host = Host::complete();
    let plugin = Plugin::loaded_into(&host);
    let effect = Effect::refusing(NOT_EVERYWHERE);
    assert_eq!(plugin.describe(&effect), OK);
    assert_eq!(plugin.describe_in(GENERAL, &effect), OK);
    effect.with_parameter(c"mu", |mu| {
        assert_eq!(mu.properties.get("OfxParamPropDefault"), [Value::Double(0.05)]);
        assert_eq!(mu.properties.get("OfxParamPropDigits"), []);
    });
}

#[test]
fn a_host_may_load_late_introduce_itself_or_not_at_all() {
    let plugin = Plugin::load();
    assert_eq!(plugin.action("OfxActionLoad", None, None, None), MISSING_HOST_FEATURE);
    assert_ne!(plugin.introduce(None), OK);
    let host = Host::complete();
    assert_eq!(plugin.introduce(Some(&host)), OK);
    let effect = Box::<Effect>::default();
    assert_eq!(plugin.describe(&effect), OK);
    // Another host struct for the next plug-in of a bundle, the first one gone.
    let other = Host::new("uk.co.thefoundry.nuke", &[GENERAL]);
    plugin.set_host(&other);
    drop(host);
    let effect = Box::<Effect>::default();
    assert_eq!(plugin.describe(&effect), OK);
    assert_eq!(effect.properties.texts("OfxImageEffectPropSupportedContexts"), [GENERAL]);
}

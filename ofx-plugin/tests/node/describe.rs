//! What a host learns, in every context, from every kind of host.

use std::ffi::CStr;

use wan_alpha_ofx::params::{Group, Hosts, Kind, Lines, Parameter, Shown, TABLE, Unit};
use wan_alpha_test_host::{
    Context, Host, Item, LoadError, ParamKind, Plugin, Profile, Properties, Status,
};

use crate::file;

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

fn text(text: &CStr) -> Vec<Item> {
    vec![Item::Text(text.to_str().unwrap().to_owned())]
}

fn id(id: &CStr) -> &str {
    id.to_str().unwrap()
}

fn loaded(profile: Profile) -> (Host, Plugin) {
    let host = Host::new(profile);
    let plugin = host.load(file()).unwrap();
    (host, plugin)
}

#[test]
fn plugin_is_one_and_named_for_good() {
    let host = Host::new(Profile::plain());
    let binary = host.open(file()).unwrap();
    assert_eq!(binary.count(), 1);
    assert!(!binary.has(1) && !binary.has(-1));
    let details = binary.details(0).unwrap();
    assert_eq!((details.api.as_str(), details.api_version), ("OfxImageEffectPluginAPI", 1));
    assert_eq!(details.identifier, "org.wanalpha.generator");
    assert_eq!(details.version[0], 1);
}

/// As hosts scan: once to know the plug-in, once to use it, and whenever they scan again.
#[test]
fn scanning_again_says_the_same() {
    let host = Host::new(Profile::plain());
    let binary = host.open(file()).unwrap();
    for _ in 0..2 {
        binary.plugin(0).unwrap().describe_again();
    }
}

#[test]
fn effect_says_what_it_can() {
    let (_host, plugin) = loaded(Profile::plain());
    let ours = plugin.properties();
    assert_eq!(ours.texts("OfxPropLabel"), ["WanAlpha"]);
    let contexts = [Context::Generator.name(), Context::General.name()];
    assert_eq!(ours.texts("OfxImageEffectPropSupportedContexts"), contexts);
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
        assert!(ours.was_set(name), "{name}");
        assert_eq!(ours.ints(name), [expected], "{name}");
    }
}

#[test]
fn clips_fit_the_context() {
    let profile = Profile::plain();
    assert!(profile.contexts.contains(&Context::Filter));
    let (_host, plugin) = loaded(profile);
    let generator = plugin.described(Context::Generator).unwrap();
    assert_eq!(generator.clips(), ["Output"]);
    let general = plugin.described(Context::General).unwrap();
    assert_eq!(general.clips(), ["Source", "Output"]);
    for name in ["Source", "Output"] {
        let clip = general.clip(name).unwrap();
        let components = clip.texts("OfxImageEffectPropSupportedComponents");
        assert_eq!(components, ["OfxImageComponentRGBA"], "{name}");
    }
    let source = general.clip("Source").unwrap();
    assert_eq!(source.ints("OfxImageClipPropOptional"), [1]);
    assert!(plugin.described(Context::Filter).is_none());
}

#[test]
fn parameters_are_those_of_the_table() {
    let (_host, plugin) = loaded(Profile::plain());
    let (_filters, filter) = loaded(Profile::mlt());
    for (plugin, context) in
        [(&plugin, Context::Generator), (&plugin, Context::General), (&filter, Context::Filter)]
    {
        let described = plugin.described(context).unwrap();
        let is_filter = context == Context::Filter;
        let is_there = |parameter: &&Parameter| is_filter || parameter.hosts != Hosts::Filters;
        let table: Vec<_> = TABLE.iter().filter(is_there).collect();
        for parameter in &table {
            let (kind, properties) = described.param(id(parameter.id)).unwrap();
            check(parameter, is_filter, kind, &properties);
        }
        for &group in Group::ALL {
            let (kind, properties) = described.param(id(group.id())).unwrap();
            assert_eq!(kind, ParamKind::Group);
            assert_eq!(properties.get("OfxPropLabel"), text(group.label()));
        }
        assert_eq!(described.params().len(), table.len() + Group::ALL.len() + 1);
        let (kind, page) = described.param("controls").unwrap();
        assert_eq!(kind, ParamKind::Page);
        let shown = table.iter().filter(|parameter| parameter.shown != Shown::Hidden);
        let shown: Vec<_> = shown.map(|parameter| id(parameter.id)).collect();
        assert_eq!(page.texts("OfxParamPropPageChild"), shown);
    }
}

fn check(parameter: &Parameter, is_filter: bool, kind: ParamKind, properties: &Properties) {
    let described = Described { id: id(parameter.id), properties };
    described.has_text("OfxParamPropScriptName", parameter.id);
    described.has_text("OfxPropLabel", parameter.label);
    described.has_text("OfxParamPropHint", parameter.hint);
    described.has_text("OfxParamPropParent", parameter.group.id());
    let is_of_others = is_filter && parameter.hosts == Hosts::NotFilters;
    described.has_flag("OfxParamPropSecret", parameter.shown == Shown::Hidden || is_of_others);
    // Nuke would never enable it again.
    assert!(!properties.was_set("OfxParamPropEnabled"), "{}", described.id);
    if parameter.kind != Kind::Button {
        described.has_flag("OfxParamPropAnimates", parameter.animates);
        described.has_flag("OfxParamPropPersistant", parameter.persistent);
        described.has_flag("OfxParamPropEvaluateOnChange", parameter.evaluates);
        described.has_flag("OfxParamPropCanUndo", parameter.undoable);
    }
    described.is_of_kind(parameter.kind, kind);
}

/// A parameter as a host was told of it.
struct Described<'a> {
    id: &'a str,
    properties: &'a Properties,
}

impl Described<'_> {
    fn has(&self, name: &str, expected: &[Item]) {
        assert_eq!(self.properties.get(name), expected, "{name} of {}", self.id);
    }

    fn has_text(&self, name: &str, expected: &CStr) {
        self.has(name, &text(expected));
    }

    fn has_flag(&self, name: &str, expected: bool) {
        self.has(name, &[Item::Int(expected.into())]);
    }

    /// Type, default and limits.
    fn is_of_kind(&self, kind: Kind, found: ParamKind) {
        match kind {
            Kind::Text { default, lines } => {
                assert_eq!(found, ParamKind::String);
                self.has_text("OfxParamPropDefault", default);
                let mode = match lines {
                    Lines::Single => c"OfxParamStringIsSingleLine",
                    Lines::Multiple => c"OfxParamStringIsMultiLine",
                    Lines::FilePath => c"OfxParamStringIsFilePath",
                };
                self.has_text("OfxParamPropStringMode", mode);
            }
            Kind::Int { default, range, display } => {
                assert_eq!(found, ParamKind::Integer);
                self.has_numbers(
                    &[Item::Int(default)],
                    range.map(Item::Int),
                    display.map(Item::Int),
                );
            }
            Kind::Double { default, range, display, unit, .. } => {
                assert_eq!(found, ParamKind::Double);
                self.has_doubles(&[default], range, display, unit);
            }
            Kind::Double2D { default, range, display, .. } => {
                assert_eq!(found, ParamKind::Double2D);
                self.has_doubles(&default, range, display, Unit::Plain);
            }
            Kind::Choice { options } => {
                assert_eq!(found, ParamKind::Choice);
                let options: Vec<_> = options.iter().flat_map(|option| text(option)).collect();
                self.has("OfxParamPropChoiceOption", &options);
                self.has("OfxParamPropDefault", &[Item::Int(0)]);
            }
            Kind::Toggle => {
                assert_eq!(found, ParamKind::Boolean);
                self.has("OfxParamPropDefault", &[Item::Int(0)]);
            }
            Kind::Button => assert_eq!(found, ParamKind::PushButton),
        }
    }

    fn has_doubles(&self, default: &[f64], range: [f64; 2], display: [f64; 2], unit: Unit) {
        let default: Vec<_> = default.iter().copied().map(Item::Double).collect();
        self.has_numbers(&default, range.map(Item::Double), display.map(Item::Double));
        self.has_text("OfxParamPropDefaultCoordinateSystem", c"OfxParamCoordinatesCanonical");
        let double_type = match unit {
            Unit::Plain => c"OfxParamDoubleTypePlain",
            Unit::Angle => c"OfxParamDoubleTypeAngle",
        };
        self.has_text("OfxParamPropDoubleType", double_type);
    }

    fn has_numbers(&self, default: &[Item], range: [Item; 2], display: [Item; 2]) {
        let every = |value: &Item| vec![value.clone(); default.len()];
        self.has("OfxParamPropDefault", default);
        self.has("OfxParamPropMin", &every(&range[0]));
        self.has("OfxParamPropMax", &every(&range[1]));
        self.has("OfxParamPropDisplayMin", &every(&display[0]));
        self.has("OfxParamPropDisplayMax", &every(&display[1]));
    }
}

#[test]
fn hosts_without_the_generator_context_get_general_and_resolve_gets_generator() {
    let lite = Profile::resolve().named("DaVinciResolveLite");
    for (profile, expected) in [
        (Profile::nuke(), Context::General),
        (Profile::resolve(), Context::Generator),
        (lite, Context::Generator),
    ] {
        let (_host, plugin) = loaded(profile);
        let offered = plugin.properties().texts("OfxImageEffectPropSupportedContexts");
        assert_eq!(offered, [expected.name()]);
        assert_eq!(plugin.contexts(), [expected]);
    }
    let host = Host::new(Profile::plain().with_contexts(&[Context::Transition]));
    assert_eq!(refusal(host.load(file())), Some(Status::ERR_MISSING_HOST_FEATURE));
}

/// With what the plug-in declined to be used.
fn refusal(loaded: Result<Plugin, LoadError>) -> Option<Status> {
    match loaded.err()? {
        LoadError::Refused { action, status } if action == "OfxActionLoad" => Some(status),
        other => panic!("{other}"),
    }
}

#[test]
fn only_the_three_suites_are_required() {
    for suite in ["OfxPropertySuite", "OfxImageEffectSuite", "OfxParameterSuite"] {
        let host = Host::new(Profile::plain().without_suite(suite));
        let binary = host.open(file()).unwrap();
        for _ in 0..2 {
            let refused = refusal(binary.plugin(0));
            assert_eq!(refused, Some(Status::ERR_MISSING_HOST_FEATURE), "{suite}");
        }
        let described = binary.raw_action(0, "OfxActionDescribe");
        assert_eq!(described, Some(Status::ERR_MISSING_HOST_FEATURE), "{suite}");
    }
    let bare = [
        "OfxMemorySuite",
        "OfxMultiThreadSuite",
        "OfxMessageSuite",
        "OfxProgressSuite",
        "OfxTimeLineSuite",
        "OfxInteractSuite",
        "OfxDrawSuite",
    ];
    let (_host, plugin) = loaded(bare.into_iter().fold(Profile::plain(), Profile::without_suite));
    assert_eq!(plugin.contexts(), [Context::Generator, Context::General]);
}

#[test]
fn properties_that_a_host_lacks_are_done_without() {
    let (_host, plugin) = loaded(Profile::plain().without_properties(NOT_EVERYWHERE));
    let (_, mu) = plugin.described(Context::General).unwrap().param("mu").unwrap();
    assert_eq!(mu.doubles("OfxParamPropDefault"), [0.05]);
    assert_eq!(mu.get("OfxParamPropDigits"), []);
}

#[test]
fn a_host_may_load_late_introduce_itself_or_not_at_all() {
    let shy = Host::new(Profile { introduces_itself: false, ..Profile::plain() });
    let binary = shy.open(file()).unwrap();
    let load = || binary.raw_action(0, "OfxActionLoad");
    assert_eq!(load(), Some(Status::ERR_MISSING_HOST_FEATURE), "nobody has said who it is");
    assert_ne!(binary.introduce_nobody(), Some(Status::OK));
    assert_eq!(load(), Some(Status::ERR_MISSING_HOST_FEATURE));
    drop(binary.plugin(0).unwrap());
    // Another host struct for the next plug-in of a bundle, the first one gone.
    let other = Host::new(Profile::nuke());
    let shared = binary.shared_with(&other);
    drop((binary, shy));
    assert_eq!(shared.plugin(0).unwrap().contexts(), [Context::General]);

    let host = Host::new(Profile::plain());
    let introduced = host.open(file()).unwrap();
    assert_eq!(introduced.raw_action(0, "OfxActionLoad"), Some(Status::OK), "by OfxSetHost");
}

#[test]
fn a_host_without_a_name_has_the_node() {
    let nameless = Profile::nuke17_strict().without_properties(&["OfxPropName"]);
    let (_host, plugin) = loaded(nameless);
    let project = plugin.project();
    let node = project.add(Context::General).unwrap();
    node.set("prompt", "a cat");
    assert!(!node.render(&wan_alpha_test_host::RenderAsk::at(0.0)).failed());
}

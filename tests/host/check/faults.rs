//! Level 8: what is missing, and what goes wrong around a plug-in.

use std::time::Duration;

use wan_alpha_test_host::{
    Abort, AbortSwitch, LoadError, ParamKind, Profile, RenderAsk, Restore, Rule, Status,
};

use crate::check::Check;
use crate::report::Report;
use crate::state;
use crate::subject::{Scene, Subject};
use crate::values;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "faults.suites",
        about: "Hosts that lack one of the suites that a plug-in need not have.",
        why: "Hardly any host has all of them.",
        fix: "Take a suite that is null for one that is not there, and do without it.",
        patience: 90,
        work: suites,
    },
    Check {
        id: "faults.needed",
        about: "Hosts that lack one of the three suites without which there is no effect.",
        why: "A plug-in that crashes while it is scanned takes the host with it.",
        fix: "Answer OfxActionLoad with kOfxStatErrMissingHostFeature.",
        patience: 60,
        work: needed,
    },
    Check {
        id: "faults.functions",
        about: "Suites with one function that is null.",
        why: "Resolve 14 had a message suite with functions that were not there.",
        fix: "Check a function before it is called, in every suite but the three that are needed.",
        patience: 120,
        work: functions,
    },
    Check {
        id: "faults.properties",
        about: "Hosts that do not know one of the properties that plug-ins set and read.",
        why: "Each host lacks others, and each version more or fewer.",
        fix: "Go on where a property is unknown, with what OpenFX says is its default.",
        patience: 120,
        work: properties,
    },
    Check {
        id: "faults.aborts",
        about: "Renders given up at any moment, on several threads.",
        why: "It happens at each move of a slider.",
        fix: "Come back from everywhere when the host says so, and leave nothing locked.",
        patience: 60,
        work: aborts,
    },
    Check {
        id: "faults.projects",
        about: "Projects whose texts are damaged.",
        why: "Projects are edited, merged and truncated.",
        fix: "Read texts of a project as anyone's words: check them, and go on without.",
        patience: 60,
        work: projects,
    },
    Check {
        id: "faults.bare",
        about: "A process without environment: no home, no path, no folder to write to.",
        why: "Farms and services start hosts so.",
        fix: "Do without variables and folders; say in the panel what cannot be done.",
        patience: 90,
        work: bare,
    },
    Check {
        id: "faults.files",
        about: "A process that can open no more files.",
        why: "Hosts with long sequences come to this limit, and a full disk or a lost mount is much the same.",
        fix: "Take every file that does not open for one that is not there.",
        patience: 60,
        work: files,
    },
    Check {
        id: "faults.nothing",
        about: "Projects without size, rate or length.",
        why: "New projects have none until the first picture is read.",
        fix: "Check sizes and rates before dividing by them.",
        patience: 60,
        work: nothing,
    },
];

const OPTIONAL: &[(&str, &[i32])] = &[
    ("OfxMemorySuite", &[1]),
    ("OfxMultiThreadSuite", &[1]),
    ("OfxMessageSuite", &[1, 2]),
    ("OfxProgressSuite", &[1, 2]),
    ("OfxTimeLineSuite", &[1]),
    ("OfxInteractSuite", &[1]),
    ("OfxDrawSuite", &[1]),
];

const NEEDED: [&str; 3] = ["OfxPropertySuite", "OfxImageEffectSuite", "OfxParameterSuite"];

const FUNCTIONS: &[(&str, &[&str])] = &[
    ("OfxMemorySuite", &["memoryAlloc", "memoryFree"]),
    (
        "OfxMultiThreadSuite",
        &[
            "multiThread",
            "multiThreadNumCPUs",
            "multiThreadIndex",
            "multiThreadIsSpawnedThread",
            "mutexCreate",
            "mutexDestroy",
            "mutexLock",
            "mutexUnLock",
            "mutexTryLock",
        ],
    ),
    ("OfxMessageSuite", &["message", "setPersistentMessage", "clearPersistentMessage"]),
    ("OfxProgressSuite", &["progressStart", "progressUpdate", "progressEnd"]),
    ("OfxTimeLineSuite", &["getTime", "gotoTime", "getTimeBounds"]),
    ("OfxInteractSuite", &["interactSwapBuffers", "interactRedraw", "interactGetPropertySet"]),
    (
        "OfxDrawSuite",
        &["getColour", "setColour", "setLineWidth", "setLineStipple", "draw", "drawText"],
    ),
    (
        "OfxParameterSuite",
        &[
            "paramEditBegin",
            "paramEditEnd",
            "paramGetNumKeys",
            "paramGetKeyTime",
            "paramGetKeyIndex",
            "paramDeleteKey",
            "paramDeleteAllKeys",
            "paramCopy",
        ],
    ),
    (
        "OfxImageEffectSuite",
        &["abort", "imageMemoryAlloc", "imageMemoryFree", "imageMemoryLock", "imageMemoryUnlock"],
    ),
];

/// Newer than OpenFX 1.0, or known to be missing somewhere.
const PROPERTIES: &[&str] = &[
    "OfxPropAPIVersion",
    "OfxPropVersion",
    "OfxPropVersionLabel",
    "OfxPropPluginDescription",
    "OfxPropIcon",
    "OfxImageEffectHostPropIsBackground",
    "OfxImageEffectPropProjectSize",
    "OfxImageEffectPropProjectOffset",
    "OfxImageEffectPropProjectExtent",
    "OfxImageEffectPropPixelAspectRatio",
    "OfxImageEffectPropFrameRate",
    "OfxImageEffectInstancePropEffectDuration",
    "OfxImageEffectInstancePropSequentialRender",
    "OfxImageEffectPropFrameRange",
    "OfxImageEffectPropNoSpatialAwareness",
    "OfxImageEffectPluginPropOverlayInteractV2",
    "OfxParamPropDefaultCoordinateSystem",
    "OfxParamPropUseHostOverlayHandle",
    "OfxParamPropShowTimeMarker",
    "OfxImageEffectPropRenderQualityDraft",
    "OfxPropIsInteractive",
];

/// Uses whatever can be used; nothing that comes of it matters but that it comes back.
fn use_all(scene: &Scene, report: &mut Report, what: &str) {
    let Scene { node, project, .. } = scene;
    let [first, middle, _] = scene.times();
    report.step(format!("{what}: rendered"));
    let _ = node.render(&RenderAsk::at(first));
    report.step(format!("{what}: edited"));
    for (id, kind) in node.params() {
        let values = values::of(kind, &node.param_properties(&id));
        if let Some(value) = values.into_iter().nth(1).filter(|value| *value != node.value(&id)) {
            node.set(&id, value);
            node.undo();
        }
    }
    for id in scene.params(ParamKind::PushButton) {
        report.step(format!("{what}: {id} is pressed"));
        node.press(&id);
    }
    if let Some(overlay) = node.overlay() {
        report.step(format!("{what}: the overlay is used"));
        overlay.draw();
        let [width, height] = project.settings().size;
        overlay.drag([width / 2.0, height / 2.0], [width / 3.0, height / 3.0], 2);
    }
    report.step(format!("{what}: rendered again"));
    project.go_to(middle);
    let frame = node.render(&RenderAsk::at(middle));
    if frame.failed() && frame.says().is_empty() {
        report.advice(format!("nothing is rendered: {} without a message", frame.status));
    }
    node.rebuild();
}

/// In a host that lacks something, the plug-in works or says at once that it cannot.
fn lacking(subject: &Subject, report: &mut Report, profile: Profile, what: &str) {
    report.step(what);
    let host = Subject::host(profile.clone());
    match host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth)) {
        Ok(_) => subject.node(report, profile, |scene, report| use_all(scene, report, what)),
        Err(LoadError::Refused { status, .. }) if status == Status::ERR_MISSING_HOST_FEATURE => {
            report.advice("it does not load");
        }
        Err(error) => report.fault(error.to_string()),
    }
    report.rules(&host);
}

/// Whether it loads where nothing is missing; else there is nothing to compare with.
fn loads(subject: &Subject, report: &mut Report) -> bool {
    let host = Subject::host(Profile::plain());
    let loads = subject.plugin(&host, report).is_some();
    host.take_faults();
    loads
}

fn suites(subject: &Subject, report: &mut Report) {
    if !loads(subject, report) {
        return;
    }
    for (suite, versions) in OPTIONAL {
        for &version in *versions {
            let profile = Profile::plain().without_suite_version(suite, version);
            lacking(subject, report, profile, &format!("without {suite} {version}"));
        }
        if versions.len() > 1 {
            lacking(
                subject,
                report,
                Profile::plain().without_suite(suite),
                &format!("without {suite}"),
            );
        }
    }
}

fn needed(subject: &Subject, report: &mut Report) {
    if !loads(subject, report) {
        return;
    }
    for suite in NEEDED {
        report.step(format!("without {suite}"));
        let host = Subject::host(Profile::plain().without_suite(suite));
        match host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth)) {
            Ok(_) => report.fault("it says that it can work"),
            Err(LoadError::Refused { action, status }) => {
                if status != Status::ERR_MISSING_HOST_FEATURE {
                    report.advice(format!("{action} is answered with {status}"));
                }
            }
            Err(error) => report.fault(error.to_string()),
        }
        report.rules(&host);
    }
}

fn functions(subject: &Subject, report: &mut Report) {
    if !loads(subject, report) {
        return;
    }
    // Half of a pair may be missing, and an overlay may be refused for what it needs.
    report.tolerated =
        &[Rule::OrderedProgress, Rule::BalancedEdit, Rule::GivenBack, Rule::FittingStatus];
    for (suite, functions) in FUNCTIONS {
        for function in *functions {
            let profile = Profile::plain().with_null(suite, function);
            lacking(subject, report, profile, &format!("{function} of {suite} is null"));
        }
    }
}

fn properties(subject: &Subject, report: &mut Report) {
    if !loads(subject, report) {
        return;
    }
    for property in PROPERTIES {
        let profile = Profile::plain().without_properties(&[property]);
        lacking(subject, report, profile, &format!("without {property}"));
    }
}

fn aborts(subject: &Subject, report: &mut Report) {
    let mut random = fastrand::Rng::with_seed(subject.seed);
    subject.node(report, Profile::plain(), |scene, report| {
        let time = scene.project.time();
        for _ in 0..40 {
            let after = Duration::from_micros(random.u64(..4000));
            report.step(format!("given up after {after:?}"));
            let switch = AbortSwitch::new();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let ask = RenderAsk::at(time).aborted(Abort::When(switch.clone()));
                    scope.spawn(move || scene.node.render(&ask));
                }
                std::thread::sleep(after);
                switch.pull();
            });
        }
        report.step("the frame afterwards");
        if scene.node.render(&RenderAsk::at(time)).failed() {
            report.fault("nothing is rendered");
        }
    });
}

fn projects(subject: &Subject, report: &mut Report) {
    let path = subject.at("shot.json");
    let mut texts = Vec::new();
    subject.node(report, Profile::plain(), |scene, _| {
        texts.extend(scene.params(ParamKind::String));
        texts.extend(scene.params(ParamKind::Custom));
        texts.retain(|id| !subject.presets.iter().any(|(preset, _)| preset == id));
    });
    if texts.is_empty() {
        return report.skip("it saves no texts");
    }
    let long = "A".repeat(100_000);
    let words = values::WORDS.iter().copied().chain(["\u{7f}\u{1}", "AAAA====", long.as_str()]);
    for text in words {
        let shown: String = text.chars().take(30).collect();
        for restore in [Restore::BeforeCreate, Restore::AfterCreate] {
            let profile = Profile { restore, ..Profile::plain() };
            subject.node(report, profile.clone(), |scene, _| scene.project.save(&path));
            let rewritten = state::rewrite(&path, |values| {
                for id in &texts {
                    if let Some(value) = values.get_mut(id) {
                        replace(value, text);
                    }
                }
            });
            if rewritten.is_none() {
                return report.skip("it saves nothing");
            }
            report.step(format!("all texts are {shown:?}, {restore:?}"));
            subject.loaded(report, profile, |plugin, _, report| match plugin.open(&path) {
                Ok(project) => {
                    for node in project.nodes() {
                        let _ = node.render(&RenderAsk::at(project.time()));
                        node.open_panel();
                        node.close_panel();
                    }
                }
                Err(error) => report.fault(format!("the project does not open: {error}")),
            });
        }
    }
}

/// Puts a text in the place of each text of a saved value.
fn replace(value: &mut serde_json::Value, text: &str) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member {
                    serde_json::Value::String(old) if name == "text" => text.clone_into(old),
                    other => replace(other, text),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace(item, text)),
        _ => {}
    }
}

fn bare(subject: &Subject, report: &mut Report) {
    // The examiner has cleared the environment of this process.
    if std::env::var_os("HOME").is_some_and(|home| std::path::Path::new(&home).is_dir()) {
        return report.broken("the environment was to be empty");
    }
    for profile in [Profile::plain(), Profile::resolve()] {
        subject.node(report, profile, |scene, report| {
            use_all(scene, report, "without environment");
        });
    }
}

#[cfg(unix)]
fn files(subject: &Subject, report: &mut Report) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    subject.node(report, Profile::plain(), |scene, report| {
        let before = getrlimit(Resource::Nofile);
        let limit = |current| setrlimit(Resource::Nofile, Rlimit { current, ..before });
        if limit(Some(0)).is_err() {
            return report.skip("this system has no limit of files");
        }
        use_all(scene, report, "without files");
        if limit(before.current).is_err() {
            return report.broken("the limit of files cannot be raised again");
        }
        report.step("with files again");
        if scene.node.render(&RenderAsk::at(scene.project.time())).failed() {
            report.fault("nothing is rendered");
        }
    });
}

#[cfg(not(unix))]
fn files(_: &Subject, report: &mut Report) {
    report.skip("this system has no limit of files");
}

fn nothing(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let usual = scene.project.settings();
        for (what, change) in CHANGES {
            let mut settings = usual.clone();
            change(&mut settings);
            report.step(*what);
            scene.project.set_settings(settings);
            scene.node.rebuild();
            let time = scene.project.time();
            let _ = scene.node.region(time);
            let _ = scene.node.time_domain();
            let ask = RenderAsk { bounds: Some([0, 0, 40, 30]), ..RenderAsk::at(time) };
            let _ = scene.node.render(&RenderAsk { pixel_aspect: Some(1.0), ..ask });
        }
        report.step("with everything again");
        scene.project.set_settings(usual);
        scene.node.rebuild();
        if scene.node.render(&RenderAsk::at(scene.project.time())).failed() {
            report.fault("nothing is rendered");
        }
    });
}

type Change = fn(&mut wan_alpha_test_host::Settings);

const CHANGES: &[(&str, Change)] = &[
    ("without size", |settings| settings.size = [0.0; 2]),
    ("of negative size", |settings| settings.size = [-100.0, -50.0]),
    ("of one pixel", |settings| settings.size = [1.0; 2]),
    ("without rate", |settings| settings.frame_rate = 0.0),
    ("with a rate that is no number", |settings| settings.frame_rate = f64::NAN),
    ("without length", |settings| settings.timeline = [0.0, -1.0]),
    ("far away", |settings| settings.offset = [1e7, -1e7]),
];

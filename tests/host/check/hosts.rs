//! Level 6: an afternoon in each of the hosts that are known well.

use std::time::{Duration, Instant};

use wan_alpha_test_host::{Clamp, Context, Depth, LoadError, ParamKind, Profile, RenderAsk, Undo};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{Scene, Subject};
use crate::values;

macro_rules! host_check {
    ($id:literal, $name:literal, $quirks:literal, $work:ident) => {
        Check {
            id: $id,
            about: concat!("The plug-in used for an afternoon in a host like ", $name, "."),
            why: $quirks,
            fix: "Read every property and suite as one that may not be there, and rely on nothing that one host alone does.",
            patience: 90,
            work: $work,
        }
    };
}

pub(crate) const CHECKS: &[Check] = &[
    host_check!(
        "hosts.nuke",
        "Nuke",
        "No generators, floating point only, strips for tiles, texts are evaluated, what is described hidden stays so.",
        nuke
    ),
    host_check!(
        "hosts.nuke17",
        "Nuke 17",
        "Parameters are set in changes and overlays only, messages are cut at 120 characters.",
        nuke17
    ),
    host_check!(
        "hosts.resolve",
        "Resolve",
        "Several instances made anew at each edit, no tiles, images without scale and field, numbers without range clamped, undo of the artist only.",
        resolve
    ),
    host_check!(
        "hosts.natron",
        "Natron",
        "Tiles of 256, regions asked at half scale, undo in edit blocks only, defaults are not saved.",
        natron
    ),
    host_check!(
        "hosts.fusion",
        "Fusion",
        "No API version, no version label, no message suite 2, no tiles.",
        fusion
    ),
    host_check!(
        "hosts.catalyst",
        "Vegas and Catalyst",
        "Bytes, no overlays, no tiles, no persistent messages, one context.",
        catalyst
    ),
    host_check!(
        "hosts.mlt",
        "MLT, which Kdenlive, Shotcut and Flowblade use",
        "Filters only, no list of contexts, no buttons, no keys, nothing hidden is saved, everything is made anew for each frame.",
        mlt
    ),
    Check {
        id: "hosts.background",
        about: "Renders for a file on a farm: nobody is there.",
        why: "Whoever waits for an artist there waits for ever.",
        fix: "Where the host says that it is in the background, ask nothing, wait with an end, and fail with a message.",
        patience: 120,
        work: background,
    },
];

fn fusion_like() -> Profile {
    Profile {
        name: "com.eyeonline.Fusion".to_owned(),
        label: "Fusion".to_owned(),
        version: [18, 0, 0],
        api: [1, 0],
        contexts: vec![Context::General, Context::Filter, Context::Generator],
        depths: vec![Depth::Float, Depth::Half, Depth::Short, Depth::Byte],
        tiles: false,
        lacks_suites: vec![
            ("OfxMessageSuite".to_owned(), 2),
            ("OfxProgressSuite".to_owned(), 2),
            ("OfxDrawSuite".to_owned(), 1),
        ],
        introduces_itself: false,
        animates_strings: false,
        undo: Undo::OfTheArtistOnly,
        ..Profile::plain()
    }
    .without_properties(&[
        "OfxPropAPIVersion",
        "OfxPropVersion",
        "OfxPropVersionLabel",
        "OfxImageEffectInstancePropSequentialRender",
        "OfxPropPluginDescription",
    ])
}

fn catalyst_like() -> Profile {
    Profile {
        name: "com.sony.Catalyst.Edit".to_owned(),
        label: "Catalyst Edit".to_owned(),
        version: [1, 0, 0],
        api: [1, 0],
        contexts: vec![Context::Generator, Context::Filter, Context::Transition],
        depths: vec![Depth::Byte, Depth::Float],
        tiles: false,
        multi_resolution: false,
        overlays: false,
        clamp: Clamp::ToRange,
        introduces_itself: false,
        animates_strings: false,
        processors: Some(1),
        undo: Undo::OfTheArtistOnly,
        ..Profile::plain()
    }
    .without_suite("OfxDrawSuite")
    .without_suite("OfxInteractSuite")
    .without_suite("OfxProgressSuite")
    .without_suite_version("OfxMessageSuite", 2)
    .without_properties(&[
        "OfxParamPropDefaultCoordinateSystem",
        "OfxPropPluginDescription",
        "OfxImageEffectPropProjectExtent",
    ])
}

fn nuke(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, Profile::nuke());
}

fn nuke17(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, Profile::nuke17_strict());
}

fn resolve(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, Profile::resolve());
}

fn natron(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, Profile::natron());
}

fn mlt(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, Profile::mlt());
}

fn fusion(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, fusion_like());
}

fn catalyst(subject: &Subject, report: &mut Report) {
    afternoon(subject, report, catalyst_like());
}

fn afternoon(subject: &Subject, report: &mut Report, profile: Profile) {
    let host = Subject::host(profile.clone());
    let loaded = host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth));
    match loaded {
        Ok(_) => {}
        Err(LoadError::NoContext { .. }) => {
            return report.skip("they have no context in common: it is not listed there");
        }
        Err(error) => return report.fault(error.to_string()),
    }
    subject.node(report, profile, use_it);
}

/// All that an artist does with a node in an afternoon.
fn use_it(scene: &Scene, report: &mut Report) {
    let [first, middle, last] = scene.times();
    for time in [first, middle, last, first] {
        show(scene, time, report);
    }
    for scale in project_scales(scene) {
        report.step(format!("shown at scale {scale}"));
        if scene.node.view_scaled(middle, scale).failed() {
            report.fault("nothing is shown");
        }
    }
    use_the_panel(scene, middle, report);
    show(scene, middle, report);
    use_the_overlay(scene, report);
    use_the_project(scene, report);
}

/// Shows a frame, which has to be rendered.
fn show(scene: &Scene, time: f64, report: &mut Report) {
    report.step(format!("frame {time} is shown"));
    let frame = scene.node.view(time);
    if frame.failed() {
        report.fault(format!("nothing is shown: {}, {:?}", frame.status, frame.says()));
    }
}

/// Opens and closes the panel, changes every parameter, undoes that, and presses every button.
fn use_the_panel(scene: &Scene, time: f64, report: &mut Report) {
    let node = &scene.node;
    report.step("the panel is closed and opened");
    node.close_panel();
    node.open_panel();
    let hides = scene.host.profile().instance_per_frame;
    for (id, kind) in node.params().into_iter().filter(|(id, _)| !hides || !node.is_secret(id)) {
        let values = values::of(kind, &node.param_properties(&id));
        if let Some(value) = values.into_iter().nth(1).filter(|value| *value != node.value(&id)) {
            report.step(format!("{id} changes and is undone"));
            node.set(&id, value);
            // Some value may ask for a failure; then it has to say why.
            let frame = node.view(time);
            if frame.failed() && frame.says().is_empty() {
                report.fault(format!("nothing is shown and nothing said: {}", frame.status));
            }
            node.undo();
        }
    }
    let buttons = if hides { Vec::new() } else { scene.params(ParamKind::PushButton) };
    for id in buttons {
        report.step(format!("{id} is pressed"));
        node.press(&id);
    }
}

/// Draws and drags what the viewer shows of the node.
fn use_the_overlay(scene: &Scene, report: &mut Report) {
    if let Some(overlay) = scene.node.overlay() {
        report.step("the overlay is drawn and dragged");
        overlay.draw();
        let [width, height] = scene.project.settings().size;
        overlay.drag([width / 2.0, height / 2.0], [width / 3.0, height / 4.0], 3);
    }
}

/// Edits the timeline, copies the node, changes the project's format, and saves.
fn use_the_project(scene: &Scene, report: &mut Report) {
    let Scene { node, project, .. } = scene;
    let [first, middle, last] = scene.times();
    report.step("the timeline is edited");
    node.rebuild();
    project.go_to(last);
    show(scene, last, report);
    report.step("a copy is made, shown and deleted");
    match project.duplicate(node) {
        Ok(copy) => {
            copy.open_panel();
            let _ = copy.view(middle);
            copy.delete();
        }
        Err(refused) => report.fault(format!("it cannot be copied: {refused}")),
    }
    report.step("another format");
    let mut settings = project.settings();
    settings.size = [320.0, 90.0];
    settings.offset = [16.0, -8.0];
    settings.frame_rate = 23.976;
    settings.pixel_aspect = 2.0;
    project.set_settings(settings);
    node.rebuild();
    show(scene, first, report);
    report.step("the project is saved");
    node.sync();
    node.purge();
    show(scene, middle, report);
}

fn project_scales(scene: &Scene) -> Vec<f64> {
    scene.host.profile().render_scales.clone()
}

/// How long a farm waits at most for a frame that cannot be made.
const PATIENCE: Duration = Duration::from_secs(60);

fn background(subject: &Subject, report: &mut Report) {
    let profile = Profile { contexts: Profile::plain().contexts, ..Profile::nuke() };
    subject.node(report, profile.in_background(), |scene, report| {
        let [first, ..] = scene.times();
        for time in [first, first + 1.0] {
            report.step(format!("frame {time}"));
            let begun = Instant::now();
            let frame = scene.node.render(&RenderAsk::at(time).for_a_file());
            if begun.elapsed() > PATIENCE {
                report.fault(format!("it takes {:?}", begun.elapsed()));
            }
            if frame.failed() {
                // To fail in words is what a farm can work with.
                if frame.says().is_empty() {
                    report.fault(format!("it fails with {} and says nothing", frame.status));
                } else {
                    report.note(format!("it says {:?}", frame.says()));
                }
            }
        }
        if scene.node.messages().iter().any(|message| message.kind == "OfxMessageQuestion") {
            report.fault("it asks a question where nobody is");
        }
    });
}

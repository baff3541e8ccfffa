//! Level 7: saved today, opened tomorrow.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use wan_alpha_test_host::{Host, Image, ParamKind, Profile, RenderAsk, Restore, Stopwatch, Value};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{SIZE, Scene, Subject};
use crate::values;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "state.saved",
        about: "A project saved and opened in a new session, in hosts that restore before and after an instance is made.",
        why: "What is lost overnight is lost for ever.",
        fix: "Keep all that a picture depends on in saved parameters, and write none of them while an instance is made.",
        patience: 60,
        work: saved,
    },
    Check {
        id: "state.copied",
        about: "A copy of a node, and instances made anew.",
        why: "Hosts copy nodes by their parameters, and render with instances made of them.",
        fix: "Keep nothing that a picture depends on in the instance alone.",
        patience: 60,
        work: copied,
    },
    Check {
        id: "state.older",
        about: "Projects that lack parameters, and projects with some that are not known.",
        why: "Projects outlive versions, in both directions.",
        fix: "Let defaults stand for what an older version did not have.",
        patience: 60,
        work: older,
    },
    Check {
        id: "state.quick",
        about: "How long it takes to open a project of ten nodes.",
        why: "Projects have many nodes, and the host shows nothing until all are there.",
        fix: "Put off everything from CreateInstance to the first render.",
        patience: 60,
        work: quick,
    },
];

/// All saved values of a node.
fn state(scene: &Scene) -> Vec<(String, Value)> {
    let node = &scene.node;
    let mut found = Vec::new();
    for (id, kind) in node.params() {
        let persistent = node.param_properties(&id).ints("OfxParamPropPersistant") != [0];
        if kind.count() > 0 && persistent {
            found.push((id.clone(), node.value(&id)));
        }
    }
    found
}

/// Changes what is saved, as an artist would.
fn make_different(subject: &Subject, scene: &Scene) {
    values::change_all(&scene.node, |id, properties| {
        properties.ints("OfxParamPropPersistant") != [0]
            && !subject.presets.iter().any(|(preset, _)| preset == id)
    });
    let [first, _, last] = scene.times();
    for (id, kind) in scene.node.params() {
        let properties = scene.node.param_properties(&id);
        let animates = properties.ints("OfxParamPropAnimates") == [1];
        if animates && matches!(kind, ParamKind::Double | ParamKind::Double2D) {
            let values = values::of(kind, &properties).into_iter().rev();
            for (time, value) in [first, last].into_iter().zip(values) {
                scene.node.key(&id, time, value);
            }
            break;
        }
    }
    for id in scene.params(ParamKind::PushButton) {
        scene.node.press(&id);
    }
}

fn pictures(scene: &Scene) -> Vec<Option<Image>> {
    let times = scene.times();
    times.map(|time| scene.node.render(&RenderAsk::at(time)).picture().cloned()).into()
}

fn saved(subject: &Subject, report: &mut Report) {
    let path = subject.at("shot.json");
    for (profile, restore) in [
        (Profile::plain(), Restore::BeforeCreate),
        (Profile::plain(), Restore::AfterCreate),
        (Profile::natron(), Restore::BeforeCreate),
    ] {
        let profile = Profile { restore, ..profile };
        let mut before = None;
        report.step(format!("saved in {}", profile.label));
        subject.node(report, profile.clone(), |scene, _| {
            make_different(subject, scene);
            scene.project.save(&path);
            before = Some((state(scene), pictures(scene)));
        });
        let Some((values, seen)) = before else { return };
        report.step(format!("opened in {}, {restore:?}", profile.label));
        opened(subject, report, profile, &path, |scene, report| {
            let now = state(scene);
            for ((id, before), (_, after)) in values.iter().zip(&now) {
                if before != after {
                    report.fault(format!("{id} was {before} and is {after}"));
                }
            }
            compare(&seen, &pictures(scene), report);
        });
    }
}

/// A project in a new session.
fn opened(
    subject: &Subject,
    report: &mut Report,
    profile: Profile,
    path: &Path,
    work: impl FnOnce(&Scene, &mut Report),
) {
    let host = Host::new(profile.sized(SIZE[0], SIZE[1])).collecting();
    if let Some(plugin) = subject.plugin(&host, report) {
        match plugin.open(path) {
            Ok(project) if !project.nodes().is_empty() => {
                let scene = Scene { node: project.nodes().remove(0), project, plugin, host };
                scene.connect();
                work(&scene, report);
                let Scene { node, project, plugin, host } = scene;
                drop((node, project));
                drop(plugin);
                return report.rules(&host);
            }
            Ok(_) => report.fault("the project is empty"),
            Err(error) => report.fault(format!("the project does not open: {error}")),
        }
    }
    report.rules(&host);
}

fn compare(before: &[Option<Image>], after: &[Option<Image>], report: &mut Report) {
    for (nth, (before, after)) in (1..).zip(before.iter().zip(after)) {
        match (before, after) {
            (Some(before), Some(after)) if before != after => {
                report.fault(format!("the {nth}. of the frames looks different"));
            }
            (Some(_), None) => report.fault(format!("the {nth}. of the frames is not rendered")),
            _ => {}
        }
    }
}

fn copied(subject: &Subject, report: &mut Report) {
    for profile in [Profile::plain(), Profile::resolve()] {
        subject.node(report, profile, |scene, report| {
            make_different(subject, scene);
            let before = pictures(scene);
            report.step("made anew");
            scene.node.rebuild();
            compare(&before, &pictures(scene), report);
            report.step("a copy");
            match scene.project.duplicate(&scene.node) {
                Ok(copy) => {
                    for clip in scene.inputs() {
                        let over = [0.0, 0.0, SIZE[0], SIZE[1]];
                        copy.connect(&clip, wan_alpha_test_host::Source::over(over));
                    }
                    let times = scene.times();
                    let seen =
                        times.map(|time| copy.render(&RenderAsk::at(time)).picture().cloned());
                    compare(&before, &seen, report);
                }
                Err(refused) => report.fault(format!("it cannot be copied: {refused}")),
            }
        });
    }
}

/// Rewrites the values of the first node of a saved project.
pub(crate) fn rewrite(
    path: &Path,
    change: impl FnOnce(&mut serde_json::Map<String, Json>),
) -> Option<()> {
    let mut project: Json = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    change(project.pointer_mut("/nodes/0/parameters")?.as_object_mut()?);
    fs::write(path, project.to_string()).ok()
}

fn older(subject: &Subject, report: &mut Report) {
    let path = subject.at("shot.json");
    for keep in ["even", "odd", "none"] {
        let mut is_saved = false;
        subject.node(report, Profile::plain(), |scene, _| {
            make_different(subject, scene);
            scene.project.save(&path);
            is_saved = true;
        });
        if !is_saved {
            return;
        }
        report.step(format!("opened with {keep} parameters and one of the future"));
        let rewritten = rewrite(&path, |values| {
            let preset = |id: &String| subject.presets.iter().any(|(preset, _)| preset == id);
            let mut nth = 0;
            let future = values.values().next().cloned();
            values.retain(|id, _| {
                nth += 1;
                preset(id) || matches!((keep, nth % 2), ("even", 0) | ("odd", 1))
            });
            if let Some(future) = future {
                values.insert("ofTheFuture".to_owned(), future);
            }
        });
        if rewritten.is_none() {
            return report.skip("there is nothing to save");
        }
        opened(subject, report, Profile::plain(), &path, |scene, report| {
            let frame = scene.node.render(&RenderAsk::at(scene.project.time()));
            if frame.failed() {
                report.fault(format!("nothing is rendered: {}", frame.status));
            }
        });
    }
}

fn quick(subject: &Subject, report: &mut Report) {
    let path = subject.at("shot.json");
    let mut is_saved = false;
    subject.node(report, Profile::plain(), |scene, report| {
        for _ in 0..9 {
            if let Err(refused) = scene.project.duplicate(&scene.node) {
                return report.fault(format!("it cannot be copied: {refused}"));
            }
        }
        scene.project.save(&path);
        is_saved = true;
    });
    if !is_saved {
        return;
    }
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        let stopwatch = Stopwatch::start();
        match plugin.open(&path) {
            Ok(_) => {
                let took = stopwatch.taken();
                report.note(format!("{:.1} ms", took.as_secs_f64() * 1e3));
                if took > Duration::from_secs(1) {
                    report.advice(format!("it takes {took:?}"));
                }
            }
            Err(error) => report.fault(format!("the project does not open: {error}")),
        }
    });
}

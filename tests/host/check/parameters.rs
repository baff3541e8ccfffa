//! Level 3: the panel, and what happens when it is used.

use std::collections::BTreeMap;

use wan_alpha_test_host::{ParamKind, Profile, Reason, Status};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{Scene, Subject, is_script_name};
use crate::values;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "parameters.names",
        about: "Ids and labels of parameters.",
        why: "Scripts and projects name parameters by their ids; Nuke makes knobs of them.",
        fix: "Give each parameter an id of ASCII letters, digits and underscores, and a label.",
        patience: 20,
        work: names,
    },
    Check {
        id: "parameters.ranges",
        about: "Ranges of numbers, and what defaults and coordinates are said to be.",
        why: "Resolve clamps doubles without ranges to -1 to 1 and whole numbers to 0; Nuke takes positions without a coordinate system for fractions of the frame.",
        fix: "Set Min, Max, DisplayMin and DisplayMax on every number, and OfxParamPropDefaultCoordinateSystem on every position.",
        patience: 20,
        work: ranges,
    },
    Check {
        id: "parameters.kinds",
        about: "Types that hosts are known to mishandle.",
        why: "Resolve crashes when it shows several whole numbers in one parameter of a generator.",
        fix: "Use Integer or Double2D instead.",
        patience: 20,
        work: kinds,
    },
    Check {
        id: "parameters.hidden",
        about: "Parameters that are described hidden or disabled and shown or enabled later.",
        why: "Nuke keeps what a description hides hidden for ever.",
        fix: "Describe them as shown, and hide them on the instance.",
        patience: 30,
        work: hidden,
    },
    Check {
        id: "parameters.edits",
        about: "Every parameter given its ends, its default and odd words, undone and done again.",
        why: "That is what artists do, and each time the host tells the plug-in.",
        fix: "Look at the host's rule that was broken.",
        patience: 60,
        work: edits,
    },
    Check {
        id: "parameters.buttons",
        about: "Every button pressed, in turn and twice.",
        why: "A button must do its work at any time, also when there is nothing to do.",
        fix: "Answer OK or ReplyDefault, and say in a message or a parameter what cannot be done.",
        patience: 90,
        work: buttons,
    },
    Check {
        id: "parameters.keys",
        about: "Keys on everything that animates, and time going by.",
        why: "Hosts tell of changes that come with time, too.",
        fix: "Answer changes for the reason OfxChangeTime without writing parameters.",
        patience: 30,
        work: keys,
    },
    Check {
        id: "parameters.strangers",
        about: "Changes of parameters and clips that the plug-in does not have.",
        why: "Hosts have parameters of their own on every effect and report them as well.",
        fix: "Answer ReplyDefault or OK to names that you do not know.",
        patience: 20,
        work: strangers,
    },
    Check {
        id: "parameters.overlay",
        about: "What it draws over the viewer, and what it makes of pen and keys.",
        why: "The overlay is drawn at each move of the pen, at any zoom.",
        fix: "Draw without OpenGL where the host gives a draw context; take only the pens that are meant for you.",
        patience: 30,
        work: overlay,
    },
];

fn names(subject: &Subject, report: &mut Report) {
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        for context in plugin.contexts() {
            let Some(described) = plugin.described(context) else { continue };
            let mut seen = BTreeMap::new();
            for (id, _) in described.params() {
                if !is_script_name(&id) {
                    report.advice(format!("the id {id:?} is no name for scripts"));
                }
                if let Some(other) = seen.insert(id.to_lowercase(), id.clone()) {
                    report.advice(format!("{other:?} and {id:?} differ in capitals only"));
                }
                let Some((kind, properties)) = described.param(&id) else { continue };
                let label = properties.text("OfxPropLabel").unwrap_or_default();
                let shown = properties.ints("OfxParamPropSecret") != [1] && kind != ParamKind::Page;
                if shown && label.trim().is_empty() {
                    report.advice(format!("{id} has no label"));
                }
            }
        }
    });
}

fn ranges(subject: &Subject, report: &mut Report) {
    const SPATIAL: &[&str] = &[
        "OfxParamDoubleTypeX",
        "OfxParamDoubleTypeY",
        "OfxParamDoubleTypeXAbsolute",
        "OfxParamDoubleTypeYAbsolute",
        "OfxParamDoubleTypeXY",
        "OfxParamDoubleTypeXYAbsolute",
    ];
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        for context in plugin.contexts() {
            let Some(described) = plugin.described(context) else { continue };
            for (id, kind) in described.params() {
                let Some((_, properties)) = described.param(&id) else { continue };
                let number = matches!(
                    kind,
                    ParamKind::Integer
                        | ParamKind::Integer2D
                        | ParamKind::Integer3D
                        | ParamKind::Double
                        | ParamKind::Double2D
                        | ParamKind::Double3D
                );
                let ends = ["Min", "Max", "DisplayMin", "DisplayMax"];
                let missing: Vec<_> = ends
                    .into_iter()
                    .filter(|end| !properties.was_set(&format!("OfxParamProp{end}")))
                    .collect();
                if number && !missing.is_empty() {
                    report.advice(format!("{id} has no {}", missing.join(", ")));
                }
                let of = properties.text("OfxParamPropDoubleType").unwrap_or_default();
                let system = properties.was_set("OfxParamPropDefaultCoordinateSystem");
                if SPATIAL.contains(&of.as_str()) && !system {
                    report.advice(format!("the default of {id} is in no coordinate system"));
                }
            }
        }
    });
}

fn kinds(subject: &Subject, report: &mut Report) {
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        for context in plugin.contexts() {
            let params = plugin.described(context).map(|described| described.params());
            for (id, kind) in params.unwrap_or_default() {
                if matches!(kind, ParamKind::Integer2D | ParamKind::Integer3D) {
                    report.advice(format!("{id} is a {}", kind.name()));
                }
            }
        }
    });
}

fn hidden(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let node = &scene.node;
        let Some(described) = scene.plugin.described(node.context()) else { return };
        let compare = |report: &mut Report| {
            for (id, _) in node.params() {
                let Some((_, properties)) = described.param(&id) else { continue };
                if properties.ints("OfxParamPropSecret") == [1] && !node.is_secret(&id) {
                    report.advice(format!("{id} is described hidden and then shown"));
                }
                if properties.ints("OfxParamPropEnabled") == [0] && node.is_enabled(&id) {
                    report.advice(format!("{id} is described disabled and then enabled"));
                }
            }
        };
        report.step("new");
        compare(report);
        for (id, kind) in node.params() {
            if !matches!(kind, ParamKind::Choice | ParamKind::Boolean) {
                continue;
            }
            for value in values::of(kind, &node.param_properties(&id)) {
                report.step(format!("{id} is {value}"));
                node.set(&id, value);
                compare(report);
            }
        }
    });
}

fn edits(subject: &Subject, report: &mut Report) {
    for profile in [Profile::plain(), Profile::resolve()] {
        subject.node(report, profile, |scene, report| {
            let node = &scene.node;
            let presets: Vec<_> = subject.presets.iter().map(|(id, _)| id).collect();
            for (id, kind) in node.params() {
                if presets.contains(&&id) {
                    continue;
                }
                for value in values::of(kind, &node.param_properties(&id)) {
                    let shown: String = value.to_string().chars().take(60).collect();
                    report.step(format!("{id} is set to {shown}"));
                    node.set(&id, value);
                }
                report.rules(&scene.host);
            }
            report.step("everything is undone");
            let mut steps = 0;
            while node.undo_steps().len() > presets.len() && node.undo().is_some() {
                steps += 1;
            }
            report.rules(&scene.host);
            report.step("everything is done again");
            for _ in 0..steps {
                node.redo();
            }
            report.rules(&scene.host);
        });
    }
}

fn buttons(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let buttons = scene.params(ParamKind::PushButton);
        if buttons.is_empty() {
            return report.skip("it has no buttons");
        }
        for round in 1..=2 {
            for id in &buttons {
                report.step(format!("{id} is pressed, round {round}"));
                let status = scene.node.press(id);
                if !matches!(status, Status::OK | Status::REPLY_DEFAULT | Status::FAILED) {
                    report.fault(format!("it is answered with {status}"));
                }
                report.rules(&scene.host);
            }
        }
        report.step("everything is undone");
        while scene.node.undo_steps().len() > subject.presets.len() && scene.node.undo().is_some() {
        }
        report.rules(&scene.host);
    });
}

fn keys(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let node = &scene.node;
        let animates = |id: &String| node.param_properties(id).ints("OfxParamPropAnimates") == [1];
        let [first, middle, last] = scene.times();
        for (id, kind) in node.params() {
            let values = values::of(kind, &node.param_properties(&id));
            if values.is_empty() || !animates(&id) {
                continue;
            }
            report.step(format!("keys on {id}"));
            for (time, value) in [first, middle + 0.5, last].into_iter().zip(values) {
                node.key(&id, time, value);
            }
        }
        for time in [middle, last, last + 1000.0, first - 7.25, first] {
            report.step(format!("the artist goes to {time}"));
            scene.project.go_to(time);
        }
        report.step("keys are deleted");
        for (id, _) in node.params() {
            if !node.param_properties(&id).ints("OfxParamPropIsAnimating").contains(&1) {
                continue;
            }
            node.delete_key(&id, middle + 0.5);
            node.delete_keys(&id);
        }
    });
}

fn strangers(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        for name in ["ResolveUseAlphaForTrackCompositing", "", "a name with spaces \u{1F408}"] {
            for reason in [Reason::UserEdited, Reason::PluginEdited, Reason::Time] {
                report.step(format!("{name:?} has changed for the reason {reason:?}"));
                let status = scene.node.changed(name, reason, scene.project.time());
                if !matches!(status, Status::OK | Status::REPLY_DEFAULT) {
                    report.fault(format!("it is answered with {status}"));
                }
            }
        }
        for time in [f64::NAN, f64::INFINITY, -1e18] {
            for (id, kind) in scene.node.params() {
                if kind != ParamKind::PushButton && kind != ParamKind::Page {
                    report.step(format!("{id} has changed at {time}"));
                    let _ = scene.node.changed(&id, Reason::Time, time);
                }
            }
        }
    });
}

fn overlay(subject: &Subject, report: &mut Report) {
    for profile in [Profile::plain(), Profile::nuke()] {
        subject.node(report, profile, use_overlay);
    }
}

fn use_overlay(scene: &Scene, report: &mut Report) {
    let Some(overlay) = scene.node.overlay() else {
        return report.note("it draws nothing over the viewer");
    };
    overlay.gain_focus();
    for zoom in [1.0, 0.05, 30.0] {
        report.step(format!("drawn at {zoom} units to a pixel"));
        overlay.zoom(zoom);
        let drawing = overlay.draw();
        if !matches!(drawing.status, Status::OK | Status::REPLY_DEFAULT) {
            report.fault(format!("Draw is answered with {}", drawing.status));
        }
        let finite = |at: &[f64; 2]| at.iter().all(|side| side.is_finite());
        if !drawing.strokes.iter().flat_map(|stroke| &stroke.points).all(finite) {
            report.fault("a point of the drawing is not finite");
        }
        let [width, height] = scene.project.settings().size;
        for (from, to) in [([0.5, 0.5], [0.75, 0.25]), ([0.25, 0.5], [-3.0, 5.0])] {
            let place = |at: [f64; 2]| [at[0] * width, at[1] * height];
            report.step(format!("the pen is dragged from {from:?} to {to:?} of the frame"));
            overlay.drag(place(from), place(to), 3);
            overlay.draw();
        }
    }
    report.step("keys are pressed");
    for (symbol, types) in [(0xff1b, ""), (0x61, "a"), (0xff53, ""), (0xffff, "")] {
        overlay.key_down(symbol, types);
        overlay.key_repeat(symbol, types);
        overlay.key_up(symbol, types);
    }
    overlay.lose_focus();
    report.rules(&scene.host);
}

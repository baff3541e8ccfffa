//! Level 9: at random, and the same again for the same seed.

use wan_alpha_test_host::{Context, Depth, ParamKind, Profile, RenderAsk, Rule, Settings};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{Scene, Subject};
use crate::values;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "fuzz.artist",
        about: "A thousand things that artists do, in no order.",
        why: "Every order of actions comes up some day.",
        fix: "Run again with the same seed; the last step is in the report.",
        patience: 600,
        work: artist,
    },
    Check {
        id: "fuzz.values",
        about: "Parameters and project settings far out of range, and times that are no numbers.",
        why: "Scripts and expressions set what no slider allows.",
        fix: "Check what is read from the host before it is used.",
        patience: 600,
        work: values_at_random,
    },
    Check {
        id: "fuzz.keys",
        about: "Curves of ten thousand keys.",
        why: "Tracked motion has a key on each frame.",
        fix: "Read curves at the times that are needed.",
        patience: 300,
        work: keys,
    },
    Check {
        id: "fuzz.renders",
        about: "Renders of every size, scale, depth and time, in every context.",
        why: "Sizes and scales come from viewers of any shape.",
        fix: "Run again with the same seed; the last step is in the report.",
        patience: 600,
        work: renders,
    },
];

fn artist(subject: &Subject, report: &mut Report) {
    for (nth, profile) in (0..).zip([Profile::plain(), Profile::resolve(), Profile::natron()]) {
        let mut random = fastrand::Rng::with_seed(subject.seed.wrapping_add(nth));
        subject.node(report, profile, |scene, report| {
            for round in 0..350 {
                let step = something(scene, &mut random, subject);
                report.step(format!("round {round}: {step}"));
                if round % 25 == 0 {
                    report.rules(&scene.host);
                }
            }
        });
    }
}

/// One thing that an artist does. What it was.
fn something(scene: &Scene, random: &mut fastrand::Rng, subject: &Subject) -> String {
    let node = &scene.node;
    let params: Vec<_> = node
        .params()
        .into_iter()
        .filter(|(id, _)| !subject.presets.iter().any(|(preset, _)| preset == id))
        .collect();
    let Some((id, kind)) = random.choice(params) else { return "nothing".to_owned() };
    let properties = node.param_properties(&id);
    let time = f64::from(random.i32(-50..200)) / 2.0;
    match random.u8(..14) {
        0..4 => {
            let Some(value) = values::at_random(random, kind, &properties) else {
                return "nothing".to_owned();
            };
            let what = format!("{id} is set to {value:.80}");
            node.set(&id, value);
            what
        }
        4 if properties.ints("OfxParamPropAnimates") == [1] => {
            if let Some(value) = values::at_random(random, kind, &properties) {
                node.key(&id, time, value);
            }
            format!("a key on {id} at {time}")
        }
        other => something_else(scene, random, other, time),
    }
}

/// One thing that concerns no single parameter, by its number. What it was.
fn something_else(scene: &Scene, random: &mut fastrand::Rng, number: u8, time: f64) -> String {
    let Scene { node, project, .. } = scene;
    match number {
        5 => {
            node.undo();
            "undo".to_owned()
        }
        6 => {
            node.redo();
            "redo".to_owned()
        }
        7 => {
            let buttons = scene.params(ParamKind::PushButton);
            if let Some(button) = random.choice(buttons) {
                node.press(&button);
                return format!("{button} is pressed");
            }
            "nothing".to_owned()
        }
        8 => {
            project.go_to(time);
            format!("to {time}")
        }
        9 => {
            node.rebuild();
            "made anew".to_owned()
        }
        10 => {
            node.close_panel();
            node.sync();
            node.open_panel();
            "the panel is closed and opened".to_owned()
        }
        11 => {
            if let Some(overlay) = node.overlay() {
                let [width, height] = project.settings().size;
                let mut at = || [random.f64() * width, random.f64() * height];
                overlay.draw();
                overlay.drag(at(), at(), 2);
            }
            "a drag in the viewer".to_owned()
        }
        12 => {
            if let Ok(copy) = project.duplicate(node) {
                copy.delete();
            }
            "copied and deleted".to_owned()
        }
        _ => {
            let _ = node.view_scaled(time, 0.5);
            format!("frame {time} is shown")
        }
    }
}

fn values_at_random(subject: &Subject, report: &mut Report) {
    let mut random = fastrand::Rng::with_seed(subject.seed);
    let odd = |random: &mut fastrand::Rng| match random.u8(..10) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -1e300,
        3 => 0.0,
        _ => (random.f64() - 0.5) * 10_f64.powi(random.i32(-2..10)),
    };
    // Where the host itself makes no sense, no answer can.
    report.tolerated = &[Rule::SensibleAnswer];
    subject.node(report, Profile::plain(), |scene, report| {
        let usual = scene.project.settings();
        for round in 0..200 {
            for (id, kind) in scene.node.params() {
                if random.u8(..4) != 0 || subject.presets.iter().any(|(preset, _)| *preset == id) {
                    continue;
                }
                if let Some(value) =
                    values::at_random(&mut random, kind, &scene.node.param_properties(&id))
                {
                    report.step(format!("round {round}: {id} is set to {value:.80}"));
                    scene.node.set(&id, value);
                }
            }
            let mut pair = || [odd(&mut random), odd(&mut random)];
            let settings = if round % 2 == 0 {
                usual.clone()
            } else {
                Settings {
                    size: pair(),
                    offset: pair(),
                    pixel_aspect: pair()[0],
                    frame_rate: pair()[0],
                    timeline: pair(),
                }
            };
            let time = odd(&mut random);
            report.step(format!("round {round}: time {time}, {settings:?}"));
            scene.project.set_settings(settings);
            let _ = scene.node.time_domain();
            let _ = scene.node.region(time);
            let ask = RenderAsk {
                bounds: Some([0, 0, 48, 32]),
                pixel_aspect: Some(1.0),
                remembered: false,
                ..RenderAsk::at(time)
            };
            let _ = scene.node.render(&ask);
            report.rules(&scene.host);
        }
    });
}

fn keys(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let node = &scene.node;
        let animated = node.params().into_iter().find(|(id, kind)| {
            let animates = node.param_properties(id).ints("OfxParamPropAnimates") == [1];
            animates && matches!(kind, ParamKind::Double | ParamKind::Double2D | ParamKind::Integer)
        });
        let Some((id, kind)) = animated else {
            return report.skip("no number of it animates");
        };
        let values = values::of(kind, &node.param_properties(&id));
        report.step(format!("keys on {id}"));
        for at in 0..10_000_u32 {
            node.key(&id, f64::from(at), values[at as usize % values.len()].clone());
        }
        for time in [0.0, 4999.5, 20_000.0] {
            report.step(format!("frame {time}"));
            scene.project.go_to(time);
            let _ = node.render(&RenderAsk::at(time));
            if let Some(overlay) = node.overlay() {
                overlay.draw();
            }
        }
        for id in scene.params(ParamKind::PushButton) {
            report.step(format!("{id} is pressed"));
            node.press(&id);
        }
        report.step("all are deleted");
        node.delete_keys(&id);
    });
}

fn renders(subject: &Subject, report: &mut Report) {
    for (nth, context) in (0..).zip([Context::Generator, Context::General, Context::Filter]) {
        let profile = Profile::plain().with_contexts(&[context]);
        let host = Subject::host(profile.clone());
        let known = host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth)).is_ok();
        host.take_faults();
        if !known {
            continue;
        }
        let mut random = fastrand::Rng::with_seed(subject.seed.wrapping_add(nth));
        subject.node(report, profile, |scene, report| {
            let names = scene.plugin.properties().texts("OfxImageEffectPropSupportedPixelDepths");
            let depths: Vec<_> = names.iter().filter_map(|name| Depth::named(name)).collect();
            for _ in 0..150 {
                let [left, bottom] = [random.i32(-300..300), random.i32(-300..300)];
                let bounds = [left, bottom, left + random.i32(1..200), bottom + random.i32(1..90)];
                let depth = random.choice(&depths).copied().unwrap_or(Depth::Float);
                let ask = RenderAsk {
                    scale: [0.01 + random.f64() * 2.0, 0.01 + random.f64() * 2.0],
                    bounds: Some(bounds),
                    ..RenderAsk::at(f64::from(random.i32(-500..500)) / 4.0).in_depth(depth)
                };
                report.step(format!("{context:?}: {bounds:?} at {:?}, {depth:?}", ask.scale));
                let frame = scene.node.render(&ask);
                if frame.failed() && frame.says().is_empty() {
                    report.fault(format!("nothing is rendered: {}", frame.status));
                }
            }
        });
    }
}

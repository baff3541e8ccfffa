//! Level 10: the same again and again.

use wan_alpha_test_host::{ParamKind, Profile, RenderAsk};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{Scene, Subject};
use crate::traces::{self, Traces};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "soak.renders",
        about: "Memory, threads and files over two thousand renders.",
        why: "A leak of a frame fills a workstation within a shot.",
        fix: "Give back what a render takes, also where it is given up or fails.",
        patience: 900,
        work: renders,
    },
    Check {
        id: "soak.instances",
        about: "Memory, threads and files over a thousand instances.",
        why: "Resolve makes instances anew at each edit.",
        fix: "Give back in DestroyInstance all that CreateInstance and renders took.",
        patience: 900,
        work: instances,
    },
    Check {
        id: "soak.buttons",
        about: "Memory, threads and files over hundreds of presses of each button.",
        why: "Artists try again and again.",
        fix: "End what a press began before the next one, and give it back.",
        patience: 1800,
        work: buttons,
    },
];

/// What may come and go of caches and allocators.
const LEEWAY: u64 = 12 << 20;

/// Does it for a while, looks, and does it for much longer.
fn flat(report: &mut Report, rounds: u32, mut once: impl FnMut(u32)) {
    let warm = rounds / 4;
    (0..warm).for_each(&mut once);
    let before: (Option<u64>, Option<Traces>) = (traces::memory(), traces::now());
    (warm..rounds).for_each(&mut once);
    let (Some(before_bytes), Some(bytes)) = (before.0, traces::memory()) else {
        return report.skip("this system does not say what a process holds");
    };
    let grown = bytes.saturating_sub(before_bytes);
    report.note(format!("{} kB more after {rounds} rounds", grown >> 10));
    if grown > LEEWAY {
        let each = grown / u64::from(rounds - warm);
        report.fault(format!("memory grows by {each} bytes each time"));
    }
    if let (Some(before), Some(now)) = (before.1, traces::now()) {
        let more = now.more_than(&before);
        if !more.is_empty() {
            report.fault(format!("there are {}", more.join(", ")));
        }
    }
}

fn renders(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let [first, _, last] = scene.times();
        let length = last - first + 1.0;
        flat(report, 2000, |round| {
            let time = first + f64::from(round) % length;
            let _ = scene.node.render(&RenderAsk { remembered: false, ..RenderAsk::at(time) });
        });
    });
}

fn instances(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene: &Scene, report| {
        let time = scene.project.time();
        flat(report, 1000, |_| {
            scene.node.rebuild();
            let ask = RenderAsk { remembered: false, ..RenderAsk::at(time).scaled(0.25) };
            let _ = scene.node.render(&ask);
        });
    });
}

fn buttons(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let buttons = scene.params(ParamKind::PushButton);
        if buttons.is_empty() {
            return report.skip("it has no buttons");
        }
        flat(report, 400, |_| {
            for id in &buttons {
                scene.node.press(id);
            }
            scene.node.forget_told();
        });
    });
}

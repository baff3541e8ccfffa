//! Level 5: many threads at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use wan_alpha_test_host::{Node, Profile, Refused, RenderAsk, Source, Tiles};

use crate::check::Check;
use crate::render::rendered;
use crate::report::Report;
use crate::subject::{SIZE, Scene, Subject};
use crate::values;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "threads.pictures",
        about: "Frames rendered on eight threads by three nodes, beside the same frames one by one.",
        why: "Hosts render several frames at the same time; what is shared by mistake shows as flicker.",
        fix: "Keep nothing of one render in statics or in the instance; or say that it is not safe.",
        patience: 90,
        work: pictures,
    },
    Check {
        id: "threads.edits",
        about: "Edits, undo and buttons while eight threads render.",
        why: "The artist goes on while the viewer renders.",
        fix: "Guard what actions of the main thread and renders share.",
        patience: 120,
        work: edits,
    },
    Check {
        id: "threads.instances",
        about: "Instances made anew, copied and deleted while others render.",
        why: "Hosts make instances for every thread or at every edit.",
        fix: "Keep instances apart; give what is shared away with the last one only.",
        patience: 120,
        work: instances,
    },
];

const THREADS: u32 = 8;

/// Frames that each thread renders.
const ROUNDS: u32 = 16;

fn pictures(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let [first, ..] = scene.times();
        let times: Vec<f64> = (0..8).map(|n| first + f64::from(n)).collect();
        let mut alone = Vec::new();
        for &time in &times {
            report.step(format!("frame {time}, alone"));
            let Some(image) = rendered(scene, &RenderAsk::at(time), report) else { return };
            alone.push(image.digest());
        }
        let nodes = match copies(scene) {
            Ok(nodes) => nodes,
            Err(refused) => return report.fault(format!("it cannot be copied: {refused}")),
        };
        report.step(format!("on {THREADS} threads"));
        let [different, failed] = counted_on_threads(&nodes, &times, &alone);
        let all = THREADS * ROUNDS;
        for (count, what) in [(different, "look different"), (failed, "are not rendered")] {
            if count > 0 {
                report.fault(format!("{count} of {all} frames {what}"));
            }
        }
    });
}

/// The node and two copies of it, which have the same inputs.
fn copies(scene: &Scene) -> Result<Vec<Node>, Refused> {
    let mut nodes = vec![scene.node.clone()];
    for _ in 0..2 {
        nodes.push(scene.project.duplicate(&scene.node)?);
    }
    let [width, height] = SIZE;
    for copy in &nodes[1..] {
        for clip in scene.inputs() {
            copy.connect(&clip, Source::over([0.0, 0.0, width, height]));
        }
    }
    Ok(nodes)
}

/// How many frames look different than alone, and how many are not rendered, where every thread
/// renders them with changing nodes.
fn counted_on_threads(nodes: &[Node], times: &[f64], alone: &[String]) -> [u32; 2] {
    let (different, failed) = (&AtomicU32::new(0), &AtomicU32::new(0));
    thread::scope(|scope| {
        for nth in 0..THREADS as usize {
            scope.spawn(move || {
                for round in 0..ROUNDS as usize {
                    let at = (nth * 3 + round) % times.len();
                    let tiles = if round % 2 == 0 { Tiles::Whole } else { Tiles::Shared([64, 32]) };
                    let ask = RenderAsk { tiles, ..RenderAsk::at(times[at]) };
                    let frame = nodes[(nth + round) % nodes.len()].render(&ask);
                    match frame.picture() {
                        Some(image) if image.digest() == alone[at] => {}
                        Some(_) => _ = different.fetch_add(1, Ordering::Relaxed),
                        None => _ = failed.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
    });
    [different, failed].map(|count| count.load(Ordering::Relaxed))
}

/// Renders on many threads while this one does something else.
fn meanwhile(node: &Node, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for nth in 0..THREADS {
            let done = &done;
            scope.spawn(move || {
                let mut time = f64::from(nth);
                while !done.load(Ordering::Relaxed) {
                    let ask = RenderAsk::at(time).scaled(0.5);
                    let _ = node.render(&ask.in_tiles(Tiles::Separate([64, 64])));
                    time = (time + 7.0) % 100.0;
                }
            });
        }
        let worked = catch_unwind(AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = worked {
            resume_unwind(panic);
        }
    });
}

fn edits(subject: &Subject, report: &mut Report) {
    for profile in [Profile::plain(), Profile::resolve()] {
        subject.node(report, profile, |scene, report| {
            let node = &scene.node;
            let presets: Vec<_> = subject.presets.iter().map(|(id, _)| id).collect();
            meanwhile(node, || {
                for (id, kind) in node.params() {
                    if presets.contains(&&id) {
                        continue;
                    }
                    report.step(format!("{id} changes"));
                    for value in values::of(kind, &node.param_properties(&id)).into_iter().take(3) {
                        node.set(&id, value);
                    }
                }
                report.step("everything is undone");
                while node.undo_steps().len() > presets.len() && node.undo().is_some() {}
            });
        });
    }
}

fn instances(subject: &Subject, report: &mut Report) {
    for profile in [Profile::plain(), Profile::natron()] {
        subject.node(report, profile, |scene: &Scene, report| {
            meanwhile(&scene.node, || {
                for round in 0..10 {
                    report.step(format!("round {round}: made anew, copied, deleted"));
                    scene.node.rebuild();
                    match scene.project.duplicate(&scene.node) {
                        Ok(copy) => copy.delete(),
                        Err(refused) => report.fault(format!("it cannot be copied: {refused}")),
                    }
                    scene.node.purge();
                    scene.node.sync();
                }
            });
        });
    }
}

//! Many threads render while the main thread edits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use wan_alpha_test_host::{Profile, RenderAsk, Tiles};

use crate::Scene;

fn render_while(scene: &Scene, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for nth in 0..8 {
            let (node, done) = (scene.node.clone(), &done);
            scope.spawn(move || {
                let mut time = f64::from(nth);
                while !done.load(Ordering::Relaxed) {
                    let tiles = Tiles::Separate([16, 16]);
                    assert!(!node.render(&RenderAsk::at(time).in_tiles(tiles)).failed());
                    assert!(!node.view(time).failed());
                    time = (time + 7.0) % 100.0;
                }
            });
        }
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        worked.unwrap();
    });
}

#[test]
fn renders_do_not_mind_edits() {
    for profile in [Profile::plain(), Profile::resolve(), Profile::natron()] {
        let scene = Scene::new(profile);
        render_while(&scene, || {
            for step in 0..12 {
                scene.node.set("level", f64::from(step) / 12.0);
                scene.node.press("go");
                scene.node.undo();
            }
        });
    }
}

#[test]
fn threads_of_the_suite_are_the_hosts() {
    let scene = Scene::new(Profile::plain());
    let alone = scene.node.render(&RenderAsk::at(1.0));
    let scene = scene.with("on several threads");
    assert_eq!(scene.node.render(&RenderAsk::at(1.0)).image(), alone.image());
}

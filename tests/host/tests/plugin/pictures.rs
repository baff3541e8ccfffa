//! Renders of every shape, and the host's cache.

use std::time::{Duration, Instant};

use wan_alpha_test_host::{
    Abort, AbortSwitch, Context, Depth, Frame, Host, Made, Profile, RenderAsk, Rule, Source,
    Status, Stride, Tiles,
};

use crate::{Scene, file};

#[test]
fn one_picture_in_every_shape() {
    let Scene { node, .. } = &Scene::new(Profile::plain());
    let whole = node.render(&RenderAsk::at(1.0));
    let whole = whole.image();
    assert_eq!((whole.width(), whole.height()), (64, 32));
    assert_eq!(whole.pixel(0, 0), [0.5 / 64.0, 0.5 / 32.0, 0.5, 1.0]);
    assert_eq!(whole.pixel(63, 0)[0], 63.5 / 64.0, "red to the right");
    assert_eq!(whole.pixel(0, 31)[1], 31.5 / 32.0, "green goes up");
    assert_eq!(whole.pixel(64, 0), [0.0; 4], "nothing outside");
    let tilings = [
        Tiles::Whole,
        Tiles::Separate([13, 7]),
        Tiles::Shared([13, 7]),
        Tiles::Separate([i32::MAX, 1]),
    ];
    for stride in [
        Stride::Packed,
        Stride::Padded(48),
        Stride::Negative,
        Stride::NegativePadded(4),
        Stride::odd(Depth::Float),
    ] {
        for tiles in tilings {
            for threads in [1, 3] {
                let ask = RenderAsk::at(1.0).with_stride(stride).in_tiles(tiles);
                let frame = node.render(&ask.on_threads(threads));
                assert_eq!(frame.image(), whole, "{stride:?}, {tiles:?}, {threads} threads");
            }
        }
    }
    for (depth, step) in [(Depth::Half, 1e-3), (Depth::Short, 1e-5), (Depth::Byte, 3e-3)] {
        let frame = node.render(&RenderAsk::at(1.0).in_depth(depth).with_stride(Stride::Negative));
        let worst = frame.image().pixels().zip(whole.pixels());
        let worst = worst.map(|(a, b)| (0..4).map(|n| (a[n] - b[n]).abs()).fold(0.0, f32::max));
        assert!(worst.fold(0.0, f32::max) < step, "{depth:?}");
    }
    let part = node.render(&RenderAsk::at(1.0).within([10, 4, 30, 20]));
    assert_eq!(*part.image(), whole.crop([10, 4, 30, 20]));
    let wide = RenderAsk { bounds: Some([-8, -4, 72, 36]), ..RenderAsk::at(1.0) };
    assert_eq!(node.render(&wide).image().crop([0, 0, 64, 32]), *whole);
    let half = node.render(&RenderAsk::at(1.0).scaled(0.5));
    assert_eq!((half.image().width(), half.pixel(0, 0)[0]), (32, 1.0 / 64.0));
    assert_eq!(node.thumbnail(1.0, 0.25).image().bounds(), [0, 0, 16, 8]);
}

#[test]
fn a_time_that_is_no_number_is_a_time_like_any_other() {
    let Scene { node, .. } = &Scene::new(Profile::plain());
    for time in [f64::NAN, f64::INFINITY, -1e300] {
        assert!(!node.render(&RenderAsk::at(time)).failed(), "{time}");
    }
}

#[test]
fn offsets_and_pixel_aspects_are_where_they_belong() {
    let Scene { node, project, .. } = &Scene::new(Profile::plain());
    let mut settings = project.settings();
    settings.offset = [-10.0, 6.0];
    settings.pixel_aspect = 2.0;
    project.set_settings(settings);
    node.rebuild();
    let frame = node.render(&RenderAsk::at(1.0));
    assert_eq!(frame.image().bounds(), [-5, 6, 27, 38]);
}

#[test]
fn a_film_is_one_sequence() {
    let Scene { node, host, .. } = &Scene::new(Profile::plain());
    node.key("level", 1.0, 0.0);
    node.key("level", 5.0, 1.0);
    let before = host.actions();
    let frames = node.render_sequence(1, 5, &RenderAsk::at(0.0).for_a_file());
    let blue: Vec<f32> = frames.iter().map(|frame| frame.pixel(3, 3)[2]).collect();
    assert_eq!(blue, [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert_eq!(host.actions() - before, 2 + 5 * 2, "begin, end; region and render of each");
}

#[test]
fn giving_up_is_noticed_and_timed() {
    let Scene { node, .. } = &Scene::new(Profile::plain()).with("wait for abort");
    let frame = node.render(&RenderAsk::at(1.0).aborted(Abort::AfterPolls(5)));
    assert!(frame.aborted && frame.picture().is_none());
    assert_eq!((frame.status, frame.polls), (Status::OK, 6));
    let switch = AbortSwitch::new();
    let ask = RenderAsk::at(1.0).aborted(Abort::When(switch.clone()));
    let frame = std::thread::scope(|scope| {
        let rendering = scope.spawn(|| node.render(&ask));
        std::thread::sleep(Duration::from_millis(30));
        assert!(!rendering.is_finished(), "nobody has said so yet");
        let pulled = Instant::now();
        switch.pull();
        let frame: Frame = rendering.join().unwrap();
        assert!(frame.abort_took.is_some_and(|took| took <= pulled.elapsed()), "{frame:?}");
        frame
    });
    assert!(frame.aborted);
}

#[test]
fn what_is_no_time_is_one_all_the_same() {
    let Scene { node, .. } = &Scene::new(Profile::plain());
    for time in [f64::NAN, f64::INFINITY, -1e12, -0.0] {
        assert!(!node.render(&RenderAsk::at(time)).failed(), "{time}");
    }
}

#[test]
fn failures_say_why() {
    let Scene { node, .. } = &Scene::new(Profile::plain()).with("fail in words");
    let frame = node.view(1.0);
    assert!(frame.failed());
    assert_eq!((frame.status, frame.says()), (Status::FAILED, "not today"));
}

#[test]
fn inputs_are_known_pictures() {
    let host = Host::new(Profile::plain().sized(64.0, 32.0));
    let Scene { node, .. } = &Scene::of(host, Some(Context::General)).with("identity");
    let source = Source::over([10.0, 0.0, 50.0, 20.0]);
    node.connect("Source", source.clone());
    assert_eq!(node.region(1.0), (Status::REPLY_DEFAULT, [10.0, 0.0, 50.0, 20.0]));
    assert_eq!(node.time_domain().1, [1.0, 100.0]);
    let frame = node.view(7.0);
    assert_eq!(frame.made, Made::Same("Source".to_owned(), 7.0));
    assert_eq!(frame.pixel(10, 0), source.pixel(10.5, 0.5, 7.0));
    assert_eq!(node.fetched("Source"), 0);
    node.disconnect("Source");
    assert_eq!(node.region(1.0).1, [0.0, 0.0, 64.0, 32.0]);
}

#[test]
fn frames_are_kept_by_what_they_depend_on() {
    let Scene { node, .. } = &Scene::new(Profile::plain());
    assert_eq!(node.view(1.0).made, Made::Rendered);
    assert_eq!(node.view(1.0).made, Made::FromMemory);
    assert_eq!(node.fetched("Output"), 1);
    assert_eq!(node.view(2.0).made, Made::FromMemory, "it says that nothing changes with time");
    node.set("level", 0.25);
    assert_eq!(node.view(1.0).made, Made::Rendered);
    node.set("status", "of no account: not saved, not evaluated");
    assert_eq!(node.view(1.0).made, Made::FromMemory);
    node.undo();
    assert_eq!(node.view(1.0).made, Made::FromMemory, "as it was");
    node.key("level", 1.0, 0.0);
    node.key("level", 9.0, 1.0);
    assert_eq!((node.view(1.0).made, node.view(2.0).made), (Made::Rendered, Made::Rendered));
    assert_eq!(node.view_scaled(2.0, 0.5).made, Made::Rendered);
    node.clear_memory_cache();
    assert_eq!(node.view(2.0).made, Made::Rendered);
}

#[test]
fn frames_survive_the_session_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("shot.json");
    let session = || Host::new(Profile::natron().sized(64.0, 32.0)).caching_in(folder.path());
    let first = {
        let scene = Scene::of(session(), None);
        scene.node.set("level", 0.125);
        scene.project.save(&project);
        scene.node.view(1.0).image().clone()
    };
    let host = session();
    let plugin = host.load(file()).unwrap();
    let opened = plugin.open(&project).unwrap();
    let frame = opened.node("Node1").unwrap().view(1.0);
    assert_eq!((&frame.made, frame.image()), (&Made::FromDisk, &first));
}

/// What a placeholder and the picture that follows it are to the host.
#[test]
fn the_world_may_change_if_one_says_so() {
    let Scene { node, project, host, .. } =
        &Scene::collecting(Profile::plain()).with("another each time");
    node.render(&RenderAsk::at(1.0));
    project.world_changed();
    node.render(&RenderAsk::at(1.0));
    assert_eq!(host.faults(), []);
    let unremembered = RenderAsk { remembered: false, ..RenderAsk::at(1.0) };
    node.render(&unremembered);
    assert_eq!(host.faults(), []);
    node.render(&RenderAsk::at(1.0));
    assert_eq!(host.take_faults()[0].rule, Rule::OnePicture);
}

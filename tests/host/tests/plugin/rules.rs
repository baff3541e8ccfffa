//! Each rule broken, one at a time, and found; and nothing else found.

use std::collections::BTreeSet;

use wan_alpha_test_bad_plugin::{BAD_FROM_THE_START, MISCHIEFS};
use wan_alpha_test_host::{
    Abort, Context, Depth, Host, LoadError, Profile, RenderAsk, Rule, Source, Stride,
};

use crate::{Scene, file};

fn render(scene: &Scene) {
    scene.node.render(&RenderAsk::at(5.0));
}

fn go(scene: &Scene) {
    scene.node.press("go");
}

/// What to do, and which rules are broken by it.
type Case = (&'static str, fn(&Scene), &'static [Rule]);

const CASES: &[Case] = &[
    ("none", good, &[]),
    ("unknown status", go, &[Rule::KnownStatus]),
    ("default for a render", render, &[Rule::FittingStatus]),
    ("released image", render, &[Rule::LiveHandle]),
    ("no handle", go, &[Rule::LiveHandle]),
    ("null place", go, &[Rule::NotNull]),
    ("wrong type", go, &[Rule::PropertyType]),
    ("index beyond", go, &[Rule::PropertyIndex]),
    ("read only", go, &[Rule::ReadOnlyProperty]),
    ("dangling string", go, &[Rule::DanglingString]),
    ("not UTF-8", go, &[Rule::Utf8]),
    ("own thread", render, &[Rule::HostThread, Rule::LiveHandle]),
    ("set in render", render, &[Rule::SetWhereAllowed]),
    ("set in create", |scene| scene.node.rebuild(), &[Rule::NoSetInCreate]),
    ("read without time", render, &[Rule::ReadAtTime]),
    ("edit left open", go, &[Rule::BalancedEdit]),
    ("write in undo", undo, &[Rule::UndisturbedUndo]),
    ("endless change", |scene| scene.node.set("count", 1), &[Rule::BoundedRecursion]),
    ("image kept", render, &[Rule::ReleasedImage]),
    ("image twice", render, &[Rule::LiveHandle]),
    ("image in a change", go, &[Rule::ImageInRender]),
    ("image at another time", render, &[Rule::ImageInRender]),
    ("beside the window", part, &[Rule::InsideWindow]),
    ("before the memory", render, &[Rule::InsideWindow]),
    ("in the padding", padded, &[Rule::InsideWindow]),
    ("input written", connected, &[Rule::InsideWindow]),
    ("pixel left out", every_depth, &[Rule::EveryPixel]),
    ("not a number", render, &[Rule::FinitePixels]),
    ("another each time", twice, &[Rule::OnePicture]),
    ("infinite region", region, &[Rule::SensibleAnswer]),
    ("draw in draw", |scene| drop(scene.node.overlay().unwrap().draw()), &[Rule::DrawInDraw]),
    ("draw later", draw_later, &[Rule::LiveHandle]),
    ("progress without start", go, &[Rule::OrderedProgress]),
    ("message in render", render, &[Rule::MessageWhereAllowed]),
    ("free twice", go, &[Rule::GivenBack]),
    ("unlock twice", go, &[Rule::GivenBack]),
    ("define late", go, &[Rule::Definition]),
    ("refuse aborted", aborted, &[Rule::FittingStatus]),
];

#[test]
fn each_is_found_and_nothing_else() {
    for (name, act, expected) in CASES {
        let scene = Scene::collecting(Profile::plain()).with(name);
        assert_eq!(scene.host.faults(), [], "{name}, before");
        act(&scene);
        let found: BTreeSet<Rule> = scene.host.faults().iter().map(|fault| fault.rule).collect();
        let expected: BTreeSet<Rule> = expected.iter().copied().collect();
        assert_eq!(found, expected, "{name}: {:#?}", scene.host.faults());
    }
}

#[test]
fn no_mischief_is_left_out() {
    let tried = |name: &&&str| CASES.iter().any(|(tried, _, _)| tried == *name);
    let left: Vec<_> = MISCHIEFS.iter().filter(|name| !tried(name)).collect();
    let useful = ["wait for abort", "fail in words", "on several threads", "identity"];
    // What shows from one process or session to the next: `tests/check`.
    let beyond = ["crash", "hang", "remember outside", "share between threads"];
    let expected: Vec<_> = useful.iter().chain(&beyond).collect();
    assert_eq!(left, expected);
}

#[test]
fn each_is_found_from_the_start() {
    use Rule::{DefaultInRange, Definition, FittingStatus, GivenBack, KnownStatus};
    let expected: &[(&str, &[Rule], Option<&str>)] = &[
        ("calls in setHost", &[Rule::QuietSetHost], None),
        ("another label each time", &[Rule::SameDescription], None),
        ("defined twice", &[Definition], None),
        ("default out of range", &[DefaultInRange], None),
        ("unknown status for Load", &[KnownStatus], Some("OfxActionLoad")),
        ("value while describing", &[Definition], None),
        ("refuses", &[], Some("OfxActionLoad")),
        ("keeps memory", &[GivenBack], None),
        ("default for CreateInstance", &[FittingStatus], Some("OfxActionCreateInstance")),
        ("wrong property type", &[Rule::PropertyType], None),
        ("needs what no host has", &[], Some("OfxActionLoad")),
        ("leaves a file open", &[], None),
        ("crashes without progress", &[], None),
    ];
    let names: Vec<_> = expected.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, BAD_FROM_THE_START);
    for (nth, (name, rules, refused)) in (1..).zip(expected) {
        let host = Host::new(Profile::plain()).collecting();
        let outcome = (|| {
            let plugin = host.open(file()).unwrap().plugin(nth).map_err(|error| match error {
                LoadError::Refused { action, .. } => action,
                other => panic!("{name}: {other}"),
            })?;
            let project = plugin.project();
            let added = project.add(Context::Generator);
            added.map(drop).map_err(|_| "OfxActionCreateInstance".to_owned())
        })();
        assert_eq!(outcome.err().as_deref(), *refused, "{name}");
        let found: BTreeSet<Rule> = host.faults().iter().map(|fault| fault.rule).collect();
        let rules: BTreeSet<Rule> = rules.iter().copied().collect();
        assert_eq!(found, rules, "{name}: {:#?}", host.faults());
    }
}

#[test]
fn a_broken_rule_fails_the_test_where_it_shows() {
    let scene = Scene::new(Profile::plain()).with("pixel left out");
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| render(&scene)));
    let words = *told.unwrap_err().downcast::<String>().unwrap();
    assert!(words.contains("EveryPixel: pixel (1, 1) was not written"), "{words}");
    assert!(words.contains("OfxImageEffectActionRender of Node1"), "{words}");
    scene.host.take_faults();
}

#[test]
fn a_rule_may_be_tolerated() {
    let host = Host::new(Profile::plain().sized(64.0, 32.0)).tolerating(Rule::EveryPixel);
    render(&Scene::of(host, None).with("pixel left out"));
}

/// All that it can, well done.
fn good(scene: &Scene) {
    let node = &scene.node;
    for button in ["go", "work", "ask", "go"] {
        node.press(button);
    }
    while node.undo().is_some() {}
    while node.redo().is_some() {}
    every_depth(scene);
    padded(scene);
    part(scene);
    twice(scene);
    connected(scene);
    let overlay = node.overlay().unwrap();
    overlay.draw();
    overlay.drag([50.0, 50.0], [10.0, 20.0], 3);
    node.sync();
    node.purge();
    node.rebuild();
    scene.plugin.describe_again();
    node.delete();
}

fn region(scene: &Scene) {
    assert_eq!(scene.node.region(1.0).1, [0.0, 0.0, 64.0, 32.0], "the project's instead");
}

fn undo(scene: &Scene) {
    scene.node.set("level", 0.25);
    assert_eq!(scene.node.undo_steps(), ["Change mischief", "Change level", "An edit"]);
    scene.node.undo();
    scene.node.undo();
}

fn part(scene: &Scene) {
    scene.node.render(&RenderAsk::at(1.0).within([10, 4, 30, 20]));
}

fn padded(scene: &Scene) {
    scene.node.render(&RenderAsk::at(1.0).with_stride(Stride::NegativePadded(64)));
}

fn connected(scene: &Scene) {
    let node = scene.project.add(Context::General).unwrap();
    node.set("mischief", scene.node.int("mischief"));
    node.connect("Source", Source::over([0.0, 0.0, 20.0, 10.0]));
    node.render(&RenderAsk::at(1.0));
}

fn every_depth(scene: &Scene) {
    for depth in Depth::ALL {
        let before = scene.host.faults().len();
        scene.node.render(&RenderAsk::at(1.0).in_depth(depth));
        let found = scene.host.faults().len() - before;
        // Equal faults in a row count as one.
        let bad = scene.node.int("mischief") != 0 && before == 0;
        assert_eq!(found, usize::from(bad), "{depth:?}");
    }
}

fn twice(scene: &Scene) {
    render(scene);
    render(scene);
}

fn draw_later(scene: &Scene) {
    let overlay = scene.node.overlay().unwrap();
    overlay.draw();
    overlay.pen_motion([1.0, 1.0]);
}

fn aborted(scene: &Scene) {
    let frame = scene.node.render(&RenderAsk::at(1.0).aborted(Abort::AfterPolls(2)));
    assert!(frame.aborted);
}

//! What is done, in order, and told on standard error.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wan_alpha_test_host::{Context, Depth, Host, Node, Profile, RenderAsk};

use crate::Arguments;
use crate::files::{Files, Written};

/// Frames of a take to the second; the timeline has as many, so that each of them shows once.
const RATE: f64 = 16.0;
/// How the ellipse travels: part of the way, center, axes, angle.
const TRAVEL: [(f64, [f64; 2], [f64; 2], f64); 3] = [
    (0.0, [0.25, 0.45], [0.40, 0.60], 0.0),
    (0.5, [0.50, 0.60], [0.50, 0.70], 15.0),
    (1.0, [0.75, 0.55], [0.60, 0.80], 40.0),
];
/// Options of the node's choices.
const CUSTOM_RESOLUTION: i32 = 7;
const LINEAR_REC_709: i32 = 2;

/// How often an artist's host comes by with an event.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn tell(arguments: &Arguments) -> Result<Written> {
    let last = f64::from(arguments.frames - 1);
    let size = [arguments.width, arguments.height].map(f64::from);
    let profile = Profile::plain().sized(size[0], size[1]).from_to(0.0, last).at_rate(RATE);
    let host = Host::new(profile);
    let plugin = host.load(&arguments.bundle)?;
    let project = plugin.project();
    let node = project.add(Context::Generator)?;
    say(&format!("{} is on the timeline", plugin.details().identifier));
    fill_in(&node, arguments);
    let before = node.render(&RenderAsk::at(0.0));
    ensure!(before.picture().is_some(), "there is no placeholder: {}", before.says());

    let begun = Instant::now();
    say("Generate is pressed");
    node.press("generate");
    let heard = wait(&node, Duration::from_secs(arguments.patience))?;
    let waited = begun.elapsed();
    host.world_changed();

    let mut files = Files::new(&arguments.out, arguments.frames.into())?;
    for index in 0..u32::from(arguments.frames) {
        let time = f64::from(node.int("startFrame")) + f64::from(index);
        let frame = node.render(&RenderAsk::at(time).in_depth(Depth::Half).for_a_file());
        let image = frame.picture().with_context(|| {
            format!("frame {index} is not rendered: {}, {:?}", frame.status, frame.says())
        })?;
        files.write(index, image)?;
    }
    let written = files.finish(node.text("takeKey"), heard, waited)?;
    say(&format!("{} frames were rendered into the host's images", written.frames));
    Ok(written)
}

/// What the artist does to the panel before he presses.
fn fill_in(node: &Node, arguments: &Arguments) {
    say(&format!("the prompt is typed: {}", arguments.prompt));
    node.set("prompt", &arguments.prompt);
    node.set("seed", i32::try_from(arguments.seed).unwrap_or(i32::MAX));
    node.set("frames", i32::from(arguments.frames));
    node.set("resolution", CUSTOM_RESOLUTION);
    node.set("width", i32::from(arguments.width));
    node.set("height", i32::from(arguments.height));
    node.set("transfer", LINEAR_REC_709);
    let last = f64::from(arguments.frames - 1);
    for (part, center, axes, angle) in TRAVEL {
        let time = (part * last).round();
        say(&format!("the ellipse is keyed at frame {time}: center {center:?}"));
        node.key("ellipseCenter", time, center);
        node.key("ellipseAxes", time, axes);
        node.key("ellipseAngle", time, angle);
    }
}

/// Lets events come until the take is there. What the status said, each line once.
fn wait(node: &Node, patience: Duration) -> Result<Vec<String>> {
    let end = Instant::now() + patience;
    let mut heard: Vec<String> = Vec::new();
    loop {
        let status = node.text("status");
        if heard.last() != Some(&status) && !status.is_empty() {
            say(&format!("status: {status}"));
            heard.push(status.clone());
        }
        if status.starts_with("Ready") {
            return Ok(heard);
        }
        // Refused, failed or cancelled: nothing is asked for any more.
        ensure!(!node.text("takeRequest").is_empty(), "no take was made: {status}");
        ensure!(!status.contains("engine.log"), "no take was made: {status}");
        ensure!(
            Instant::now() < end,
            "the take is not there after {} s: {status}",
            patience.as_secs()
        );
        std::thread::sleep(PAUSE);
        node.close_panel();
        node.open_panel();
    }
}

fn say(words: &str) {
    eprintln!("  {words}");
}

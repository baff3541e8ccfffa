//! Ctrl-C and a farm's SIGTERM, in every stage of a take: the command says where it stopped, soon,
//! and leaves what was finished and nothing else.

#![cfg(target_os = "linux")]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use exr::prelude::read_first_flat_layer_from_file;
use support::model::{DECODERS, TOKENIZER, VAE};
use support::random::{Transformer, write_text_encoder};
use support::reference::Case;
use support::render::{Done, Render, files, names};
use support::running::Running;
use tempfile::TempDir;

/// From the signal to the end, of processor time. A block of these models takes milliseconds.
const SOON: Duration = Duration::from_secs(3);

const SIGNALS: [libc::c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// A model that takes a second and more to read a long prompt, to load and to sample, and has
/// hundreds of places to stop on the way.
struct Deep(TempDir);

impl Deep {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let transformer = Transformer { dim: 24, heads: 2, ffn: 32, layers: 600, text_dim: 24 };
        transformer.write(folder.path());
        transformer.write_dora(&folder.path().join("dora.safetensors"), 4);
        write_text_encoder(&folder.path().join("umt5.safetensors"), 24, 2, 100);
        Self(folder)
    }

    fn render(&self) -> Render {
        let case = Case::named("t2v");
        let others = [VAE, DECODERS, TOKENIZER].map(|part| case.model().join(part));
        let files = others.into_iter().chain([self.0.path().to_owned()]);
        // As many words as the text encoder reads.
        Render::of_files(files).with("--prompt", "bubble ".repeat(600)).with("--steps", "50")
    }
}

/// Starts a take, waits for a line that starts so, sends the signal.
#[track_caller]
fn stopped(render: Render, line: &str, signal: libc::c_int) -> Done {
    let mut running = Running::start(render);
    running.wait_for(line);
    running.signal(signal);
    let (done, took) = running.finish();
    assert!(took < SOON, "it worked for {took:?} more");
    done
}

#[test]
fn while_the_prompt_is_read() {
    let model = Deep::new();
    for signal in SIGNALS {
        let render = model.render().over_a_previous_take();
        let done = stopped(render, "reading the prompt 0/", signal);
        done.failed(130, &["cancelled while reading the prompt"]).kept_the_previous_take();
    }
}

#[test]
fn while_a_prompt_is_waited_for_at_a_pipe_that_nobody_writes_to() {
    let model = Deep::new();
    for signal in SIGNALS {
        let render = model.render().over_a_previous_take();
        let pipe = render.file("pipe", "");
        std::fs::remove_file(&pipe).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let render = render.with("--prompt", format!("@{}", pipe.display()));
        let running = Running::start(render);
        running.wait_for_thread("stoppable");
        running.signal(signal);
        let (done, _) = running.finish();
        done.failed(130, &["cancelled while waiting for", "pipe"]).kept_the_previous_take();
    }
}

#[test]
fn while_the_model_is_loaded() {
    let model = Deep::new();
    for signal in SIGNALS {
        let render = model.render().over_a_previous_take();
        let done = stopped(render, "loading the model 0/", signal);
        done.failed(130, &["cancelled while loading the model"]).kept_the_previous_take();
    }
}

#[test]
fn while_sampling() {
    let model = Deep::new();
    for signal in SIGNALS {
        let render = model.render().over_a_previous_take().dumped();
        let done = stopped(render, "sampling 0/", signal);
        let done = done.failed(130, &["cancelled while sampling"]).kept_the_previous_take();
        assert!(!done.path("dump.safetensors").exists());
    }
    // A folder of our own making goes when nothing came into it.
    let done = stopped(model.render().dumped(), "sampling 0/", libc::SIGINT);
    assert!(!done.out().exists());
}

#[test]
fn while_decoding() {
    for signal in SIGNALS {
        let render = Render::of(Case::named("t2v").model()).size(256, 256, 33).dumped();
        let done = stopped(render, "decoding 1/9", signal);
        let done = done.failed(130, &["cancelled while decoding"]);
        assert!(!done.path("dump.safetensors").exists());

        assert_eq!(done.take()["state"], "unfinished");
        let count = whole_frames(&done);
        assert!((1..33).contains(&count), "{count} frames");
        // The sheet is made at the end, so that there is nothing else.
        assert_eq!(names(&done.out()).len(), 2 * count + 1);

        // The next take replaces what there is.
        let next = Render::of(Case::named("t2v-euler").model()).with("--format", "png");
        for (name, content) in files(&done.out()) {
            next.file(&format!("out/{name}"), content);
        }
        let done = next.run().succeeded();
        assert_eq!(names(&done.out()), ["contact-sheet.png", "rgba.0000.png", "take.json"]);
        assert_eq!(done.take()["state"], "complete");
    }
}

/// The number of frames in both formats, from the first without a gap, each of which must be whole.
fn whole_frames(done: &Done) -> usize {
    let frame = |index, kind| done.out().join(format!("rgba.{index:04}.{kind}"));
    let count = (0..).take_while(|&index| frame(index, "exr").exists()).count();
    for index in 0..count {
        read_first_flat_layer_from_file(frame(index, "exr")).unwrap();
        image::open(frame(index, "png")).unwrap();
    }
    count
}

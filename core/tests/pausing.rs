//! A take that is paused, and goes on: its bits are those of one that was not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod small;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{
    FrameSink, HostMemory, Keep, MemoryLimits, Pipeline, SinkError, TakeInputs,
};
use wan_alpha_core::weights::Strengths;
use wan_alpha_core::{Error, Stage, Unwatched, Watch};
use wan_alpha_take::frame::Frame;
use wan_alpha_take::{CapSource, Ellipse, NUMERICS, Solver, TakeRequest};

#[derive(Default, PartialEq)]
struct Frames(Vec<Vec<f32>>);

impl FrameSink for Frames {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        self.0.push(frame.rgba.to_vec());
        Ok(())
    }
}

fn request(solver: Solver) -> TakeRequest {
    let request: TakeRequest = serde_json::from_value(serde_json::json!({
        "version": TakeRequest::VERSION, "numerics": NUMERICS, "prompt": "smoke", "negative_prompt": null,
        "seed": 5, "frames": 5, "width": 48, "height": 32, "take_rate": 16,
        "ellipse": [Ellipse::default(), Ellipse::default()], "mu": [0.05, 0.05], "mu_scale": 1.0,
        "steps": 4, "shift": 5.0, "guidance": 3.0, "solver": solver, "dora_strength": 1.0,
        "distill_strength": 1.0, "precision": "f32", "decode_tiling": "whole", "model": "tiny",
        "model_fingerprint": null, "first_image": null, "mask": null,
    }))
    .unwrap();
    request.accept().unwrap()
}

fn open() -> Pipeline {
    let model = small::data("t2v-euler/model");
    Pipeline::open(&[model], Strengths::default(), Device::cpu(), Keep::Everything, &Unwatched)
        .unwrap()
}

/// Pauses once before each of some steps, and before decoding.
#[derive(Default)]
struct PausingAt {
    /// The last thing told: the stage, and how many of its steps are done.
    at: AtomicUsize,
    /// How often it was asked since.
    rests: AtomicUsize,
    pauses: AtomicUsize,
    /// Nobody wants the take any more once it pauses.
    gives_up: bool,
}

impl Watch for PausingAt {
    fn progress(&self, stage: Stage, step: usize, _of: usize) {
        if stage == Stage::Sample && self.at.swap(step, Ordering::Relaxed) != step {
            self.rests.store(0, Ordering::Relaxed);
        }
    }

    fn pauses(&self) -> bool {
        // Two looks at each step, then on.
        self.rests.load(Ordering::Relaxed) < 2
    }

    fn rest_paused(&self, stage: Stage, step: usize, of: usize) {
        let expected = if stage == Stage::Sample { 4 } else { 2 };
        assert_eq!(of, expected);
        assert!(stage == Stage::Decode || step == self.at.load(Ordering::Relaxed));
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.rests.fetch_add(1, Ordering::Relaxed);
    }

    fn go_on(&self) -> bool {
        !(self.gives_up && self.pauses.load(Ordering::Relaxed) > 0)
    }
}

#[test]
fn a_take_that_is_paused_before_each_step_has_the_bits_of_one_that_is_not() {
    for &solver in Solver::ALL {
        let request = request(solver);
        let mut pipeline = open();
        let mut expected = Frames::default();
        pipeline.make(&request, TakeInputs::default(), &mut expected, &Unwatched).unwrap();
        let (mut frames, watch) = (Frames::default(), PausingAt::default());
        pipeline.make(&request, TakeInputs::default(), &mut frames, &watch).unwrap();
        // Before four steps and decoding.
        assert_eq!(watch.pauses.load(Ordering::Relaxed), 10, "{solver}");
        assert!(frames == expected, "{solver}");
    }
}

#[test]
fn a_paused_take_can_be_given_up() {
    let (mut pipeline, watch) = (open(), PausingAt { gives_up: true, ..PausingAt::default() });
    let request = request(Solver::UniPc);
    let made = pipeline.make(&request, TakeInputs::default(), &mut Frames::default(), &watch);
    assert!(matches!(made, Err(Error::Cancelled(Stage::Sample))), "{made:?}");
    assert!(!pipeline.is_loaded());
}

/// Bytes that the machine of the test says are free.
static FREE: AtomicU64 = AtomicU64::new(PLENTY);
const PLENTY: u64 = 8_000_000_000;

fn host() -> Option<HostMemory> {
    Some(HostMemory { free: FREE.load(Ordering::Relaxed), total: PLENTY, own: 0 })
}

/// Somebody takes the memory during the second step, and gives it back a while later.
#[derive(Default)]
struct Neighbor {
    rests: AtomicUsize,
}

impl Watch for Neighbor {
    fn progress(&self, stage: Stage, step: usize, _of: usize) {
        if (stage, step) == (Stage::Sample, 2) && self.rests.load(Ordering::Relaxed) == 0 {
            FREE.store(0, Ordering::Relaxed);
        }
    }

    fn rest_paused(&self, stage: Stage, step: usize, _of: usize) {
        assert_eq!((stage, step), (Stage::Sample, 2));
        if self.rests.fetch_add(1, Ordering::Relaxed) == 2 {
            FREE.store(PLENTY, Ordering::Relaxed);
        }
    }
}

#[test]
fn memory_that_others_take_between_two_steps_is_given_to_them_until_there_is_room() {
    let request = request(Solver::UniPc);
    let mut pipeline = open();
    let mut expected = Frames::default();
    pipeline.make(&request, TakeInputs::default(), &mut expected, &Unwatched).unwrap();
    let cap_by = CapSource::Variable;
    pipeline.limit_memory(MemoryLimits { cap: None, cap_by, headroom: None, host, folder: None });
    let (mut frames, watch) = (Frames::default(), Neighbor::default());
    pipeline.make(&request, TakeInputs::default(), &mut frames, &watch).unwrap();
    assert_eq!(watch.rests.load(Ordering::Relaxed), 3);
    assert!(frames == expected);
}

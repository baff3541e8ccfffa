//! How long drawing a take's frame takes, beside copying a whole image of 1920 × 1080 in single
//! precision: `cargo run --release -p wan-alpha-ofx --example draw_take [ROUNDS]`, one line of JSON,
//! seconds of both sides, round by round. Cases in tiles are of 256 pixels.
//!
//! One thread. Both sides take turns in one process, so that what the machine does meanwhile meets
//! both alike; each round draws another frame and copies another image, of more than a processor's
//! own cache holds; both write to the same memory.
//!
//! The first frame after a scrub is measured by the clock, from the wish for a frame that was not read
//! before to the image of the host: read from a take in the system's page cache, compared with its
//! checksum, fitted.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use half::f16;
use serde_json::json;
use wan_alpha_ofx::picture::{
    Depth, Drawn, Fit, FrameContent, OutputFormat, OutputFrame, PixelCanvas, Source, Transfer,
    View, Window, draw,
};
use wan_alpha_take::models::Defaults;
use wan_alpha_take::store::{Description, Store};
use wan_alpha_take::{Ellipse, Fingerprint, Precision, RequestDraft, frames};

const ROUNDS: usize = 200;
const WIDTH: i32 = 1920;
const HEIGHT: i32 = 1080;
/// Different images to copy, and frames to draw, per round.
const DIFFERENT: usize = 6;
const TILE: i32 = 256;
/// Frames of the take that is scrubbed: twice as many as the store keeps.
const FRAMES: u32 = 81;

type Failure = Box<dyn std::error::Error>;

struct Case {
    name: &'static str,
    size: [u32; 2],
    fit: Fit,
    transfer: Transfer,
}

const LARGE: [u32; 2] = [1920, 1072];
const USUAL: [u32; 2] = [832, 480];

const CASES: [Case; 6] = [
    case("one_to_one_large", LARGE, Fit::PixelForPixel, Transfer::AsGenerated),
    case("one_to_one", USUAL, Fit::PixelForPixel, Transfer::AsGenerated),
    case("one_to_one_large_linear", LARGE, Fit::PixelForPixel, Transfer::LinearRec709),
    case("fit", USUAL, Fit::Whole, Transfer::AsGenerated),
    case("fit_linear", USUAL, Fit::Whole, Transfer::LinearRec709),
    case("fit_acescg", USUAL, Fit::Whole, Transfer::AcesCg),
];

const fn case(name: &'static str, size: [u32; 2], fit: Fit, transfer: Transfer) -> Case {
    Case { name, size, fit, transfer }
}

/// A window of an image in memory.
struct Tile<'a> {
    image: &'a mut [f32],
    window: Window,
}

impl PixelCanvas for Tile<'_> {
    fn window(&self) -> Window {
        self.window
    }

    fn depth(&self) -> Depth {
        Depth::Float
    }

    fn row(&mut self, y: i32) -> &mut [u8] {
        let [from, to] = [self.window.x1, self.window.x2].map(|x| ((y * WIDTH + x) * 4) as usize);
        bytemuck::cast_slice_mut(&mut self.image[from..to])
    }
}

fn main() -> Result<(), Failure> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let values = (WIDTH * HEIGHT * 4) as usize;
    let images: Vec<Vec<f32>> = (0..DIFFERENT).map(|n| vec![n as f32; values]).collect();
    let mut target = vec![0.0_f32; values];
    let mut pairs: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
    for case in &CASES {
        let frames: Vec<Vec<f16>> =
            (0..DIFFERENT as u32).map(|seed| frame(case.size, seed)).collect();
        // The first round is not counted.
        for round in 0..=rounds {
            let (frame, image) = (&frames[round % DIFFERENT], &images[round % DIFFERENT]);
            let copied = seconds(|| target.copy_from_slice(black_box(image)));
            black_box(&target);
            let whole = seconds(|| draw_tiles(case, frame, &mut target, WIDTH.max(HEIGHT)));
            let tiled = seconds(|| draw_tiles(case, frame, &mut target, TILE));
            if round > 0 {
                pairs.entry(case.name.to_owned()).or_default().push([whole, copied]);
                pairs.entry(format!("{}_tiles", case.name)).or_default().push([tiled, copied]);
            }
        }
    }
    let seconds = json!({ "first_frame_after_a_scrub": scrubbed(rounds, &mut target)? });
    let shape = [HEIGHT, WIDTH, 4];
    println!("{}", json!({ "shape": shape, "seconds_ours_and_other": pairs, "seconds": seconds }));
    Ok(())
}

/// Seconds from the wish for a frame that nobody has read to the host's image.
fn scrubbed(rounds: usize, image: &mut [f32]) -> Result<Vec<f64>, Failure> {
    let folder = tempfile::tempdir()?;
    let store = Store::new([folder.path().to_owned()]);
    let latent = frames::latent_frames(FRAMES)?;
    let draft = RequestDraft {
        frames: Some(FRAMES),
        width: Some(USUAL[0]),
        height: Some(USUAL[1]),
        ellipse: vec![Ellipse::default(); latent],
        mu: vec![0.05; latent],
        steps: Some(4),
        guidance: Some(1.0),
        precision: Some(Precision::F32),
        model_fingerprint: Some(Fingerprint([1; 32])),
        ..RequestDraft::new("none".to_owned(), "Smoke.".to_owned())
    };
    let mut writer =
        store.create(Description::new(&draft.complete(&Defaults::default())?, "cpu")?)?;
    for seed in 0..FRAMES {
        writer.frame(&frame(USUAL, seed))?;
    }
    let take = writer.publish()?.take;
    let case = case("", USUAL, Fit::Whole, Transfer::AsGenerated);
    let mut all = Vec::with_capacity(rounds);
    // 37 and 81 have no common divisor: whatever is kept of 40 frames is none of the next.
    for round in 0..=u32::try_from(rounds)? {
        let begun = Instant::now();
        let frame = take.frame((round * 37 + 11) % FRAMES)?;
        draw_tiles(&case, &frame, image, WIDTH.max(HEIGHT));
        if round > 0 {
            all.push(begun.elapsed().as_secs_f64());
        }
    }
    Ok(all)
}

fn draw_tiles(case: &Case, frame: &[f16], image: &mut [f32], side: i32) {
    let output_frame = OutputFrame {
        region: [0.0, 0.0, WIDTH.into(), HEIGHT.into()],
        pixel_aspect: 1.0,
        scale: [1.0, 1.0],
    };
    let content = FrameContent {
        output_frame,
        fit: case.fit,
        take: Source::new(frame, case.size),
        view: View::Rgba,
        backdrop: None,
        annotation: None,
    };
    let format = OutputFormat { transfer: case.transfer, straight: false };
    for y1 in (0..HEIGHT).step_by(side as usize) {
        for x1 in (0..WIDTH).step_by(side as usize) {
            let window = Window { x1, y1, x2: (x1 + side).min(WIDTH), y2: (y1 + side).min(HEIGHT) };
            let drawn = draw(&mut Tile { image, window }, &content, format, &|| true);
            assert_eq!(drawn, Drawn::Whole);
        }
    }
    black_box(image);
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = now();
    work();
    now() - start
}

/// Of the processor, spent on this thread: what other programs do meanwhile does not count.
#[cfg(unix)]
fn now() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

#[cfg(not(unix))]
fn now() -> f64 {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// A soft disc on nothing, with grain all over.
fn frame([width, height]: [u32; 2], seed: u32) -> Vec<f16> {
    let mut noise = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut grain = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        f32::from((noise >> 16) as u16) / 65535.0
    };
    let mut values = Vec::with_capacity((width * height * 4) as usize);
    for y in 0..height {
        for x in 0..width {
            let across = (x as f32 + 0.5) / width as f32 - 0.5;
            let down = (y as f32 + 0.5) / height as f32 - 0.5;
            let alpha = (1.5 - 4.0 * across.hypot(down)).clamp(0.0, 1.0);
            let rgba = [grain(), grain(), grain(), alpha];
            values.extend(rgba.map(f16::from_f32));
        }
    }
    values
}

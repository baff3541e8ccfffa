//! How fast 81 frames of the released size are read, beside OpenImageIO's reader for Python. By hand,
//! where a Python with OpenImageIO 3.2 is:
//!
//! `PYTHON=v/bin/python cargo test --release -p wan-alpha --bin wan-alpha media::speed -- --ignored --nocapture`

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use wan_alpha_take::frame::Frame;

use super::reading::PictureReading;
use super::rgba::RgbaSequence;
use super::sample::provenance;
use super::{exr, png};

const FRAMES: usize = 81;
const SIZE: [usize; 2] = [832, 480];
/// By so much longer than OpenImageIO it may take.
const MOST: f64 = 1.2;
/// Each reads all frames so often, in turn, and the fastest counts: others are at work too.
const ROUNDS: usize = 5;

const PYTHON: &str = "
import sys, time, OpenImageIO as oiio
begun = time.perf_counter()
for name in sys.argv[1:]:
    file = oiio.ImageInput.open(name)
    file.read_image('float')
    file.close()
print(time.perf_counter() - begun)
";

/// A ball with a grain on its way, transparent around, as takes mostly are.
fn ball(index: usize) -> Vec<f32> {
    let mut rgba = Vec::with_capacity(SIZE[0] * SIZE[1] * 4);
    for place in 0..SIZE[0] * SIZE[1] {
        let (x, y) = ((place % SIZE[0]) as f32, (place / SIZE[0]) as f32);
        let (across, down) = (x - 300.0 - 3.0 * index as f32, y - 240.0);
        let alpha = ((200.0 - across.hypot(down)) / 12.0).clamp(0.0, 1.0);
        let grain = ((place * 7919 + index * 104_729) % 61) as f32 / 3000.0;
        rgba.extend([0.3 + x / 1500.0 + grain, 0.2 + y / 900.0 + grain, 0.4 + grain, alpha]);
    }
    rgba
}

fn ours(folder: &Path) -> f64 {
    let begun = Instant::now();
    let mut clip = RgbaSequence::find(&[folder.to_owned()], &PictureReading::default()).unwrap();
    for _ in 0..FRAMES {
        assert_eq!(clip.read_next().unwrap().len(), SIZE[0] * SIZE[1] * 4);
    }
    begun.elapsed().as_secs_f64()
}

fn theirs(python: &str, folder: &Path) -> f64 {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let output = Command::new(python).args(["-c", PYTHON]).args(files).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs a Python with OpenImageIO"]
fn frames_are_read_about_as_fast_as_openimageio_does() {
    let python = std::env::var("PYTHON").expect("PYTHON names a Python with OpenImageIO");
    let room = tempfile::tempdir().unwrap();
    let folders = ["png", "exr"].map(|kind| room.path().join(kind));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    for index in 0..FRAMES {
        let rgba = ball(index);
        let frame = Frame { index, width: SIZE[0], height: SIZE[1], rgba: &rgba };
        let files = [
            png::encode(&frame, png::PngSettings::SIXTEEN_BITS, &provenance()),
            exr::encode(&frame, &exr::ExrSettings::default(), &provenance()),
        ];
        for ((folder, bytes), kind) in folders.iter().zip(files).zip(["png", "exr"]) {
            std::fs::write(folder.join(format!("f.{index:04}.{kind}")), bytes.unwrap()).unwrap();
        }
    }
    for (folder, kind) in folders.iter().zip(["16-bit PNG", "half EXR"]) {
        let mut least = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            least[0] = least[0].min(ours(folder));
            least[1] = least[1].min(theirs(&python, folder));
        }
        let [ours, theirs] = least;
        println!("{kind}: {ours:.2} s, OpenImageIO {theirs:.2} s: {:.2} times", ours / theirs);
        assert!(ours <= MOST * theirs, "{kind}: {ours} s, OpenImageIO {theirs} s");
    }
}

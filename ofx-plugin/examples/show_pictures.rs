//! What the node draws, as files to be looked at: `cargo run -p wan-alpha-ofx --example
//! show_pictures [FOLDER]`, by default `target/pictures`. Over a chequerboard, so that what is
//! transparent shows.

use std::path::{Path, PathBuf};

use half::f16;
use image::{Rgb, RgbImage};
use wan_alpha_ofx::picture::{
    Annotation, Depth, Drawn, Fit, FrameContent, OutputFormat, OutputFrame, PixelCanvas, Source,
    Tone, Transfer, View, Window, draw,
};

type Failure = Box<dyn std::error::Error>;

const SIZE: [u32; 2] = [832, 480];

struct Image {
    bytes: Vec<u8>,
    window: Window,
}

impl PixelCanvas for Image {
    fn window(&self) -> Window {
        self.window
    }

    fn depth(&self) -> Depth {
        Depth::Byte
    }

    fn row(&mut self, y: i32) -> &mut [u8] {
        let bytes = self.window.width() * Depth::Byte.pixel_bytes();
        let at = (y - self.window.y1) as usize * bytes;
        &mut self.bytes[at..at + bytes]
    }
}

fn main() -> Result<(), Failure> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "target/pictures".into(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let frame = disc();
    let take = Source::new(&frame, SIZE);
    let words = [
        "Not generated yet",
        "Type a prompt, draw the ellipse and press Generate.",
        "832 \u{d7} 480, 81 frames, seed 1",
    ];
    let placeholder = Annotation::Placeholder { tone: Tone::Idle, lines: &words, size: Some(SIZE) };
    let failure = [
        "The engine could not make this take",
        "Out of memory on the GPU: 28.1 GB are needed, 23.6 GB are free. Choose a smaller \
         resolution or close other programs.",
        "Log: /var/log/wan-alpha/engine.log",
    ];
    let failed = Annotation::Placeholder { tone: Tone::Failed, lines: &failure, size: Some(SIZE) };
    let badge =
        Annotation::Badge { tone: Tone::Working, text: "Previous take: a new one is being made" };
    let reason = Annotation::Badge {
        tone: Tone::Failed,
        text: "Previous take. The new one failed: out of memory on the GPU, choose a smaller \
               resolution or close other programs",
    };
    let pictures = [
        ("fit-1920x1080", [1920, 1080], Fit::Whole, take, None),
        ("fill-1920x1080", [1920, 1080], Fit::Fill, take, None),
        ("one-to-one-1920x1080", [1920, 1080], Fit::PixelForPixel, take, None),
        ("reduced-333x192", [333, 192], Fit::Whole, take, None),
        ("placeholder-4096x2160", [4096, 2160], Fit::Whole, None, Some(placeholder)),
        ("placeholder-1920x1080", [1920, 1080], Fit::Whole, None, Some(placeholder)),
        ("placeholder-640x360", [640, 360], Fit::Whole, None, Some(placeholder)),
        ("placeholder-128x128", [128, 128], Fit::Whole, None, Some(placeholder)),
        ("placeholder-64x64", [64, 64], Fit::Whole, None, Some(placeholder)),
        ("failed-1920x1080", [1920, 1080], Fit::Whole, None, Some(failed)),
        ("failed-480x832", [480, 832], Fit::Whole, None, Some(failed)),
        ("corner-1920x1080", [1920, 1080], Fit::Whole, take, Some(badge)),
        ("corner-960x540", [960, 540], Fit::Whole, take, Some(badge)),
        ("reason-640x360", [640, 360], Fit::Whole, take, Some(reason)),
    ];
    for (name, size, fit, take, annotation) in pictures {
        let image = drawn(size, fit, take, annotation);
        save(&image, &folder.join(name).with_extension("png"))?;
    }
    println!("{}", folder.display());
    Ok(())
}

/// A picture of a size, drawn whole.
fn drawn(
    [width, height]: [i32; 2],
    fit: Fit,
    take: Option<Source<'_>>,
    annotation: Option<Annotation<'_>>,
) -> Image {
    let window = Window { x1: 0, y1: 0, x2: width, y2: height };
    let bytes = vec![0; window.width() * window.height() * Depth::Byte.pixel_bytes()];
    let mut image = Image { bytes, window };
    let region = [0.0, 0.0, width.into(), height.into()];
    let output_frame = OutputFrame { region, pixel_aspect: 1.0, scale: [1.0, 1.0] };
    let content =
        FrameContent { output_frame, fit, take, view: View::Rgba, backdrop: None, annotation };
    let format = OutputFormat { transfer: Transfer::AsGenerated, straight: false };
    assert_eq!(draw(&mut image, &content, format, &|| true), Drawn::Whole);
    image
}

fn save(image: &Image, path: &Path) -> Result<(), Failure> {
    let (width, height) = (image.window.width() as u32, image.window.height() as u32);
    RgbImage::from_fn(width, height, |x, y| {
        let at = ((height - 1 - y) * width + x) as usize * 4;
        let alpha = f32::from(image.bytes[at + 3]) / 255.0;
        let board = if (x / 16 + y / 16) % 2 == 0 { 96.0 } else { 128.0 };
        Rgb([0, 1, 2].map(|channel| {
            (f32::from(image.bytes[at + channel]) + board * (1.0 - alpha)).round() as u8
        }))
    })
    .save(path)?;
    Ok(())
}

/// A soft disc, brighter towards the upper left, with a hard triangle; garbage around them.
fn disc() -> Vec<f16> {
    let [width, height] = SIZE;
    let mut values = Vec::with_capacity((width * height * 4) as usize);
    for y in 0..height {
        for x in 0..width {
            let (across, down) = (x as f32 + 0.5 - 420.0, y as f32 + 0.5 - 240.0);
            let disc = ((180.0 - across.hypot(down)) / 24.0).clamp(0.0, 1.0);
            let triangle = (40..140).contains(&x) && y > 40 && y < x;
            let light = (0.75 - (across + down) / 900.0).clamp(0.0, 1.0);
            let rgba = match (triangle, disc > 0.0) {
                (true, _) => [0.2, 0.5, 0.95, 1.0],
                (_, true) => [0.95 * light, 0.45 * light, 0.2 * light, disc],
                _ => [0.0, 1e4, f32::NAN, 0.0],
            };
            values.extend(rgba.map(f16::from_f32));
        }
    }
    values
}

//! Frames on disk: EXR as the host got them (half float, linear, premultiplied), PNG as most
//! programs want them (16 bits, display values, straight), and the contact sheet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Layer, LayerAttributes, WritableImage,
};
use half::f16;
use image::{ImageBuffer, Rgb, Rgba};
use serde::Serialize;
use wan_alpha_take::color::{straight_16, to_display};
use wan_alpha_take::frame::Frame;
use wan_alpha_test_host::Image;

use crate::contact_sheet::{self, ContactSheet};

/// What was written, for whoever started this.
#[derive(Serialize)]
pub(crate) struct Written {
    pub(crate) frames: u32,
    width: usize,
    height: usize,
    exr: Vec<PathBuf>,
    png: Vec<PathBuf>,
    contact_sheet: PathBuf,
    take: String,
    /// What the status said on the way.
    heard: Vec<String>,
    /// From the press to the take.
    seconds: f64,
}

/// A folder that frames go into.
pub(crate) struct Files {
    folder: PathBuf,
    frames: usize,
    size: Option<(usize, usize)>,
    sheet: Option<ContactSheet>,
    exr: Vec<PathBuf>,
    png: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn new(folder: &Path, frames: usize) -> Result<Self> {
        for name in ["exr", "png"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let folder = folder.to_owned();
        Ok(Self { folder, frames, size: None, sheet: None, exr: Vec::new(), png: Vec::new() })
    }

    /// Writes a frame in both formats and shows it to the sheet.
    pub(crate) fn write(&mut self, index: u32, image: &Image) -> Result<()> {
        let (width, height) = (image.width(), image.height());
        let size = *self.size.get_or_insert((width, height));
        ensure!(
            size == (width, height),
            "frame {index} is {width}x{height}, the first was {size:?}"
        );
        let rows = top_down(image);
        let exr = self.folder.join(format!("exr/demo.{index:04}.exr"));
        write_exr(&exr, (width, height), &rows)?;
        self.exr.push(exr);

        let straight: Vec<f32> = rows.iter().copied().flat_map(straightened).collect();
        let frame = Frame { index: index as usize, width, height, rgba: &straight };
        frame.check()?;
        let png = self.folder.join(format!("png/demo.{index:04}.png"));
        let samples: Vec<u16> = frame.pixels().iter().copied().flat_map(straight_16).collect();
        let picture: ImageBuffer<Rgba<u16>, _> =
            ImageBuffer::from_raw(width as u32, height as u32, samples)
                .context("a frame has another number of pixels than it should")?;
        picture.save(&png).with_context(|| format!("{} cannot be written", png.display()))?;
        self.png.push(png);
        let frames = self.frames;
        self.sheet.get_or_insert_with(|| ContactSheet::new(frames, width, height)).offer(&frame);
        Ok(())
    }

    /// Draws the contact sheet. What was written in all.
    pub(crate) fn finish(
        self,
        take: String,
        heard: Vec<String>,
        waited: Duration,
    ) -> Result<Written> {
        let (sheet, (width, height)) =
            self.sheet.zip(self.size).context("no frame was rendered")?;
        let contact_sheet = self.folder.join(contact_sheet::FILE_NAME);
        let (across, down, rgb) = sheet.draw();
        let drawn: ImageBuffer<Rgb<u8>, _> = ImageBuffer::from_raw(across as u32, down as u32, rgb)
            .context("the contact sheet has another number of pixels than it should")?;
        drawn
            .save(&contact_sheet)
            .with_context(|| format!("{} cannot be written", contact_sheet.display()))?;
        Ok(Written {
            frames: self.exr.len() as u32,
            width,
            height,
            exr: self.exr,
            png: self.png,
            contact_sheet,
            take,
            heard,
            seconds: waited.as_secs_f64(),
        })
    }
}

/// Pixels row by row from the top; hosts count from the bottom.
fn top_down(image: &Image) -> Vec<[f32; 4]> {
    let pixels: Vec<_> = image.pixels().collect();
    let rows = pixels.chunks_exact(image.width().max(1)).rev();
    rows.flatten().copied().collect()
}

/// From linear and premultiplied to display values and straight.
fn straightened([r, g, b, a]: [f32; 4]) -> [f32; 4] {
    if a <= 0.0 {
        return [0.0; 4];
    }
    let [r, g, b] = [r, g, b].map(|value| to_display(value / a));
    [r, g, b, a]
}

fn write_exr(path: &Path, size: (usize, usize), rows: &[[f32; 4]]) -> Result<()> {
    // They come from half float, so nothing is lost.
    let plane = |n: usize| rows.iter().map(|pixel| f16::from_f32(pixel[n])).collect();
    let channels = (0..)
        .zip(["R", "G", "B", "A"])
        .map(|(n, name)| AnyChannel::new(name, FlatSamples::F16(plane(n))))
        .collect();
    let attributes = LayerAttributes::default();
    let channels = AnyChannels::sort(channels);
    let layer = Layer::new(size, attributes, Encoding::SMALL_LOSSLESS, channels);
    exr::prelude::Image::from_layer(layer)
        .write()
        .non_parallel()
        .to_file(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_premultiplied_is_straight_again() {
        for display in [0.0, 0.02, 0.5, 1.0] {
            for alpha in [1e-3, 0.25, 1.0] {
                let linear =
                    wan_alpha_take::color::linear_premultiplied([display, 0.25, 1.0, alpha]);
                let [r, g, b, a] = straightened(linear);
                let worst = [(r, display), (g, 0.25), (b, 1.0), (a, alpha)];
                assert!(worst.iter().all(|(found, wanted)| (found - wanted).abs() < 1e-5));
            }
        }
        assert_eq!(straightened([0.0; 4]), [0.0; 4]);
    }
}

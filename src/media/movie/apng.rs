//! Animated PNG, written without ffmpeg: whole frames in 8 bits, straight, sRGB.

use std::fs::File;
use std::io::BufWriter;

use anyhow::{Context, Result};
use png::{
    BitDepth, BlendOp, ColorType, Compression, DisposeOp, Encoder, SrgbRenderingIntent, Writer,
};
use wan_alpha_take::frame::Frame;

use super::MovieShape;
use crate::media::png::{PngSettings, PngTag, samples, say};
use crate::media::provenance::Provenance;

/// A file being written.
pub(super) struct Apng {
    writer: Writer<BufWriter<File>>,
}

/// As the web shows it.
const EIGHT_BITS: PngSettings = PngSettings { is_8_bit: true, color: PngTag::Srgb };

impl Apng {
    pub(super) fn begin(file: File, shape: &MovieShape, provenance: &Provenance) -> Result<Self> {
        let MovieShape { width, height, frames, .. } = *shape;
        let size = [u32::try_from(width)?, u32::try_from(height)?];
        let mut encoder = Encoder::new(BufWriter::new(file), size[0], size[1]);
        encoder.set_color(ColorType::Rgba);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(Compression::Balanced);
        encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
        // Played for ever.
        encoder.set_animated(u32::try_from(frames)?, 0)?;
        encoder.set_frame_delay(1, u16::try_from(provenance.frame_rate)?)?;
        encoder.set_blend_op(BlendOp::Source)?;
        encoder.set_dispose_op(DisposeOp::None)?;
        say(&mut encoder, provenance)?;
        Ok(Self { writer: encoder.write_header()? })
    }

    pub(super) fn frame(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.writer.write_image_data(&samples(frame, EIGHT_BITS)).context("it cannot be written")
    }

    pub(super) fn finish(self) -> Result<()> {
        self.writer.finish().context("it cannot be written")
    }
}

//! From a latent to frames, each handed on as soon as it is decoded.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use wan_alpha_take::frame::Frame;

use super::chunk_spool::ChunkSpool;
use super::{FrameSink, emit};
use crate::vae::{
    DecodedFrames, DecodedPart, FRAMES_PER_LATENT, FeatureCache, Film, LatentDecoder, RgbaDecoder,
    Tile, tiles,
};
use crate::weights::Decoders;
use crate::{Error, Result, Stage, Watch};

/// Decodes a normalized latent `[16, t, h, w]` of whatever origin and hands every frame to `sink`
/// as soon as it is there. [`super::Pipeline::decode`] does so for a whole model.
///
/// # Errors
/// As [`super::Pipeline::decode`].
pub fn decode(
    decoders: &Decoders,
    device: crate::device::Device,
    latent: &Tensor,
    sink: &mut dyn FrameSink,
    watch: &dyn Watch,
) -> Result<()> {
    let way = DecodeWay { kind: Kind::Float, together: true, tiled: false, folder: None };
    decode_by(decoders, device, latent, &way, sink, watch)
}

/// How [`decode_by`] decodes: in which order, precision and pieces.
#[derive(Clone, Debug)]
pub struct DecodeWay {
    /// What the decoders compute in.
    pub kind: Kind,
    /// Both decoders go through the film together, where it is not tiled; else one after the other.
    pub together: bool,
    /// Frames are cut into tiles that overlap.
    pub tiled: bool,
    /// Where a file without a name may be made of what waits; else it waits in memory.
    pub folder: Option<PathBuf>,
}

/// As [`decode`], in one of the ways in which that may be done.
///
/// # Errors
/// As [`super::Pipeline::decode`].
pub fn decode_by(
    decoders: &Decoders,
    device: crate::device::Device,
    latent: &Tensor,
    way: &DecodeWay,
    sink: &mut dyn FrameSink,
    watch: &dyn Watch,
) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let DecodeWay { kind, together, tiled, ref folder } = *way;
    let decoded = if together && !tiled {
        let decoder = RgbaDecoder::load_in(kind, decoders, device, watch)
            .map_err(|error| error.during(Stage::Load))?;
        decode_together(&decoder, latent, sink, watch)
    } else {
        let folder = folder.as_deref();
        InTurn { decoders, kind, device, tiled, folder }.decode(latent, sink, watch)
    };
    decoded.map_err(|error| error.during(Stage::Decode))
}

/// Decodes latent frame by latent frame and hands every frame on at once.
pub(super) fn decode_together(
    decoder: &RgbaDecoder,
    latent: &Tensor,
    sink: &mut dyn FrameSink,
    watch: &dyn Watch,
) -> Result<()> {
    let latent_frames = latent.size()[1];
    let mut film = Film::default();
    let mut handing = HandingOn::new(sink);
    watch.progress(Stage::Decode, 0, latent_frames as usize);
    for k in 0..latent_frames {
        let decoded = decoder.decode(&latent.f_narrow(1, k, 1)?, &mut film, watch)?;
        handing.take(decoded, watch)?;
        watch.progress(Stage::Decode, k as usize + 1, latent_frames as usize);
    }
    handing.end()
}

/// What decodes a film by one decoder after the other, and where color waits meanwhile.
struct InTurn<'a> {
    decoders: &'a Decoders,
    /// What the decoders compute in.
    kind: Kind,
    device: crate::device::Device,
    /// Frames are cut into tiles.
    tiled: bool,
    /// Where a file may be made that has no name.
    folder: Option<&'a Path>,
}

impl InTurn<'_> {
    /// Decodes color whole, then alpha, and hands the frames on: at once where they are not made of
    /// tiles.
    fn decode(&self, latent: &Tensor, sink: &mut dyn FrameSink, watch: &dyn Watch) -> Result<()> {
        let frames = latent.size()[1];
        let mut done = 0;
        let mut told = |watch: &dyn Watch| {
            watch.progress(Stage::Decode, done, self.steps(latent));
            done += 1;
        };
        told(watch);
        let mut color = ChunkSpool::new(self.folder)?;
        let load = |part| {
            LatentDecoder::load(self.decoders, part, self.kind, self.device, watch)
                .map_err(|error| error.during(Stage::Load))
        };
        let decoder = load(DecodedPart::Color)?;
        if self.tiled {
            self.by_tiles(&decoder, latent, &mut color, watch, &mut told)?;
        } else {
            let mut cache = FeatureCache::default();
            for k in 0..frames {
                color.push(&decoder.decode(&latent.f_narrow(1, k, 1)?, &mut cache, watch)?)?;
                told(watch);
            }
        }
        drop(decoder);
        let decoder = load(DecodedPart::Alpha)?;
        let mut handing = HandingOn::new(sink);
        if self.tiled {
            let mut alpha = ChunkSpool::new(self.folder)?;
            self.by_tiles(&decoder, latent, &mut alpha, watch, &mut told)?;
            for k in 0..alpha.len() {
                handing
                    .take(DecodedFrames { color: color.get(k)?, alpha: alpha.get(k)? }, watch)?;
            }
        } else {
            let mut cache = FeatureCache::default();
            for k in 0..frames {
                let alpha = decoder.decode(&latent.f_narrow(1, k, 1)?, &mut cache, watch)?;
                let color = color.get(k as usize)?.f_to_device(alpha.device())?;
                handing.take(DecodedFrames { color, alpha }, watch)?;
                told(watch);
            }
        }
        handing.end()
    }

    /// Of what progress is told in.
    fn steps(&self, latent: &Tensor) -> usize {
        let [frames, height, width] = [1, 2, 3].map(|axis| latent.size()[axis]);
        let passes = if self.tiled { tiles(width, height).len() } else { 1 };
        2 * frames as usize * passes
    }

    /// The middle of all frames as they are, then tile by tile all frames: what a tile remembers is gone
    /// with it.
    fn by_tiles(
        &self,
        decoder: &LatentDecoder,
        latent: &Tensor,
        film: &mut ChunkSpool,
        watch: &dyn Watch,
        told: &mut dyn FnMut(&dyn Watch),
    ) -> Result<()> {
        let [frames, height, width] = [1, 2, 3].map(|axis| latent.size()[axis]);
        let mut middle = ChunkSpool::new(self.folder)?;
        let mut cache = FeatureCache::default();
        for k in 0..frames {
            let chunk = decoder.middle(&latent.f_narrow(1, k, 1)?, &mut cache, watch)?;
            middle.push(&chunk)?;
            let count = if k == 0 { 1 } else { FRAMES_PER_LATENT };
            let size = [count, 8 * height, 8 * width, 3];
            film.push(&Tensor::f_zeros(size, (Kind::Float, Device::Cpu))?)?;
        }
        drop(cache);
        for tile in tiles(width, height) {
            let mut cache = FeatureCache::default();
            let weights = tile.weights(self.device.tch())?;
            for k in 0..frames as usize {
                let part = decoder.rest(part_of(&middle, k, &tile)?, &tile, &mut cache, watch)?;
                let part = part.f_mul(&weights)?;
                film.add(k, tile.first_pixel(), &part)?;
                told(watch);
            }
        }
        Ok(())
    }
}

/// The places of a tile in the middle of latent frame `k`, and no more.
fn part_of(middle: &ChunkSpool, k: usize, tile: &Tile) -> Result<Tensor> {
    let ([row, rows], [column, columns]) = (tile.down.cells(), tile.across.cells());
    let chunk = middle.get(k)?;
    Ok(chunk.f_narrow(2, row, rows)?.f_narrow(3, column, columns)?.f_contiguous()?)
}

/// Frames on their way to a sink.
struct HandingOn<'a> {
    sink: &'a mut dyn FrameSink,
    kept: Kept,
    index: usize,
}

impl<'a> HandingOn<'a> {
    fn new(sink: &'a mut dyn FrameSink) -> Self {
        Self { sink, kept: Kept::default(), index: 0 }
    }

    fn take(&mut self, decoded: DecodedFrames, watch: &dyn Watch) -> Result<()> {
        let rgba = decoded.rgba()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        // From here on it is the receiver, and its disk, that is waited for.
        watch.waits_for_others(true);
        let handed_on = hand_on(&rgba, &mut self.index, self.sink);
        watch.waits_for_others(false);
        handed_on?;
        if self.sink.wants_tensors() {
            self.kept.keep(&decoded, rgba)?;
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.kept.emit(self.sink)
    }
}

/// `rgba`: `[t, h, w, 4]`, on the CPU.
fn hand_on(rgba: &Tensor, index: &mut usize, sink: &mut dyn FrameSink) -> Result<()> {
    let &[frames, height, width, channels] = &rgba.size()[..] else {
        return Ok(());
    };
    let mut pixels = vec![0f32; (height * width * channels) as usize];
    for frame in 0..frames {
        rgba.f_get(frame)?.f_copy_data(&mut pixels, (height * width * channels) as usize)?;
        sink.frame(Frame {
            index: *index,
            width: width as usize,
            height: height as usize,
            rgba: &pixels,
        })
        .map_err(Error::Sink)?;
        *index += 1;
    }
    Ok(())
}

/// Decoded chunks kept for a sink that wants whole videos.
#[derive(Default)]
struct Kept {
    color: Vec<Tensor>,
    alpha: Vec<Tensor>,
    rgba: Vec<Tensor>,
}

impl Kept {
    fn keep(&mut self, decoded: &DecodedFrames, rgba: Tensor) -> Result<()> {
        self.color.push(decoded.color.f_to_device(Device::Cpu)?);
        self.alpha.push(decoded.alpha.f_to_device(Device::Cpu)?);
        self.rgba.push(rgba);
        Ok(())
    }

    fn emit(self, sink: &mut dyn FrameSink) -> Result<()> {
        for (name, chunks) in
            [("video.fgr", self.color), ("video.pha", self.alpha), ("video.rgba", self.rgba)]
        {
            if !chunks.is_empty() {
                // [t, h, w, c] → [c, t, h, w]
                emit(sink, name, &Tensor::f_cat(&chunks, 0)?.f_permute([3, 0, 1, 2])?)?;
            }
        }
        Ok(())
    }
}

//! From a latent to frames, each handed on as soon as it is decoded.

use tch::{Device, Tensor};
use wan_alpha_take::frame::Frame;

use super::{FrameSink, emit};
use crate::vae::{DecodedFrames, Film, RgbaDecoder};
use crate::{Error, Result, Stage, Watch};

/// Decodes latent frame by latent frame and hands every frame on at once.
pub(super) fn decode(
    decoder: &RgbaDecoder,
    latent: &Tensor,
    sink: &mut dyn FrameSink,
    watch: &dyn Watch,
) -> Result<()> {
    let latent_frames = latent.size()[1];
    let mut film = Film::default();
    let mut kept = Kept::default();
    let mut index = 0;
    watch.progress(Stage::Decode, 0, latent_frames as usize);
    for k in 0..latent_frames {
        let decoded = decoder.decode(&latent.f_narrow(1, k, 1)?, &mut film, watch)?;
        let rgba = decoded.rgba()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        // From here on it is the receiver, and its disk, that is waited for.
        watch.waits_for_others(true);
        let handed_on = hand_on(&rgba, &mut index, sink);
        watch.waits_for_others(false);
        handed_on?;
        if sink.wants_tensors() {
            kept.keep(&decoded, rgba)?;
        }
        watch.progress(Stage::Decode, k as usize + 1, latent_frames as usize);
    }
    kept.emit(sink)
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

//! What a latent looks like without decoding it: a linear map from its channels to RGBA, fitted to the
//! decoders, and the frame of an unfinished latent that it is shown of.

use tch::{Kind, Tensor};
use wan_alpha_take::models::LatentPreview;

use crate::device::Device;
use crate::encode::{ClipReader, ClipShape, encode_with};
use crate::generate::SinkError;
use crate::noise;
use crate::vae::{Corner, Film, LATENT_CHANNELS, RgbaDecoder, RgbaEncoder};
use crate::weights::{Decoders, EncoderFiles, is_finite};
use crate::{Error, Result, Stage, Watch};

/// The clips that a map is fitted to: small, and of two latent frames, of which the first stands for one
/// frame and the second for four.
pub const CLIP: ClipShape = ClipShape { frames: 5, width: 48, height: 48 };
/// Clips that the map is fitted to, and, behind them, those that it is judged by.
const FITTED: usize = 10;
const JUDGED: usize = 2;
/// Latent frames of a clip, and cells on a side of one.
const FRAMES: i64 = 2;
const CELLS: i64 = 6;
/// Pixels on a side of a cell.
const PIXELS: i64 = 8;
/// Pulls weights towards 0 where latents hardly tell them apart, as a part of a channel's variance.
const RIDGE: f64 = 1e-3;
/// Latents without a clip: sides of the coarse noise that they are enlarged from, since what is next to
/// each other is alike, and how much of them differs from cell to cell.
const PATCHES: i64 = 3;
const FINE: f64 = 0.3;

/// Where the latents come from that a map is fitted to.
pub enum LatentSource<'a> {
    /// Clips of the shape [`CLIP`], encoded: the pixels of the one of a number, straight and
    /// display-referred in [0, 1].
    Clips(&'a EncoderFiles, &'a dyn Fn(usize) -> Vec<f32>),
    /// Noise, smooth but for a little, of a model that cannot encode: it is less like a take.
    Noise,
}

/// Fits the map to what these decoders make of latents, the same each time: least squares over the means of
/// cells, colors multiplied by alpha, so that colors that nobody sees count for nothing. Decodes twelve
/// clips of 48 × 48 pixels and five frames, of which two only tell the error.
///
/// # Errors
/// The decoders or the encoder cannot be read or give numbers that are not finite, `watch` cancels, or
/// memory runs out.
pub fn fit(
    decoders: &Decoders,
    source: &LatentSource<'_>,
    device: Device,
    watch: &dyn Watch,
) -> Result<LatentPreview> {
    let _guard = tch::no_grad_guard();
    let load = |error: Error| error.during(Stage::Load);
    let decoder = RgbaDecoder::load(decoders, device, watch).map_err(load)?;
    let encoder = match source {
        LatentSource::Clips(files, _) => {
            Some(RgbaEncoder::load(files, Kind::Float, device, watch).map_err(load)?)
        }
        LatentSource::Noise => None,
    };
    let latent = |number: usize| match (source, &encoder) {
        (LatentSource::Clips(_, draw), Some(encoder)) => {
            encoded(encoder, number, draw(number), watch)
        }
        _ => noise_latent(device, number),
    };
    let seen = |numbers: std::ops::Range<usize>| -> Result<[Tensor; 2]> {
        let mut pairs = (Vec::new(), Vec::new());
        for number in numbers {
            let latent = latent(number)?;
            let [cells, pixels] =
                decoded(&decoder, &latent, watch).map_err(|error| error.during(Stage::Decode))?;
            pairs.0.push(cells);
            pairs.1.push(pixels);
        }
        Ok([Tensor::f_cat(&pairs.0, 0)?, Tensor::f_cat(&pairs.1, 0)?])
    };
    let [cells, pixels] = seen(0..FITTED)?;
    let weights = least_squares(&cells, &pixels)?;
    let [cells, pixels] = seen(FITTED..FITTED + JUDGED)?;
    judged(&weights, &cells, &pixels)
}

/// The map of these weights `[17, 4]`, with what it is off by on pairs that it was not fitted to.
fn judged(weights: &Tensor, cells: &Tensor, pixels: &Tensor) -> Result<LatentPreview> {
    let off = cells.f_matmul(weights)?.f_clamp(0.0, 1.0)?.f_sub(pixels)?.f_square()?;
    let off = Vec::<f64>::try_from(off.f_mean_dim(0i64, false, Kind::Double)?)?;
    let root = |squares: &[f64]| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt() as f32;
    let mut map =
        LatentPreview { rows: [[0.0; 17]; 4], off_by: [root(&off[..3]), root(&off[3..])] };
    for (channel, row) in map.rows.iter_mut().enumerate() {
        let column = weights.f_select(1, channel as i64)?.f_contiguous()?;
        let column = Vec::<f64>::try_from(column)?;
        row.iter_mut().zip(column).for_each(|(to, from)| *to = from as f32);
    }
    if map.is_finite() { Ok(map) } else { Err(not_finite()) }
}

/// The cells of the latent frame in the middle of a latent `[16, t, h, w]`, as
/// [`LatentPreview::picture`] takes them, and its width and height.
///
/// # Errors
/// Memory runs out.
pub fn middle_cells(latent: &Tensor) -> Result<(usize, usize, Vec<f32>)> {
    let size = latent.size();
    let middle = latent.f_select(1, size[1] / 2)?.f_to_device(tch::Device::Cpu)?;
    let middle = middle.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1])?;
    Ok((size[3] as usize, size[2] as usize, Vec::<f32>::try_from(middle)?))
}

/// A clip in memory, read frame by frame.
struct ClipInMemory {
    rgba: Vec<f32>,
    read: usize,
}

impl ClipReader for ClipInMemory {
    fn shape(&self) -> ClipShape {
        CLIP
    }

    fn frame(&mut self, rgba: &mut [f32]) -> std::result::Result<(), SinkError> {
        let end = self.read + rgba.len();
        let frame = self.rgba.get(self.read..end).ok_or("a drawn clip is too short")?;
        rgba.copy_from_slice(frame);
        self.read = end;
        Ok(())
    }
}

/// The latent of a clip, over the corner of its number: what is nowhere to be seen must not count.
fn encoded(
    encoder: &RgbaEncoder,
    number: usize,
    rgba: Vec<f32>,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let corner = Corner::all().nth(number % Corner::all().len()).unwrap_or(Corner::WHITE);
    let latent = encode_with(encoder, corner, &mut ClipInMemory { rgba, read: 0 }, watch)?;
    if is_finite(&latent)? { Ok(latent) } else { Err(not_finite()) }
}

/// A still latent of unit variance, smooth but for a little: `[16, FRAMES, CELLS, CELLS]`.
fn noise_latent(device: Device, number: usize) -> Result<Tensor> {
    let seed = 2 * number as u32;
    let coarse = noise::draw(device, seed, &[LATENT_CHANNELS, 1, PATCHES, PATCHES])?;
    let coarse = coarse.f_upsample_bilinear2d([CELLS, CELLS], true, None::<f64>, None::<f64>)?;
    let fine = noise::draw(device, seed + 1, &[LATENT_CHANNELS, 1, CELLS, CELLS])?;
    let latent = coarse.f_add(&fine.f_mul_scalar(FINE)?)?;
    let deviation = latent.f_std(true)?;
    let latent = latent.f_div(&deviation)?;
    Ok(latent.f_expand([LATENT_CHANNELS, FRAMES, CELLS, CELLS], false)?)
}

/// The cells of a latent with a 1 behind them, `[n, 17]`, and what the decoders make of each, its color
/// multiplied by its alpha, `[n, 4]`: float64, on the CPU.
fn decoded(decoder: &RgbaDecoder, latent: &Tensor, watch: &dyn Watch) -> Result<[Tensor; 2]> {
    let mut film = Film::default();
    let (mut cells, mut pixels) = (Vec::new(), Vec::new());
    let on_cpu = |tensor: &Tensor| -> Result<Tensor> {
        Ok(tensor.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?)
    };
    for k in 0..FRAMES {
        let frame = latent.f_narrow(1, k, 1)?;
        let rgba = on_cpu(&decoder.decode(&frame, &mut film, watch)?.rgba()?)?;
        if !is_finite(&rgba)? {
            return Err(not_finite());
        }
        let alpha = rgba.f_narrow(3, 3, 1)?;
        let seen = Tensor::f_cat(&[rgba.f_narrow(3, 0, 3)?.f_mul(&alpha)?, alpha], 3)?;
        // [t, CELLS · 8, CELLS · 8, 4]
        let cut = seen.f_reshape([-1, CELLS, PIXELS, CELLS, PIXELS, 4])?;
        let mean = cut.f_mean_dim([0i64, 2, 4].as_slice(), false, Kind::Double)?;
        pixels.push(mean.f_reshape([CELLS * CELLS, 4])?);
        let frame = on_cpu(&frame)?.f_reshape([LATENT_CHANNELS, CELLS * CELLS])?.f_tr()?;
        let ones = Tensor::f_ones([CELLS * CELLS, 1], (Kind::Double, tch::Device::Cpu))?;
        cells.push(Tensor::f_cat(&[frame, ones], 1)?);
    }
    Ok([Tensor::f_cat(&cells, 0)?, Tensor::f_cat(&pixels, 0)?])
}

/// W of `[17, 4]` for which (XᵀX + λ·n·I)·W = XᵀY.
fn least_squares(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let transposed = x.f_tr()?;
    let ridge = Tensor::f_eye(LATENT_CHANNELS + 1, (Kind::Double, tch::Device::Cpu))?;
    let ridge = ridge.f_mul_scalar(RIDGE * x.size()[0] as f64)?;
    let squares = transposed.f_matmul(x)?.f_add(&ridge)?;
    Ok(Tensor::f_linalg_solve(&squares, &transposed.f_matmul(y)?, true)?)
}

fn not_finite() -> Error {
    Error::Input("the autoencoder gives numbers that are not finite; fetch its files again".into())
}

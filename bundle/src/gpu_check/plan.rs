//! What a take of the large model is predicted to hold, and how much of the model there is room and
//! time for.

use std::time::Duration;

use super::random_model::RandomModelSizes;

/// Of a block at its widest, in float32 residual streams.
const BLOCK_PEAK: f64 = 3.6;
/// Kernels and the driver's own memory, in bytes.
const CONTEXT: f64 = 0.6e9;
/// Of the decoder's convolutions.
const WORKSPACE: f64 = 0.5e9;
/// Bytes that a decoder keeps between chunks and holds meanwhile, per pixel.
const DECODER_KEEPS: f64 = 9.47e3;
const DECODER_HOLDS: f64 = 6.91e3;
/// Both decoders' films are open at once.
const FILMS: f64 = 2.0;
/// Left free on the disk.
const DISK_MARGIN: u64 = 2_000_000_000;
/// With fewer layers it says nothing of a large model.
const LEAST_LAYERS: u64 = 4;
/// Of the time, for making the model: the rest is for what is measured.
const TIME_FOR_MAKING: f64 = 0.6;
/// Bytes in a second of reading it for its fingerprint and of loading it, from the file cache.
const READING: f64 = 1e9;

/// A take of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TakeShape {
    pub(super) sizes: RandomModelSizes,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames: u32,
}

impl TakeShape {
    pub(super) const RELEASED: Self =
        Self { sizes: RandomModelSizes::RELEASED, width: 832, height: 480, frames: 81 };
    pub(super) const SMALL: Self =
        Self { sizes: RandomModelSizes::SMALL, width: 64, height: 64, frames: 5 };

    /// What loading leaves on the card, in bytes.
    pub(super) fn loaded(&self) -> f64 {
        let RandomModelSizes { dim, layers, text_dim, .. } = self.sizes;
        let (dim, text) = (dim as f64, text_dim as f64);
        let half = 2.0 * (64.0 * dim + text * dim + dim * dim);
        let full = 4.0 * (256.0 * dim + 7.0 * dim * dim + 70.0 * dim);
        CONTEXT + half + full + (layers * self.sizes.layer_bytes()) as f64
    }

    /// The most while sampling.
    pub(super) fn sampling(&self) -> f64 {
        let RandomModelSizes { dim, layers, .. } = self.sizes;
        let (dim, layers) = (dim as f64, layers as f64);
        let keys = layers * 2.0 * 512.0 * dim * 2.0;
        let latent = self.latent_frames() * self.pixels();
        let tokens = latent / 256.0;
        let rotations = tokens * 64.0 * 8.0;
        self.loaded() + keys + BLOCK_PEAK * tokens * dim * 4.0 + rotations + 40.0 * latent
    }

    /// The most while decoding, with the transformer kept for the next take.
    pub(super) fn decoding(&self) -> f64 {
        let weights = (self.sizes.other_bytes() as f64).min(0.6e9);
        let films = (FILMS * DECODER_KEEPS + DECODER_HOLDS) * self.pixels();
        self.loaded() + weights + films + WORKSPACE
    }

    fn pixels(&self) -> f64 {
        f64::from(self.width) * f64::from(self.height)
    }

    fn latent_frames(&self) -> f64 {
        f64::from((self.frames - 1) / 4 + 1)
    }

    fn with_layers(self, layers: u64) -> Self {
        Self { sizes: RandomModelSizes { layers, ..self.sizes }, ..self }
    }
}

/// How much disk, memory of the card and time there is for the large model.
#[derive(Clone, Copy, Debug)]
pub(super) struct AvailableRoom {
    /// Free on the disk, in bytes.
    pub(super) disk: u64,
    /// Free on the card, where that is known.
    pub(super) card: Option<f64>,
    pub(super) time: Duration,
    /// How fast the disk is written, bytes in a second.
    pub(super) rate: f64,
}

/// As many layers as there is room and time for, with the reason where that is not all of them; or why
/// it is not worth beginning.
pub(super) fn fit(
    wanted: TakeShape,
    room: &AvailableRoom,
) -> Result<(TakeShape, Option<String>), String> {
    let layer = wanted.sizes.layer_bytes();
    let on_disk = room.disk.saturating_sub(DISK_MARGIN + wanted.sizes.other_bytes()) / layer;
    let per_layer = layer as f64 * (1.0 / room.rate + 2.0 / READING);
    let in_time = (room.time.as_secs_f64() * TIME_FOR_MAKING / per_layer) as u64;
    let on_card = room.card.map_or(u64::MAX, |free| {
        let bare = wanted.with_layers(0);
        let needed = bare.sampling().max(bare.decoding());
        ((free - needed) / layer as f64).max(0.0) as u64
    });
    let (limit, reason) = [
        (on_card, format!("{:.1} GB are free on the card", room.card.unwrap_or(0.0) / 1e9)),
        (on_disk, format!("{:.1} GB are free on the disk", room.disk as f64 / 1e9)),
        (in_time, format!("there are {:.0} s for it", room.time.as_secs_f64())),
    ]
    .into_iter()
    .min_by_key(|(limit, _)| *limit)
    .unwrap_or_default();
    if limit >= wanted.sizes.layers {
        return Ok((wanted, None));
    }
    if limit < LEAST_LAYERS {
        return Err(format!("{reason}: not enough for {LEAST_LAYERS} layers of a 14B model"));
    }
    Ok((wanted.with_layers(limit), Some(format!("{limit} of 40 layers: {reason}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: AvailableRoom = AvailableRoom {
        disk: 200_000_000_000,
        card: Some(140e9),
        time: Duration::from_secs(400),
        rate: 2e9,
    };

    #[test]
    fn the_released_model_holds_what_was_counted() {
        let shape = TakeShape::RELEASED;
        let near = |found: f64, expected: f64| (found / 1e9 - expected).abs() < 0.35;
        assert!(near(shape.loaded(), 29.55), "{}", shape.loaded());
        assert!(near(shape.sampling(), 32.7), "{}", shape.sampling());
        assert!(near(shape.decoding(), 41.0), "{}", shape.decoding());
    }

    #[test]
    fn layers_follow_from_what_there_is_least_of() {
        assert_eq!(fit(TakeShape::RELEASED, &LARGE), Ok((TakeShape::RELEASED, None)));
        let scaled = |room: AvailableRoom| {
            let (shape, why) = fit(TakeShape::RELEASED, &room).unwrap();
            (shape.sizes.layers, why.unwrap())
        };
        let (layers, why) = scaled(AvailableRoom { disk: 20_000_000_000, ..LARGE });
        assert!((20..28).contains(&layers) && why.contains("disk"), "{layers}: {why}");
        let (layers, why) = scaled(AvailableRoom { card: Some(24e9), ..LARGE });
        assert!((10..20).contains(&layers) && why.contains("card"), "{layers}: {why}");
        let fits = TakeShape::RELEASED.with_layers(layers);
        assert!(fits.decoding() <= 24e9 && fits.sampling() <= 24e9);
        let (layers, why) = scaled(AvailableRoom { time: Duration::from_secs(60), ..LARGE });
        assert!((10..30).contains(&layers) && why.contains("60 s"), "{layers}: {why}");
        let (slow, _) = scaled(AvailableRoom { time: Duration::from_secs(60), rate: 2e8, ..LARGE });
        assert!(slow < layers, "{slow}");
        // Where nobody says how much is free, it is tried.
        assert_eq!(
            fit(TakeShape::RELEASED, &AvailableRoom { card: None, ..LARGE }),
            Ok((TakeShape::RELEASED, None))
        );

        let refused =
            fit(TakeShape::RELEASED, &AvailableRoom { card: Some(8e9), ..LARGE }).unwrap_err();
        assert!(refused.contains("8.0 GB are free on the card"), "{refused}");
    }
}

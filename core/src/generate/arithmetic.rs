//! How much a take computes, told before any of it is computed.
//!
//! A multiply-add is two operations. What is neither a product, attention nor a convolution is a few
//! per cent, and not counted.

use wan_alpha_take::TakeRequest;

use super::Pipeline;
use crate::dit::{DitConfig, PATCH};

/// Channels of the released decoder where it is widest.
const RELEASED_WIDTH: f64 = 384.0;
/// Operations that one released decoder takes for the first latent frame at [`AREA`].
const FIRST_FRAME: f64 = 4.35e12;
/// And for each of the others, which are four frames of video.
const OTHER_FRAME: f64 = 13.55e12;
/// The same of one pass of the released autoencoder's encoder.
const FIRST_ENCODED: f64 = 2.72e12;
const OTHER_ENCODED: f64 = 8.05e12;
/// Of the released image encoder, for one image.
const IMAGE_ENCODER: f64 = 0.33e12;
/// Pixels of a frame of 832×480, the size that times are told for.
const AREA: f64 = 832.0 * 480.0;

/// Operations of a take, by the stages that take time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// Matrix products of all passes of the transformer, in the precision of the request.
    pub products: f64,
    /// Attention in the same passes.
    pub attention: f64,
    /// What is made of the images that a take begins and ends with, in float32: color and alpha of the
    /// film are encoded, and the images are looked at.
    pub conditioning: f64,
    /// Both decoders, in float32.
    pub decoding: f64,
}

/// How wide the matrices of a model are, which says how fast a machine multiplies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelWidths {
    /// Channels of the transformer.
    pub dim: i64,
    /// Channels within its feed-forward.
    pub ffn: i64,
    /// Attention's heads.
    pub heads: i64,
    /// Channels of the decoders where they are widest.
    pub decoder: i64,
}

impl Arithmetic {
    pub(super) fn of(config: &DitConfig, decoder: i64, request: &TakeRequest) -> Self {
        let (width, height) = request.latent_size();
        let grid = [request.latent_frames(), height, width];
        let tokens: f64 =
            grid.iter().zip(PATCH).map(|(&n, patch)| n as f64 / patch as f64).product();
        let guided = f64::from(u8::from(request.guidance != 1.0));
        let passes = f64::from(request.steps) * (1.0 + guided);
        let area = f64::from(request.width) * f64::from(request.height) / AREA;
        let others = request.latent_frames() as f64 - 1.0;
        // Convolutions from as many channels to as many.
        let narrower = (decoder as f64 / RELEASED_WIDTH).powi(2);
        let images = [request.first_image, request.last_image].into_iter().flatten().count() as f64;
        let film = 2.0 * narrower * area * (FIRST_ENCODED + others * OTHER_ENCODED);
        Self {
            products: passes * config.products(tokens),
            attention: passes * config.attention(tokens),
            conditioning: images * IMAGE_ENCODER + images.min(1.0) * film,
            decoding: 2.0 * narrower * area * (FIRST_FRAME + others * OTHER_FRAME),
        }
    }
}

impl Pipeline {
    /// How much the take of a request computes.
    pub fn arithmetic(&self, request: &TakeRequest) -> Arithmetic {
        Arithmetic::of(&self.config, self.files.decoders.width(), request)
    }

    /// How wide its matrices are.
    pub fn widths(&self) -> ModelWidths {
        let DitConfig { dim, ffn, heads, .. } = self.config;
        ModelWidths { dim, ffn, heads, decoder: self.files.decoders.width() }
    }
}

impl DitConfig {
    /// Of one forward pass: q, k, v, o of one attention, q and o of the other, both matrices of the
    /// feed-forward. Keys and values of the text are computed once per take, and not counted.
    fn products(&self, tokens: f64) -> f64 {
        let (dim, ffn) = (self.dim as f64, self.ffn as f64);
        self.layers as f64 * 2.0 * tokens * dim * (6.0 * dim + 2.0 * ffn)
    }

    /// Of one forward pass: to all tokens, and to the text.
    fn attention(&self, tokens: f64) -> f64 {
        let attended = tokens + self.text_length as f64;
        self.layers as f64 * 4.0 * tokens * attended * self.dim as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn released(dim: i64, heads: i64, layers: usize, ffn: i64) -> DitConfig {
        DitConfig {
            dim,
            heads,
            layers,
            ffn,
            freq_dim: 256,
            text_dim: 4096,
            in_channels: 16,
            image: None,
            out_channels: 16,
            text_length: 512,
            eps: 1e-6,
        }
    }

    const LARGE: DitConfig = released(5120, 40, 40, 13824);
    const SMALL: DitConfig = released(1536, 12, 30, 8960);

    #[test]
    fn a_pass_is_what_was_counted_in_the_released_models() {
        for (config, tokens, tera) in [
            (&LARGE, 32_760.0, 1678.0),
            (&LARGE, 14_040.0, 505.0),
            (&LARGE, 1_560.0, 42.0),
            (&LARGE, 75_600.0, 6523.0),
            (&SMALL, 32_760.0, 283.0),
        ] {
            let found = config.products(tokens) + config.attention(tokens);
            // Keys and values of the text were counted in every pass.
            let (dim, layers) = (config.dim as f64, config.layers as f64);
            let found = (found + layers * 4.0 * 512.0 * dim * dim) / 1e12;
            assert!((found - tera).abs() <= 0.5 + tera * 1e-3, "{found} for {tera}");
        }
    }

    #[test]
    fn a_take_is_its_passes_and_both_decoders() {
        let ellipse = r#"{"x":0.5,"y":0.5,"a":0.6,"b":1.0,"angle":0.0}"#;
        let (ellipses, mu) = ([ellipse; 21].join(","), ["0.05"; 21].join(","));
        let request = |steps: u32, guidance: f64| {
            let text = format!(
                r#"{{"version":{},"numerics":1,"prompt":"smoke","negative_prompt":null,"seed":1,
                "frames":81,"width":832,"height":480,"take_rate":16,"ellipse":[{ellipses}],
                "mask":null,"mu":[{mu}],"mu_scale":1.0,"steps":{steps},"shift":5.0,
                "guidance":{guidance},"solver":"unipc","dora_strength":1.0,
                "distill_strength":1.0,"precision":"bf16","decode_tiling":"whole","model":"large",
                "model_fingerprint":null,"first_image":null}}"#,
                TakeRequest::VERSION,
            );
            TakeRequest::from_json(&text).unwrap()
        };
        let usual = Arithmetic::of(&LARGE, 384, &request(4, 1.0));
        assert!((usual.products / 1e12 - 4.0 * 40.0 * 19.6).abs() < 5.0, "{usual:?}");
        assert!((usual.attention / 1e12 - 4.0 * 40.0 * 22.34).abs() < 5.0, "{usual:?}");
        assert!((usual.decoding / 1e12 - 551.0).abs() < 1.0, "{usual:?}");
        assert_eq!(usual.conditioning, 0.0);
        let image = Some(wan_alpha_take::ContentHash([1; 32]));
        let image = TakeRequest { first_image: image, ..request(4, 1.0) };
        let conditioning = Arithmetic::of(&LARGE, 384, &image).conditioning;
        assert!((conditioning / 1e12 - 2.0 * 163.7 - 0.33).abs() < 0.2, "{conditioning:e}");
        let guided = Arithmetic::of(&LARGE, 384, &request(50, 5.0));
        assert!((guided.products / usual.products - 25.0).abs() < 1e-9);
        assert!((guided.attention / usual.attention - 25.0).abs() < 1e-9);
        assert_eq!(guided.decoding, usual.decoding);
        let narrow = Arithmetic::of(&LARGE, 96, &request(4, 1.0));
        assert_eq!(narrow, Arithmetic { decoding: usual.decoding / 16.0, ..usual });
    }
}

//! The sizes of a model and of a take that memory depends on.

#![forbid(unsafe_code)]

use std::sync::Arc;

use serde::Serialize;
use tch::{Kind, Tensor};
use wan_alpha_take::{DecodePrecision, DecodeTiling, TakeRequest};

use crate::Result;
use crate::blocks::BlockStore;
use crate::device::Device;
use crate::dit::{Dit, DitConfig, PATCH};
use crate::weights::{
    Adapter, BlockStorage, Decoders, EncoderFiles, ModelFiles, TensorSet, Weights, adapter_bytes,
    at_least_float32, is_mapped, keeps_float32, kept_bytes, narrow_kind,
};

/// Bytes and widths of a model's parts, as they are computed with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSizes {
    /// Blocks of the transformer.
    pub layers: usize,
    /// Bytes of one of its blocks as it is kept; of the largest where they differ.
    pub block: u64,
    /// Bytes of a block that is brought into the form it is computed with; 0 where all are kept in it.
    pub form: u64,
    /// Bytes of the rest of the transformer.
    pub fixed: u64,
    /// Bytes of the largest matrix of it that is brought into float32 when it is used; 0 where all of it lies in
    /// memory as it is computed with.
    pub widened: u64,
    /// Blocks that come by a file which the system keeps in its cache are used where that is mapped, and take
    /// no slots.
    pub maps_blocks: bool,
    /// Bytes of the rest that are used where they are mapped then.
    pub mapped: u64,
    /// Bytes of a number of the large matrices: 2 or 4.
    pub number: u64,
    /// Width of the residual stream.
    pub dim: u64,
    /// Hidden width of the feed-forward network.
    pub ffn: u64,
    /// Attention heads of the transformer.
    pub heads: u64,
    /// Tokens of text attended to.
    pub text_length: u64,
    /// Bytes of a layer of the text encoder.
    pub text_block: u64,
    /// Attention heads of the text encoder.
    pub text_heads: u64,
    /// Width of the context.
    pub text_dim: u64,
    /// Hidden width of the text encoder's feed-forward network.
    pub text_ffn: u64,
    /// Bytes of adapters beside blocks that are kept quantized, as their files store them; 0 where there are
    /// none.
    pub adapters: u64,
    /// Bytes of one decoder, float32.
    pub decoder: u64,
    /// Channels of a decoder at full resolution: 96 in the released one.
    pub decoder_dim: u64,
    /// Bytes of the autoencoder's encoder and the merge block, float32; 0 where the model sees no image.
    pub encoder: u64,
    /// Bytes of a layer of the image encoder, float32; 0 likewise.
    pub image_layer: u64,
    /// Tokens that it makes of an image.
    pub image_tokens: u64,
    /// On a card larger pieces are worked on at once.
    pub is_card: bool,
}

/// The sizes of a take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TakeSizes {
    /// Width of a frame in pixels.
    pub width: u32,
    /// Height of a frame in pixels.
    pub height: u32,
    /// Frames of video, 4n + 1.
    pub frames: u32,
    /// There is a negative prompt, which the transformer is asked with too.
    pub guided: bool,
    /// The decoders go over the picture in tiles.
    pub tiled: bool,
    /// Bytes of a number that the decoders compute with: 4 or 2.
    pub decode_number: u64,
    /// Images that it begins and ends with.
    pub images: u32,
}

impl TakeSizes {
    /// The sizes that a request asks for.
    pub fn of(request: &TakeRequest) -> Self {
        Self {
            width: request.width,
            height: request.height,
            frames: request.frames,
            guided: request.guidance != 1.0,
            tiled: request.decode_tiling == DecodeTiling::Tiled,
            decode_number: if request.decode_precision == DecodePrecision::F32 { 4 } else { 2 },
            images: [request.first_image, request.last_image].into_iter().flatten().count() as u32,
        }
    }

    /// Those of a latent `[16, frames, h, w]`.
    pub fn of_latent(latent: &Tensor, tiled: bool, decode_number: u64) -> Self {
        let size = latent.size();
        let axis = |axis: usize| size.get(axis).map_or(0, |&size| size.max(0) as u32);
        Self {
            width: 8 * axis(3),
            height: 8 * axis(2),
            frames: 4 * axis(1).saturating_sub(1) + 1,
            guided: false,
            tiled,
            decode_number,
            images: 0,
        }
    }

    /// Frames that the latent has.
    pub fn latent_frames(&self) -> u64 {
        u64::from(self.frames.saturating_sub(1) / 4 + 1)
    }

    /// Tokens of the transformer.
    pub fn tokens(&self) -> u64 {
        let cell = |side: u32, patch: i64| u64::from(side) / 8 / patch as u64;
        self.latent_frames() * cell(self.height, PATCH[1]) * cell(self.width, PATCH[2])
    }

    /// Pixels of a frame.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl ModelSizes {
    /// Bytes of the transformer with as many of its blocks in memory.
    pub fn transformer(&self, blocks: usize) -> u64 {
        self.fixed + self.form + blocks as u64 * self.block
    }

    /// Bytes of it that lie in memory of its own where as many blocks stay, others have room, and the rest
    /// come from a store.
    pub(crate) fn transformer_by(&self, resident: usize, slots: usize, store: BlockStore) -> u64 {
        let is_by_cache = slots > 0 && store == BlockStore::File { cached: true };
        let mapped = if is_by_cache { self.mapped } else { 0 };
        let slots = if is_by_cache && self.maps_blocks { 0 } else { slots };
        self.transformer(resident + slots) - mapped
    }

    /// Of a model whose large matrices are computed with in a kind, those of `transformer`'s blocks kept
    /// as the storage says.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn of(
        files: &ModelFiles,
        transformer: &Arc<TensorSet>,
        config: &DitConfig,
        (kind, storage): (Kind, BlockStorage),
        is_card: bool,
    ) -> Result<Self> {
        let text = &files.text;
        let axis = |name: &str, axis: usize| -> Result<u64> {
            Ok(text.shape(name)?.get(axis).copied().unwrap_or(0) as u64)
        };
        let decoder = match &files.decoders {
            Decoders::Adapted { base, .. } => base,
            Decoders::Complete { color, .. } => color,
        };
        let of_decoder = |name: &str| name.starts_with("decoder.") || name.starts_with("conv2.");
        let number = kind.elt_size_in_bytes() as u64;
        let computed = block_as_computed(transformer, kind)?;
        let kept = kept_bytes(transformer, storage, config.layers)?;
        // A merged copy has none.
        let is_merged = !Arc::ptr_eq(transformer, &files.dit);
        let merged = if is_merged { Vec::new() } else { files.merged_adapters() };
        let adapters = match &kept {
            Some(_) => adapter_bytes(transformer, storage, &merged)?,
            None => 0,
        };
        let rest = RestOfTransformer::of(transformer, &merged, kind, is_card)?;
        let weights = Weights::new(transformer.clone(), merged, kind, Device::cpu());
        let maps_blocks = !is_card && Dit::maps_blocks(&weights.storing(storage), config)?;
        let [encoder, image_layer, image_tokens] = image_sizes(files, config)?;
        Ok(Self {
            encoder,
            image_layer,
            image_tokens,
            layers: config.layers,
            block: kept.unwrap_or(computed),
            form: if kept.is_some() { computed } else { 0 },
            fixed: rest.bytes,
            widened: rest.widened,
            maps_blocks,
            mapped: rest.mapped,
            number,
            dim: config.dim as u64,
            ffn: config.ffn as u64,
            heads: config.heads as u64,
            text_length: config.text_length as u64,
            text_block: number * numbers(text, &|name| name.starts_with("blocks.0."))?,
            text_heads: axis("blocks.0.pos_embedding.embedding.weight", 1)?,
            text_dim: axis("token_embedding.weight", 1)?,
            text_ffn: axis("blocks.0.ffn.fc1.weight", 0)?,
            adapters,
            decoder: 4 * numbers(decoder, &of_decoder)?,
            decoder_dim: decoder.shape("decoder.head.2.weight")?.get(1).copied().unwrap_or(0)
                as u64,
            is_card,
        })
    }
}

/// Bytes of the first block as it is computed with.
fn block_as_computed(set: &TensorSet, kind: Kind) -> Result<u64> {
    let names = set.names().filter(|name| !name.contains('#') && name.starts_with("blocks.0."));
    let bytes = |name| Ok(numbers_of(set, name)? * kind_of(name, kind).elt_size_in_bytes() as u64);
    names.map(bytes).sum()
}

/// What a transformer's tensor is computed with as, where the large matrices are of a kind.
fn kind_of(name: &str, kind: Kind) -> Kind {
    if keeps_float32(name) { at_least_float32(kind) } else { kind }
}

fn numbers_of(set: &TensorSet, name: &str) -> Result<u64> {
    Ok(set.shape(name)?.iter().product::<i64>() as u64)
}

/// What a transformer has beside its blocks.
#[derive(Default)]
struct RestOfTransformer {
    bytes: u64,
    widened: u64,
    /// Bytes of it that can be used where its file is mapped.
    mapped: u64,
}

impl RestOfTransformer {
    fn of(set: &TensorSet, adapters: &[Adapter], kind: Kind, is_card: bool) -> Result<Self> {
        let mut rest = Self::default();
        let names = set.names().filter(|name| !name.contains('#') && !name.starts_with("blocks."));
        for name in names {
            let numbers = numbers_of(set, name)?;
            // Matrices of layers in float32 stay in 16 bits where their files have them so (`Linear`).
            let narrow = match keeps_float32(name) && name.ends_with(".weight") {
                true => narrow_kind(set, adapters, name)?,
                false => None,
            };
            if narrow.is_some() {
                let widened = numbers * kind_of(name, kind).elt_size_in_bytes() as u64;
                rest.widened = rest.widened.max(widened);
            }
            let kept = narrow.unwrap_or(kind_of(name, kind));
            let bytes = numbers * kept.elt_size_in_bytes() as u64;
            rest.bytes += bytes;
            if !is_card && is_mapped(set, adapters, name, kept)? {
                rest.mapped += bytes;
            }
        }
        Ok(rest)
    }
}

/// How many numbers the tensors of a network have whose names are `wanted`.
fn numbers(set: &TensorSet, wanted: &dyn Fn(&str) -> bool) -> Result<u64> {
    let names = set.names().filter(|name| !name.contains('#') && wanted(name));
    names.map(|name| Ok(set.shape(name)?.iter().product::<i64>() as u64)).sum()
}

/// Bytes of encoder and merge block, bytes of a layer of the image encoder, and the tokens that it makes of
/// an image: float32, and 0 for a model that sees none.
fn image_sizes(files: &ModelFiles, config: &DitConfig) -> Result<[u64; 3]> {
    let (Some(EncoderFiles { base, merge }), Some(set), true) =
        (&files.encoder, &files.image_encoder, config.is_image_to_video())
    else {
        return Ok([0; 3]);
    };
    let of_encoder = |name: &str| name.starts_with("encoder.") || name.starts_with("conv1.");
    let encoder =
        numbers(base, &of_encoder)? + numbers(merge, &|name| name.starts_with("middle."))?;
    let layer = numbers(set, &|name| name.starts_with("vision_model.encoder.layers.0."))?;
    let positions = set.shape("vision_model.embeddings.position_embedding.weight")?;
    let tokens = positions.iter().rev().nth(1).copied().unwrap_or(0);
    Ok([4 * encoder, 4 * layer, tokens.unsigned_abs()])
}

//! The most that each stage holds, in bytes: formulas, checked against what the shim counts.

#![forbid(unsafe_code)]

use super::{ModelSizes, TakeSizes};
use crate::vae::{held_by_decoder, held_in_tiles, largest_tile, tiles};

/// Bytes of a number in float32.
const FLOAT: u64 = 4;
/// Numbers of the hidden layer that a processor holds at once, and those that norms take at once
/// (`dit::block`).
const CPU_HIDDEN: u64 = 1 << 22;
const CPU_NUMBERS: u64 = 1 << 19;
/// Tokens that a card takes at once through either.
const CARD_TOKENS: u64 = 8192;
/// Rows of a block on their way into form on a card: float32, and what that is computed of.
const CARD_MULTIPLIED_OUT: u64 = 4 * FLOAT * (1 << 24);
/// What cuDNN and cuBLAS take besides, on a card.
const CARD_WORKSPACE: u64 = 500_000_000;

/// Of sampling: the transformer with `blocks` of its blocks in memory, and what a pass makes.
pub fn sample_peak(model: &ModelSizes, take: &TakeSizes, blocks: usize, keeps_keys: bool) -> u64 {
    let ModelSizes { dim, number, .. } = *model;
    let tokens = take.tokens();
    let weights = model.transformer(blocks);
    let prompts = 1 + u64::from(take.guided);
    let embedded = prompts * model.text_length * dim * number;
    // Keys and values of one block, and those of all where they stay.
    let keys_of_block = 2 * model.text_length * dim * number;
    let keys =
        if keeps_keys { prompts * model.layers as u64 * keys_of_block } else { keys_of_block };
    // Keys and values of the images, and what is beside the latent of each token.
    let images = u64::from(take.images);
    let keys_of_images = 2 * images * model.image_tokens * dim * number * model.layers as u64;
    let condition = if images > 0 { keys_of_images + 2 * tokens * 80 * FLOAT } else { 0 };
    // A rotation of each token by pairs of a head's channels, complex.
    let rope = tokens * (dim / model.heads.max(1) / 2) * 2 * FLOAT;
    // 16 channels of a cell, 4 cells to a token; latent, velocity and what the solver keeps.
    let latents = 4 * tokens * 64 * FLOAT;
    let multiplied_out = if model.form > 0 { CARD_MULTIPLIED_OUT } else { 0 };
    let workspace = if model.is_card { CARD_WORKSPACE + multiplied_out } else { 0 };
    // The time is embedded before there is anything else of the pass.
    let pass = pass(model, tokens).max(model.widened);
    weights + embedded + keys + condition + rope + latents + pass + workspace
}

/// The residual stream, and the wider of attention and head.
fn pass(model: &ModelSizes, tokens: u64) -> u64 {
    let ModelSizes { dim, ffn, number, .. } = *model;
    let stream = tokens * dim * FLOAT;
    let at_once = |numbers: u64, width: u64| {
        let tokens_at_once = if model.is_card { CARD_TOKENS } else { (numbers / width).max(1) };
        tokens_at_once.min(tokens)
    };
    // Queries, keys, values and their result; what rotates a piece of them is float32 several times.
    let pieces = at_once(CPU_NUMBERS, dim) * dim * FLOAT;
    let attention = 4 * tokens * dim * number + pieces;
    // What goes into the hidden layer of some tokens, that layer, and what comes out of it.
    let hidden = at_once(CPU_HIDDEN, ffn) * (ffn + dim * 2) * number;
    // The head norms the stream as a whole.
    let head = stream;
    stream + attention.max(hidden).max(head)
}

/// Of reading the prompt: `slots` layers of the text encoder, and what a pass of the longest text makes.
pub fn text_peak(model: &ModelSizes, take: &TakeSizes, slots: usize) -> u64 {
    let ModelSizes { text_dim, text_heads, text_ffn, number, .. } = *model;
    let tokens = model.text_length;
    let prompts = 1 + u64::from(take.guided);
    let state = tokens * text_dim * number;
    // Products, biases and their sum; then that, and what its softmax is made of and into, in float32.
    let softmax = if number < FLOAT { number + 2 * FLOAT } else { 2 * FLOAT };
    let logits = tokens * tokens * text_heads * softmax.max(3 * number);
    // What is attended with: normed, and as queries, keys and values.
    let attention = logits + 4 * state;
    // What attention has made of it, the same normed, and the hidden layer: gate, product, and both multiplied.
    let hidden = 2 * state + 3 * tokens * text_ffn * number;
    slots as u64 * model.text_block + prompts * state + attention.max(hidden)
}

/// Of looking at the images that a take begins and ends with, and of encoding the film that they stand in,
/// color and alpha, chunk by chunk in float32; 0 where there are none.
pub fn condition_peak(model: &ModelSizes, take: &TakeSizes) -> u64 {
    if take.images == 0 {
        return 0;
    }
    // A layer, and the next that is read meanwhile.
    let seen = 2 * model.image_layer;
    let dim = model.decoder_dim;
    let (widest, workspace) = if model.is_card {
        (WIDEST_NUMBERS, CARD_WORKSPACE)
    } else {
        (CPU_WIDEST_NUMBERS, CPU_PIECE)
    };
    let numbers = 2 * ENCODER_NUMBERS + widest;
    let film = take.pixels() * (numbers * dim / 96 + FILM_NUMBERS) * FLOAT;
    seen.max(model.encoder + film + workspace)
}

/// Numbers for each pixel that an encoder of 96 channels remembers of color or of alpha.
const ENCODER_NUMBERS: u64 = 1_421;
/// Numbers for each pixel of the frames that are encoded, in the forms that they go through.
const FILM_NUMBERS: u64 = 16;

/// Of decoding, chunk by chunk: both decoders `together`, or one after the other.
pub fn decode_peak(model: &ModelSizes, take: &TakeSizes, together: bool) -> u64 {
    let together = together && !take.tiled;
    let weights = decoder_weights(model, take) * if together { 2 } else { 1 };
    if model.is_card {
        return weights + decode_peak_of_card(model, take, together);
    }
    let cells = [take.height, take.width].map(|side| u64::from(side / 8));
    let (dim, chunks, float32) =
        (model.decoder_dim, take.latent_frames(), take.decode_number == FLOAT);
    let numbers = if take.tiled {
        let tiles = tiles(i64::from(take.width / 8), i64::from(take.height / 8));
        held_in_tiles(dim, cells, &tiles, chunks, float32)
    } else {
        let held = held_by_decoder(dim, cells, chunks, float32);
        if together { held.most_of_both } else { held.most }
    };
    // The color of a chunk waits for its alpha.
    let color = if together { 4 * 3 * take.pixels() * FLOAT } else { 0 };
    weights + numbers * take.decode_number + color
}

/// Bytes of one decoder in memory: kernels that double the picture have 16 taps for 9.
fn decoder_weights(model: &ModelSizes, take: &TakeSizes) -> u64 {
    let doubling = (8 + 8 + 2) * model.decoder_dim * model.decoder_dim * (16 - 9);
    (model.decoder / FLOAT + doubling) * take.decode_number
}

/// Of a card, weights aside. What a decoder remembers of a film goes with the pixels and the channels of each
/// of its resolutions; they were counted at the released decoder's 96 channels at the full one, where its
/// widest layer is too.
fn decode_peak_of_card(model: &ModelSizes, take: &TakeSizes, together: bool) -> u64 {
    let films = if together { 2 } else { 1 };
    let (middle, pixels) = if take.tiled {
        // What the middle remembers has gone before the first tile.
        (0, largest_tile(i64::from(take.width / 8), i64::from(take.height / 8)))
    } else {
        (MIDDLE_NUMBERS * take.pixels(), [take.pixels(); 4])
    };
    let bytes = |numbers: u64| numbers * model.decoder_dim / 96 * take.decode_number;
    let remembered: u64 =
        pixels.iter().zip(CACHE_NUMBERS).map(|(pixels, each)| pixels * each).sum();
    let frames = pixels[3] * FRAME_BYTES;
    bytes(films * (middle + remembered) + WIDEST_NUMBERS * pixels[3]) + frames + CARD_WORKSPACE
}

/// Numbers for each pixel of the picture that one decoder of 96 channels remembers of its middle.
const MIDDLE_NUMBERS: u64 = 48;
/// The same of what follows: at an eighth of the resolution, a quarter, half of it and the whole.
const CACHE_NUMBERS: [u64; 4] = [84, 312, 576, 1_344];
/// Numbers for each pixel of its widest layer: what goes into a residual block and what comes out of it,
/// four frames each, and six that its second convolution sees.
const WIDEST_NUMBERS: u64 = 1_344;
/// The same of an encoder on a processor, counted at 64, 80 and 96 channels.
const CPU_WIDEST_NUMBERS: u64 = 1_544;
/// Bytes of the sums of a piece that it works on (`vae::winograd`).
const CPU_PIECE: u64 = FLOAT * (1 << 22);
/// Bytes for each pixel of frames that are handed on.
const FRAME_BYTES: u64 = 4 * (3 + 3 + 4 + 4) * FLOAT;

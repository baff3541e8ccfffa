//! A model of random weights in the form of the released one: transformer in bfloat16, two complete
//! autoencoder decoders in float32, and a text encoder as small as can be.
//!
//! Written straight to disk, since it may be larger than memory. Numbers come from a table that is
//! gone through again and again: arithmetic takes as long on them as on others.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// As many as a prime, so that rows of no width repeat each other.
const TABLE: usize = 1_048_573;
const FREQ_DIM: u64 = 256;
const TEXT_LENGTH: u64 = 512;
const LATENT: u64 = 16;
/// Of the text encoder's attention and feed-forward network.
const TEXT_INNER: u64 = 64;
const BUCKETS: u64 = 32;

/// Sizes of the networks of a model with random weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RandomModelSizes {
    pub(super) dim: u64,
    pub(super) heads: u64,
    pub(super) ffn: u64,
    pub(super) layers: u64,
    pub(super) text_dim: u64,
    /// Channels of the decoders at full resolution.
    pub(super) vae_dim: u64,
}

impl RandomModelSizes {
    /// Those of the released model.
    pub(super) const RELEASED: Self =
        Self { dim: 5120, heads: 40, ffn: 13_824, layers: 40, text_dim: 4096, vae_dim: 96 };
    /// Small enough to be tried on a processor.
    pub(super) const SMALL: Self =
        Self { dim: 256, heads: 2, ffn: 512, layers: 2, text_dim: 64, vae_dim: 8 };

    /// Bytes of one layer's weights on disk.
    pub(super) fn layer_bytes(&self) -> u64 {
        bytes_of(&self.layer(0), ElementKind::BFloat16)
    }

    /// Bytes of everything else.
    pub(super) fn other_bytes(&self) -> u64 {
        bytes_of(&self.outside(), ElementKind::BFloat16)
            + 2 * bytes_of(&self.decoder(), ElementKind::Float)
    }

    /// Parameters of the transformer.
    pub(super) fn parameters(&self) -> u64 {
        (self.layers * self.layer_bytes() + bytes_of(&self.outside(), ElementKind::BFloat16)) / 2
    }

    fn layer(&self, n: u64) -> Vec<Tensor> {
        let Self { dim, ffn, .. } = *self;
        let mut tensors = Vec::new();
        for attention in ["self_attn", "cross_attn"] {
            let name = |part: &str| format!("blocks.{n}.{attention}.{part}");
            for part in ["q", "k", "v", "o"] {
                tensors.extend(linear(&name(part), dim, dim));
            }
            for norm in ["norm_q.weight", "norm_k.weight"] {
                tensors.push(Tensor::ones(name(norm), &[dim]));
            }
        }
        tensors.extend(linear(&format!("blocks.{n}.ffn.0"), ffn, dim));
        tensors.extend(linear(&format!("blocks.{n}.ffn.2"), dim, ffn));
        tensors.push(Tensor::ones(format!("blocks.{n}.norm3.weight"), &[dim]));
        tensors.push(Tensor::zeros(format!("blocks.{n}.norm3.bias"), &[dim]));
        tensors.push(Tensor::drawn(format!("blocks.{n}.modulation"), &[1, 6, dim], dim));
        tensors
    }

    fn outside(&self) -> Vec<Tensor> {
        let Self { dim, text_dim, .. } = *self;
        let mut tensors = vec![
            Tensor::drawn("patch_embedding.weight".to_owned(), &[dim, LATENT, 1, 2, 2], 4 * LATENT),
            Tensor::zeros("patch_embedding.bias".to_owned(), &[dim]),
            Tensor::drawn("head.modulation".to_owned(), &[1, 2, dim], dim),
        ];
        for (name, output, input) in [
            ("time_embedding.0", dim, FREQ_DIM),
            ("time_embedding.2", dim, dim),
            ("time_projection.1", 6 * dim, dim),
            ("text_embedding.0", dim, text_dim),
            ("text_embedding.2", dim, dim),
            ("head.head", 4 * LATENT, dim),
        ] {
            tensors.extend(linear(name, output, input));
        }
        tensors
    }

    /// `conv2` and `decoder.*` of an autoencoder.
    fn decoder(&self) -> Vec<Tensor> {
        let widths = [4, 4, 2, 1].map(|multiple| multiple * self.vae_dim);
        let top = widths[0];
        let mut tensors = convolution("conv2", &[LATENT, LATENT, 1, 1, 1]);
        tensors.extend(convolution("decoder.conv1", &[top, LATENT, 3, 3, 3]));
        tensors.extend(residual("decoder.middle.0", top, top));
        tensors.push(Tensor::ones("decoder.middle.1.norm.gamma".to_owned(), &[top, 1, 1]));
        tensors.extend(convolution("decoder.middle.1.to_qkv", &[3 * top, top, 1, 1]));
        tensors.extend(convolution("decoder.middle.1.proj", &[top, top, 1, 1]));
        tensors.extend(residual("decoder.middle.2", top, top));
        let (mut channels, mut index) = (top, 0);
        for (level, width) in widths.into_iter().enumerate() {
            for input in [channels, width, width] {
                tensors.extend(residual(&format!("decoder.upsamples.{index}"), input, width));
                index += 1;
            }
            channels = width;
            if level < 3 {
                let name = format!("decoder.upsamples.{index}");
                tensors
                    .extend(convolution(&format!("{name}.resample.1"), &[width / 2, width, 3, 3]));
                if level < 2 {
                    let shape = [2 * width, width, 3, 1, 1];
                    tensors.extend(convolution(&format!("{name}.time_conv"), &shape));
                }
                channels = width / 2;
                index += 1;
            }
        }
        tensors.push(Tensor::ones("decoder.head.0.gamma".to_owned(), &[channels, 1, 1, 1]));
        tensors.extend(convolution("decoder.head.2", &[3, channels, 3, 3, 3]));
        tensors
    }

    fn text_encoder(&self, vocabulary: u64) -> Vec<Tensor> {
        let dim = self.text_dim;
        let block = |name: &str| format!("blocks.0.{name}.weight");
        let mut tensors = vec![
            Tensor::drawn("token_embedding.weight".to_owned(), &[vocabulary, dim], 3),
            Tensor::ones("norm.weight".to_owned(), &[dim]),
            Tensor::ones(block("norm1"), &[dim]),
            Tensor::ones(block("norm2"), &[dim]),
            Tensor::drawn(block("pos_embedding.embedding"), &[BUCKETS, 1], BUCKETS),
        ];
        for name in ["attn.q", "attn.k", "attn.v", "ffn.gate.0", "ffn.fc1"] {
            tensors.push(Tensor::drawn(block(name), &[TEXT_INNER, dim], dim));
        }
        for name in ["attn.o", "ffn.fc2"] {
            tensors.push(Tensor::drawn(block(name), &[dim, TEXT_INNER], TEXT_INNER));
        }
        tensors
    }
}

/// One tensor of a file.
#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    shape: Vec<u64>,
    fill: Fill,
}

#[derive(Clone, Copy, Debug)]
enum Fill {
    Constant(f32),
    /// Uniform from minus to plus a bound.
    Drawn(f32),
}

impl Tensor {
    fn ones(name: String, shape: &[u64]) -> Self {
        Self { name, shape: shape.to_vec(), fill: Fill::Constant(1.0) }
    }

    fn zeros(name: String, shape: &[u64]) -> Self {
        Self { name, shape: shape.to_vec(), fill: Fill::Constant(0.0) }
    }

    /// What is given is as large as what comes out, for `inputs` of one output.
    fn drawn(name: String, shape: &[u64], inputs: u64) -> Self {
        let bound = (3.0 / inputs as f64).sqrt() as f32;
        Self { name, shape: shape.to_vec(), fill: Fill::Drawn(bound) }
    }

    fn count(&self) -> u64 {
        self.shape.iter().product()
    }
}

fn linear(name: &str, output: u64, input: u64) -> [Tensor; 2] {
    [
        Tensor::drawn(format!("{name}.weight"), &[output, input], input),
        Tensor::zeros(format!("{name}.bias"), &[output]),
    ]
}

fn convolution(name: &str, shape: &[u64]) -> Vec<Tensor> {
    let inputs = shape[1..].iter().product();
    vec![
        Tensor::drawn(format!("{name}.weight"), shape, inputs),
        Tensor::zeros(format!("{name}.bias"), &shape[..1]),
    ]
}

fn residual(name: &str, input: u64, output: u64) -> Vec<Tensor> {
    let gamma = |part: &str, width| Tensor::ones(format!("{name}.{part}.gamma"), &[width, 1, 1, 1]);
    let mut tensors = vec![gamma("residual.0", input), gamma("residual.3", output)];
    tensors.extend(convolution(&format!("{name}.residual.2"), &[output, input, 3, 3, 3]));
    tensors.extend(convolution(&format!("{name}.residual.6"), &[output, output, 3, 3, 3]));
    if input != output {
        tensors.extend(convolution(&format!("{name}.shortcut"), &[output, input, 1, 1, 1]));
    }
    tensors
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ElementKind {
    BFloat16,
    Float,
}

impl ElementKind {
    const fn bytes(self) -> u64 {
        match self {
            Self::BFloat16 => 2,
            Self::Float => 4,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::BFloat16 => "BF16",
            Self::Float => "F32",
        }
    }

    fn put(self, number: f32, bytes: &mut Vec<u8>) {
        match self {
            // The upper half of a float32, cut rather than rounded: random is random.
            Self::BFloat16 => bytes.extend(((number.to_bits() >> 16) as u16).to_le_bytes()),
            Self::Float => bytes.extend(number.to_le_bytes()),
        }
    }
}

fn bytes_of(tensors: &[Tensor], kind: ElementKind) -> u64 {
    tensors.iter().map(|tensor| tensor.count() * kind.bytes()).sum()
}

/// Writes a model into `folder`, with the tokenizer of `draft`. `go_on` is asked between tensors, and
/// ends it with the reason that it gives.
pub(super) fn write(
    sizes: &RandomModelSizes,
    folder: &Path,
    draft: &Path,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let tokenizer = draft.join("google/umt5-xxl/tokenizer.json");
    let text = fs::read_to_string(&tokenizer)
        .with_context(|| format!("{} cannot be read", tokenizer.display()))?;
    let vocabulary =
        vocabulary(&text).with_context(|| format!("{} names no pieces", tokenizer.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::write(folder.join("tokenizer.json"), text)?;
    fs::write(folder.join("config.json"), config(sizes).to_string())?;

    let file = |name: &str, tensors: &[Tensor], kind| {
        let path = folder.join(name);
        write_file(&path, tensors, kind, go_on)
            .with_context(|| format!("{} cannot be written", path.display()))
    };
    for name in ["vae-rgb.safetensors", "vae-pha.safetensors"] {
        file(name, &sizes.decoder(), ElementKind::Float)?;
    }
    file("umt5.safetensors", &sizes.text_encoder(vocabulary), ElementKind::BFloat16)?;
    let layers = (0..sizes.layers).flat_map(|n| sizes.layer(n));
    let transformer: Vec<_> = layers.chain(sizes.outside()).collect();
    file("diffusion_pytorch_model.safetensors", &transformer, ElementKind::BFloat16)
}

fn config(sizes: &RandomModelSizes) -> Value {
    json!({
        "_class_name": "WanModel", "model_type": "t2v", "dim": sizes.dim, "ffn_dim": sizes.ffn,
        "freq_dim": FREQ_DIM, "in_dim": LATENT, "out_dim": LATENT, "num_heads": sizes.heads,
        "num_layers": sizes.layers, "text_len": TEXT_LENGTH, "eps": 1e-6,
    })
}

/// How many rows an embedding needs for a `tokenizer.json`: the largest id in it, and one.
fn vocabulary(text: &str) -> Option<u64> {
    let tokenizer: Value = serde_json::from_str(text).ok()?;
    let pieces = match &tokenizer["model"]["vocab"] {
        Value::Array(pieces) => pieces.len() as u64,
        Value::Object(ids) => ids.values().filter_map(Value::as_u64).max()? + 1,
        _ => return None,
    };
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter_map(|token| token["id"].as_u64()).max().map_or(0, |id| id + 1);
    Some(pieces.max(added))
}

fn write_file(
    path: &Path,
    tensors: &[Tensor],
    kind: ElementKind,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&header(tensors, kind)?)?;
    let mut numbers = Numbers::default();
    for tensor in tensors {
        go_on()?;
        numbers.write(tensor, kind, &mut file)?;
    }
    Ok(())
}

/// How a safetensors file begins.
fn header(tensors: &[Tensor], kind: ElementKind) -> Result<Vec<u8>> {
    let mut header = Map::new();
    let mut end = 0;
    for tensor in tensors {
        let begin = end;
        end += tensor.count() * kind.bytes();
        let entry = json!({
            "dtype": kind.name(), "shape": tensor.shape, "data_offsets": [begin, end]
        });
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The data begins at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    Ok([&length[..], &header].concat())
}

/// Tables of numbers as they stand in a file, one for each bound.
#[derive(Default)]
struct Numbers {
    tables: Vec<(f32, Vec<u8>)>,
    /// Where the next tensor goes on in its table, so that no two are equal.
    next: usize,
}

impl Numbers {
    fn write(&mut self, tensor: &Tensor, kind: ElementKind, file: &mut impl Write) -> Result<()> {
        let mut left = usize::try_from(tensor.count() * kind.bytes())?;
        let bound = match tensor.fill {
            Fill::Drawn(bound) => bound,
            Fill::Constant(value) => {
                let mut bytes = Vec::with_capacity(left);
                (0..tensor.count()).for_each(|_| kind.put(value, &mut bytes));
                return Ok(file.write_all(&bytes)?);
            }
        };
        let mut next = self.next;
        let table = self.table(bound, kind);
        while left > 0 {
            let part = &table[next..(next + left).min(table.len())];
            file.write_all(part)?;
            left -= part.len();
            next = (next + part.len()) % table.len();
        }
        self.next = next;
        Ok(())
    }

    fn table(&mut self, bound: f32, kind: ElementKind) -> &[u8] {
        let known = self.tables.iter().position(|(of, _)| *of == bound);
        let index = known.unwrap_or_else(|| {
            let mut bytes = Vec::with_capacity(TABLE * 4);
            draws().take(TABLE).for_each(|number| kind.put(number * bound, &mut bytes));
            self.tables.push((bound, bytes));
            self.tables.len() - 1
        });
        &self.tables[index].1
    }
}

/// From −1 to 1, the same on every machine: Marsaglia's xorshift.
fn draws() -> impl Iterator<Item = f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_model_is_of_the_released_size() {
        let sizes = RandomModelSizes::RELEASED;
        assert!((14_200_000_000..14_400_000_000).contains(&sizes.parameters()));
        // What the plan of memory says of a block.
        let (dim, ffn) = (5120, 13_824);
        let block = 2 * (8 * dim * dim + 2 * dim * ffn + 13 * dim + ffn) + 2 * 8 * dim;
        assert_eq!(sizes.layer_bytes(), block);
        assert!(
            (560_000_000..620_000_000)
                .contains(&(2 * bytes_of(&sizes.decoder(), ElementKind::Float)))
        );
    }

    #[test]
    fn files_are_as_long_as_their_headers_say_and_hold_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let tensors = [
            Tensor::drawn("a".to_owned(), &[3, 5], 12),
            Tensor::ones("b".to_owned(), &[2]),
            Tensor::drawn("c".to_owned(), &[1_048_600], 12),
        ];
        write_file(&path, &tensors, ElementKind::Float, &|| Ok(())).unwrap();
        let bytes = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        assert_eq!(header["b"], json!({ "dtype": "F32", "shape": [2], "data_offsets": [60, 68] }));
        let data = &bytes[8 + length..];
        assert_eq!(data.len() as u64, bytes_of(&tensors, ElementKind::Float));
        let numbers: Vec<f32> =
            data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers[15..17], [1.0, 1.0]);
        assert!(numbers.iter().all(|number| number.abs() <= 1.0));
        let drawn = &numbers[17..];
        let largest = drawn.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
        assert!((0.499..=0.5).contains(&largest), "{largest}");
        let mean = drawn.iter().sum::<f32>() / drawn.len() as f32;
        assert!(mean.abs() < 1e-3, "{mean}");
        assert_ne!(numbers[..8], drawn[..8], "tensors differ");
    }

    #[test]
    fn writing_ends_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("../resources/draft-model");
        let error =
            write(&RandomModelSizes::SMALL, folder.path(), &draft, &|| anyhow::bail!("time is up"));
        assert!(format!("{:#}", error.unwrap_err()).contains("time is up"));
    }

    #[test]
    fn a_tokenizer_says_how_many_rows_it_needs() {
        for (text, count) in [
            (r#"{"model": {"vocab": [["a", 0], ["b", 0]]}, "added_tokens": [{"id": 6}]}"#, Some(7)),
            (r#"{"model": {"vocab": {"a": 4, "b": 1}}}"#, Some(5)),
            (r#"{"model": {}}"#, None),
            ("", None),
        ] {
            assert_eq!(vocabulary(text), count);
        }
    }
}

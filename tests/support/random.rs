//! Random models larger than the references, in the released layout. Written straight to disk:
//! they may be of the size of the memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::json;

use super::model::write_json;

/// Sizes of a diffusion transformer.
#[derive(Clone, Copy)]
pub(crate) struct Transformer {
    pub(crate) dim: u64,
    pub(crate) heads: u64,
    pub(crate) ffn: u64,
    pub(crate) layers: u64,
    pub(crate) text_dim: u64,
}

const FREQ_DIM: u64 = 32;
const PATCHED: u64 = 16 * 4;
const SHARDS: usize = 6;

type Shapes = Vec<(String, Vec<u64>)>;

impl Transformer {
    /// Writes `config.json`, [`SHARDS`] and their index. Returns the bytes of all tensors.
    pub(crate) fn write(&self, folder: &Path) -> u64 {
        self.write_config(folder);
        let shapes = self.shapes();
        let shards: Vec<_> = shapes.chunks(shapes.len().div_ceil(SHARDS)).collect();
        let mut weight_map = serde_json::Map::new();
        let mut bytes = 0;
        for (index, shapes) in shards.iter().enumerate() {
            let (number, count) = (index + 1, shards.len());
            let name = format!("diffusion_pytorch_model-{number:05}-of-{count:05}.safetensors");
            weight_map.extend(shapes.iter().map(|(key, _)| (key.clone(), json!(name))));
            bytes += write_random(&folder.join(name), shapes);
        }
        let index = json!({ "metadata": { "total_size": bytes }, "weight_map": weight_map });
        write_json(&folder.join("diffusion_pytorch_model.safetensors.index.json"), &index);
        bytes
    }

    /// Writes `config.json` and one file of zeros that take no room on the disk: a model of any
    /// size, as long as nothing computes with it. Returns the number of its parameters.
    pub(crate) fn write_hollow(&self, folder: &Path) -> u64 {
        self.write_config(folder);
        let (header, end) = header(&self.shapes());
        let mut file = File::create(folder.join("hollow.safetensors")).unwrap();
        file.write_all(&header).unwrap();
        file.set_len(header.len() as u64 + end).unwrap();
        end / 4
    }

    fn write_config(&self, folder: &Path) {
        let Self { dim, heads, ffn, layers, text_dim: _ } = *self;
        let config = json!({
            "_class_name": "WanModel", "model_type": "t2v", "dim": dim, "ffn_dim": ffn,
            "freq_dim": FREQ_DIM, "in_dim": 16, "out_dim": 16, "num_heads": heads,
            "num_layers": layers, "text_len": 512, "eps": 1e-6,
        });
        write_json(&folder.join("config.json"), &config);
    }

    fn shapes(&self) -> Shapes {
        (0..self.layers).flat_map(|n| self.block(n)).chain(self.outside()).collect()
    }

    /// Writes a DoRA for every matrix of every block.
    pub(crate) fn write_dora(&self, path: &Path, rank: u64) {
        let mut shapes = Shapes::new();
        for n in 0..self.layers {
            for (key, shape) in self.block(n) {
                let Some(module) = key.strip_suffix(".weight").filter(|_| shape.len() == 2) else {
                    continue;
                };
                let module = format!("diffusion_model.{module}");
                shapes.push((format!("{module}.lora_A.default.weight"), vec![rank, shape[1]]));
                shapes.push((format!("{module}.lora_B.default.weight"), vec![shape[0], rank]));
                let magnitude = format!("{module}.lora_magnitude_vector.default.weight");
                shapes.push((magnitude, vec![shape[0]]));
            }
        }
        write_random(path, &shapes);
    }

    fn outside(&self) -> Shapes {
        let Self { dim, text_dim, .. } = *self;
        let mut shapes = Shapes::new();
        shapes.push(("patch_embedding.weight".into(), vec![dim, 16, 1, 2, 2]));
        shapes.push(("patch_embedding.bias".into(), vec![dim]));
        for (name, output, input) in [
            ("time_embedding.0", dim, FREQ_DIM),
            ("time_embedding.2", dim, dim),
            ("time_projection.1", 6 * dim, dim),
            ("text_embedding.0", dim, text_dim),
            ("text_embedding.2", dim, dim),
            ("head.head", PATCHED, dim),
        ] {
            push_linear(&mut shapes, name, output, input);
        }
        shapes.push(("head.modulation".into(), vec![1, 2, dim]));
        shapes
    }

    fn block(&self, n: u64) -> Shapes {
        let Self { dim, ffn, .. } = *self;
        let mut shapes = Shapes::new();
        for attention in ["self_attn", "cross_attn"] {
            let attention = format!("blocks.{n}.{attention}");
            for matrix in ["q", "k", "v", "o"] {
                push_linear(&mut shapes, &format!("{attention}.{matrix}"), dim, dim);
            }
            for norm in ["norm_q", "norm_k"] {
                shapes.push((format!("{attention}.{norm}.weight"), vec![dim]));
            }
        }
        push_linear(&mut shapes, &format!("blocks.{n}.ffn.0"), ffn, dim);
        push_linear(&mut shapes, &format!("blocks.{n}.ffn.2"), dim, ffn);
        for parameter in ["weight", "bias"] {
            shapes.push((format!("blocks.{n}.norm3.{parameter}"), vec![dim]));
        }
        shapes.push((format!("blocks.{n}.modulation"), vec![1, 6, dim]));
        shapes
    }
}

/// Writes an umT5 text encoder of 128 pieces, enough for the references' tokenizers.
pub(crate) fn write_text_encoder(path: &Path, dim: u64, heads: u64, layers: u64) {
    let mut shapes = Shapes::new();
    shapes.push(("token_embedding.weight".into(), vec![128, dim]));
    shapes.push(("norm.weight".into(), vec![dim]));
    for n in 0..layers {
        for matrix in ["attn.q", "attn.k", "attn.v", "attn.o", "ffn.gate.0", "ffn.fc1", "ffn.fc2"] {
            shapes.push((format!("blocks.{n}.{matrix}.weight"), vec![dim, dim]));
        }
        shapes.push((format!("blocks.{n}.pos_embedding.embedding.weight"), vec![32, heads]));
        for norm in ["norm1", "norm2"] {
            shapes.push((format!("blocks.{n}.{norm}.weight"), vec![dim]));
        }
    }
    write_random(path, &shapes);
}

fn push_linear(shapes: &mut Shapes, name: &str, output: u64, input: u64) {
    shapes.push((format!("{name}.weight"), vec![output, input]));
    shapes.push((format!("{name}.bias"), vec![output]));
}

/// A safetensors file of float32 numbers between −0.1 and 0.1: however deep the network, nothing
/// in it overflows. Returns the bytes of the tensors.
fn write_random(path: &Path, shapes: &[(String, Vec<u64>)]) -> u64 {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (header, end) = header(shapes);
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&header).unwrap();
    let numbers: &[u8] = bytemuck::cast_slice(numbers());
    let mut left = end as usize;
    while left > 0 {
        let part = &numbers[..left.min(numbers.len())];
        file.write_all(part).unwrap();
        left -= part.len();
    }
    file.flush().unwrap();
    end
}

/// How a safetensors file of float32 numbers begins, and how many bytes of them follow.
fn header(shapes: &[(String, Vec<u64>)]) -> (Vec<u8>, u64) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in shapes {
        let begin = end;
        end += 4 * shape.iter().product::<u64>();
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header).unwrap();
    // The data begins at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    ([&length[..], &header].concat(), end)
}

/// The same on every machine; as many as a prime, so that rows of no width repeat each other.
fn numbers() -> &'static [f32] {
    static NUMBERS: OnceLock<Vec<f32>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        // Marsaglia's xorshift.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.2
        };
        std::iter::repeat_with(next).take(1_048_573).collect()
    })
}

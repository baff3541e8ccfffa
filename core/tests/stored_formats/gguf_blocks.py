"""Makes what core/tests/stored_formats.rs compares GGUF's formats with.

Needs gguf 0.19.0, safetensors 0.8.0 and numpy 2.3.5 from PyPI; the Rust test needs none of them:

    python core/tests/stored_formats/gguf_blocks.py

Every format is quantized by the gguf package, but for those that it only reads: their blocks are random
bytes with finite scales. What the numbers are is its own dequantization, float32.
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file

HERE = Path(__file__).parent
ROWS, WIDTH = 5, 512
WRITTEN = [Kind.Q8_0, Kind.Q5_1, Kind.Q5_0, Kind.Q4_1, Kind.Q4_0]
# Where the half floats of a block are.
READ = {Kind.Q6_K: [208], Kind.Q5_K: [0, 2], Kind.Q4_K: [0, 2]}


def random_blocks(generator, kind, scales):
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = generator.integers(0, 256, (ROWS * WIDTH // numbers, size), dtype=np.uint8)
    for place in scales:
        scale = (generator.normal(size=len(blocks)) * 0.01).astype(np.float16)
        blocks[:, place : place + 2] = scale.view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(blocks.reshape(ROWS, -1))


def main():
    generator = np.random.default_rng(19)
    writer = gguf.GGUFWriter(HERE / "blocks.gguf", "wan")
    writer.add_array("comfy.gguf.orig_shape.reshaped", [2, 3, 1, 2, 64])
    writer.add_array("tokenizer.ggml.tokens", ["<pad>", "</s>", "\u2581flame"])
    writer.add_array("tokenizer.ggml.scores", [0.0, 0.0, -1.5])
    writer.add_file_type(7)
    expected = {}
    for kind in WRITTEN:
        numbers = generator.normal(size=(ROWS, WIDTH)).astype(np.float32)
        # A block of zeros has the scale 0.
        numbers[1, :256] = 0
        blocks = gguf.quantize(numbers, kind)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(blocks, kind)
    for kind, scales in READ.items():
        blocks = random_blocks(generator, kind, scales)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(blocks, kind)
    reshaped = generator.normal(size=(6, 128)).astype(np.float32)
    blocks = gguf.quantize(reshaped, Kind.Q8_0)
    writer.add_tensor("reshaped", blocks, raw_dtype=Kind.Q8_0)
    expected["reshaped"] = gguf.dequantize(blocks, Kind.Q8_0).reshape(2, 3, 1, 2, 64)
    five = generator.normal(size=(3, 2, 1, 2, 2)).astype(np.float32)
    writer.add_tensor("five_axes", five)
    expected["five_axes"] = five
    half = generator.normal(size=(2, 3)).astype(np.float16)
    writer.add_tensor("F16", half)
    expected["F16"] = half.astype(np.float32)
    brain = gguf.quantize(half.astype(np.float32), Kind.BF16)
    writer.add_tensor("BF16", brain, raw_dtype=Kind.BF16)
    expected["BF16"] = gguf.dequantize(brain, Kind.BF16)
    two_bits = generator.integers(0, 256, (1, 84), dtype=np.uint8)
    writer.add_tensor("Q2_K", two_bits, raw_dtype=Kind.Q2_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    numbers = {name: np.ascontiguousarray(numbers, np.float32) for name, numbers in expected.items()}
    save_file(numbers, HERE / "blocks.safetensors")


if __name__ == "__main__":
    main()

"""Makes what core/tests/quantizing.rs compares the written Q8_0 with.

Needs gguf 0.19.0, safetensors 0.8.0 and numpy 2.3.5 from PyPI; the Rust test needs none of them:

    python core/tests/stored_formats/q8_0.py
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def main():
    generator = np.random.default_rng(21)
    numbers = (generator.normal(size=(24, 256)) * 0.05).astype(np.float32)
    # A block of zeros has the scale 0; whole and half multiples of the scale are rounded away from 0.
    numbers[1, :64] = 0
    numbers[2] = (np.arange(256) % 64 - 31.5) * 0.5
    numbers[2, ::32] = 127
    blocks = gguf.quantize(numbers, Kind.Q8_0)
    save_file({"numbers": numbers, "blocks": np.ascontiguousarray(blocks)}, HERE / "q8_0.safetensors")


if __name__ == "__main__":
    main()

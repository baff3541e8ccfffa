"""Makes what core/tests/stored_formats.rs compares archives of torch.save with.

Needs torch 2.13.0, safetensors 0.8.0 and numpy 2.3.5 from PyPI; the Rust test needs none of them:

    python core/tests/stored_formats/torch_saves.py

Kinds that have no storage class of their own are saved by `_rebuild_tensor_v3`.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
WEIGHT = "blocks.0.ffn.0.weight"


def main():
    torch.manual_seed(19)
    numbers = torch.randn(6, 4)
    narrow = {kind: numbers.to(getattr(torch, kind)) for kind in ["float8_e4m3fn", "float8_e5m2"]}
    both = torch.stack([numbers, -numbers]).to(torch.float8_e4m3fn)
    tensors = {
        WEIGHT: narrow["float8_e4m3fn"],
        "blocks.0.ffn.2.weight": narrow["float8_e5m2"],
        # A view in the middle of a storage, and one whose numbers are not in order.
        "blocks.1.ffn.0.weight": both[1],
        "blocks.1.ffn.2.weight": narrow["float8_e4m3fn"].t(),
        "blocks.0.ffn.0.bias": numbers[:, 0].to(torch.bfloat16),
    }
    checkpoint = {"model": {f"module.{key}": value for key, value in tensors.items()}, "step": 7}
    torch.save(checkpoint, HERE / "fp8.pth")
    torch.save({WEIGHT: torch.ones(2, 2, dtype=torch.uint16)}, HERE / "uint16.pth")
    expected = {key: value.float().contiguous() for key, value in tensors.items()}
    save_file(expected, HERE / "torch_saves.safetensors")


if __name__ == "__main__":
    main()

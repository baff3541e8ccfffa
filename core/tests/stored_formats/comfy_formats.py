"""Makes what core/tests/stored_formats.rs compares ComfyUI's formats with, by ComfyUI's own package.

Needs comfy-kitchen 0.2.40, torch 2.13.0, safetensors 0.8.0, packaging and numpy 2.3.5 from PyPI; the Rust test needs
none of them:

    python core/tests/stored_formats/comfy_formats.py

`comfy.safetensors` has a weight in each format that is read, and `comfy_numbers.safetensors` what the package makes of
them; `comfy_NAME.safetensors` a weight each in formats that are refused.
"""

import json
from pathlib import Path

import torch
from comfy_kitchen.tensor.base import get_layout_class
from safetensors.torch import save_file

HERE = Path(__file__).parent
READ = {
    "blocks.0.ffn.0": ("float8_e4m3fn", "TensorCoreFP8Layout", {"dtype": torch.float8_e4m3fn}),
    "blocks.0.ffn.2": ("float8_e5m2", "TensorCoreFP8Layout", {"dtype": torch.float8_e5m2}),
    "blocks.1.ffn.0": ("int8_tensorwise", "TensorWiseINT8Layout", {}),
    "blocks.1.ffn.2": ("int8_tensorwise", "TensorWiseINT8Layout", {"per_channel": True}),
}
CONVROT = {"per_channel": True, "convrot": True, "convrot_groupsize": 64}
REFUSED = {
    "convrot": ("int8_tensorwise", "TensorWiseINT8Layout", CONVROT, {"convrot": True, "convrot_groupsize": 64}),
    "nvfp4": ("nvfp4", "TensorCoreNVFP4Layout", {}, {}),
    "mxfp8": ("mxfp8", "TensorCoreMXFP8Layout", {}, {}),
}


def stored(module, numbers, form, layout, options, said):
    layout = get_layout_class(layout)
    data, parameters = layout.quantize(numbers, **options)
    tensors = {f"{module}.weight{end}": tensor.contiguous() for end, tensor in layout.state_dict_tensors(data, parameters).items()}
    text = json.dumps({"format": form, **said}).encode()
    tensors[f"{module}.comfy_quant"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return tensors, layout.dequantize(data, parameters)


def main():
    torch.manual_seed(19)
    tensors, expected = {}, {}
    for module, (form, layout, options) in READ.items():
        made, numbers = stored(module, torch.randn(16, 64), form, layout, options, {})
        tensors.update(made)
        expected[f"{module}.weight"] = numbers.float().contiguous()
    save_file(tensors, HERE / "comfy.safetensors")
    save_file(expected, HERE / "comfy_numbers.safetensors")
    for name, (form, layout, options, said) in REFUSED.items():
        made, _ = stored("blocks.0.ffn.0", torch.randn(16, 64), form, layout, options, said)
        save_file(made, HERE / f"comfy_{name}.safetensors")


if __name__ == "__main__":
    main()

"""Writes tables.json: the keys, shapes and settings by which diffusers saves models of these sizes.

    python -m venv environment
    environment/bin/pip install -r requirements.txt
    environment/bin/python write_tables.py

The sizes are those of tests/data/t2v-euler/model, so that what `wan-alpha model export` makes of it can
be compared with the table, key by key and shape by shape. Nothing of a weight is kept.
"""

import json
import tempfile
from pathlib import Path

import diffusers
import peft
import torch
import transformers
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from transformers import UMT5Config, UMT5EncoderModel

RANK = 2
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


def saved(save, weights):
    """What lies in the folder that `save` fills: keys with shapes, and config.json if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        with safe_open(Path(folder) / weights, "pt") as file:
            keys = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}
        config = Path(folder) / "config.json"
        about = json.loads(config.read_text()) if config.exists() else None
    return {"file": weights, "keys": dict(sorted(keys.items())), "config": about}


def transformer():
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=20,
        in_channels=16,
        out_channels=16,
        text_dim=16,
        freq_dim=32,
        ffn_dim=64,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=1e-6,
        rope_max_seq_len=1024,
    )


def dora():
    model = transformer()
    about = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS, use_dora=True)
    model.add_adapter(about)
    layers = get_peft_model_state_dict(model)

    def save(folder):
        WanPipeline.save_lora_weights(folder, transformer_lora_layers=layers)

    return saved(save, "pytorch_lora_weights.safetensors")


def text_encoder():
    config = UMT5Config(vocab_size=110, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    return saved(UMT5EncoderModel(config).save_pretrained, "model.safetensors")


def main():
    tables = {
        "versions": {
            "diffusers": diffusers.__version__,
            "peft": peft.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "transformer": saved(
            transformer().save_pretrained, "diffusion_pytorch_model.safetensors"
        ),
        "dora": dora(),
        "autoencoder": saved(
            AutoencoderKLWan(base_dim=4).save_pretrained, "diffusion_pytorch_model.safetensors"
        ),
        "text_encoder": text_encoder(),
    }
    path = Path(__file__).with_name("tables.json")
    path.write_text(json.dumps(tables, indent=1) + "\n")


main()

"""Writes a tiny first-last-frame transformer of random weights, and what Diffusers computes with it.

    python -m venv environment
    environment/bin/pip install torch==2.13.0 diffusers==0.38.0 transformers safetensors
    environment/bin/python write.py

transformer/ is as Diffusers saves it; golden.safetensors has the inputs and the velocity.
"""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

HERE = Path(__file__).parent
FEATURES, TOKENS = 24, 5

torch.manual_seed(11)
model = WanTransformer3DModel(
    patch_size=(1, 2, 2),
    num_attention_heads=2,
    attention_head_dim=16,
    in_channels=36,
    out_channels=16,
    text_dim=12,
    freq_dim=16,
    ffn_dim=40,
    num_layers=2,
    cross_attn_norm=True,
    qk_norm="rms_norm_across_heads",
    eps=1e-6,
    image_dim=FEATURES,
    added_kv_proj_dim=32,
    rope_max_seq_len=1024,
    pos_embed_seq_len=2 * TOKENS,
)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        spread = 0.3 if "norm" in name or "pos_embed" in name else 0.15
        parameter.add_(torch.randn_like(parameter) * spread)
model.eval().save_pretrained(HERE / "transformer")

latent = torch.randn(1, 16, 2, 4, 6)
condition = torch.randn(20, 2, 4, 6)
context = torch.randn(7, 12)
feature = torch.randn(2, TOKENS, FEATURES)
timestep = torch.tensor([613.0])
padded = torch.zeros(1, 512, 12)
padded[0, :7] = context
with torch.no_grad():
    # Diffusers lays the two images' tokens side by side itself.
    velocity = model(
        hidden_states=torch.cat([latent, condition[None]], dim=1),
        timestep=timestep,
        encoder_hidden_states=padded,
        encoder_hidden_states_image=feature,
        return_dict=False,
    )[0]
save_file(
    {
        "latent": latent,
        "condition": condition,
        "context": context,
        "feature": feature,
        "timestep": timestep,
        "velocity": velocity,
    },
    HERE / "golden.safetensors",
)

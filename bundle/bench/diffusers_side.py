"""The other side of `cargo xtask bench`: diffusers' Wan transformer and decoder.

Usage: diffusers_side.py dit-1 | dit-5 | decode

Builds the case with random weights and a fixed seed, runs it once, and writes

    ready {"shape": ..., "parameters": ..., "checksum": ..., "versions": {...}}

Then each line `run` on standard input is answered by {"seconds": s}. Sizes must equal those of
`core/examples/bench.rs`: `shape` is the result's, `parameters` counts the weights that the case
reads, and `cargo xtask bench` refuses to compare where they differ.
"""

import json
import os
import sys
import time

import diffusers
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

SEED = 7
TEXT_TOKENS = 512


def transformer(latent_frames):
    """A forward pass at 832x480: latent [16, frames, 60, 104]."""
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=12,
        attention_head_dim=128,
        in_channels=16,
        out_channels=16,
        text_dim=4096,
        freq_dim=256,
        ffn_dim=8960,
        num_layers=4,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=1e-6,
        rope_max_seq_len=1024,
    )
    latent = torch.randn(1, 16, latent_frames, 60, 104)
    text = torch.randn(1, TEXT_TOKENS, 4096)
    timestep = torch.tensor([500.0])

    def forward():
        return model(
            hidden_states=latent,
            timestep=timestep,
            encoder_hidden_states=text,
            return_dict=False,
        )[0]

    return forward, [model]


def decoder():
    """The full-size decoder (dim 96) at 416x240 and 5 frames: latent [16, 2, 30, 52]."""
    vae = AutoencoderKLWan(base_dim=96, z_dim=16)
    latent = torch.randn(1, 16, 2, 30, 52)

    def forward():
        return vae.decode(latent, return_dict=False)[0]

    return forward, [vae.decoder, vae.post_quant_conv]


CASES = {
    "dit-1": lambda: transformer(1),
    "dit-5": lambda: transformer(2),
    "decode": decoder,
}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in CASES:
        sys.exit(f"usage: diffusers_side.py {' | '.join(CASES)}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(SEED)
    forward, modules = CASES[sys.argv[1]]()
    for module in modules:
        module.eval()
    with torch.no_grad():
        result = forward()
        ready = {
            "shape": list(result.shape),
            "parameters": sum(p.numel() for m in modules for p in m.parameters()),
            "checksum": result.double().abs().mean().item(),
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        }
        print("ready", json.dumps(ready), flush=True)
        for line in sys.stdin:
            if line.strip() != "run":
                sys.exit(f"unknown request: {line.strip()}")
            begun = time.perf_counter()
            forward()
            print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()

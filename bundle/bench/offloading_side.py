"""The other side of `cargo xtask bench streaming`: diffusers' Wan transformer, its blocks kept or offloaded.

Usage: offloading_side.py FILE BLOCKS [FOLDER]

Reads the file that the example `streaming` made, of the 14B model's shapes with so many blocks in
bfloat16, and computes a velocity of 256x144 with 5 frames twice. With FOLDER the blocks lie there, one a
group (`enable_group_offload`, which writes them anew and wants `accelerate`), and come from there in each
pass. The answer is one line of JSON:

    {"seconds": [s, s], "peak_anonymous": bytes, "mean": m, "versions": {...}}

The peak is of the passes alone: what loading held before is given back and not counted.
"""

import ctypes
import gc
import json
import os
import sys
import threading
import time

import accelerate
import diffusers
import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors import safe_open

TEXT_TOKENS = 512
# What diffusers itself keeps in float32.
FLOAT32 = WanTransformer3DModel._keep_in_fp32_modules


def load(file, blocks):
    with accelerate.init_empty_weights():
        model = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=40,
            attention_head_dim=128,
            in_channels=16,
            out_channels=16,
            text_dim=4096,
            freq_dim=256,
            ffn_dim=13824,
            num_layers=blocks,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            eps=1e-6,
            rope_max_seq_len=1024,
        )
    wanted = ("blocks.", "head.", "patch_embedding.", "text_embedding.", "time_")
    with safe_open(file, "pt") as source:
        weights = {key: source.get_tensor(key) for key in source.keys() if key.startswith(wanted)}
    weights = convert_wan_transformer_to_diffusers(weights)

    def kind(key):
        return torch.float32 if any(part in key for part in FLOAT32) else torch.bfloat16

    weights = {key: value.to(kind(key)) for key, value in weights.items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()


class Peak:
    """The most anonymous and shared memory of this process, looked at every five milliseconds."""

    def __enter__(self):
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        self.bytes, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(0.005):
            with open("/proc/self/status") as status:
                fields = dict(line.split(":", 1) for line in status)
            held = sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))
            self.bytes = max(self.bytes, held * 1024)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: offloading_side.py FILE BLOCKS [FOLDER]")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(7)
    model = load(sys.argv[1], int(sys.argv[2]))
    if len(sys.argv) == 4:
        model.enable_group_offload(
            onload_device=torch.device("cpu"),
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            offload_to_disk_path=sys.argv[3],
        )
    latent = torch.randn(1, 16, 2, 18, 32).bfloat16()
    text = torch.randn(1, TEXT_TOKENS, 4096).bfloat16()
    seconds = []
    with torch.no_grad(), Peak() as peak:
        for _ in range(2):
            begun = time.perf_counter()
            velocity = model(
                hidden_states=latent,
                timestep=torch.tensor([500.0]),
                encoder_hidden_states=text,
                return_dict=False,
            )[0]
            seconds.append(time.perf_counter() - begun)
    answer = {
        "seconds": seconds,
        "peak_anonymous": peak.bytes,
        "mean": velocity.float().abs().mean().item(),
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

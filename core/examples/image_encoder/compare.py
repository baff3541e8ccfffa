"""Our image encoder beside transformers', as large as the released one, random weights, in one run.

    cargo build --release -p wan-alpha-core --example image_encoder
    python compare.py target/release/examples/image_encoder [rounds]

The environment is that of tests/data/diffusers/requirements.txt. Weights are stored in float16, as
released; both compute in float32.
"""

import os
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
torch.set_num_threads(threads)
torch.manual_seed(3)
config = CLIPVisionConfig(
    hidden_size=1280,
    intermediate_size=5120,
    num_hidden_layers=32,
    num_attention_heads=16,
    image_size=224,
    patch_size=14,
    hidden_act="gelu",
)
model = CLIPVisionModel(config).eval()
with tempfile.TemporaryDirectory() as folder:
    file, features = f"{folder}/clip.safetensors", f"{folder}/features.safetensors"
    weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    weights = {key if key.startswith("vision_model.") else f"vision_model.{key}": value
               for key, value in weights.items()}
    save_file(weights, file)
    model.load_state_dict({key: value.half().float() for key, value in model.state_dict().items()})
    ours, theirs = [], []
    for _ in range(rounds):
        out = subprocess.run([program, file, features], check=True, capture_output=True, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        ours.append(float(out.stdout))
        made = load_file(features)
        begun = time.perf_counter()
        with torch.no_grad():
            states = model(pixel_values=made["input"], output_hidden_states=True).hidden_states
        theirs.append(time.perf_counter() - begun)
        error = (states[-2] - made["feature"]).abs().max() / states[-2].abs().max()
        print(f"ours {ours[-1]:.2f} s with reading, theirs {theirs[-1]:.2f} s in memory, off by {error:.1e}")
    print(f"best of {rounds}: {min(ours) / min(theirs):.2f} times theirs")

"""Makes what core/tests/metrics.rs compares CLIP and the aesthetic predictor with.

Needs torch, torchvision and transformers from PyPI; the Rust test needs none of them:

    python core/tests/metrics/clip.py

The model is transformers' own CLIPModel, small and with random weights, saved as users have it. The
steps around it are VBench's: bicubic resizing of bytes without antialiasing, the middle, features of
length 1, a linear layer, a tenth.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.transforms import CenterCrop, InterpolationMode, Normalize, Resize
from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

HERE = Path(__file__).parent
FOLDER = HERE / "clip"
MERGES = ["r e", "re d</w>", "b a", "l l</w>", "ba ll</w>", "s m", "o k", "sm ok", "smok e</w>"]
TEXTS = ["a red ball, of smoke", "", "Red  SMOKE! é", "ball " * 40]
SIDE = 32


def tokenizer():
    letters = list(bytes_to_unicode().values())
    pieces = letters + [letter + "</w>" for letter in letters]
    pieces += ["".join(merge.split()) for merge in MERGES] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    (FOLDER / "vocab.json").write_text(json.dumps(vocabulary))
    (FOLDER / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    made = CLIPTokenizerFast(
        vocab=str(FOLDER / "vocab.json"), merges=str(FOLDER / "merges.txt"), model_max_length=24
    )
    made.backend_tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    for name in ["vocab.json", "merges.txt"]:
        (FOLDER / name).unlink()
    return made


def model(pieces):
    torch.manual_seed(11)
    half = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
    config = CLIPConfig(
        text_config=half | {
            "num_attention_heads": 3, "vocab_size": pieces, "max_position_embeddings": 24,
            "bos_token_id": pieces - 2, "eos_token_id": pieces - 1, "hidden_act": "gelu",
        },
        vision_config=half | {"num_attention_heads": 2, "image_size": SIDE, "patch_size": 8},
        projection_dim=20,
    )
    made = CLIPModel(config).eval()
    with torch.no_grad():
        for name, tensor in made.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1)
            elif tensor.ndim > 1:
                tensor.mul_(4.0)
    made.save_pretrained(FOLDER)
    (FOLDER / "generation_config.json").unlink(missing_ok=True)
    return made


def main():
    FOLDER.mkdir(exist_ok=True)
    words = tokenizer()
    clip = model(len(words))
    head = torch.nn.Linear(20, 1)
    torch.save(head.state_dict(), HERE / "aesthetic.pth")
    golden = {}
    generator = torch.Generator().manual_seed(5)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    resize = Resize(SIDE, interpolation=InterpolationMode.BICUBIC, antialias=False)
    with torch.no_grad():
        for name, size in [("wide", (45, 83)), ("tall", (70, 41)), ("small", (20, 20))]:
            picture = torch.randint(0, 256, (2, 3, *size), generator=generator, dtype=torch.uint8)
            golden[f"{name}.picture"] = picture
            seen = Normalize(mean, std)(CenterCrop(SIDE)(resize(picture)) / 255.0)
            features = clip.visual_projection(clip.vision_model(pixel_values=seen).pooler_output)
            features = torch.nn.functional.normalize(features, dim=-1)
            golden[f"{name}.features"] = features
            golden[f"{name}.aesthetic"] = head(features).squeeze(-1) / 10
        for index, text in enumerate(TEXTS):
            ids = words(text, truncation=True, return_tensors="pt")
            pooled = clip.text_model(**ids).pooler_output
            features = torch.nn.functional.normalize(clip.text_projection(pooled), dim=-1)
            golden[f"text.{index}"] = features.contiguous()
            golden[f"cosine.{index}"] = (golden["wide.features"] @ features.T).squeeze(-1)
    save_file(golden, HERE / "clip.safetensors")


main()

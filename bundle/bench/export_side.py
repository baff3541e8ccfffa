"""What `wan-alpha model export --diffusers` has written, loaded and computed with by Diffusers itself.

Usage: export_side.py DIR GOLDEN.safetensors

Every part is loaded by the function that its users call, which must find no tensor missing and none too
many, and computes what the authors' code computed (tests/data/README.md). Prints

    {"errors": {"transformer": e, …}, "versions": {…}}

each error the largest difference over the largest number of the reference.
"""

import json
import sys
from pathlib import Path

import diffusers
import peft
import torch
import transformers
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file
from transformers import UMT5EncoderModel

TEXT_TOKENS = 512


def loaded(kind, folder):
    model, about = kind.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    for problem in ["missing_keys", "unexpected_keys", "mismatched_keys"]:
        # The embedding is tied: one tensor by two names.
        found = [key for key in about[problem] if key != "encoder.embed_tokens.weight"]
        if found:
            raise SystemExit(f"{folder}: {problem}: {found}")
    return model.eval()


def error(result, expected):
    return float((result - expected).abs().max() / expected.abs().max())


def velocity(model, golden):
    context = torch.zeros(1, TEXT_TOKENS, golden["context"].shape[1])
    context[0, : golden["context"].shape[0]] = golden["context"]
    return model(
        hidden_states=golden["dit.probe.latent"][None],
        timestep=golden["dit.probe.timestep"],
        encoder_hidden_states=context,
        return_dict=False,
    )[0][0]


def decoded(model, golden):
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (model.config.latents_mean, model.config.latents_std)
    )
    return model.decode(golden["latent.final"][None] * std + mean, return_dict=False)[0][0]


@torch.no_grad()
def main():
    folder, golden = Path(sys.argv[1]), load_file(sys.argv[2])
    errors = {}
    transformer = loaded(WanTransformer3DModel, folder / "transformer")
    errors["transformer"] = error(velocity(transformer, golden), golden["dit.base.velocity"])

    layers = WanPipeline.lora_state_dict(folder)
    WanPipeline.load_lora_into_transformer(layers, transformer)
    errors["dora"] = error(velocity(transformer, golden), golden["dit.dora.velocity"])

    for name, video in [("vae_rgb", "video.fgr"), ("vae_alpha", "video.pha")]:
        autoencoder = loaded(AutoencoderKLWan, folder / name)
        errors[name] = error(decoded(autoencoder, golden), golden[video])
    moments = autoencoder.encode(golden["vae.encode.input"][None]).latent_dist.mode()
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (autoencoder.config.latents_mean, autoencoder.config.latents_std)
    )
    errors["encoder"] = error((moments - mean)[0] / std[0], golden["vae.encode.latent"])

    text = loaded(UMT5EncoderModel, folder / "text_encoder")
    count = golden["context"].shape[0]
    tokens = golden["token_ids"][None, :count].long()
    context = text(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0]
    errors["text_encoder"] = error(context, golden["context"])

    modules = (torch, diffusers, transformers, peft)
    versions = {module.__name__: module.__version__ for module in modules}
    print(json.dumps({"errors": errors, "versions": versions}))


main()

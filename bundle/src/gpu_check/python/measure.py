#!/usr/bin/env python3
"""Single operations of wan-alpha's transformer and decoder, measured: a JSON line each.

    measure.py PART [--device cuda|cpu] [--small] [--seconds N]

Needs a Python with torch 2.11 or newer and nothing else. Ends by itself within its time, with what it
has measured by then. `cargo xtask gpu-check` runs it part by part; docs/gpu-check.md says what the
lines mean."""

import argparse
import json
import subprocess
import sys

import torch
import torch.nn.functional as F

from block import Block
from clock import Clock
from decoder import Decoder, Memory

# Of the released model at 832×480, 81 frames.
DIM, FFN, LAYERS, TEXT, TOKENS = 5120, 13824, 40, 512, 32760
HEIGHT, WIDTH, LATENT_FRAMES = 60, 104, 21
# Tokens that a card takes at once through what would be wide, as core does.
PIECES = 8192
# Bytes held at the widest place of a block, in units of one float32 residual stream.
BLOCK_PEAK = 3.6
BACKENDS = ("math", "flash", "efficient", "cudnn", "another")
# Above this many tokens nobody may fall to the attention that holds every pair.
QUADRATIC = 4096


def say(what, value, unit=None, **more):
    if isinstance(value, float):
        value = float(f"{value:.4g}")
    line = {"what": what, "value": value, "unit": unit, **more}
    print(json.dumps({k: v for k, v in line.items() if v is not None}), flush=True)


def random(clock, *shape, kind=torch.float32):
    return torch.randn(*shape, device=clock.device, dtype=kind)


def attention(clock, small):
    tokens, heads = (256, 2) if small else (TOKENS, DIM // 128)
    text = 32 if small else TEXT
    pixels = 64 if small else HEIGHT * WIDTH
    shapes = {
        "self-attention": (tokens, tokens, heads, 128, torch.bfloat16),
        "cross-attention": (tokens, text, heads, 128, torch.bfloat16),
        "decoder's attention": (pixels, pixels, 1, 384, torch.float32),
    }
    for name, (queries, keys, heads, width, kind) in shapes.items():
        if not clock.has_time():
            return
        q = random(clock, 1, queries, heads, width, kind=kind).transpose(1, 2)
        kv = random(clock, 1, keys, heads, width, kind=kind).transpose(1, 2)
        work = lambda: F.scaled_dot_product_attention(q, kv, kv)
        backend = BACKENDS[torch._fused_sdp_choice(q, kv, kv)]
        seconds = clock.seconds(work)
        peak, _ = clock.peak_bytes(work)
        fused = backend != "math" or queries <= QUADRATIC
        say(
            name,
            f"{backend}, {4e-12 * queries * keys * heads * width / seconds:.4g} TFLOP/s",
            expected="not math above 4096 tokens",
            holds=fused,
            ms=float(f"{1e3 * seconds:.4g}"),
            bytes_beyond_result=peak - q.numel() * q.element_size(),
        )


def block(clock, small):
    if small:
        dim, ffn, text, tokens, pieces = 256, 691, 16, 4096, 128
    else:
        dim, ffn, text, tokens, pieces = DIM, FFN, TEXT, TOKENS, PIECES
    with torch.no_grad():
        one = Block(clock.device, dim, ffn, text, tokens, pieces)
        x = one.input()
        unit = x.numel() * x.element_size()
        one.step(x)
        peak, _ = clock.peak_bytes(lambda: one.step(x))
        held = (peak + unit) / unit
        say("peak", held, "A", expected=f"≤ {BLOCK_PEAK}", holds=held <= BLOCK_PEAK, A_bytes=unit)
        seconds = clock.seconds(lambda: one.step(x))
        step = float(f"{LAYERS * seconds:.4g}")
        say("time", 1e3 * seconds, "ms", tokens=tokens, step_of_40_blocks_s=step)
        block_parts(clock, one, x)
        if clock.is_card and clock.has_time():
            kernels(lambda: one.step(x))


def block_parts(clock, one, x):
    y = random(clock, 1, one.tokens, one.dim, kind=torch.bfloat16)
    piece = y[:, : one.pieces]
    matrix = 2 * one.tokens * one.dim * one.dim
    feed_forward = 4 * piece.shape[1] * one.dim * one.ffn_in.shape[0]
    _, _, gate = one.modulations(0)
    parts = {
        "matrix, dim to dim": (lambda: F.linear(y, one.q), matrix),
        "feed-forward matrices, a piece": (
            lambda: F.linear(F.linear(piece, one.ffn_in), one.ffn_out),
            feed_forward,
        ),
        "norm, modulation, cast": (lambda: one.normed(x, *one.norm3), None),
        "RMS norm and rotation": (lambda: one.rotate(y), None),
        "RMS norm, fused": (lambda: F.rms_norm(y, (one.dim,), None, 1e-6), None),
        "gated addition": (lambda: x.addcmul_(y, gate), None),
    }
    for name, (work, operations) in parts.items():
        if not clock.has_time():
            return
        seconds = clock.seconds(work)
        tflops = operations and float(f"{1e-12 * operations / seconds:.3g}")
        say(name, 1e3 * seconds, "ms", tflops=tflops)


def kernels(work):
    """How many kernels a block starts, and which take longest."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    found = [e for e in profile.key_averages() if e.self_device_time_total > 0]
    found.sort(key=lambda e: -e.self_device_time_total)
    top = {e.key[:60]: round(e.self_device_time_total / 1e3, 2) for e in found[:8]}
    say("kernels", sum(e.count for e in found), longest_ms=top)


# Names of arithmetic, the kind of tensors, and whether convolutions may round to TF32.
ARITHMETIC = (
    ("float32", torch.float32, False),
    ("TF32", torch.float32, True),
    ("bf16", torch.bfloat16, False),
)


def decoding(clock, small):
    with torch.no_grad():
        for name, kind, tf32 in ARITHMETIC:
            torch.backends.cudnn.allow_tf32 = tf32
            convolutions(clock, small, name, kind)
        decoders(clock, small)


def convolutions(clock, small, name, kind):
    sizes = ((384, 60, 104), (384, 120, 208), (192, 240, 416), (96, 480, 832))
    for channels, height, width in ((96, 8, 8),) if small else sizes:
        if not clock.has_time():
            return
        x = random(clock, 1, 6, height, width, channels, kind=kind).permute(0, 4, 1, 2, 3)
        weight = random(clock, channels, channels, 3, 3, 3, kind=kind) * (27 * channels) ** -0.5
        weight = weight.to(memory_format=torch.channels_last_3d)
        work = lambda: F.conv3d(x, weight, padding=(0, 1, 1))
        peak, y = clock.peak_bytes(work)
        seconds = clock.seconds(work)
        corner = x[..., :16, :16]
        exact = F.conv3d(corner.double(), weight.double(), padding=(0, 1, 1))
        error = (F.conv3d(corner, weight, padding=(0, 1, 1)).double() - exact).norm() / exact.norm()
        say(
            f"convolution 3×3×3, {channels} channels, {name}",
            1e3 * seconds,
            "ms",
            tflops=round(2e-12 * 27 * channels * y.numel() / seconds, 2),
            relative_error=float(f"{float(error):.3g}"),
            workspace_bytes=max(0, peak - y.numel() * y.element_size()),
            channels_last=y.is_contiguous(memory_format=torch.channels_last_3d),
        )
        clock.give_back()


def decoders(clock, small):
    """Two chunks of a film in each arithmetic; the second is like all later ones."""
    height, width, divisor = (4, 4, 8) if small else (HEIGHT, WIDTH, 1)
    exact = None
    for name, kind, tf32 in ARITHMETIC:
        if not clock.has_time():
            return
        torch.backends.cudnn.allow_tf32 = tf32
        torch.manual_seed(1)

        def make(*shape):
            return torch.randn(*shape).to(clock.device, kind)

        decoder = Decoder(make, divisor)
        latents = [make(1, 1, height, width, 16) for _ in range(4)]
        # The first two choose kernels and fill memories.
        memory = Memory()
        frames = [decoder.forward(latent, memory) for latent in latents[:2]]
        peak, third = clock.peak_bytes(lambda: decoder.forward(latents[2], memory))
        frames.append(third)
        clock.wait()
        seconds = clock.seconds(lambda: decoder.forward(latents[3], memory), times=2)
        kept = sum(s.numel() * s.element_size() for s in memory.slots if torch.is_tensor(s))
        film = torch.cat([frame.float().cpu() for frame in frames], 1)
        if exact is None:
            exact = film
        say(
            f"take, {name}",
            2 * LATENT_FRAMES * seconds,
            "s",
            chunk_s=float(f"{seconds:.4g}"),
            error_of_float32=float(f"{float((film - exact).norm() / exact.norm()):.3g}"),
            bytes_kept_between_chunks=kept,
            bytes_of_a_chunk=peak,
        )
        del decoder, frames, third, memory
        clock.give_back()


def copies(clock, small):
    size = (1 << 22) if small else 703 << 20
    here = torch.zeros(size, dtype=torch.uint8)
    there = torch.empty(size, dtype=torch.uint8, device=clock.device)
    pinned = here.pin_memory() if clock.is_card else None
    for name, memory in (("pageable", here), ("pinned", pinned)):
        if memory is None:
            continue
        at_once = memory is pinned
        for way, work in (
            ("to the card", lambda: there.copy_(memory, non_blocking=at_once)),
            ("from the card", lambda: memory.copy_(there, non_blocking=at_once)),
        ):
            say(f"{way}, {name}", 1e-9 * size / clock.seconds(work), "GB/s", bytes=size)


def fault(clock, small):
    """A context is lost in a process of its own; this one, and so everybody else's, is not."""
    if not clock.is_card:
        say("context", "no card: nothing that could be lost")
        return
    here = torch.ones(1024, device=clock.device)
    clock.wait()
    script = (
        "import torch\n"
        "x = torch.zeros(4, device='cuda')\n"
        "torch.cuda.synchronize()\n"
        "try:\n"
        "    x[torch.tensor([1 << 20], device='cuda')]\n"
        "    torch.cuda.synchronize()\n"
        "except RuntimeError as error:\n"
        "    print(str(error).splitlines()[0])\n"
        "try:\n"
        "    print(float(torch.ones(2, device='cuda').sum()))\n"
        "except RuntimeError as error:\n"
        "    print(str(error).splitlines()[0])\n"
    )
    other = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True)
    said = other.stdout.splitlines() or ["nothing"]
    known = any("CUDA error" in line for line in said)
    say("words of a lost context", said[0], expected="CUDA error: …", holds=known)
    lost = len(said) > 1 and "CUDA error" in said[1]
    say("the context stays lost", lost, expected="yes", holds=lost)
    alive = float(here.sum()) == 1024.0
    say("another process goes on", alive, expected="yes", holds=alive)


PARTS = {f.__name__: f for f in (attention, block, decoding, copies, fault)}


def main():
    parser = argparse.ArgumentParser(description="Measure one part.")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes for a processor")
    parser.add_argument("--seconds", type=float, default=60.0, help="ends after this")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} finds no CUDA device")
    PARTS[arguments.part](Clock(arguments.device, arguments.seconds), arguments.small)


if __name__ == "__main__":
    main()

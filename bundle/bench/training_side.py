"""The other side of `cargo xtask bench train-dit train-vae`: the same training steps in PyTorch.

Usage: training_side.py train-dit | train-vae

Plain modules in the form of Wan2.1's own code (attention by scaled_dot_product_attention, causal
convolutions by padding), adapters in the form of peft, torch.optim.AdamW. A step is: noise, forward,
losses, backward, AdamW. The protocol is that of `diffusers_side.py`; `parameters` counts what is
trained. Sizes must equal those of `core/examples/bench/training.rs`.
"""

import json
import os
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SEED = 7
TEXT_TOKENS = 64


# --- adapters -----------------------------------------------------------------------------------


class LoraConv(nn.Module):
    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        conv = type(base)
        self.lora_A = conv(
            base.in_channels, rank, base.kernel_size, base.stride, base.padding, bias=False
        )
        self.lora_B = conv(rank, base.out_channels, 1, bias=False)
        nn.init.zeros_(self.lora_B.weight)
        self.scale = 1.0 / rank
        self.base.requires_grad_(False)

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x)) * self.scale


class DoraLinear(nn.Module):
    def __init__(self, base, rank):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)
        self.magnitude = nn.Parameter(base.weight.norm(dim=1).clone())

    def forward(self, x):
        weight = self.base.weight
        norm = (weight + self.lora_B.weight.detach() @ self.lora_A.weight.detach()).norm(dim=1)
        scale = self.magnitude / norm
        y = F.linear(x, weight)
        return (y + self.lora_B(self.lora_A(x))) * scale + self.base.bias


def adapt(module, kinds, make):
    for name, child in module.named_children():
        if isinstance(child, kinds):
            setattr(module, name, make(child))
        else:
            adapt(child, kinds, make)


# --- transformer --------------------------------------------------------------------------------


class RmsNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.eps) * self.weight


def rotations(grid, head_dim):
    pairs = head_dim // 2
    space = pairs // 3
    tables = []
    for axis, (length, count) in enumerate(zip(grid, [pairs - 2 * space, space, space])):
        theta = 10000.0 ** (-torch.arange(count, dtype=torch.float64) / count)
        angles = torch.outer(torch.arange(length, dtype=torch.float64), theta)
        view = [1, 1, 1, count]
        view[axis] = length
        tables.append(torch.polar(torch.ones_like(angles), angles).view(view).expand(*grid, count))
    return torch.cat(tables, dim=-1).reshape(-1, 1, pairs).to(torch.complex64)


def rotate(x, table):
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table).flatten(3)


class Attention(nn.Module):
    def __init__(self, dim, heads, eps):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RmsNorm(dim, eps), RmsNorm(dim, eps)

    def forward(self, x, context, table=None):
        split = lambda y: y.unflatten(2, (self.heads, -1))
        q = split(self.norm_q(self.q(x)))
        k = split(self.norm_k(self.k(context)))
        v = split(self.v(context))
        if table is not None:
            q, k = rotate(q, table), rotate(k, table)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.o(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads, ffn, eps):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = Attention(dim, heads, eps)
        self.norm3 = nn.LayerNorm(dim, eps)
        self.cross_attn = Attention(dim, heads, eps)
        self.norm2 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn), nn.GELU(approximate="tanh"), nn.Linear(ffn, dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x, time, context, table):
        e = (self.modulation + time).chunk(6, dim=1)
        y = self.norm1(x) * (1 + e[1]) + e[0]
        x = x + self.self_attn(y, y, table) * e[2]
        x = x + self.cross_attn(self.norm3(x), context)
        return x + self.ffn(self.norm2(x) * (1 + e[4]) + e[3]) * e[5]


class Transformer(nn.Module):
    def __init__(self, dim, heads, ffn, layers, text_dim, freq_dim=256, eps=1e-6):
        super().__init__()
        self.freq_dim = freq_dim
        self.patch_embedding = nn.Conv3d(16, dim, (1, 2, 2), (1, 2, 2))
        self.text_embedding = nn.Sequential(
            nn.Linear(text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(dim, heads, ffn, eps) for _ in range(layers))
        self.norm = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.head = nn.Linear(dim, 64)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def forward(self, latent, timestep, context, table):
        x = self.patch_embedding(latent)
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        half = self.freq_dim // 2
        frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.outer(timestep.double(), frequencies)
        time = self.time_embedding(torch.cat([angles.cos(), angles.sin()], dim=1).float())
        projected = self.time_projection(time).unflatten(1, (6, -1))
        context = self.text_embedding(context)
        for block in self.blocks:
            x = block(x, projected, context, table)
        e = (self.modulation + time.unsqueeze(1)).chunk(2, dim=1)
        y = self.head(self.norm(x) * (1 + e[1]) + e[0])
        y = y.view(-1, *grid, 1, 2, 2, 16)
        return torch.einsum("bfhwpqrc->bcfphqwr", y).reshape(latent.shape)


def train_dit():
    """Width 512, 8 heads, ffn 2048, 8 layers, DoRA 32, 64 text tokens, latent 16x5x32x32."""
    model = Transformer(512, 8, 2048, 8, text_dim=512).requires_grad_(False)
    adapt(model.blocks, nn.Linear, lambda linear: DoraLinear(linear, 32))
    latent, context = torch.randn(1, 16, 5, 32, 32), torch.randn(1, TEXT_TOKENS, 512)
    mask = torch.rand(1, 5, 32, 32)
    table = rotations((5, 16, 16), 64)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step():
        noise = torch.randn_like(latent) + ((1 - mask) * 0.05).unsqueeze(1)
        sigma, timestep, weight = 0.7, torch.tensor([700.0]), 1.6
        noisy = (1 - sigma) * latent + sigma * noise
        velocity = model(noisy, timestep, context, table)
        loss = F.mse_loss(velocity, noise - latent) * weight
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step, trained, latent.shape


# --- autoencoder --------------------------------------------------------------------------------


class CausalConv3d(nn.Module):
    def __init__(self, input, output, kernel, stride=(1, 1, 1)):
        super().__init__()
        self.conv3D = nn.Conv3d(input, output, kernel, stride)
        kt, kh, kw = kernel
        self.padding = (kw // 2, kw // 2, kh // 2, kh // 2, kt - 1, 0)

    def forward(self, x):
        return self.conv3D(F.pad(x, self.padding) if any(self.padding) else x)


class Norm(nn.Module):
    def __init__(self, dim, images=False):
        super().__init__()
        self.scale = dim**0.5
        self.gamma = nn.Parameter(torch.ones(dim, *([1, 1] if images else [1, 1, 1])))

    def forward(self, x):
        return F.normalize(x, dim=1) * self.scale * self.gamma


class Residual(nn.Module):
    def __init__(self, input, output):
        super().__init__()
        self.residual = nn.Sequential(
            Norm(input), nn.SiLU(), CausalConv3d(input, output, (3, 3, 3)),
            Norm(output), nn.SiLU(), CausalConv3d(output, output, (3, 3, 3)),
        )
        self.shortcut = CausalConv3d(input, output, (1, 1, 1)) if input != output else nn.Identity()

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


class SpaceAttention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = Norm(dim, images=True)
        self.to_qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        b, c, t, h, w = x.shape
        y = x.transpose(1, 2).reshape(b * t, c, h, w)
        qkv = self.to_qkv(self.norm(y)).reshape(b * t, 1, 3 * c, -1).permute(0, 1, 3, 2)
        q, k, v = qkv.contiguous().chunk(3, dim=-1)
        y = F.scaled_dot_product_attention(q, k, v).squeeze(1).permute(0, 2, 1)
        y = self.proj(y.reshape(b * t, c, h, w))
        return x + y.view(b, t, c, h, w).transpose(1, 2)


def images(x, layer):
    b, c, t, h, w = x.shape
    y = layer(x.transpose(1, 2).reshape(b * t, c, h, w))
    return y.view(b, t, *y.shape[1:]).transpose(1, 2)


class Downsample(nn.Module):
    def __init__(self, dim, in_time):
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, (2, 2)))
        self.time_conv = nn.Conv3d(dim, dim, (3, 1, 1), (2, 1, 1)) if in_time else None

    def forward(self, x):
        x = images(x, self.resample)
        if self.time_conv is None:
            return x
        return torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)


class Upsample(nn.Module):
    def __init__(self, dim, in_time):
        super().__init__()
        self.time_conv = CausalConv3d(dim, 2 * dim, (3, 1, 1)) if in_time else None
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact"),
            nn.Conv2d(dim, dim // 2, 3, padding=1),
        )

    def forward(self, x):
        if self.time_conv is not None:
            rest = self.time_conv(x[:, :, 1:])
            b, c, t, h, w = rest.shape
            rest = rest.view(b, 2, c // 2, t, h, w).permute(0, 2, 3, 1, 4, 5)
            x = torch.cat([x[:, :, :1], rest.reshape(b, c // 2, 2 * t, h, w)], dim=2)
        return images(x, self.resample)


def head(dim, output):
    return [Norm(dim), nn.SiLU(), CausalConv3d(dim, output, (3, 3, 3))]


def encoder(dim):
    layers, channels = [CausalConv3d(3, dim, (3, 3, 3))], dim
    for level, width in enumerate([dim, 2 * dim, 4 * dim, 4 * dim]):
        layers += [Residual(channels, width), Residual(width, width)]
        channels = width
        if level < 3:
            layers.append(Downsample(channels, level > 0))
    layers += [Residual(channels, channels), SpaceAttention(channels), Residual(channels, channels)]
    return nn.Sequential(*layers)


def decoder(dim):
    channels = 4 * dim
    layers = [CausalConv3d(16, channels, (3, 3, 3))]
    layers += [Residual(channels, channels), SpaceAttention(channels), Residual(channels, channels)]
    for level, width in enumerate([4 * dim, 4 * dim, 2 * dim, dim]):
        layers += [Residual(channels, width), Residual(width, width), Residual(width, width)]
        channels = width
        if level < 3:
            layers.append(Upsample(width, level < 2))
            channels = width // 2
    return nn.Sequential(*layers, *head(dim, 3))


def merge_block(width):
    return nn.Sequential(
        CausalConv3d(2 * width, width, (1, 1, 1)),
        Residual(width, width), SpaceAttention(width), Residual(width, width),
        SpaceAttention(width), Residual(width, width), *head(width, 16),
    )


COLORS = torch.tensor(
    [[r, g, b] for r in (-1.0, 1.0) for g in (-1.0, 1.0) for b in (-1.0, 1.0)]
).view(8, 3, 1, 1, 1)
GRAY = torch.tensor([65.738, 129.057, 25.064]).view(1, 3, 1, 1) / 256
VERTICAL = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 3, 1)
HORIZONTAL = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)


def hard(color, alpha, background):
    seen = ((alpha + 1) / 2 > 0).float()
    return color * seen + background * (1 - seen)


def soft(color, alpha, background):
    a = (alpha + 1) / 2
    return color * a + background * (1 - a)


def edges(x):
    x = x.transpose(1, 2).flatten(0, 1)
    gray = (x * GRAY).sum(dim=1, keepdim=True)
    vertical = F.conv2d(gray, VERTICAL, padding=(1, 0))
    horizontal = F.conv2d(gray, HORIZONTAL, padding=(0, 1))
    return torch.sqrt(vertical**2 + horizontal**2 + 1e-6)


def train_vae():
    """Dim 32, LoRA 32, clips of 64x64x5, batch 4; no perceptual loss, no transformer beside."""
    dim, rank = 32, 32
    frozen = encoder(dim).requires_grad_(False)
    merge = merge_block(4 * dim)
    conv2 = CausalConv3d(16, 16, (1, 1, 1)).requires_grad_(False)
    decoders = [decoder(dim).requires_grad_(False) for _ in range(2)]
    for one in decoders:
        adapt(one, (nn.Conv2d, nn.Conv3d), lambda conv: LoraConv(conv, rank))
    color, alpha = torch.rand(4, 3, 5, 64, 64) * 2 - 1, torch.rand(4, 1, 5, 64, 64) * 2 - 1
    alpha = alpha.expand_as(color).contiguous()
    trained = [p for m in [merge, *decoders] for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step():
        background = COLORS[torch.randint(8, (3,))]
        with torch.no_grad():
            features = [frozen(hard(color, alpha, background[0])), frozen(alpha)]
        latent = conv2(merge(torch.cat(features, dim=1)))
        y_color, y_alpha = (one(latent) for one in decoders)
        pairs = [
            (hard(y_color, y_alpha, background[1]), hard(color, alpha, background[1])),
            (soft(y_color, y_alpha, background[2]), soft(color, alpha, background[2])),
            (y_alpha, alpha),
        ]
        loss = sum(F.l1_loss(x, y) + F.l1_loss(edges(x), edges(y)) for x, y in pairs)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step, trained, color.shape


CASES = {"train-dit": train_dit, "train-vae": train_vae}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in CASES:
        sys.exit(f"usage: training_side.py {' | '.join(CASES)}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(SEED)
    step, trained, shape = CASES[sys.argv[1]]()
    ready = {
        "shape": list(shape),
        "parameters": sum(p.numel() for p in trained),
        "checksum": step(),
        "versions": {"torch": torch.__version__},
    }
    print("ready", json.dumps(ready), flush=True)
    for line in sys.stdin:
        if line.strip() != "run":
            sys.exit(f"unknown request: {line.strip()}")
        begun = time.perf_counter()
        step()
        print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()

"""A block of the diffusion transformer with random weights, op by op as core/src/dit/block.rs has it
without gradients: the residual stream float32, the matrices bfloat16."""

import torch
import torch.nn.functional as F

HEAD = 128
EPS = 1e-6


class Block:
    def __init__(self, device, dim, ffn, text, tokens, ffn_tokens):
        self.dim, self.heads, self.tokens, self.ffn_tokens = dim, dim // HEAD, tokens, ffn_tokens
        self.device = device

        def matrix(outputs, inputs):
            weight = torch.randn(outputs, inputs, device=device, dtype=torch.bfloat16)
            return weight * inputs**-0.5

        self.q, self.k, self.v, self.o = (matrix(dim, dim) for _ in range(4))
        self.cross_q, self.cross_o = matrix(dim, dim), matrix(dim, dim)
        self.ffn_in, self.ffn_out = matrix(ffn, dim), matrix(dim, ffn)
        self.bias = torch.zeros(dim, device=device, dtype=torch.bfloat16)
        self.ffn_bias = torch.zeros(ffn, device=device, dtype=torch.bfloat16)
        self.norm = torch.ones(dim, device=device, dtype=torch.bfloat16)
        self.norm3 = torch.ones(dim, device=device), torch.zeros(dim, device=device)
        self.modulation = 0.1 * torch.randn(1, 6, dim, device=device)
        angles = torch.randn(tokens, 1, HEAD // 2)
        self.rotation = torch.polar(torch.ones_like(angles), angles).to(device)
        shape = (1, text, self.heads, HEAD)
        self.text = [
            torch.randn(shape, device=device, dtype=torch.bfloat16).transpose(1, 2) for _ in "kv"
        ]

    def input(self):
        return torch.randn(1, self.tokens, self.dim, device=self.device)

    def step(self, x):
        """The block, in place: `x` becomes what comes after it."""
        shift, scale, gate = (self.modulation[:, i : i + 1] for i in (0, 1, 2))
        y = self.rotated(self.modulated(x, shift, scale))
        x.addcmul_(y, gate)
        del y

        y = F.layer_norm(x, (self.dim,), *self.norm3, EPS).bfloat16()
        x.add_(self.to_text(y))
        del y

        shift, scale, gate = (self.modulation[:, i : i + 1] for i in (3, 4, 5))
        for part in x.split(self.ffn_tokens, 1):
            y = F.linear(self.modulated(part, shift, scale), self.ffn_in, self.ffn_bias)
            y = F.linear(F.gelu(y, approximate="tanh"), self.ffn_out, self.bias)
            part.addcmul_(y, gate)
            del y
        return x

    def modulated(self, x, shift, scale):
        """norm(x)·(1 + scale) + shift: the modulation is the norm's own weight and bias."""
        weight, bias = (scale + 1.0).flatten(), shift.flatten()
        return F.layer_norm(x, (self.dim,), weight, bias, EPS).bfloat16()

    def rms_norm(self, y):
        return F.rms_norm(y, (self.dim,), self.norm, EPS)

    def split(self, y):
        return y.view(1, -1, self.heads, HEAD)

    def rope(self, y):
        """Pairs of neighbours as complex numbers, turned in place."""
        kind, y = y.dtype, y.float()
        torch.view_as_complex(y.view(*y.shape[:-1], HEAD // 2, 2)).mul_(self.rotation)
        return y.to(kind)

    def rotated(self, y):
        q = self.rope(self.split(self.rms_norm(F.linear(y, self.q, self.bias))))
        k = self.rope(self.split(self.rms_norm(F.linear(y, self.k, self.bias))))
        v = self.split(F.linear(y, self.v, self.bias))
        del y
        return self.join(attend(q, k, v), self.o)

    def to_text(self, y):
        q = self.split(self.rms_norm(F.linear(y, self.cross_q, self.bias))).transpose(1, 2)
        return self.join(F.scaled_dot_product_attention(q, *self.text), self.cross_o)

    def join(self, y, matrix):
        return F.linear(y.transpose(1, 2).reshape(1, -1, self.dim), matrix, self.bias)


def attend(q, k, v):
    return F.scaled_dot_product_attention(*(y.transpose(1, 2) for y in (q, k, v)))

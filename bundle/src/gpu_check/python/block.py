"""A block of the diffusion transformer with random weights, op by op as core/src/dit/block.rs has it
without gradients: the residual stream float32, the matrices bfloat16."""

import torch
import torch.nn.functional as F

HEAD = 128
EPS = 1e-6


class Block:
    def __init__(self, device, dim, ffn, text, tokens, pieces):
        """`pieces`: tokens that norms, rotation and feed-forward network take at once."""
        self.dim, self.heads, self.tokens, self.pieces = dim, dim // HEAD, tokens, pieces
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
        shift, scale, gate = self.modulations(0)
        y = self.rotated(self.normed(x, (scale + 1.0).flatten(), shift.flatten()))
        x.addcmul_(y, gate)
        del y

        y = self.to_text(self.normed(x, *self.norm3))
        x.add_(y)
        del y

        shift, scale, gate = self.modulations(3)
        norm = (scale + 1.0).flatten(), shift.flatten()
        for part in x.split(self.pieces, 1):
            y = F.linear(self.normed(part, *norm), self.ffn_in, self.ffn_bias)
            y = F.linear(F.gelu(y, approximate="tanh"), self.ffn_out, self.bias)
            part.addcmul_(y, gate)
            del y
        return x

    def modulations(self, first):
        return (self.modulation[:, i : i + 1] for i in range(first, first + 3))

    def normed(self, x, weight, bias):
        """The modulation is the norm's own weight and bias; nothing wide exists whole."""
        y = torch.empty_like(x, dtype=torch.bfloat16)
        for part, normed in zip(x.split(self.pieces, 1), y.split(self.pieces, 1)):
            normed.copy_(F.layer_norm(part, (self.dim,), weight, bias, EPS))
        return y

    def rms_factor(self, y):
        norm = torch.linalg.vector_norm(y, 2, -1, True, dtype=torch.float32)
        return (norm.square() / self.dim + EPS).rsqrt()

    def rotate(self, y):
        """RMS norm and rotation of pairs of neighbors, in place, with one rounding."""
        for index, part in enumerate(y.split(self.pieces, 1)):
            first = index * self.pieces
            rotation = self.rotation[first : first + part.shape[1]]
            rotation = rotation * self.rms_factor(part).unsqueeze(-1)
            wide = part * self.norm.float()
            pairs = torch.view_as_complex(wide.view(1, -1, self.heads, HEAD // 2, 2))
            pairs.mul_(rotation)
            part.copy_(wide)
            del wide, pairs, rotation
        return self.split(y)

    def split(self, y):
        return y.view(1, -1, self.heads, HEAD)

    def rotated(self, y):
        q = self.rotate(F.linear(y, self.q, self.bias)).transpose(1, 2)
        k = self.rotate(F.linear(y, self.k, self.bias)).transpose(1, 2)
        v = self.split(F.linear(y, self.v, self.bias)).transpose(1, 2)
        del y
        y = F.scaled_dot_product_attention(q, k, v)
        del q, k, v
        return self.join(y, self.o)

    def unweighted(self, y):
        """RMS norm whose weight the text's keys have taken over."""
        if y.is_cuda:
            return F.rms_norm(y, (self.dim,), None, EPS)
        for part in y.split(self.pieces, 1):
            part.mul_(self.rms_factor(part))
        return y

    def to_text(self, y):
        q = self.unweighted(F.linear(y, self.cross_q, self.bias))
        del y
        y = F.scaled_dot_product_attention(self.split(q).transpose(1, 2), *self.text)
        del q
        return self.join(y, self.cross_o)

    def join(self, y, matrix):
        return F.linear(y.transpose(1, 2).reshape(1, -1, self.dim), matrix, self.bias)

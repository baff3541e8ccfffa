"""The decoder of the released autoencoder with random weights, op by op as core/src/vae has it without
gradients: activations `[b, t, h, w, c]`, latent frame by latent frame, with a memory of two frames in
each layer that looks back in time."""

import torch
import torch.nn.functional as F

WIDTHS = (384, 384, 192, 96)
LATENT = 16


class Memory:
    """What each layer keeps of the frames before, in the order in which layers ask."""

    def __init__(self):
        self.slots, self.next = [], 0

    def rewind(self):
        self.next = 0

    def slot(self):
        index, self.next = self.next, self.next + 1
        if index == len(self.slots):
            self.slots.append(None)
        return index


class Conv3d:
    """Padded with zeros in space, and in time on the left only."""

    def __init__(self, make, inputs, outputs, kernel=(3, 3, 3)):
        scale = (inputs * kernel[0] * kernel[1] * kernel[2]) ** -0.5
        weight = make(outputs, inputs, *kernel) * scale
        self.weight = weight.to(memory_format=torch.channels_last_3d)
        self.bias = make(outputs) * 0
        self.padding = kernel[1] // 2

    def over(self, film, frames):
        missing = 2 - (film.shape[1] - frames)
        weight = self.weight
        if missing and frames == 1:
            weight = weight[:, :, missing:]
        elif missing:
            film = F.pad(film, (0, 0, 0, 0, 0, 0, missing, 0))
        padding = (0, self.padding, self.padding)
        y = F.conv3d(film.permute(0, 4, 1, 2, 3), weight, self.bias, padding=padding)
        return y.permute(0, 2, 3, 4, 1).contiguous()

    def forward(self, x, memory):
        index = memory.slot()
        past = memory.slots[index]
        film = x if past is None else torch.cat([past, x], 1)
        memory.slots[index] = film[:, -2:].clone()
        return self.over(film, x.shape[1])


class NormConv:
    """RMS norm over channels, SiLU, convolution."""

    def __init__(self, make, inputs, outputs):
        self.gamma = make(inputs) * 0 + 1
        self.conv = Conv3d(make, inputs, outputs)

    def forward(self, x, memory):
        index = memory.slot()
        past = memory.slots[index]
        before = 0 if past is None else past.shape[1]
        film = x.new_empty(x.shape[0], before + x.shape[1], *x.shape[2:])
        if before:
            film[:, :before].copy_(past)
        y = film[:, before:]
        torch.mul(x, norm_factor(x), out=y)
        y.mul_(self.gamma * len(self.gamma) ** 0.5)
        F.silu(y, inplace=True)
        memory.slots[index] = film[:, -2:].clone()
        return self.conv.over(film, x.shape[1])


def norm_factor(x):
    return x.norm(2, -1, True).clamp_min(1e-12).reciprocal()


class Residual:
    def __init__(self, make, inputs, outputs):
        self.first, self.second = NormConv(make, inputs, outputs), NormConv(make, outputs, outputs)
        self.shortcut = None if inputs == outputs else make(outputs, inputs) * inputs**-0.5

    def forward(self, x, memory):
        y = self.second.forward(self.first.forward(x, memory), memory)
        return y.add_(x if self.shortcut is None else F.linear(x, self.shortcut))


class Attention:
    """Every pixel of a frame attends to every other, with a single head."""

    def __init__(self, make, channels):
        self.gamma = make(channels) * 0 + 1
        self.qkv = make(3 * channels, channels) * channels**-0.5
        self.proj = make(channels, channels) * channels**-0.5

    def forward(self, x, memory):
        b, t, h, w, c = x.shape
        y = x * norm_factor(x) * (self.gamma * c**0.5)
        q, k, v = F.linear(y, self.qkv).view(b * t, 1, h * w, 3 * c).chunk(3, -1)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + F.linear(y.reshape(x.shape), self.proj)


class Upsample:
    """Twice the size in space, by four 2×2 kernels; twice the frames where time is doubled."""

    def __init__(self, make, channels, in_time):
        self.outputs = channels // 2
        weight = make(4 * self.outputs, channels, 2, 2) * (4 * channels) ** -0.5
        self.weight = weight.to(memory_format=torch.channels_last)
        self.in_time = Conv3d(make, channels, 2 * channels, (3, 1, 1)) if in_time else None

    def forward(self, x, memory):
        return self.in_space(x if self.in_time is None else self.doubled(x, memory))

    def doubled(self, x, memory):
        """The first frame of a film stays one, and is not looked back on."""
        index = memory.slot()
        if memory.slots[index] is None:
            memory.slots[index] = True
            memory.slot()
            return x
        y = self.in_time.forward(x, memory)
        b, t, h, w, c = y.shape
        y = y.view(b, t, h, w, 2, c // 2).permute(0, 1, 4, 2, 3, 5)
        return y.reshape(b, 2 * t, h, w, c // 2)

    def in_space(self, x):
        b, t, h, w, c = x.shape
        images = x.reshape(b * t, h, w, c).permute(0, 3, 1, 2)
        y = F.conv2d(images, self.weight, padding=1).permute(0, 2, 3, 1)
        large = y.new_empty(b * t, h, 2, w, 2, self.outputs)
        for phase, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            channels = slice(phase * self.outputs, (phase + 1) * self.outputs)
            large[:, :, row, :, column] = y[:, row : row + h, column : column + w, channels]
        return large.view(b, t, 2 * h, 2 * w, self.outputs)


class Decoder:
    def __init__(self, make, divisor=1):
        widths = [width // divisor for width in WIDTHS]
        top = widths[0]
        self.first = Conv3d(make, LATENT, top)
        self.layers = [Residual(make, top, top), Attention(make, top), Residual(make, top, top)]
        channels = top
        for level, width in enumerate(widths):
            for inputs in (channels, width, width):
                self.layers.append(Residual(make, inputs, width))
            channels = width
            if level < 3:
                self.layers.append(Upsample(make, width, level < 2))
                channels = width // 2
        self.head = NormConv(make, channels, 3)

    def forward(self, latent, memory):
        """`[b, t, h, w, 16]` to `[b, t', 8·h, 8·w, 3]`."""
        memory.rewind()
        x = self.first.forward(latent, memory)
        for layer in self.layers:
            x = layer.forward(x, memory)
        return self.head.forward(x, memory)

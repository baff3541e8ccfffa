"""Makes the numbers that core/tests/metrics.rs compares with.

Needs torch, torchvision, lpips and scikit-image from PyPI; the Rust test needs none of them:

    python core/tests/metrics/goldens.py

LPIPS: the package's own class and forward, its convolutions and heads replaced by narrow ones with
random weights, so that the files stay small. They are saved as a user has them: the trunk under
torchvision's names, the heads under the package's.
"""

import json
from pathlib import Path

import lpips
import numpy as np
import torch
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = Path(__file__).parent
WIDTHS = {
    "alex": {0: 6, 3: 7, 6: 8, 8: 6, 10: 5},
    "vgg": {0: 4, 2: 5, 5: 4, 7: 6, 10: 5, 12: 4, 14: 6, 17: 5, 19: 4, 21: 5, 24: 4, 26: 5, 28: 6},
}
HEADS_AFTER = {"alex": [0, 3, 6, 8, 10], "vgg": [2, 7, 14, 21, 28]}


def narrow(net):
    """An LPIPS of that architecture with a tenth of its widths."""
    model = lpips.LPIPS(net=net, pnet_rand=True, pretrained=False, verbose=False)
    trunk, width = {}, 3
    for slice_name in [f"slice{i}" for i in range(1, 6)]:
        part = getattr(model.net, slice_name)
        for name, layer in list(part.named_children()):
            if not isinstance(layer, torch.nn.Conv2d):
                continue
            out = WIDTHS[net][int(name)]
            conv = torch.nn.Conv2d(
                width, out, layer.kernel_size, layer.stride, layer.padding
            )
            with torch.no_grad():
                conv.weight.mul_(2.0)
            setattr(part, name, conv)
            trunk[f"features.{name}.weight"] = conv.weight.detach().clone()
            trunk[f"features.{name}.bias"] = conv.bias.detach().clone()
            width = out
    heads = {}
    for index, place in enumerate(HEADS_AFTER[net]):
        head = lpips.lpips.NetLinLayer(WIDTHS[net][place], use_dropout=True)
        with torch.no_grad():
            # The trained heads are not negative.
            head.model[1].weight.copy_(torch.rand_like(head.model[1].weight))
        setattr(model, f"lin{index}", head)
        model.lins[index] = head
        heads[f"lin{index}.model.1.weight"] = head.model[1].weight.detach().clone()
    model.chns = [WIDTHS[net][place] for place in HEADS_AFTER[net]]
    return model.eval(), trunk, heads


def distances():
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(3, 3, 40, 48, generator=generator) * 2 - 1
    y = (x + 0.3 * torch.randn(x.shape, generator=generator)).clamp(-1, 1)
    golden = {"found": x, "expected": y}
    for net in ["alex", "vgg"]:
        torch.manual_seed(7)
        model, trunk, heads = narrow(net)
        torch.save(trunk, HERE / f"{net}.pth")
        torch.save(heads, HERE / f"{net}-heads.pth")
        with torch.no_grad():
            golden[f"lpips.{net}"] = model(x, y).flatten().contiguous()
            # The class adds what stands for "the same": nothing.
            assert float(model(x, x).abs().max()) == 0.0
    save_file(golden, HERE / "lpips.safetensors")


def similarities():
    random = np.random.default_rng(3)
    row, column = np.mgrid[0:23, 0:31]
    smooth = 0.5 + 0.4 * np.sin(row / 4.0) * np.cos(column / 5.0)
    cases = []
    for amount in [0.02, 0.2]:
        x = np.clip(smooth, 0, 1).astype(np.float32)
        y = np.clip(smooth + amount * random.standard_normal(smooth.shape), 0, 1).astype(np.float32)
        value = structural_similarity(
            x.astype(np.float64), y.astype(np.float64), data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        psnr = peak_signal_noise_ratio(x.astype(np.float64), y.astype(np.float64), data_range=1.0)
        cases.append({
            "width": 31, "found": x.ravel().tolist(), "expected": y.ravel().tolist(),
            "ssim": value, "psnr": psnr,
        })
    (HERE / "ssim.json").write_text(json.dumps(cases) + "\n")


distances()
similarities()

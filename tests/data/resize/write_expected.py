"""Writes expected.json, which src/media/resize.rs compares its filters with.

Needs Pillow 13.0.0 and NumPy from PyPI; the Rust test needs neither:

    python tests/data/resize/write_expected.py

Each of four channels is resized by itself, as an image of mode F, which Pillow filters in double
precision and keeps in single precision. Values go below 0 and above 1, as those of an EXR do.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

FILTERS = {
    "Bilinear": Image.Resampling.BILINEAR,
    "CatmullRom": Image.Resampling.BICUBIC,
    "Lanczos3": Image.Resampling.LANCZOS,
}
# Smaller, larger, each in one direction, and a side of one pixel.
SIZES = [[[11, 7], [5, 3]], [[5, 4], [9, 11]], [[8, 5], [5, 9]], [[6, 6], [6, 13]], [[1, 3], [3, 1]]]


def picture(width, height):
    """Values [height, width, 4] that are exact in float32, reproducible without a generator."""
    index = np.arange(width * height * 4, dtype=np.int64)
    values = (index * 7919 + index * index * 104729) % 1021
    return (values.reshape(height, width, 4) / 512.0 - 0.25).astype(np.float32)


def resized(values, size, resample):
    channels = [Image.fromarray(np.ascontiguousarray(values[:, :, c])) for c in range(4)]
    assert all(channel.mode == "F" for channel in channels)
    return np.stack([np.asarray(c.resize(size, resample)) for c in channels], axis=-1)


def main():
    cases = []
    for source, target in SIZES:
        values = picture(*source)
        for name, resample in FILTERS.items():
            expected = resized(values, tuple(target), resample)
            case = {"filter": name, "from": source, "to": target}
            case["rgba"] = [float(value) for value in values.ravel()]
            case["expected"] = [float(f"{value:.7f}") for value in expected.ravel()]
            cases.append(json.dumps(case))
    text = "[\n" + ",\n".join(cases) + "\n]\n"
    Path(__file__).with_name("expected.json").write_text(text)


if __name__ == "__main__":
    main()

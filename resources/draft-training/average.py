#!/usr/bin/env python3
"""The mean of two packed draft models: python3 average.py BEFORE AFTER SHARE OUT

BEFORE and AFTER are folders of `wan-alpha model pack` of one architecture, whose weights are bfloat16; OUT,
which must not exist, gets the files of AFTER with transformer and text encoder (1 - SHARE) * BEFORE + SHARE *
AFTER, and no record: `wan-alpha model pack` writes one. A model that has gone on with other captions keeps more
of what it knew before so (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). Needs numpy.
"""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy

TRANSFORMER = "diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "models_t5_umt5-xxl-enc-bf16.pth"
RECORD = "wan-alpha.json"


def numbers(stored):
    """Bytes of bfloat16 as float32."""
    return (numpy.frombuffer(stored, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)


def stored(numbers):
    """float32 as bytes of bfloat16, rounded to the nearest, ties to even."""
    bits = numbers.astype(numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16).tobytes()


def mean(before, after, share):
    """The mean of two texts of bfloat16."""
    if len(before) != len(after):
        sys.exit(f"a tensor has {len(before)} bytes before and {len(after)} after: other architectures")
    return stored(numbers(before) * (1 - share) + numbers(after) * share)


def tensors(path):
    """The header of a safetensors file, and the bytes behind it."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] != "BF16":
            sys.exit(f"{path}: {name} is {about['dtype']}, expected BF16: pack the model first")
    return header, data[begin:]


def average_transformer(before, after, share, out):
    """Writes the mean of two safetensors files."""
    (one, old), (other, new) = tensors(before), tensors(after)
    if one.keys() != other.keys():
        sys.exit(f"{before} and {after} have other tensors")
    result = bytearray(new)
    for name in other.keys() - {"__metadata__"}:
        (begin, end), (first, last) = other[name]["data_offsets"], one[name]["data_offsets"]
        result[begin:end] = mean(old[first:last], new[begin:end], share)
    header = json.dumps(other).encode()
    header += b" " * (-len(header) % 8)
    out.write_bytes(len(header).to_bytes(8, "little") + header + result)


def average_text_encoder(before, after, share, out):
    """Writes the mean of two checkpoints of torch, whose pickles must be equal."""
    with zipfile.ZipFile(before) as one, zipfile.ZipFile(after) as other, zipfile.ZipFile(out, "w") as result:
        for name in other.namelist():
            old, new = one.read(name), other.read(name)
            is_data = "/data/" in name
            if not is_data and old != new:
                sys.exit(f"{name} is another in {before} than in {after}")
            # Of no time, so that equal models are equal files.
            result.writestr(zipfile.ZipInfo(name), mean(old, new, share) if is_data else new)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    before, after, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[4])
    try:
        share = float(sys.argv[3])
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        sys.exit(f"SHARE is {sys.argv[3]}: expected a number from 0, all of BEFORE, to 1, all of AFTER")
    shutil.copytree(after, out, ignore=shutil.ignore_patterns(RECORD))
    average_transformer(before / TRANSFORMER, after / TRANSFORMER, share, out / TRANSFORMER)
    average_text_encoder(before / TEXT_ENCODER, after / TEXT_ENCODER, share, out / TEXT_ENCODER)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes libtorch-parts.txt beside itself: the licenses of what PyTorch's wheel contains of others.

    pip download --no-deps --python-version 3.11 --platform manylinux_2_28_x86_64 torch==VERSION
    python3 resources/licences/of-wheel.py torch-VERSION-….whl

Each text stands there once, below the names of all that are under it.
"""

import pathlib
import sys
import zipfile

wheel = pathlib.Path(sys.argv[1])
version = wheel.name.split("-")[1]
texts = {}
with zipfile.ZipFile(wheel) as archive:
    inside = f"torch-{version}.dist-info/licenses/"
    for entry in sorted(archive.namelist()):
        if entry.startswith(inside) and not entry.endswith("/"):
            text = archive.read(entry).decode("utf-8", "replace").replace("\r\n", "\n")
            text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
            texts.setdefault(text, []).append(entry[len(inside):])
if len(texts) < 2:
    sys.exit(f"{wheel} holds no licenses of others: has their place in the wheel changed?")
out = [
    f"Licenses in the wheel of PyTorch {version}, of PyTorch and of what it contains of others.",
    "Each text stands below the places that it has there.",
]
for text, places in texts.items():
    out += ["", "=" * 80, *places, "-" * 80, text]
place = pathlib.Path(__file__).with_name("libtorch-parts.txt")
place.write_text("\n".join(out) + "\n", encoding="utf-8")
print(f"{place.name}: {len(texts)} texts of {sum(map(len, texts.values()))} files")

#!/usr/bin/env bash
# OpenImageIO 3.2.2.0: an EXR file with the attribute colorInteropID is converted to another color space
# and still says that it is in the first one. Whoever obeys the tag, OpenImageIO included, converts the
# colors a second time. So where a file's colorInteropID and its chromaticities differ, we say so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 OpenEXR==3.5.3 OpenImageIO==3.2.2.0

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import OpenEXR
import OpenImageIO as oiio

print("OpenImageIO", oiio.VERSION_STRING)
pixels = np.full((2, 2, 3), [0.5, 0.2, 0.1], np.float32)
OpenEXR.File({"colorInteropID": "lin_ap1_scene"}, {"RGB": pixels}).write("once.exr")
name = "once.exr"
for made in ["twice.exr", "thrice.exr"]:
    image = oiio.ImageBuf(name)
    said = image.spec().getattribute("oiio:ColorSpace")
    oiio.ImageBufAlgo.colorconvert(image, said, "lin_rec709_scene").write(made)
    name = made
    tag = OpenEXR.File(made).header().get("colorInteropID")
    color = [round(value, 4) for value in oiio.ImageBuf(made).getpixel(0, 0)]
    print(f"converted from {said} to lin_rec709_scene: {color}, colorInteropID {tag}")
if tag == "lin_ap1_scene" and color[0] > 1:
    print("as found: the tag stays, and the second conversion is of colors that were converted already")
else:
    sys.exit("CHANGED: expected the tag of before the conversion")
PYTHON

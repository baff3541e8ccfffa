#!/usr/bin/env bash
# OpenEXR 3.5.3 (the Python package): the dictionaries that `File.header()` and `File.channels()` have given
# are emptied when the file is closed, without an error. A function that reads a header inside `with` and
# returns it returns nothing; pixels that were taken out before stay. Copies (`dict(...)`) help.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip --quiet --disable-pip-version-check install OpenEXR==3.5.3 numpy==2.4.6
cat > look.py <<'PY'
import numpy
import OpenEXR

picture = {"RGBA": numpy.full((2, 2, 4), 0.5, "float16")}
OpenEXR.File({"owner": "somebody"}, picture).write("picture.exr")
with OpenEXR.File("picture.exr") as file:
    header, channels = file.header(), file.channels()
    copy, pixels = dict(header), channels["RGBA"].pixels
    open_counts = len(header), len(channels)
print("OpenEXR", OpenEXR.__version__)
print("entries of header and channels while the file is open:", *open_counts)
print("entries of the same dictionaries once it is closed:", len(header), len(channels))
print("entries of the copy:", len(copy), "- pixels:", pixels.max())
assert min(open_counts) > 0 and len(copy) == open_counts[0] and pixels.max() == 0.5
assert (len(header), len(channels)) == (0, 0), "the dictionaries stay: the finding is out of date"
PY
python/bin/python look.py

#!/usr/bin/env bash
# ffmpeg n9.0.2 and 7.0.2 (imageio-ffmpeg 0.8.1 and 0.6.0): the options -color_primaries, -color_trc and
# -colorspace bt709 on a ProRes movie made of RGBA do different things. 9.0.2 converts by the matrix of
# Rec.709 and names it, but leaves primaries and curve unknown in the file; 7.0.2 names all three and
# converts by BT.601, so that pure red comes back with a tenth of green. So the conversion to Y'CbCr is our own,
# and tags are set by the filter setparams, which both versions write in full.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 imageio-ffmpeg==0.8.1
venv/bin/pip download --quiet --no-deps -d old imageio-ffmpeg==0.6.0
python3 -m zipfile -e old/*.whl old
chmod +x old/imageio_ffmpeg/binaries/ffmpeg-*

venv/bin/python - <<'PYTHON'
import glob
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np

programs = [imageio_ffmpeg.get_ffmpeg_exe(), glob.glob("old/imageio_ffmpeg/binaries/ffmpeg-*")[0]]
red = np.full((48, 64, 4), [65535, 0, 0, 65535], "<u2").tobytes()
options = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"]
params = ["-vf", "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"]
found = []
for program in programs:
    print(subprocess.run([program, "-version"], capture_output=True, text=True).stdout.splitlines()[0])
    for words, ways in [("options", options), ("setparams", params)]:
        command = [program, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgba64le"]
        command += ["-video_size", "64x48", "-framerate", "16", "-i", "-", *ways]
        command += ["-c:v", "prores_ks", "-profile:v", "4444", "out.mov"]
        subprocess.run(command, input=red, check=True)
        said = subprocess.run([program, "-i", "out.mov"], capture_output=True, text=True).stderr
        tags = re.search(r"yuva444p12le\(([^)]*)\)", said)[1]
        planes = [program, "-v", "error", "-i", "out.mov", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuva444p12le", "-"]
        raw = subprocess.run(planes, capture_output=True, check=True).stdout
        luma = int(np.frombuffer(raw, "<u2")[0])
        matrix = "709" if abs(luma - 1004) < 20 else "601" if abs(luma - 1308) < 20 else "other"
        print(f"  {words}: luma of red {luma} of 4095 (BT.{matrix}), the file says: {tags}")
        found.append((words, matrix, "unknown" in tags, "bt709" in tags))
options = [one for one in found if one[0] == "options"]
if options[0][1:3] == ("709", True) and options[1][1:3] == ("601", False):
    print("as found: tags and matrix do not belong together by options, in either version")
else:
    sys.exit(f"CHANGED: expected 709 with unknown tags, then 601 with full ones, found {options}")
PYTHON

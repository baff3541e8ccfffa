#!/usr/bin/env bash
# ffmpeg 7.0.2 and n9.0.2 (imageio-ffmpeg 0.6.0 and 0.8.1): of a HEVC movie with alpha, a second layer as Apple's
# programs write it and 9.0.2 does too, 7.0.2 decodes the first layer alone. Every pixel comes out opaque, with
# exit 0 and not a word, and before decoding both versions say yuv420p of it. So a HEVC movie without alpha is told
# that it may have one, and that ffmpeg 8.0 or later reads it (src/media/video/probe.rs).
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

new, old = imageio_ffmpeg.get_ffmpeg_exe(), glob.glob("old/imageio_ffmpeg/binaries/ffmpeg-*")[0]
# A gray frame whose left half is transparent.
frame = np.full((48, 64, 4), 128, np.uint8)
frame[..., 3] = np.where(np.arange(64) < 32, 0, 255)
make = [new, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgba", "-video_size", "64x48", "-i", "-", "-c:v"]
make += ["libx265", "-pix_fmt", "yuva420p", "-tag:v", "hvc1", "-x265-params", "log-level=error", "alpha.mov"]
subprocess.run(make, input=frame.tobytes(), check=True)
found = []
for program in [old, new]:
    print(subprocess.run([program, "-version"], capture_output=True, text=True).stdout.splitlines()[0])
    said = subprocess.run([program, "-hide_banner", "-i", "alpha.mov"], capture_output=True, text=True).stderr
    pixels = re.search(r"Video: hevc[^,]*, (\w+)", said)[1]
    read = subprocess.run([program, "-v", "error", "-i", "alpha.mov", "-f", "rawvideo", "-pix_fmt", "rgba", "-"],
                          capture_output=True, check=True)
    alpha = np.frombuffer(read.stdout, np.uint8).reshape(48, 64, 4)[..., 3]
    left, right = int(alpha[:, 4:28].max()), int(alpha[:, 36:60].min())
    complaint = read.stderr.decode().strip() or "nothing"
    print(f"  it says {pixels}; alpha of the transparent half {left} at most, of the other {right} at least;",
          f"it complains of {complaint}")
    found.append((pixels, left > 250, left < 10 and right > 245, complaint == "nothing"))
if found == [("yuv420p", True, False, True), ("yuv420p", False, True, True)]:
    print("as found: 7.0.2 drops the alpha of HEVC without a word, 9.0.2 keeps it, and neither tells of it before")
else:
    sys.exit(f"CHANGED: expected an opaque frame of 7.0.2 and half of one of 9.0.2, found {found}")
PYTHON

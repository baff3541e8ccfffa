#!/usr/bin/env python3
"""Makes hevc.mov beside the movies of make.py, and keeps what ffmpeg says and sends of all that have alpha, for
tests/movie_reading.rs, which runs where there is no ffmpeg.

    python3 -m venv v
    v/bin/pip install imageio-ffmpeg==0.8.1                     # ffmpeg 9.0.2
    v/bin/pip download --no-deps -d old imageio-ffmpeg==0.6.0   # ffmpeg 7.0.2
    v/bin/python movies.py [FFMPEG_OF_7.0.2]

`MOVIE[.DECODER][.MATRIX].FORMAT.gz` is what ffmpeg 9.0.2 sends where this program asks for it: a PAM for each frame.
ffmpeg 7.0.2 sends the same alpha but of hevc.mov, whose second layer it does not decode.
"""

import gzip
import os
import subprocess
import sys

import imageio_ffmpeg

os.chdir(os.path.dirname(os.path.abspath(__file__)))
NEW = imageio_ffmpeg.get_ffmpeg_exe()
PROGRAMS = {"ffmpeg-9.0": NEW}
if len(sys.argv) > 1:
    PROGRAMS["ffmpeg-7.0"] = sys.argv[1]
MOVIES = {"ffv1.mkv": None, "prores.mov": None, "hevc.mov": None, "vp8.webm": "libvpx", "vp9.webm": "libvpx-vp9"}


def run(arguments):
    return subprocess.run(arguments, capture_output=True, check=True).stdout


def said(file, program, name):
    """What this ffmpeg says of a movie where this program asks it, without what differs from machine to machine."""
    ask = ["-nostats", "-i", file, "-map", "0:V?", "-map_metadata", "-1", "-map_chapters", "-1", "-c", "copy"]
    ask = [program, "-nostdin", "-hide_banner", *ask, "-t", "0", "-f", "null", "-"]
    text = subprocess.run(ask, capture_output=True, text=True).stderr
    lines = [line for line in text.splitlines() if not line.startswith(("At least", "[", "frame="))]
    open(f"{file}.{name}.txt", "w").write("\n".join(lines) + "\n")


def keep(file, decoder, matrix, form):
    ask = [NEW, "-nostdin", "-v", "error"] + (["-c:v", decoder] if decoder else []) + ["-i", f"file:{file}"]
    ask += ["-map", "0:v:0", "-fps_mode", "passthrough"]
    # Here this program also has a filter tell of frames of another size, which changes none.
    ask += ["-vf", f"setparams=colorspace={matrix}"] if matrix else []
    sent = run(ask + ["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", form, "-"])
    name = ".".join(part for part in [file, decoder, matrix, form, "gz"] if part)
    open(name, "wb").write(gzip.compress(sent, mtime=0))


run([NEW, "-y", "-v", "error", "-i", "ffv1.mkv", "-c:v", "libx265", "-pix_fmt", "yuva420p", "-crf", "12",
     "-tag:v", "hvc1", "-x265-params", "log-level=none", "-bitexact", "hevc.mov"])
for version, program in PROGRAMS.items():
    for movie in [*MOVIES, "rec2020.mkv", "pq.mkv", "opaque.mp4"]:
        said(movie, program, version)
for movie, decoder in MOVIES.items():
    for form in ["rgba", "ya8"]:
        keep(movie, decoder, None, form)
for movie in ["rec2020.mkv", "pq.mkv"]:
    for form in ["rgba", "ya8"]:
        keep(movie, None, None, form)
keep("vp9.webm", "libvpx-vp9", "bt709", "rgba")

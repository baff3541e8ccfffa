"""Reads a file of every form that is written with programs that know nothing of it: measured.json, beside this.

    python3 tests/data/round-trips/measure.py

makes the files (the test `files_of_every_form_are_made_to_be_measured` of tests/round_trips.rs, which has the
command write them), installs the programs of PROGRAMS into a temporary folder, and runs itself there. Needs the
network, and Debian's `chromium`. `--programs VENV OLD` takes what an earlier run has kept by `--keep FOLDER`.

Each reading is a file and a program. `alpha` is what is read in the middle of each of eight columns, of `of`;
`color` is the largest difference, in steps of 255, of all frames that are read over red and over cyan in display
values from what the take holds.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = ["numpy==2.4.6", "pillow==13.0.0", "OpenEXR==3.5.3", "OpenImageIO==3.2.2.0", "imageio-ffmpeg==0.8.1"]
# Its ffmpeg is 7.0.2.
OLD = "imageio-ffmpeg==0.6.0"

WIDTH, HEIGHT, FRAMES = 64, 48, 5
LEVELS = [0, 1 / 255, 0.5, 128 / 255, 129 / 255, 254 / 255, 1, 1]


def frame(number):
    """The take's frame, as tests/support/exported.rs draws it and the store keeps it: straight, display values."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    upper = np.take(LEVELS, x * len(LEVELS) // WIDTH)
    alpha = np.where(y < HEIGHT // 2, upper, (x >= 8 * number).astype(float))
    color = [x / WIDTH, y / HEIGHT, np.full_like(alpha, 0.25 + 0.1 * number)]
    return np.stack([*color, alpha], -1).astype(np.float16).astype(np.float64)


def to_display(linear):
    linear = np.maximum(linear, 0)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def straight(rgba):
    """Color divided by alpha; black where there is none."""
    alpha = rgba[..., 3:]
    color = np.divide(rgba[..., :3], alpha, where=alpha > 0, out=np.zeros_like(rgba[..., :3]))
    return np.concatenate([color, alpha], -1)


def over(rgba, color):
    """Straight display values over a color, in display values, as a browser does."""
    alpha = rgba[..., 3:]
    return rgba[..., :3] * alpha + np.array(color) * (1 - alpha)


def reading(file, by, frames, of, says, rate=None):
    """What a program has read: straight display values."""
    off = [max(np.abs(over(found, color) - over(frame(number), color)).max() for number, found in enumerate(frames))
           for color in ([1, 0, 0], [0, 1, 1])]
    height, width = frames[0].shape[:2]
    alpha = [int(round(value * of)) for value in frames[0][4, 4::8, 3]]
    color = [round(float(error) * 255, 1) for error in off]
    return {"file": file.name, "by": by, "size": [width, height], "frames": len(frames), "rate": rate, "says": says,
            "alpha": alpha, "of": of, "color": color}


def not_read(file, by, why):
    return {"file": file.name, "by": by, "refused": why}


def ffmpeg_frames(program, decoder, file, depth):
    pixel, kind = {8: ("rgba", np.uint8), 16: ("rgba64le", np.dtype("<u2"))}[depth]
    command = [program, "-v", "error", *decoder, "-i", str(file), "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", pixel, "-"], capture_output=True)
    whole = np.frombuffer(done.stdout, kind).astype(np.float64)
    count = whole.size // (WIDTH * HEIGHT * 4)
    if done.returncode or not count:
        return None
    return whole[: count * WIDTH * HEIGHT * 4].reshape(count, HEIGHT, WIDTH, 4) / (2**depth - 1)


def by_ffmpeg(program, file, decoder=(), of_its_own=""):
    version = subprocess.run([program, "-version"], capture_output=True, text=True).stdout.split()[2]
    name = "ffmpeg " + re.match(r"n?([0-9.]+)", version)[1] + of_its_own
    about = subprocess.run([program, "-hide_banner", *decoder, "-i", str(file)], capture_output=True, text=True).stderr
    stream = next((line for line in about.splitlines() if "Video: " in line), "")
    pixels = re.search(r", ((?:yuv|gbr|rgb|argb|bgra|ya|pal)[a-z0-9]*(?:\([^)]*\))?)", stream)
    rate = re.search(r"([0-9.]+) fps", stream)
    is_movie = file.suffix not in (".exr", ".png")
    is_8_bit = file.suffix in (".webm", ".webp", ".apng") or file.name.startswith(("hevc", "8-bits"))
    depth = 8 if is_8_bit else 16
    frames = ffmpeg_frames(program, decoder, file, depth)
    if frames is None:
        return not_read(file, name, "it cannot decode it")
    if file.suffix == ".exr":
        frames = [linear_to_display(file, found.copy()) for found in frames]
    return reading(file, name, frames, 2**depth - 1, pixels[1] if pixels else "", rate[1] if rate and is_movie else None)


def linear_to_display(file, rgba):
    """An EXR's values as its name says that they are meant: ffmpeg asks nothing about them."""
    if "straight" not in file.name:
        rgba = straight(rgba)
    if "acescg" in file.name:
        to_709 = [[1.70505, -0.62179, -0.08326], [-0.13026, 1.14080, -0.01055], [-0.02400, -0.12897, 1.15297]]
        rgba[..., :3] = rgba[..., :3] @ np.array(to_709).T
    if "as-generated" not in file.name:
        rgba[..., :3] = to_display(rgba[..., :3])
    return rgba


def by_openexr(file):
    with OpenEXR.File(str(file)) as opened:
        header, pixels = dict(opened.header()), opened.channels()["RGBA"].pixels.astype(np.float64)
        compression = str(opened.parts[0].compression()).split(".")[-1].removesuffix("_COMPRESSION")
    tag, rate = header.get("colorInteropID"), header.get("framesPerSecond")
    code = "time code" if header.get("timeCode") is not None else "no time code"
    says = ", ".join(map(str, [tag, compression, code, header.get("software")]))
    return reading(file, f"OpenEXR {OpenEXR.__version__}", [linear_to_display(file, pixels)], 65535, says, str(rate))


def by_oiio(file):
    image = oiio.ImageBuf(str(file))
    spec = image.spec()
    space = spec.getattribute("oiio:ColorSpace")
    # Its PNG reader multiplies by alpha, and its conversions do not divide.
    if "straight" not in file.name:
        image = oiio.ImageBufAlgo.unpremult(image)
    if space not in ("srgb_rec709_scene", None):
        image = oiio.ImageBufAlgo.colorconvert(image, space, "srgb_rec709_scene", unpremult=False)
    pixels = image.get_pixels(oiio.FLOAT).astype(np.float64)
    rate = spec.getattribute("framesPerSecond")
    of = 255 if spec.format == oiio.UINT8 else 65535
    rate = f"{rate[0]}/{rate[1]}" if rate else None
    return reading(file, f"OpenImageIO {oiio.VERSION_STRING}", [pixels], of, str(space), rate)


def by_pillow(file):
    opened = Image.open(file)
    count = getattr(opened, "n_frames", 1)
    durations, frames = [], []
    for number in range(count):
        opened.seek(number)
        frames.append(np.array(opened.convert("RGBA")).astype(np.float64) / 255)
        durations.append(opened.info.get("duration"))
    opened.seek(0)
    rate = f"{1000 * count / sum(durations):.2f}" if durations[0] else None
    return reading(file, f"Pillow {Image.__version__}", frames, 255, opened.mode, rate)


IN_THE_BROWSER = """
(async () => {
  const bytes = Uint8Array.from(atob("DATA"), letter => letter.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: "TYPE" }));
  const isVideo = "TYPE".startsWith("video");
  const shown = document.createElement(isVideo ? "video" : "img");
  await new Promise((done, failed) => {
    shown.onerror = () => failed(new Error("not read"));
    shown.muted = true;
    shown.src = url;
    if (isVideo) {
      // A frame is there to be drawn once it was shown.
      shown.requestVideoFrameCallback(() => { shown.pause(); done(); });
      shown.play().catch(failed);
    } else {
      shown.onload = done;
    }
  });
  const [width, height] = isVideo ? [shown.videoWidth, shown.videoHeight] : [shown.naturalWidth, shown.naturalHeight];
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { colorSpace: "srgb" });
  canvas.drawImage(shown, 0, 0);
  let says = "", rate = null;
  if (isVideo) {
    says = `${shown.duration.toFixed(4)} s`;
  } else if (self.ImageDecoder) {
    const decoder = new ImageDecoder({ data: bytes, type: "TYPE" });
    await decoder.tracks.ready;
    await decoder.completed;
    const { frameCount } = decoder.tracks.selectedTrack;
    const { image } = await decoder.decode();
    says = `${frameCount} frame${frameCount > 1 ? "s" : ""}`;
    rate = image.duration ? (1e6 / image.duration).toFixed(2) : null;
  }
  const pixels = canvas.getImageData(0, 0, width, height).data;
  return JSON.stringify({ width, height, says, rate, pixels: Array.from(pixels) });
})()
"""
TYPES = {".png": "image/png", ".apng": "image/png", ".webp": "image/webp", ".webm": "video/webm",
         ".mov": "video/quicktime"}


class Chromium:
    """A page of it that is shown files, of which it draws the first frame."""

    def __init__(self):
        sys.path.append(str(HERE.parents[1] / "gallery"))
        from browser import Browser

        said = subprocess.run(["chromium", "--version"], capture_output=True, text=True).stdout
        self.name = "Chromium " + said.split()[1]
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.browser = Browser("chromium", self.profile.name)
        page = Path(self.profile.name) / "page.html"
        page.write_text("<!doctype html><title>round trips</title>")
        self.browser.call("Page.enable")
        self.browser.call("Page.navigate", url=page.as_uri())

    def read(self, file):
        data = base64.b64encode(file.read_bytes()).decode()
        script = IN_THE_BROWSER.replace("DATA", data).replace("TYPE", TYPES[file.suffix])
        answer = self.browser.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            return not_read(file, self.name, "it has no decoder for it")
        found = json.loads(answer["result"]["value"])
        pixels = np.array(found["pixels"], np.float64).reshape(found["height"], found["width"], 4) / 255
        return reading(file, self.name, [pixels], 255, found["says"], found["rate"])


def measure(folder, ffmpegs):
    chromium = Chromium()
    readings = []
    for file in sorted(folder.iterdir()):
        if file.suffix == ".exr":
            readings.append(by_openexr(file))
        if file.suffix in (".exr", ".png"):
            readings.append(by_oiio(file))
        if file.suffix in (".png", ".apng", ".webp"):
            readings.append(by_pillow(file))
        if file.suffix in TYPES:
            readings.append(chromium.read(file))
        for program in ffmpegs:
            if file.suffix == ".webm":
                readings.append(by_ffmpeg(program, file, ["-c:v", "libvpx-vp9"], ", libvpx-vp9"))
            readings.append(by_ffmpeg(program, file))
    chromium.browser.process.terminate()
    lines = ",\n".join("  " + json.dumps(one, ensure_ascii=False) for one in readings)
    (HERE / "measured.json").write_text(f"[\n{lines}\n]\n", "utf-8")


def installed(folder):
    """The programs, and the old ffmpeg."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", *PROGRAMS], check=True)
    subprocess.run([python, "-m", "pip", "download", "-q", "--no-deps", "-d", folder / "old", OLD], check=True)
    wheel = next((folder / "old").glob("*.whl"))
    zipfile.ZipFile(wheel).extractall(folder / "old")
    old = next((folder / "old/imageio_ffmpeg/binaries").glob("ffmpeg*"))
    old.chmod(0o755)
    return python, old


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", nargs="+", type=Path)
    parser.add_argument("--programs", nargs=2, type=Path)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    if given.measure:
        return measure(given.measure[0], given.measure[1:])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        kept = given.keep or folder
        if given.programs:
            python, old = given.programs[0] / "bin/python", given.programs[1]
        else:
            python, old = installed(kept)
        ask = [python, "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"]
        new = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
        files = folder / "files"
        names = {"WAN_ALPHA_TEST_FFMPEG": f"{new}:{old}", "WAN_ALPHA_ROUND_TRIPS": str(files)}
        test = ["cargo", "test", "--workspace", "--test", "round_trips", "made_to_be_measured"]
        subprocess.run(test, env={**os.environ, **names}, check=True, cwd=HERE.parents[2])
        subprocess.run([python, __file__, "--measure", files, new, old], check=True)


if __name__ == "__main__":
    if "--measure" in sys.argv:
        import numpy as np
        import OpenEXR
        import OpenImageIO as oiio
        from PIL import Image
    main()

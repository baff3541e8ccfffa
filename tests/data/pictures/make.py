#!/usr/bin/env python3
"""Makes the pictures of this folder with other programs, and what those make of them (expected.json).

    python3 -m venv v
    v/bin/pip install numpy==2.4.6 OpenEXR==3.5.3 OpenImageIO==3.2.2.0 opencolorio==2.6.0 \
        pillow==13.0.0 pypng==0.20220715.0 imageio-ffmpeg==0.8.1
    v/bin/pip download --no-deps -d old imageio-ffmpeg==0.6.0   # ffmpeg 7.0.2
    v/bin/python make.py [FFMPEG_OF_7.0.2]

`expected.json` holds linear Rec.709, straight, and alpha, row by row: OpenColorIO's own conversion
(ocio://default, without optimization) of the values that the file stores, from the space that the
file's tag names.
"""

import json
import os
import struct
import subprocess
import sys
import zlib

import imageio_ffmpeg
import numpy as np
import OpenEXR
import OpenImageIO as oiio
import png as pypng
import PyOpenColorIO as ocio
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

HERE = os.path.dirname(os.path.abspath(__file__))
os.chdir(HERE)
CONFIG = ocio.Config.CreateFromFile("ocio://default")
expected = {}

# Straight linear Rec.709 inside of every space below, and alpha; [4, 4, 4].
y, x = np.mgrid[0:4, 0:4] / 3.0
LIGHT = np.stack([0.05 + 0.8 * x, 0.05 + 0.6 * y, 0.1 + 0.5 * x * (1 - y)], -1)
ALPHA = np.where(x < 0.5, 1.0, 0.25 + 0.5 * y)


def convert(rgb, source, target):
    processor = CONFIG.getProcessor(source, target)
    processor = processor.getOptimizedProcessor(ocio.OPTIMIZATION_NONE).getDefaultCPUProcessor()
    flat = np.ascontiguousarray(rgb.reshape(-1, 3), np.float32)
    processor.applyRGB(flat)
    return flat.reshape(rgb.shape).astype(np.float64)


def curve(rgb, power):
    return np.sign(rgb) * np.abs(rgb) ** power


LINEAR = "lin_rec709_scene"
# Name of a space: to and from what OpenColorIO calls so, and a power between.
SPACES = {
    "srgb": ("srgb_rec709_scene", None),
    "linear": (LINEAR, None),
    "g22": ("g22_rec709_scene", None),
    "rec709": (LINEAR, 2.4),
    "p3": ("srgb_p3d65_scene", None),
    "linear-p3": ("lin_p3d65_scene", None),
    "rec2020": ("lin_rec2020_scene", 2.4),
    "linear-rec2020": ("lin_rec2020_scene", None),
    "ap1": ("lin_ap1_scene", None),
    "ap0": ("lin_ap0_scene", None),
    # OpenColorIO's own has the power of 563/256.
    "adobe": ("lin_adobergb_scene", 563 / 256),
}


def store(space):
    name, power = SPACES[space]
    values = convert(LIGHT, LINEAR, name)
    return values if power is None else curve(values, 1 / power)


def keep(file, space, rgb, alpha):
    name, power = SPACES[space]
    light = convert(rgb if power is None else curve(rgb, power), name, LINEAR)
    rgba = np.concatenate([light, alpha[..., None]], -1)
    expected[file] = [round(float(value), 7) for value in rgba.ravel()]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(file, space, chunks=(), black=0, white=65535):
    """OpenImageIO writes it; the chunks are put in place of what it says of color."""
    values = np.concatenate([store(space), ALPHA[..., None]], -1)
    raw = np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16)
    raw[..., :3] = np.round(black + np.clip(values[..., :3], 0, 1) * (white - black))
    spec = oiio.ImageSpec(4, 4, 4, "uint16")
    spec.alpha_channel = 3
    spec.attribute("oiio:UnassociatedAlpha", 1)
    out = oiio.ImageOutput.create(file)
    out.open(file, spec)
    out.write_image(raw)
    out.close()
    rest, made = open(file, "rb").read(), b""
    made, rest = rest[:33], rest[33:]
    for kind, data in chunks:
        made += chunk(kind, data)
    while rest:
        size = struct.unpack(">I", rest[:4])[0] + 12
        if rest[4:8] in (b"IDAT", b"IEND"):
            made += rest[:size]
        rest = rest[size:]
    open(file, "wb").write(made)
    keep(file, space, (raw[..., :3] - float(black)) / (white - black), raw[..., 3] / 65535.0)


def cicp(primaries, transfer, matrix=0, full=1):
    return b"cICP", bytes([primaries, transfer, matrix, full])


def gama(value):
    return b"gAMA", struct.pack(">I", value)


def iccp(profile):
    return b"iCCP", b"a profile\0\0" + zlib.compress(profile)


def profile(name, columns, curve_tag):
    """An ICC profile of version 2 with three colorants (XYZ of D50) and a curve."""
    fixed = lambda value: struct.pack(">i", round(value * 65536))
    xyz = lambda color: b"XYZ \0\0\0\0" + b"".join(map(fixed, color))
    text = name.encode()
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" * 79
    tags = [(b"desc", description), (b"wtpt", xyz((0.9642, 1, 0.8249)))]
    for key, color in zip("rgb", columns):
        tags += [(f"{key}XYZ".encode(), xyz(color)), (f"{key}TRC".encode(), curve_tag)]
    place, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, data in tags:
        table += key + struct.pack(">II", place + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I", place + len(body)) + b"\0" * 4 + struct.pack(">I", 0x02400000)
    head += b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 24 + struct.pack(">I", 0)
    return head + fixed(0.9642) + fixed(1) + fixed(0.8249) + b"\0" * 48 + table + body


def power_tag(power):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(power * 256))


def table_tag(function):
    values = np.round(np.clip(function(np.linspace(0, 1, 1024)), 0, 1) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + values.tobytes()


def srgb_curve(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def pq_curve(v):
    root = v ** (1 / 78.84375)
    return (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578)


LINEAR_TAG = b"curv\0\0\0\0" + struct.pack(">I", 0)
# As their makers' profiles have them.
REC_709 = [(0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139)]
P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
REC_2020 = [(0.67348, 0.27904, -0.00194), (0.16566, 0.67535, 0.02998), (0.12505, 0.04561, 0.79686)]
ADOBE = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]

png("untagged.png", "srgb")
png("srgb.png", "srgb", [(b"sRGB", b"\0")])
png("gama-linear.png", "linear", [gama(100000)])
png("gama-22.png", "g22", [gama(45455)])
png("cicp-srgb.png", "srgb", [cicp(1, 13)])
png("cicp-linear.png", "linear", [cicp(1, 8)])
png("cicp-p3.png", "p3", [cicp(12, 13)])
png("cicp-rec2020.png", "rec2020", [cicp(9, 14)])
png("cicp-rec709.png", "rec709", [cicp(1, 1)])
png("cicp-and-srgb.png", "p3", [cicp(12, 13), (b"sRGB", b"\0")])
png("cicp-pq.png", "srgb", [cicp(9, 16)])
png("cicp-hlg.png", "srgb", [cicp(9, 18)])
png("cicp-log.png", "srgb", [cicp(1, 9)])
png("icc-srgb.png", "srgb", [iccp(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())])
png("icc-linear.png", "linear", [iccp(profile("Linear Rec.709", REC_709, LINEAR_TAG))])
png("icc-p3.png", "p3", [iccp(profile("Display P3", P3, table_tag(srgb_curve)))])
png("icc-rec2020.png", "rec2020", [iccp(profile("Rec.2020", REC_2020, power_tag(2.4)))])
png("icc-adobe.png", "adobe", [iccp(profile("Adobe RGB (1998)", ADOBE, power_tag(563 / 256)))])
png("icc-pq.png", "srgb", [iccp(profile("Rec.2100 PQ", REC_2020, table_tag(pq_curve)))])
png("icc-lab.png", "srgb", [iccp(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())])

# What is damaged, says nothing or cannot be meant.
png("cicp-unspecified.png", "srgb", [cicp(2, 2)])
png("cicp-no-primaries.png", "srgb", [cicp(2, 13)])
png("cicp-out-of-range.png", "srgb", [cicp(1, 13, 1)])
png("cicp-no-range.png", "srgb", [cicp(1, 13, 0, 7)])
png("cicp-short.png", "srgb", [(b"cICP", b"\1")])
png("cicp-unspecified-and-icc.png", "p3", [cicp(2, 2), iccp(profile("Display P3", P3, table_tag(srgb_curve)))])
png("cicp-narrow.png", "srgb", [cicp(1, 13, 0, 0)], black=16 * 256, white=235 * 256)
png("icc-damaged.png", "srgb", [(b"iCCP", b"a profile\0\0no deflate")])
png("icc-nonsense.png", "srgb", [iccp(b"no profile at all" * 20)])
png("icc-black.png", "srgb", [iccp(profile("Black", [(0, 0, 0)] * 3, LINEAR_TAG))])
png("icc-white.png", "srgb", [iccp(profile("White", REC_709, power_tag(0)))])
png("gama-zero.png", "srgb", [gama(0)])
png("gama-tiny.png", "srgb", [gama(10)])
png("gama-huge.png", "srgb", [gama(10_000_000)])
png("chrm-zero.png", "srgb", [(b"cHRM", bytes(32))])
png("sbit.png", "srgb", [(b"sBIT", bytes([10] * 4))])
png("oblong.png", "srgb", [(b"pHYs", struct.pack(">IIB", 1, 2, 0))])
png("turned.png", "srgb", [(b"eXIf", b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x112, 3, 1, 6, 0))])

# Few bits, and transparency by one color, which pypng writes.
high = (np.arange(16).reshape(4, 4) % 5 == 0).astype(int)
for bits in [1, 2, 4]:
    with open(f"gray-{bits}.png", "wb") as file:
        pypng.Writer(4, 4, greyscale=True, bitdepth=bits, transparent=0).write(file, (high * (2**bits - 1)).tolist())
    keep(f"gray-{bits}.png", "srgb", np.stack([high] * 3, -1) * 1.0, high * 1.0)
with open("gray-opaque.png", "wb") as file:
    pypng.Writer(4, 4, greyscale=True, bitdepth=1).write(file, high.tolist())
with open("gray-alpha-16.png", "wb") as file:
    raw = np.stack([np.round(LIGHT[..., 0] * 65535), np.round(ALPHA * 65535)], -1).astype(int)
    pypng.Writer(4, 4, greyscale=True, alpha=True, bitdepth=16).write(file, raw.reshape(4, -1).tolist())
keep("gray-alpha-16.png", "srgb", np.stack([raw[..., 0]] * 3, -1) / 65535.0, raw[..., 1] / 65535.0)
with open("transparent-color.png", "wb") as file:
    raw = np.round(np.clip(store("srgb"), 0, 1) * 65535).astype(int)
    one = tuple(map(int, raw[1, 2]))
    pypng.Writer(4, 4, greyscale=False, transparent=one, bitdepth=16).write(file, raw.reshape(4, -1).tolist())
keep("transparent-color.png", "srgb", raw / 65535.0, (raw != raw[1, 2]).any(-1) * 1.0)

# What ffmpeg reads, and whose profile it does not tell.
for kind, more in [("jpg", {"quality": 95, "subsampling": 0}), ("webp", {"lossless": True})]:
    eight = np.round(np.clip(store("p3"), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(eight).save(f"p3.{kind}", icc_profile=profile("Display P3", P3, table_tag(srgb_curve)), **more)

# Of other formats, whatever they are called, and cut off.
Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("jpeg.png", "JPEG")
Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save("tiff.exr", "TIFF")
whole = open("srgb.png", "rb").read()
open("cut.png", "wb").write(whole[: len(whole) - 30])

# Pillow: eight bits in all kinds, and an animation.
raw = np.round(np.concatenate([store("srgb"), ALPHA[..., None]], -1) * 255).astype(np.uint8)
rgba = Image.fromarray(raw)
gray = raw.copy()
gray[..., :3] = raw[..., 1:2]
Image.merge("LA", [Image.fromarray(gray[..., 0].copy()), Image.fromarray(gray[..., 3].copy())]).save("gray-alpha.png")
keep("gray-alpha.png", "srgb", gray[..., :3] / 255.0, gray[..., 3] / 255.0)
palette = rgba.quantize(16, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
palette.save("palette.png")
back = np.asarray(Image.open("palette.png").convert("RGBA")) / 255.0
keep("palette.png", "srgb", back[..., :3], back[..., 3])
# Of its palette two colors are left: most pixels point behind its end.
rest, made = open("palette.png", "rb").read(), b""
made, rest = rest[:8], rest[8:]
while rest:
    size = struct.unpack(">I", rest[:4])[0] + 12
    kind, data = rest[4:8], rest[8 : size - 4]
    made += chunk(kind, {b"PLTE": data[:6], b"tRNS": data[:2]}.get(kind, data))
    rest = rest[size:]
open("palette-short.png", "wb").write(made)
rgba.save("animated.png", save_all=True, append_images=[rgba.rotate(90), rgba.rotate(180)])


def exr(file, space, header=None, half=False, parts=None):
    """Premultiplied, as EXR is; OpenEXR writes it."""
    values = store(space) * ALPHA[..., None]
    rgba = np.concatenate([values, ALPHA[..., None]], -1)
    rgba = np.ascontiguousarray(rgba, np.float16 if half else np.float32)
    head = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **(header or {})}
    if parts is None:
        OpenEXR.File(head, {"RGBA": rgba}).write(file)
    else:
        made = [OpenEXR.Part({**head, "name": name}, channels(rgba)) for name, channels in parts]
        OpenEXR.File(made).write(file)
    wide = rgba.astype(np.float64)
    keep(file, space, wide[..., :3] / wide[..., 3:], wide[..., 3])


CHROMATICITIES = {
    "rec709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    "p3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    "rec2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    "ap1": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
}

exr("untagged.exr", "linear")
exr("half.exr", "linear", half=True)
exr("chromaticities-rec709.exr", "linear", {"chromaticities": CHROMATICITIES["rec709"]})
exr("chromaticities-p3.exr", "linear-p3", {"chromaticities": CHROMATICITIES["p3"]})
exr("chromaticities-rec2020.exr", "linear-rec2020", {"chromaticities": CHROMATICITIES["rec2020"]})
exr("chromaticities-ap1.exr", "ap1", {"chromaticities": CHROMATICITIES["ap1"]})
exr("interop-ap1.exr", "ap1", {"colorInteropID": "lin_ap1_scene"})
exr("interop-srgb.exr", "srgb", {"colorInteropID": "srgb_rec709_scene"})
exr("interop-unknown.exr", "linear", {"colorInteropID": "unknown"})
exr("interop-made-up.exr", "linear", {"colorInteropID": "my_space"})
exr("interop-pq.exr", "linear", {"colorInteropID": "pq_rec2020_display"})
exr("interop-against-chromaticities.exr", "linear",
    {"colorInteropID": "lin_rec709_scene", "chromaticities": CHROMATICITIES["ap1"]})
exr("aces-container.exr", "ap0", {"acesImageContainerFlag": 1}, half=True)

plane = lambda rgba, index: rgba[..., index].copy()
named = lambda prefix: lambda rgba: {f"{prefix}.{c}": plane(rgba, i) for i, c in enumerate("RGBA")}
depth = lambda rgba: {"Z": np.ascontiguousarray(1 + x, np.float32)}
whole = lambda rgba: {"RGBA": rgba}
other = lambda rgba: {"RGBA": np.ascontiguousarray(rgba * 0.5)}
exr("depth-first.exr", "linear", parts=[("depth", depth), ("rgba", whole)])
exr("alpha-apart.exr", "linear", parts=[
    ("rgb", lambda rgba: {"RGB": rgba[..., :3].copy()}), ("alpha", lambda rgba: {"A": plane(rgba, 3)})])
exr("layer.exr", "linear", parts=[("", lambda rgba: {**named("beauty")(rgba), **{"depth.Z": plane(rgba, 0)}})])
exr("two-pictures.exr", "linear", parts=[("specular", other), ("beauty", whole)])
exr("no-picture.exr", "linear", parts=[("depth", depth), ("matte", lambda rgba: {"matte.fg": plane(rgba, 3)})])

# What is not quite a picture.
def odd(file, change, header=None, channels="RGBA"):
    """The untagged picture, changed; what is expected is changed as well, by the second value returned."""
    values = store("linear") * ALPHA[..., None]
    rgba = np.concatenate([values, ALPHA[..., None]], -1).astype(np.float32)
    rgba, seen = change(rgba)
    head = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **(header or {})}
    rgba = np.ascontiguousarray(rgba)
    planes = {"RGBA": rgba} if channels == "RGBA" else {n: rgba[..., i].copy() for i, n in enumerate(channels)}
    OpenEXR.File(head, planes).write(file)
    if seen is not None:
        expected[file] = [round(float(value), 7) for value in seen.ravel()]


def straight(rgba):
    wide = rgba.astype(np.float64)
    alpha = wide[..., 3:]
    color = np.divide(wide[..., :3], alpha, out=np.zeros_like(wide[..., :3]), where=alpha > 0)
    return np.concatenate([color, alpha], -1)


def cleared(rgba, value):
    """A corner of alpha 0 that holds a value all the same."""
    rgba[:2, :2] = 0
    seen = straight(rgba)
    rgba[:2, :2, 0] = value
    return rgba, seen


def poked(rgba):
    rgba[2, 1, 1] = np.nan
    return rgba, None


def brighter(rgba):
    rgba[2, 1, :3] = 0.9 * 1.5
    seen = straight(rgba)
    return rgba, np.clip(seen, 0, 1)


def gray(rgba):
    rgba[..., 0] = rgba[..., 1]
    seen = straight(rgba)
    seen[..., :3] = seen[..., :1]
    return rgba[..., [0, 3]], seen


same = lambda rgba: (rgba, straight(rgba))
odd("hidden-nan.exr", lambda rgba: cleared(rgba, np.nan))
odd("glow.exr", lambda rgba: cleared(rgba, 0.5))
odd("nan.exr", poked)
odd("added.exr", brighter)
odd("gray-alpha.exr", gray, channels="YA")
odd("oblong.exr", same, {"pixelAspectRatio": 2.0})
odd("chromaticities-zero.exr", same, {"chromaticities": (0.0,) * 8})
odd("names-in-words.exr", same, channels=["rgba.red", "rgba.green", "rgba.blue", "rgba.alpha"])
odd("normals.exr", same, channels=["N.X", "N.Y", "N.Z", "P.Y"])
odd("cryptomatte.exr", same, channels=["CryptoObject00.r", "CryptoObject00.g", "CryptoObject00.b", "CryptoObject00.a"])
expected.pop("normals.exr")
expected.pop("cryptomatte.exr")
exr("masks.exr", "linear", parts=[
    ("", lambda rgba: {"fg.A": plane(rgba, 3), "bg.A": np.ascontiguousarray(1 - plane(rgba, 3))})])
expected.pop("masks.exr")
exr("whole-numbers.exr", "linear", parts=[
    ("", lambda rgba: {c: np.round(plane(rgba, i) * 255).astype(np.uint32) for i, c in enumerate("RGBA")})])
expected.pop("whole-numbers.exr")
exr("views.exr", "linear", parts=[("left", whole), ("right", other)])
left = open("untagged.exr", "rb").read()
open("cut.exr", "wb").write(left[: len(left) - 20])
open("cut-header.exr", "wb").write(left[:100])


def windowed(file, place, window, seen, deep=False):
    """OpenImageIO puts the picture at a place of a display window that begins at 0."""
    values = np.concatenate([store("linear") * ALPHA[..., None], ALPHA[..., None]], -1).astype(np.float32)
    spec = oiio.ImageSpec(4, 4, 4, "float")
    (spec.x, spec.y), (spec.full_width, spec.full_height) = place, window
    out = oiio.ImageOutput.create(file)
    out.open(file, spec)
    out.write_image(values)
    out.close()
    expected[file] = [round(float(value), 7) for value in seen.ravel()]


picture = np.concatenate([LIGHT, ALPHA[..., None]], -1)
windowed("overscan.exr", (-1, -1), (2, 2), picture[1:3, 1:3])
windowed("windows-apart.exr", (9, 9), (4, 4), np.zeros((4, 4, 4)))

# Levels of a texture: the first is the picture.
values = np.concatenate([store("linear") * ALPHA[..., None], ALPHA[..., None]], -1).astype(np.float32)
large = oiio.ImageBuf(np.ascontiguousarray(np.kron(values, np.ones((8, 8, 1), np.float32))))
oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, large, "levels.exr")
expected["levels.exr"] = [round(float(value), 7) for value in np.kron(picture, np.ones((8, 8, 1))).ravel()]

# Several samples a pixel.
spec = oiio.ImageSpec(4, 4, 5, "float")
spec.channelnames, spec.deep = ("R", "G", "B", "A", "Z"), True
deep = oiio.ImageBuf(spec)
for row in range(4):
    for column in range(4):
        deep.set_deep_samples(column, row, 0, 2)
        for sample in range(2):
            for channel, value in enumerate((0.2, 0.1, 0.05, 0.4, 1 + sample)):
                deep.set_deep_value(column, row, 0, channel, sample, value)
deep.write("deep.exr")


def luminance_and_chroma(file):
    """As OpenEXR's RgbaOutputFile has it with WRITE_YC, which Python's package does not reach."""
    def attribute(name, kind, data):
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(data)) + data

    channels = b"".join(name + b"\0" + struct.pack("<iB3xii", 1, 0, step, step)
                        for name, step in [(b"BY", 2), (b"RY", 2), (b"Y", 1)]) + b"\0"
    window = struct.pack("<4i", 0, 0, 3, 3)
    head = struct.pack("<ii", 20000630, 2) + attribute(b"channels", b"chlist", channels)
    head += attribute(b"compression", b"compression", b"\0") + attribute(b"dataWindow", b"box2i", window)
    head += attribute(b"displayWindow", b"box2i", window) + attribute(b"lineOrder", b"lineOrder", b"\0")
    head += attribute(b"pixelAspectRatio", b"float", struct.pack("<f", 1))
    head += attribute(b"screenWindowCenter", b"v2f", struct.pack("<2f", 0, 0))
    head += attribute(b"screenWindowWidth", b"float", struct.pack("<f", 1)) + b"\0"
    lines, table = b"", b""
    for row in range(4):
        chroma = np.full(4, 0.1, "<f2").tobytes() if row % 2 == 0 else b""
        data = chroma + np.full(4, 0.5, "<f2").tobytes()
        table += struct.pack("<Q", len(head) + 4 * 8 + len(lines))
        lines += struct.pack("<ii", row, len(data)) + data
    open(file, "wb").write(head + table + lines)
    assert OpenEXR.File(file).channels()["RY"].pixels.shape == (2, 2)


luminance_and_chroma("luminance-chroma.exr")

for kind in ["RLE", "ZIPS", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB", "HTJ2K256", "HTJ2K32", "LJ2K", "ZSTD"]:
    try:
        exr(f"{kind.lower()}.exr", "linear", {"compression": getattr(OpenEXR, f"{kind}_COMPRESSION")}, half=True)
    except Exception as error:
        print(kind, error)
        expected.pop(f"{kind.lower()}.exr", None)
# Lossy: what OpenEXR itself reads back.
for kind in ["b44", "b44a", "dwaa", "dwab"]:
    wide = OpenEXR.File(f"{kind}.exr").channels()["RGBA"].pixels.astype(np.float64)
    keep(f"{kind}.exr", "linear", wide[..., :3] / wide[..., 3:], wide[..., 3])
# Tiles, and a data window within the display window, by OpenImageIO.
values = np.concatenate([store("linear") * ALPHA[..., None], ALPHA[..., None]], -1).astype(np.float32)
spec = oiio.ImageSpec(4, 4, 4, "float")
spec.tile_width = spec.tile_height = 16
spec.x, spec.y, spec.full_width, spec.full_height = 1, 1, 6, 5
out = oiio.ImageOutput.create("tiles-in-a-window.exr")
out.open("tiles-in-a-window.exr", spec)
out.write_image(values)
out.close()
frame = np.zeros((5, 6, 4))
frame[1:, 1:5] = np.concatenate([LIGHT, ALPHA[..., None]], -1)
expected["tiles-in-a-window.exr"] = [round(float(value), 7) for value in frame.ravel()]


def movie(file, ffmpeg, arguments, tags=()):
    frames = b""
    for frame in range(5):
        picture = Image.new("RGBA", (64, 48), (255, 90, 20, 0))
        ImageDraw.Draw(picture).ellipse([4 + 4 * frame, 8, 36 + 4 * frame, 40], fill=(255, 90, 20, 255))
        frames += picture.tobytes()
    command = [ffmpeg, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x48", "-r", "16",
               "-i", "-", *tags, *arguments, "-bitexact", file]
    subprocess.run(command, input=frames, check=True)


def said(file, ffmpeg, name):
    """What this ffmpeg says of a movie, without what differs from machine to machine."""
    text = subprocess.run([ffmpeg, "-nostdin", "-hide_banner", "-i", file], capture_output=True, text=True).stderr
    lines = [line for line in text.splitlines() if not line.startswith("At least")]
    open(f"{name}.txt", "w").write("\n".join(lines) + "\n")


programs = {"ffmpeg-9.0": imageio_ffmpeg.get_ffmpeg_exe()}
if len(sys.argv) > 1:
    programs["ffmpeg-7.0"] = sys.argv[1]
new = programs["ffmpeg-9.0"]
alpha = ["-pix_fmt", "yuva420p", "-auto-alt-ref", "0"]
tagged = lambda p, t, m: ["-vf", f"setparams=color_primaries={p}:color_trc={t}:colorspace={m}"]
movie("vp9.webm", new, ["-c:v", "libvpx-vp9", *alpha, "-b:v", "0", "-crf", "30"])
movie("vp8.webm", new, ["-c:v", "libvpx", *alpha, "-b:v", "200k"])
movie("ffv1.mkv", new, ["-c:v", "ffv1", "-pix_fmt", "bgra"])
movie("prores.mov", new, ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"], tagged("bt709", "bt709", "bt709"))
movie("rec2020.mkv", new, ["-c:v", "ffv1", "-pix_fmt", "gbrap"], tagged("bt2020", "bt2020-10", "gbr"))
movie("pq.mkv", new, ["-c:v", "ffv1", "-pix_fmt", "gbrap"], tagged("bt2020", "smpte2084", "gbr"))
movie("opaque.mp4", new, ["-c:v", "mpeg4", "-pix_fmt", "yuv420p"])
for version, program in programs.items():
    for file in ["vp9.webm", "vp8.webm", "ffv1.mkv", "prores.mov", "rec2020.mkv", "pq.mkv", "opaque.mp4"]:
        said(file, program, f"{file}.{version}")

with open("expected.json", "w") as file:
    lines = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(expected.items())]
    file.write("{\n" + ",\n".join(lines) + "\n}\n")

"""The released ellipse fit, written anew with numpy and OpenCV, and what it makes of drawn alphas.

    python3 -m venv V && V/bin/pip install numpy opencv-python-headless==5.0.0.93
    V/bin/python opencv.py cases DIR [COUNT [SEED]]    # 1000 cases, for `fit_against_opencv`
    cargo run --release -p wan-alpha-take --example fit_against_opencv DIR
    V/bin/python opencv.py sample ../data/fit          # sample.json and sample.png, for the tests
    V/bin/python opencv.py golden REFERENCE_DIR ../data/fit     # golden.json and golden.png

REFERENCE_DIR holds t2v/golden.safetensors: an alpha, and what the authors' released code made of
it. Images stack all frames of all clips, one below the other.
"""

import json
import math
import struct
import sys
from pathlib import Path

import cv2
import numpy as np

THRESHOLD, ROUNDS = 0.1, 10


# --- the fit ----------------------------------------------------------------------------------


def compress(alpha):
    """Alpha [frames, H, W] in [0, 1] to coverage [latent frames, H // 8, W // 8]."""
    binary = (alpha > THRESHOLD).astype(np.float32)
    height, width = binary.shape[1:]
    small = [
        cv2.resize(frame, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
        for frame in binary
    ]
    groups = [small[:1]] + [small[i : i + 4] for i in range(1, len(small), 4)]
    return np.stack([np.mean(group, axis=0) for group in groups]).astype(np.float32)


def eigenvectors(points):
    """Columns, the leading one first. Where eigenvalues are equal rounding decides in `eigh`, so
    such a set points along y, as with a covariance that is exactly diagonal."""
    values, vectors = np.linalg.eigh(np.cov(points.T))
    if abs(values[1] - values[0]) <= 1e-9 * abs(values[1]):
        return np.array([[0.0, 1.0], [1.0, 0.0]])
    return vectors[:, np.argsort(values)[::-1]]


def draw(ellipse, shape):
    cx, cy, a, b, angle = ellipse
    canvas = np.zeros(shape, np.uint8)
    center, half = (round(cx), round(cy)), (round(a / 2), round(b / 2))
    return cv2.ellipse(canvas, center, half, angle, 0, 360, 1, -1)


def fit(coverage):
    """[cx, cy, a, b, angle] on the grid, and the number of enlargements; None of an empty frame."""
    ys, xs = np.nonzero(coverage > 0.2)
    points = np.stack([xs, ys], axis=1).astype(np.float64)
    if len(points) == 0:
        return None
    if len(points) < 5:
        low, high = points.min(axis=0), points.max(axis=0)
        center, angle = (low + high) / 2, 0.0
        a, b = np.maximum(high - low, 2.0)
    else:
        center = points.mean(axis=0)
        vectors = eigenvectors(points)
        along = (points - center) @ vectors
        a, b = np.maximum(along.max(axis=0) - along.min(axis=0), 2.0)
        ys, xs = np.nonzero(coverage > 0.9)
        if len(ys) >= 5:
            vectors = eigenvectors(np.stack([xs, ys], axis=1).astype(np.float64))
        angle = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0]))
    best, most = None, -1.0
    shape = coverage > 0.2
    for enlargements in range(ROUNDS):
        ellipse = [center[0], center[1], a, b, angle]
        covered = np.count_nonzero(draw(ellipse, coverage.shape)[shape]) / len(points)
        if covered > most:
            best, most = ([float(number) for number in ellipse], enlargements), covered
        if covered >= 0.98:
            break
        a, b = a * 1.12, b * 1.12
    return best


def mask(ellipse, height, width):
    cx, cy, a, b, angle = ellipse
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float64)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = ((xs - cx) * cos + (ys - cy) * sin) / max(a / 2, 0.01)
    across = (-(xs - cx) * sin + (ys - cy) * cos) / max(b / 2, 0.01)
    g = np.exp(np.clip(-0.5 * (along**2 + across**2), -50, None))
    span = g.max() - g.min()
    return np.zeros_like(g) if span < 1e-9 else (g - g.min()) / span


# --- the cases --------------------------------------------------------------------------------


def polygon(random, width, height):
    corners = random.integers(3, 9)
    turns = np.sort(random.uniform(0, 2 * np.pi, corners))
    reach = random.uniform(0.1, 0.5) * min(width, height) * random.uniform(0.3, 1, corners)
    center = random.uniform(0.1, 0.9, 2) * [width, height]
    points = center + np.stack([np.cos(turns), np.sin(turns)], axis=1) * reach[:, None]
    canvas = np.zeros((height, width), np.uint8)
    return cv2.fillPoly(canvas, [points.astype(np.int32)], 255, cv2.LINE_AA)


def ellipse(random, width, height):
    center = random.uniform(-0.1, 1.1, 2) * [width, height]
    axes = random.uniform(0.02, 0.6, 2) * height
    angle = random.uniform(0, 180)
    canvas = np.zeros((height, width), np.uint8)
    center, axes = (center * 16).astype(int), (axes * 16).astype(int)
    return cv2.ellipse(canvas, center, axes, angle, 0, 360, 255, -1, cv2.LINE_AA, 4)


def disc(random, width, height):
    """Often symmetrical to the grid: the ties."""
    center = random.integers(1, 8, 2) * [width // 8, height // 8] // 8 * 8
    canvas = np.zeros((height, width), np.uint8)
    return cv2.circle(canvas, center, int(random.integers(4, height // 2)), 255, -1)


def rectangle(random, width, height):
    canvas = np.zeros((height, width), np.uint8)
    left, top = random.integers(0, width - 8), random.integers(0, height - 8)
    right, bottom = random.integers(left + 4, width), random.integers(top + 4, height)
    canvas[top:bottom, left:right] = random.integers(20, 256)
    return canvas


def smoke(random, width, height):
    noise = cv2.GaussianBlur(random.normal(size=(height, width)), (0, 0), random.uniform(6, 40))
    noise /= noise.std()
    return (np.clip(noise * 0.5 - random.uniform(-0.2, 1.0), 0, 1) * 255).astype(np.uint8)


def glow(random, width, height):
    ys, xs = np.mgrid[0:height, 0:width]
    cx, cy = random.uniform(0.1, 0.9, 2) * [width, height]
    sx, sy = random.uniform(0.05, 0.4, 2) * height
    return (255 * np.exp(-(((xs - cx) / sx) ** 2) - ((ys - cy) / sy) ** 2)).astype(np.uint8)


def strokes(random, width, height):
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(random.integers(1, 4)):
        ends = random.uniform(0, 1, (2, 2)) * [width, height]
        thickness = int(random.integers(3, 30))
        cv2.line(canvas, *ends.astype(int), int(random.integers(60, 256)), thickness, cv2.LINE_AA)
    return canvas


def sparks(random, width, height):
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(random.integers(1, 12)):
        center = (random.uniform(0, 1, 2) * [width, height]).astype(int)
        cv2.circle(canvas, center, int(random.integers(3, 14)), 255, -1, cv2.LINE_AA)
    return canvas


SHAPES = [polygon, ellipse, disc, rectangle, smoke, glow, strokes, sparks]


def clip(random, index, width, height):
    """One frame, or five: the shape moves, so that four of them overlap in the last."""
    first = SHAPES[index % len(SHAPES)](random, width, height)
    if index // len(SHAPES) % 3 == 0:
        first = np.maximum(first, SHAPES[random.integers(len(SHAPES))](random, width, height))
    frames = [first]
    if index // len(SHAPES) % 2 == 1:
        dx, dy = random.uniform(-12, 12, 2)
        for i in range(1, 5):
            move = np.float32([[1, 0, dx * i], [0, 1, dy * i]])
            frames.append(cv2.warpAffine(first, move, (width, height)))
    return np.stack(frames)


def fits_of(frames):
    """What a case is compared with."""
    coverage = compress(frames.astype(np.float32) / np.float32(255))
    return coverage, [fit(frame) for frame in coverage]


def record(fits):
    return [None if fit is None else {"ellipse": fit[0], "enlargements": fit[1]} for fit in fits]


def cases(folder, count=1000, seed=1):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(int(seed))
    listed = []
    for index in range(int(count)):
        height = int(random.integers(8, 61)) * 8
        width = int(random.integers(8, 105)) * 8
        if index % 10 == 9:  # sizes that are no multiples of 8
            width, height = width + int(random.integers(1, 8)), height + int(random.integers(1, 8))
        frames = clip(random, index, width, height)
        coverage, fits = fits_of(frames)
        frames.tofile(folder / f"{index:04}.alpha")
        grid = coverage.shape[1:]
        masks = [np.zeros(grid) if fit is None else mask(fit[0], *grid) for fit in fits]
        np.stack(masks).astype("<f4").tofile(folder / f"{index:04}.masks")
        listed.append({"width": width, "height": height, "fits": record(fits)})
    (folder / "cases.json").write_text(json.dumps(listed))


def drawn(random, count):
    """Ellipses as `draw` draws them: mostly near the frame, of every length of polygon."""
    listed = []
    for index in range(count):
        width, height = (int(n) for n in random.integers(6, [105, 61][index % 2], 2))
        center = random.uniform(-0.3, 1.3, 2) * [width, height]
        axes = random.choice([5, 18, 29, 60, 150]) * random.uniform(0.1, 1, 2)
        angle = random.choice([0.0, 90.0, -180.0, random.uniform(-180, 180)])
        which = [round(float(n), 3) for n in (*center, *np.maximum(axes, 2), angle)]
        rows = []
        for y, row in enumerate(draw(which, (height, width))):
            xs = np.nonzero(row)[0]
            if len(xs):
                assert len(xs) == xs[-1] - xs[0] + 1, "convex"
                rows.append([y, int(xs[0]), int(xs[-1])])
        listed.append({"width": width, "height": height, "ellipse": which, "rows": rows})
    return listed


def lines(text):
    return text.replace('}, {"', '},\n{"')


def sample(folder):
    random = np.random.default_rng(2)
    width, height, images, listed = 240, 144, [], []
    for index in range(64):
        frames = clip(random, index, width, height)
        coverage, fits = fits_of(frames)
        probes = []
        for found in fits:
            g = np.zeros(coverage.shape[1:]) if found is None else mask(found[0], *coverage.shape[1:])
            probes.append([round(float(value), 7) for value in g.ravel()[::37]])
        images.append(frames)
        listed.append({"frames": len(frames), "fits": record(fits), "every_37th": probes})
    stack(Path(folder) / "sample.png", np.concatenate(images))
    text = json.dumps({"width": width, "height": height, "cases": listed, "drawn": drawn(random, 240)})
    (Path(folder) / "sample.json").write_text(lines(text) + "\n")


def stack(path, frames):
    image = frames.reshape(-1, frames.shape[2])
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def tensor(path, name):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    entry = json.loads(data[8 : 8 + length])[name]
    kind = {"F64": "<f8", "F32": "<f4", "U8": "u1"}[entry["dtype"]]
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[8 + length :][begin:end], kind).reshape(entry["shape"])


def golden(reference, folder):
    path = Path(reference) / "t2v" / "golden.safetensors"
    alpha, coverage, masks, ellipses = (
        tensor(path, f"fit.{name}") for name in ["alpha", "compressed", "masks", "ellipses"]
    )
    found, fits = fits_of(alpha)
    assert np.array_equal(found, coverage)
    for (ours, _), theirs in zip(fits, ellipses):
        assert np.allclose(ours[:4], theirs[:4], rtol=1e-9), (ours, theirs)
    stack(Path(folder) / "golden.png", alpha)
    golden = {
        "width": alpha.shape[2],
        "height": alpha.shape[1],
        "ellipses": ellipses.tolist(),
        # Ours: the reference has only the ellipses. The lengths of their axes, which agree, tell.
        "enlargements": [fit[1] for fit in fits],
        "coverage_256ths": (coverage * 256).astype(int).reshape(len(coverage), -1).tolist(),
        "masks": [[round(float(v), 7) for v in m.ravel()] for m in masks],
    }
    (Path(folder) / "golden.json").write_text(json.dumps(golden).replace("], [", "],\n[") + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("cases", "sample", "golden"):
        sys.exit(__doc__)
    {"cases": cases, "sample": sample, "golden": golden}[sys.argv[1]](*sys.argv[2:])

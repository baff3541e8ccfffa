"""Copies what the mask tests need out of the reference data.

    python3 extract.py REFERENCE_DIR > masks.json

REFERENCE_DIR holds one folder per case with golden.json and golden.safetensors: what the
authors' released code computed, on the CPU, for tiny models. `masks` are whole; `fits` are
ellipses that the released fit found on a 52x32 grid, with the middle row of their masks.
"""

import json
import struct
import sys
from pathlib import Path

CASES = ["t2v", "t2v-guided", "t2v-euler"]
FORMATS = {"F64": "d", "F32": "f"}


def tensor(path, name):
    """Shape and flat values of one safetensors entry."""
    data = path.read_bytes()
    (header_length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_length])[name]
    begin, end = header["data_offsets"]
    code = FORMATS[header["dtype"]]
    values = [v for (v,) in struct.iter_unpack("<" + code, data[8 + header_length :][begin:end])]
    if code == "f":
        values = [float(f"{v:.9g}") for v in values]  # nine digits identify a float32
    return header["shape"], values


def rows(values, length):
    return [values[i : i + length] for i in range(0, len(values), length)]


def main():
    reference = Path(sys.argv[1])
    masks = []
    for case in CASES:
        golden = reference / case / "golden.safetensors"
        (_, height, width), mask = tensor(golden, "mask")
        _, on_grid = tensor(golden, "ellipse.latent")
        track = json.loads((reference / case / "golden.json").read_text())["ellipse_track"]
        masks.append(
            {
                "case": case,
                "width": width,
                "height": height,
                "track": track,
                "on_grid": rows(on_grid, 5),
                "mask": rows(mask, width * height),
            }
        )
    golden = reference / CASES[0] / "golden.safetensors"
    (_, height, width), mask = tensor(golden, "fit.masks")
    _, ellipses = tensor(golden, "fit.ellipses")
    middle = [frame[height // 2 * width :][:width] for frame in rows(mask, width * height)]
    fits = {"width": width, "height": height, "ellipses": rows(ellipses, 5), "middle_row": middle}
    text = json.dumps({"masks": masks, "fits": fits}, indent=None)
    print(text.replace("], [", "],\n["))


main()

#!/bin/sh
# Runs the check with this machine's Python, which must have torch 2.11 for CUDA; PYTHON names
# another one. Needs neither network nor cargo. Everything is written to ./gpu-check, or to --out.
here=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
exec "$here/bin/gpu-check" gpu-check --from "$here" --python "${PYTHON:-python3}" "$@"

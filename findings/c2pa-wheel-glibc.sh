#!/usr/bin/env bash
# c2pa-python 0.38.1: the wheel for x86-64 is tagged manylinux_2_28, so pip installs it on Rocky Linux 8 and
# Debian 11, but its libc2pa_c.so asks for symbols of glibc 2.34 and cannot be opened there: what the tag
# promises, auditwheel would have refused. Who ships the library has to look at its symbols, not at its name.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip --quiet --disable-pip-version-check install --no-deps pyelftools==0.33 c2pa-python==0.38.1
cat > look.py <<'PY'
import re
import sys
from importlib.metadata import distribution

from elftools.elf.elffile import ELFFile

wheel = distribution("c2pa-python")
tag = re.search(r"Tag: \S+-manylinux_(\d+)_(\d+)_x86_64", wheel.read_text("WHEEL"))
promised = tuple(map(int, tag.groups()))
with open(wheel.locate_file("c2pa/libs/libc2pa_c.so"), "rb") as library:
    needs = ELFFile(library).get_section_by_name(".gnu.version_r")
    names = [one.name for _, auxiliaries in needs.iter_versions() for one in auxiliaries]
wanted = max(tuple(map(int, name[6:].split("."))) for name in names if re.fullmatch(r"GLIBC_[\d.]+", name))
print("c2pa-python", wheel.version)
print("its wheel's tag promises to run on glibc", ".".join(map(str, promised)))
print("its library asks for glibc", ".".join(map(str, wanted)))
if (promised, wanted) != ((2, 28), (2, 34)):
    sys.exit("tag or library has changed: the finding is out of date")
PY
python/bin/python look.py

#!/usr/bin/env bash
# c2pa-python 0.38.1: the wheel for x86-64 is tagged manylinux_2_28, so pip installs it on Rocky Linux 8 and
# Debian 11, but its libc2pa_c.so asks for symbols of glibc 2.34 and cannot be opened there: what the tag
# promises, auditwheel would have refused. Who ships the library has to look at its symbols, not at its name.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip --quiet --disable-pip-version-check install pyelftools==0.33
python/bin/pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: \
    --platform manylinux_2_28_x86_64 c2pa-python==0.38.1
cat > look.py <<'PY'
import glob
import io
import re
import zipfile

from elftools.elf.elffile import ELFFile

wheel, = glob.glob("c2pa_python-*.whl")
tagged = re.search(r"manylinux_(\d+)_(\d+)_x86_64", wheel)
tagged = tuple(map(int, tagged.groups()))
library = zipfile.ZipFile(wheel).read("c2pa/libs/libc2pa_c.so")
needs = ELFFile(io.BytesIO(library)).get_section_by_name(".gnu.version_r")
versions = {
    tuple(map(int, aux.name.removeprefix("GLIBC_").split(".")))
    for _, auxiliaries in needs.iter_versions()
    for aux in auxiliaries
    if re.fullmatch(r"GLIBC_[\d.]+", aux.name)
}
print("wheel:", wheel)
print("its tag promises to run on glibc", ".".join(map(str, tagged)))
print("its library asks for glibc", ".".join(map(str, max(versions))))
assert tagged == (2, 28) and max(versions) == (2, 34), "tag or library has changed: the finding is out of date"
PY
python/bin/python look.py

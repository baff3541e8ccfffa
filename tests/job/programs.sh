#!/usr/bin/env bash
# Installs the programs of farms that tests/job.rs asks whether they take our jobs: into .setup/farm, from
# PyPI, pinned. Without them that test says that it was skipped.
set -eu
cd "$(dirname "$0")/../.."
target=.setup/farm
# The folder that it was made in may be gone.
[ -e "$target/ready" ] && "$target/bin/openjd" --help >/dev/null 2>&1 && exit 0
rm -rf "$target"
python3 -m venv "$target"
# opencue-pyoutline imports packaging, and does not say so.
"$target/bin/pip" --quiet --disable-pip-version-check install \
    openjd-cli==0.8.0 opencue-pyoutline==1.37.0 packaging
touch "$target/ready"

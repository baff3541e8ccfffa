#!/usr/bin/env bash
# openjd-cli 0.8.0: a default of a PATH parameter that leads out of the template's folder (../clips) passes
# `openjd check`, and `openjd run` refuses it; so does an absolute one. The same place given on the command
# line is taken. So our templates have no default where their table lies elsewhere, and say what to give.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet openjd-cli==0.8.0
venv/bin/pip list 2>/dev/null | grep openjd
mkdir clips job

template() {
    cat > "job/$1.json" <<JSON
{
  "specificationVersion": "jobtemplate-2023-09",
  "name": "paths",
  "parameterDefinitions": [{ "name": "Clips", "type": "PATH", "default": "$2" }],
  "steps": [{ "name": "look", "script": { "actions": { "onRun": {
    "command": "ls", "args": ["-d", "{{Param.Clips}}"] } } } }]
}
JSON
}

as_found=yes
# What is expected of `check` and of `run`, and of `run` with the parameter given.
try() {
    template "$1" "$2"
    check=0 run=0 given=0
    venv/bin/openjd check "job/$1.json" > check.log 2>&1 || check=$?
    venv/bin/openjd run "job/$1.json" > run.log 2>&1 || run=$?
    venv/bin/openjd run "job/$1.json" -p "Clips=$folder/clips" > given.log 2>&1 || given=$?
    echo "default $2: check ends with $check, run with $run, run with the parameter given with $given"
    grep -h "^ERROR" run.log || true
    [ "$check $run $given" = "$3" ] || as_found=no
}

try inside frames/.. "0 0 0"
try outside ../clips "0 1 0"
try absolute "$folder/clips" "0 1 0"
if [ "$as_found" = yes ]; then
    echo "as found: a default that leads out passes the check, and is refused when the job is run"
else
    echo "CHANGED: expected the check to pass all three, and the run to refuse the last two" >&2
    exit 1
fi

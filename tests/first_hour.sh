#!/bin/sh
# Types the first hour of the documents: every `wan-alpha` line in a ```sh block of README and docs, in
# their order, in a home with nothing in it. Under four minutes on two cores.
#
#   tests/first_hour.sh PROGRAM     with a command that is built, for example target/release/wan-alpha
#   tests/first_hour.sh BUNDLE      with a bundle, WanAlpha.ofx.bundle: copied as to a machine without
#                                   network, looked at by its own doctor, and its engine used
#
# Lines are taken from the documents as they stand, so that neither can drift from the other. A line that
# cannot be typed on a fresh machine must be known to `left_out`, with the reason; any other must work.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pages="README.md docs/command.md docs/models-and-memory.md docs/store-and-farm.md docs/measuring.md docs/training.md docs/troubleshooting.md docs/hosts.md docs/environment.md"
limit=240

[ $# -eq 1 ] && [ -e "$1" ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
given=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
room=$(mktemp -d "${TMPDIR:-/tmp}/first-hour.XXXXXX")
mkdir "$room/home" "$room/tmp" "$room/work"
bundle=
program=$given
if [ -d "$given" ]; then
    mkdir -p "$room/OFX/Plugins"
    cp -r "$given" "$room/OFX/Plugins/"
    bundle=$room/OFX/Plugins/$(basename "$given")
    program=$(ls "$bundle"/Contents/*/wan-alpha)
fi

# The command as somebody has it who has set nothing. Cargo's tests, which run side by side, say how
# threads wait.
wan_alpha() {
    env -i HOME="$room/home" PATH="$PATH" TMPDIR="$room/tmp" ${bundle:+OFX_PLUGIN_PATH="$room/OFX/Plugins"} \
        ${OMP_WAIT_POLICY:+OMP_WAIT_POLICY="$OMP_WAIT_POLICY"} "$program" "$@"
}
finish() {
    code=$?
    wan_alpha engine stop >/dev/null 2>&1 || true
    rm -rf "$room"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "first hour: $*" >&2
    exit 1
}

# Why a line is not typed; nothing where it is.
left_out() {
    case $1 in
    *…*) echo "is to be filled in" ;;
    *wan-alpha-v2* | *" model get "*--to*) echo "needs the released weights" ;;
    *" model pack "* | *" runs/"*) echo "needs models of one's own" ;;
    *" --lora "*) echo "needs a LoRA of one's own" ;;
    *plates*) echo "needs a set of one's own" ;;
    *" train "*) echo "takes its time" ;;
    *asked.jsonl* | *clip-vit* | *alexnet* | *truth/*) echo "needs takes or networks of one's own" ;;
    *" man "* | *completions*) echo "is for a shell that somebody sits at" ;;
    *--share*) echo "needs a folder of a group" ;;
    esac
}

# A line as it is typed here: a key that is in the store, a smaller number.
typed() {
    key=
    case $1 in *" 3f09"*) key=$(wan_alpha take list | grep -Eo '[0-9a-f]{8,}' | head -n 1) ;; esac
    printf '%s\n' "$1" | sed -e "s/ 3f09/ ${key:-3f09}/" -e 's/--count 1000/--count 3/' -e 's/^wan-alpha /wan_alpha /'
}

# The lines of a page: continued ones joined, remarks behind them gone.
lines_of() {
    awk '/^```/ { shell = ($0 == "```sh"); next }
         shell { if (sub(/\\$/, "")) { held = held $0; next }
                 line = held $0; held = ""; sub(/ +# .*/, "", line); print line }' "$root/$1" |
        grep '^wan-alpha ' || true
}

begun=$(date +%s)
cd "$room/work"
# A program that is built far from its checkout does not know the model that lies there.
if ! wan_alpha model where | grep -q '^auto is draft'; then
    echo "the program does not see the draft model: it is put among the models of this home"
    mkdir -p "$room/home/.local/share/wan-alpha/models"
    cp -r "$root/resources/draft-model" "$room/home/.local/share/wan-alpha/models/draft"
fi
for page in $pages; do
    [ -e "$root/$page" ] || fail "$page is not there any more: correct the list of pages in $0"
    lines_of "$page" >"$room/lines"
    while IFS= read -r line <&3; do
        why=$(left_out "$line")
        if [ -n "$why" ]; then
            echo "left out ($why): $line"
            continue
        fi
        printf '$ %s' "$line"
        before=$(date +%s)
        eval "$(typed "$line")" >"$room/said" 2>&1 || { echo; cat "$room/said"; fail "$page: this line fails: $line"; }
        echo "  ($(($(date +%s) - before)) s)" | tee -a "$room/typed"
    done 3<"$room/lines"
done

for file in flame/rgba.0000.exr flame/rgba.0016.png flame/contact-sheet.png shots/flame/take.json \
    shots/flame-again/rgba.0016.exr shots/back track.json look.png report.html drawn/table.csv; do
    [ -s "$file" ] || ls "$(dirname "$file")" >&2
    [ -s "$file" ] || fail "$file should be there now"
done
count=$(wc -l <"$room/typed")
[ "$count" -ge 15 ] || fail "only $count lines were typed: are the documents read as they should be?"
if [ -n "$bundle" ]; then
    wan_alpha doctor >"$room/said" || { cat "$room/said"; fail "its own doctor finds faults in the bundle"; }
    grep -q "$bundle is found" "$room/said" || { cat "$room/said"; fail "doctor does not see the bundle"; }
    for file in completions/wan-alpha.bash completions/_wan-alpha completions/wan-alpha.fish man/man1/wan-alpha.1 \
        man/man1/wan-alpha-render.1 licences/crates.txt licences/libtorch-parts.txt licences/noto-font.txt; do
        [ -s "$bundle/Contents/Resources/$file" ] || fail "the bundle lacks Resources/$file"
    done
fi
took=$(($(date +%s) - begun))
[ "$took" -le "$limit" ] || fail "it took $took s, $limit s may be"
echo "first hour: $count lines typed in $took s"

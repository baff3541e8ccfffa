"""Checks the WanAlpha node in Nuke, in about a minute, and writes what it finds into one file:

    nuke -t nuke_smoke.py [REPORT.json]

The bundle must be where Nuke finds it (OFX_PLUGIN_PATH). Nothing of yours is changed: files go into a
temporary folder, the take into the store that the node uses.
"""

import os
import sys
import tempfile

import nuke

# A render waits for the take, whatever the host says of itself.
os.environ.setdefault("WAN_ALPHA_BATCH", "1")

HERE = os.path.dirname(os.path.abspath(globals().get("__file__") or sys.argv[0]))
sys.path.insert(0, HERE)
from smoke_report import PARAMETERS, PROMPT, UNKNOWN_SEED, Report, expect  # noqa: E402

CLASS = "OFXorg.wanalpha.generator_v1"
FRAMES = (1, 3)


def main(path):
    report = Report("Nuke", nuke.NUKE_VERSION_STRING)
    folder = tempfile.mkdtemp(prefix="wan-alpha-smoke-")
    node = report.check("the node can be made", lambda: nuke.createNode(CLASS, inpanel=False))
    if node is not None:
        report.check("its panel has every parameter, once", lambda: panel(node))
        report.check("a render makes the take", lambda: rendered(node, folder))
        report.check("the take is in the middle, and transparent around", lambda: alpha(node))
        report.check("a script brings it back", lambda: saved(node, folder))
        report.check("a missing take fails the render in words", lambda: missing(node, folder))
    return report.write(path)


def panel(node):
    names = list(node.knobs())
    lacking = [name for name in PARAMETERS if name not in names]
    expect(not lacking, "the panel lacks %s" % ", ".join(lacking))
    twice = sorted({name for name in names if names.count(name) > 1})
    expect(not twice, "twice in the panel: %s" % ", ".join(twice))
    return "%d knobs" % len(names)


def rendered(node, folder):
    node["prompt"].setValue(PROMPT)
    node["startFrame"].setValue(FRAMES[0])
    write = nuke.createNode("Write", inpanel=False)
    write.setInput(0, node)
    write["file"].setValue(os.path.join(folder, "flame.####.exr").replace(os.sep, "/"))
    write["file_type"].setValue("exr")
    write["channels"].setValue("rgba")
    nuke.execute(write, *FRAMES)
    files = sorted(name for name in os.listdir(folder) if name.endswith(".exr"))
    expect(len(files) == 3, "3 files were expected in %s: found %s" % (folder, files))
    return ", ".join(files)


def alpha(node):
    form = node.format()
    middle = node.sample("alpha", form.width() / 2.0, form.height() / 2.0)
    corner = node.sample("alpha", 2, 2)
    expect(middle > 0.2, "alpha in the middle is %s: more than 0.2 was expected" % middle)
    expect(corner < 0.1, "alpha in the corner is %s: less than 0.1 was expected" % corner)
    return "%.3f in the middle, %.3f in the corner" % (middle, corner)


def saved(node, folder):
    prompt = node["prompt"].value()
    path = os.path.join(folder, "smoke.nk").replace(os.sep, "/")
    nuke.scriptSaveAs(path, overwrite=1)
    nuke.scriptClear()
    nuke.scriptOpen(path)
    nodes = [other for other in nuke.allNodes() if other.Class() == CLASS]
    expect(len(nodes) == 1, "one node was expected in the script: found %d" % len(nodes))
    found = nodes[0]["prompt"].value()
    expect(found == prompt, "the prompt came back as %r" % found)
    return path


def missing(_node, folder):
    node = [other for other in nuke.allNodes() if other.Class() == CLASS][0]
    write = [other for other in nuke.allNodes() if other.Class() == "Write"][0]
    node["seed"].setValue(UNKNOWN_SEED)
    node["missing"].setValue(2)
    write["file"].setValue(os.path.join(folder, "missing.####.exr").replace(os.sep, "/"))
    try:
        nuke.execute(write, FRAMES[0], FRAMES[0])
    except RuntimeError as error:
        words = str(error)
        written = [name for name in os.listdir(folder) if name.startswith("missing.")]
        expect(not written, "a frame was written: %s" % written)
        return words
    raise AssertionError("the render did not fail")


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1] if len(sys.argv) > 1 else "nuke-smoke.json") else 0)

"""Checks the WanAlpha node in Natron, in about a minute, and writes what it finds into one file:

    NatronRenderer -t natron_smoke.py

The report is natron-smoke.json, or what WAN_ALPHA_SMOKE_REPORT names. The bundle must be where Natron
finds it (OFX_PLUGIN_PATH). Natron's renderer ends with 0 after a failed render, and was seen to end with
134 after whole frames: this script judges by files, and ends the process itself, with 0 or 1.
"""

import os
import sys
import tempfile

import NatronEngine

# A render waits for the take, whatever the host says of itself.
os.environ.setdefault("WAN_ALPHA_BATCH", "1")

HERE = os.path.dirname(os.path.abspath(globals().get("__file__") or "natron_smoke.py"))
sys.path.insert(0, HERE)
from smoke_report import PARAMETERS, PROMPT, UNKNOWN_SEED, Report, expect  # noqa: E402

PLUGIN = "org.wanalpha.generator"
# Not EXR: openfx-io's writer was seen to write wrong pixels.
WRITER = "fr.inria.openfx.WritePNG"
FRAMES = (1, 3)


def main(app, path):
    natron = NatronEngine.natron
    report = Report("Natron", natron.getNatronVersionString())
    folder = tempfile.mkdtemp(prefix="wan-alpha-smoke-")
    node = report.check("the node can be made", lambda: made(app, PLUGIN))
    if node is not None:
        report.check("its panel has every parameter", lambda: panel(node))
        report.check("a render makes the take", lambda: rendered(app, node, folder))
        report.check("a missing take fails the render", lambda: missing(app, node, folder))
    return report.write(path)


def made(app, plugin):
    node = app.createNode(plugin)
    expect(node is not None, "Natron knows no %s: does OFX_PLUGIN_PATH name the bundle's folder?" % plugin)
    return node


def panel(node):
    lacking = [name for name in PARAMETERS if node.getParam(name) is None]
    expect(not lacking, "the panel lacks %s" % ", ".join(lacking))
    return "%d parameters" % len(node.getParams())


def written(app, node, folder, name):
    writer = made(app, WRITER)
    writer.connectInput(0, node)
    writer.getParam("filename").setValue(os.path.join(folder, name + ".####.png"))
    app.render(writer, *FRAMES)
    return sorted(file for file in os.listdir(folder) if file.startswith(name + "."))


def rendered(app, node, folder):
    node.getParam("prompt").setValue(PROMPT)
    node.getParam("startFrame").setValue(FRAMES[0])
    files = written(app, node, folder, "flame")
    expect(len(files) == 3, "3 files were expected in %s: found %s" % (folder, files))
    empty = [file for file in files if os.path.getsize(os.path.join(folder, file)) < 500]
    expect(not empty, "nothing is in %s" % ", ".join(empty))
    return ", ".join(files)


def missing(app, node, folder):
    node.getParam("seed").setValue(UNKNOWN_SEED)
    node.getParam("missing").setValue(2)
    try:
        files = written(app, node, folder, "missing")
    except Exception as error:  # Where Natron says that a render has failed.
        return "%s: %s" % (type(error).__name__, error)
    expect(not files, "frames were written: %s" % ", ".join(files))


if __name__ == "__main__":
    instance = globals().get("app1") or globals().get("app") or NatronEngine.natron.getActiveInstance()
    failed = main(instance, os.environ.get("WAN_ALPHA_SMOKE_REPORT", "natron-smoke.json"))
    sys.stdout.flush()
    # Not sys.exit: Natron's interpreter would take its program down among threads of its own.
    os._exit(1 if failed else 0)

"""What a smoke test of the WanAlpha node found, in one file: see nuke_smoke.py and natron_smoke.py."""

import json
import os
import platform
import sys
import time
import traceback

# Parameters that every version of the node has, under these ids.
PARAMETERS = [
    "prompt", "negativePrompt", "seed", "ellipseCenter", "ellipseAxes", "ellipseAngle", "mu",
    "generate", "generateAndWait", "cancel", "revert", "refresh", "status", "startFrame", "frames",
    "speed", "outside", "resolution", "missing", "fit", "transfer", "alphaMode", "model", "steps",
]

PROMPT = "A large orange flame with a bright core stays in the middle of the frame"

# A prompt that nobody has a take of: a render that may not make one must fail, in words.
UNKNOWN_SEED = 1_234_567_891


class Report:
    """Runs checks one after the other, and writes what became of them."""

    def __init__(self, host, version):
        self.found = {
            "host": host,
            "version": version,
            "system": platform.platform(),
            "python": sys.version.split()[0],
            "variables": {
                name: value for name, value in os.environ.items()
                if name.startswith(("WAN_ALPHA_", "OFX_PLUGIN_PATH"))
            },
            "checks": [],
        }

    def check(self, name, work):
        """Runs `work`; what it returns is kept, and an exception is a failure. Returns its value."""
        began = time.time()
        entry = {"check": name, "passed": True}
        value = None
        try:
            value = work()
            if value is not None:
                entry["found"] = str(value)[:2000]
        except Exception as error:  # A host raises whatever it likes.
            entry["passed"] = False
            entry["found"] = "%s: %s" % (type(error).__name__, error)
            entry["where"] = traceback.format_exc(limit=3)[-1500:]
        entry["seconds"] = round(time.time() - began, 2)
        self.found["checks"].append(entry)
        print("%s %s (%s s) %s" % (
            "passed" if entry["passed"] else "FAILED", name, entry["seconds"],
            entry.get("found", "").splitlines()[0] if entry.get("found") else "",
        ))
        return value

    def write(self, path):
        """Writes the file; how many checks have failed."""
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        log = os.path.join(state, "wan-alpha", "node.log")
        if os.path.isfile(log):
            with open(log, errors="replace") as file:
                self.found["node_log"] = file.read()[-4000:]
        failed = sum(not entry["passed"] for entry in self.found["checks"])
        self.found["failed"] = failed
        with open(path, "w") as file:
            json.dump(self.found, file, indent=2)
        print("%d failed; the report is %s" % (failed, os.path.abspath(path)))
        return failed


def expect(condition, words):
    """Fails a check with these words, unless the condition holds."""
    if not condition:
        raise AssertionError(words)

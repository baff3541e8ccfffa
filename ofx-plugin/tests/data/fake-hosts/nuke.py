"""As much of Nuke's module as the smoke test asks for. FAKE_HOST says what is wrong with it."""

import os

NUKE_VERSION_STRING = "17.0v2"
WRONG = os.environ.get("FAKE_HOST", "")
NODES = []


class Knob:
    def __init__(self, value=None):
        self._value = value

    def setValue(self, value):
        self._value = value

    def value(self):
        return self._value


class Format:
    def width(self):
        return 1920

    def height(self):
        return 1080


class Node:
    def __init__(self, kind):
        self.kind, self.input = kind, None
        names = os.environ["FAKE_HOST_PARAMETERS"].split(",") if kind.startswith("OFX") else []
        if WRONG == "panel":
            names = names[:3]
        self.found = {name: Knob() for name in names + ["file", "file_type", "channels"]}

    def Class(self):
        return self.kind

    def knobs(self):
        return self.found

    def __getitem__(self, name):
        return self.found[name]

    def setInput(self, _nth, node):
        self.input = node

    def format(self):
        return Format()

    def sample(self, _channel, x, _y):
        return 0.9 if x > 100 and WRONG != "empty" else 0.0


def createNode(kind, inpanel=True):
    if WRONG == "class":
        raise RuntimeError("Unknown command: " + kind)
    NODES.append(Node(kind))
    return NODES[-1]


def execute(write, first, last):
    if write.input["missing"].value() == 2 and WRONG != "delivers":
        raise RuntimeError("The take is missing: it is in none of /takes.")
    for frame in range(first, last + 1):
        open(write["file"].value().replace("####", "%04d" % frame), "w").close()


def allNodes():
    return NODES


def scriptSaveAs(path, overwrite=0):
    open(path, "w").close()


def scriptClear():
    pass


def scriptOpen(_path):
    pass

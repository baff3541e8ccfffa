"""As much of Natron's module as the smoke test asks for. FAKE_HOST says what is wrong with it."""

import os

WRONG = os.environ.get("FAKE_HOST", "")


class Param:
    def __init__(self):
        self.value = None

    def setValue(self, value):
        self.value = value


class Effect:
    def __init__(self, plugin):
        self.input = None
        names = os.environ["FAKE_HOST_PARAMETERS"].split(",")
        if not plugin.startswith("org.wanalpha."):
            names = ["filename", "frameRange"]
        elif WRONG == "panel":
            names = names[:3]
        self.params = {name: Param() for name in names}

    def getParam(self, name):
        return self.params.get(name)

    def getParams(self):
        return list(self.params.values())

    def connectInput(self, nth, effect):
        self.input = effect if nth == 0 else None


class App:
    def createNode(self, plugin):
        return None if WRONG == "class" and plugin.startswith("org.wanalpha.") else Effect(plugin)

    def render(self, writer, first, last):
        """As Natron does: a render that fails leaves no file, and says nothing."""
        if writer.input.getParam("missing").value == 2 and WRONG != "delivers":
            return
        for frame in range(first, last + 1):
            with open(writer.getParam("filename").value.replace("####", "%04d" % frame), "w") as file:
                file.write("" if WRONG == "empty" else "x" * 1000)


class Natron:
    def getNatronVersionString(self):
        return "2.5.0"

    def getActiveInstance(self):
        return App()


natron = Natron()

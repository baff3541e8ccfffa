"""Uses a gallery as a person would, in a real browser: `browser.py CHROMIUM INDEX.HTML [SCREENSHOT.png]`.

Prints what was seen as JSON, for tests/gallery.rs to judge. Speaks Chromium's own protocol through two pipes,
with nothing but the standard library.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import pathlib


class Browser:
    """A page in a browser without a window."""

    def __init__(self, program, profile):
        ours, theirs = os.pipe(), os.pipe()

        def hand_over():
            # The browser reads what it is told from 3 and answers on 4.
            read, write = os.dup(ours[0]), os.dup(theirs[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
                 "--window-size=1280,900", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen([program, *flags], preexec_fn=hand_over, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(ours[0])
        os.close(theirs[1])
        self.write, self.read = ours[1], theirs[0]
        self.number, self.held, self.session = 0, b"", None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]

    def message(self):
        while b"\0" not in self.held:
            more = os.read(self.read, 1 << 20)
            if not more:
                raise SystemExit("the browser has ended")
            self.held += more
        one, self.held = self.held.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **params):
        self.number += 1
        call = {"id": self.number, "method": method, "params": params}
        if self.session:
            call["sessionId"] = self.session
        os.write(self.write, json.dumps(call).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]

    def value(self, text):
        """What an expression of the page comes to, once it is there."""
        found = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise SystemExit(f"{text}: {found['exceptionDetails']}")
        return found["result"].get("value")


SEEN = """(async () => {
  const wait = (test) => new Promise((go) => {
    const look = () => test() ? go(test()) : setTimeout(look, 10);
    look();
  });
  const seen = {};
  await wait(() => document.documentElement.dataset.ready);
  seen.paint = (await wait(() => performance.getEntriesByName("first-contentful-paint")[0])).startTime;
  seen.ready = performance.now();
  const cards = () => [...document.querySelectorAll("article")];
  const prompts = () => cards().map((card) => card.querySelector(".prompt").textContent);
  seen.first = cards().length;
  seen.count = document.getElementById("count").textContent;
  seen.newest = prompts()[0];
  const search = document.getElementById("search");
  const set = async (one, value, event) => {
    one.value = value;
    one.dispatchEvent(new Event(event));
    await new Promise((go) => setTimeout(go, 150));
  };
  await set(search, "FLAME, 778", "input");
  seen.found = prompts().sort();
  await set(search, "<script>", "input");
  seen.odd = prompts().length;
  await set(search, "", "input");
  await set(document.getElementById("sort"), "oldest", "change");
  seen.oldest = prompts()[0];
  await set(document.getElementById("sort"), "newest", "change");
  const before = cards().length;
  scrollTo(0, document.body.scrollHeight);
  await wait(() => cards().length > before);
  seen.scrolled = cards().length > before;
  scrollTo(0, 0);
  const box = cards()[0].querySelector(".picture");
  const image = box.querySelector("img");
  await wait(() => image.complete && image.naturalWidth);
  seen.still = image.src.slice(0, 22);
  box.dispatchEvent(new PointerEvent("pointerenter"));
  await wait(() => image.src.startsWith("file:"));
  await wait(() => image.complete);
  seen.moving = [image.src.split("/").slice(-2)[0], image.naturalWidth];
  box.dispatchEvent(new PointerEvent("pointerleave"));
  seen.back = image.src.slice(0, 22);
  cards()[1].querySelector(".star").click();
  const starred = document.getElementById("starred");
  starred.checked = true;
  starred.dispatchEvent(new Event("change"));
  seen.starred = cards().length;
  starred.checked = false;
  starred.dispatchEvent(new Event("change"));
  let copied = null;
  document.execCommand = () => { copied = document.activeElement.value; return true; };
  Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true });
  cards()[0].querySelector(".copy").click();
  await wait(() => copied);
  seen.copied = copied;
  cards()[0].querySelector(".pick").click();
  cards()[2].querySelector(".pick").click();
  seen.compared = document.getElementById("compare").open
    && document.querySelectorAll("#pair .picture").length;
  return seen;
})()"""


def main():
    program, page = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, profile)
        try:
            browser.call("Page.enable")
            browser.call("Runtime.enable")
            browser.call("Page.navigate", url=page.as_uri())
            while browser.value("document.readyState") != "complete" or \
                    browser.value("location.protocol") != "file:":
                pass
            seen = browser.value(SEEN)
            if len(sys.argv) > 3:
                browser.value("new Promise((go) => setTimeout(go, 500))")
                shot = pathlib.Path(sys.argv[3])
                for name in (shot.with_stem(shot.stem + "-compare"), shot):
                    picture = browser.call("Page.captureScreenshot", format="png")
                    name.write_bytes(base64.b64decode(picture["data"]))
                    browser.value("document.getElementById('compare').close()")
                    browser.value("new Promise((go) => setTimeout(go, 300))")
            print(json.dumps(seen))
            browser.call("Browser.close")
        finally:
            browser.process.terminate()
            browser.process.wait()


if __name__ == "__main__":
    main()

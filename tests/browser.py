"""A headless Chromium that does what a user does, over the DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ABSENT = "needs Chromium, which is not installed (on Debian: apt install chromium)"
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")
_PATIENCE = 60.0


def program() -> str | None:
    """Where Chromium is, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A browser; it is closed at the end of a ``with``.

    Args:
        program: What to start.
        folder: Where it keeps its profile.
    """

    def __init__(self, program: str, folder: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # The protocol is spoken over descriptors 3 and 4; copies with high numbers are not in their way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        actions = [
            *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)),
            *((os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends, 3)),
        ]
        command = [program, *OPTIONS, f"--user-data-dir={folder}"]
        self._process = os.posix_spawn(program, command, os.environ, file_actions=actions)
        for end in (commands, answers, *ends):
            os.close(end)
        self._read = b""
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.kill(self._process, signal.SIGTERM)
        os.waitpid(self._process, 0)
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._commands, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self._answer()).get("id") != self._number:
            continue
        assert "error" not in answer, (method, answer["error"])
        return dict(answer["result"])

    def _answer(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], end - time.monotonic())
            more = os.read(self._answers, 1 << 20) if ready else b""
            assert more, "Chromium does not answer"
            self._read += more
        answer, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(answer))

    def open(self, path: Path, place: str = "", *, width: int = 1360, height: int = 860, before: str = "") -> Tab:
        """A page of the report, ready and drawn.

        Args:
            path: The file.
            place: What comes behind it in the address, from ``#``.
            width: Of the window.
            height: Of the window.
            before: A script that runs before any of the page's.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        tab = Tab(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        tab.call("Page.enable")
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        tab.call("Page.navigate", url=f"{path.absolute().as_uri()}{place}")
        tab.wait("document.documentElement?.dataset.ready !== undefined")
        tab.settle()
        return tab


class Tab:
    """One page in a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of a script's last expression; of a promise, what comes of it."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def settle(self) -> None:
        """Waits until what has been done is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def press(self, *keys: str) -> None:
        """Keys, one after the other, as typed."""
        for key in keys:
            text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
            code = {"Enter": 13, "Escape": 27}.get(key, 0)
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
        self.settle()

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of what a selector finds first."""
        script = f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{ block: "center" }});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        # Rows are filled as they come into sight, which may take a few frames more.
        self.wait(f"document.querySelector({json.dumps(selector)}) !== null")
        x, y = self.evaluate(script)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def scroll(self, distance: int) -> None:
        """A turn of the mouse wheel over the middle of the page."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=600, y=500, deltaX=0, deltaY=distance)

    def prefer(self, scheme: str) -> None:
        """The system's choice: ``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self.call("Page.close")

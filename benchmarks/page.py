"""The report of 3,000 operators: how long comparing takes, how large the page is, whether it is smooth in Chromium."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import deep
from benchmarks.speed import timed
from tests.browser import ABSENT, Browser, Tab, program
from tflrecover.report import Report

OBSERVE = """
window.tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries().map((task) => task.duration)))
  .observe({ type: "longtask" });
"""
TURNS = 60


def compared() -> Report:
    """diff() of the file and the model with another pool; of its own it shall take under 2 s.

    Tracing is no part of that, nor is reading the file, nor the run that measures what a difference does.
    """
    import tflrecover
    from tflrecover import tracing, verification
    from tflrecover.comparison import file_and_model

    path, model = deep.file(), deep.model(pool_size=3)
    # What is loaded lazily belongs to none of them.
    tracing.trace_model(model)
    parts = {
        "tracing": (tracing, "trace_model"),
        "reading": (file_and_model, "read"),
        "run": (verification, "measured"),
    }
    spent: Counter[str] = Counter()
    with ExitStack() as stack:
        for name, (module, function) in parts.items():
            stack.enter_context(mock.patch.object(module, function, counted(getattr(module, function), spent, name)))
        began = time.process_time()
        report = tflrecover.diff(path, model)
        own = time.process_time() - began - spent.total()
    listed = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in spent.items())
    print(f"diff of its own                {own:.2f} s of CPU time, and {listed}")
    print("differences                    " + "; ".join(difference.message for difference in report.differences))
    return report


def counted(function: Callable[..., Any], spent: Counter[str], name: str) -> Callable[..., Any]:
    """The function; the CPU time that it takes is added up under a name."""

    def call(*arguments: Any) -> Any:
        began = time.process_time()
        result = function(*arguments)
        spent[name] += time.process_time() - began
        return result

    return call


def longest(tab: Tab, name: str) -> None:
    """The longest of the tasks since the last call; Chromium calls 50 ms long."""
    tab.settle()
    # Long tasks are told at leisure.
    tab.evaluate("new Promise((done) => setTimeout(done, 500))")
    tasks = tab.evaluate("tasks.splice(0)")
    print(f"longest task {name:17} {max(tasks, default=0):.0f} ms ({len(tasks)} over 50 ms)")


def scrolled(tab: Tab) -> None:
    for _ in range(TURNS):
        tab.scroll(800)
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")


def browsed(page: Path, browser: Browser) -> None:
    """Opens and scrolls the page, unfolds it, searches; no task may take more than 200 ms."""
    seconds, tab = timed(lambda: browser.open(page, before=OBSERVE))
    print(f"opened in                      {seconds:.2f} s")
    longest(tab, "opening")
    scrolled(tab)
    longest(tab, "scrolling")
    tab.click("#unfold")
    longest(tab, "unfolding all")
    scrolled(tab)
    longest(tab, "scrolling unfolded")
    tab.press("Escape", "/", *"conv")
    longest(tab, "searching")


def main() -> None:
    report = compared()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        seconds, _ = timed(lambda: report.to_html(page))
        size = page.stat().st_size / 1e6
        print(f"page of {len(report.rows)} operators         {size:.2f} MB, made in {seconds:.2f} s")
        found = program()
        if found is None:
            print(f"opening and scrolling          not measured: {ABSENT}")
            return
        with Browser(found, Path(folder) / "profile") as browser:
            browsed(page, browser)


if __name__ == "__main__":
    main()

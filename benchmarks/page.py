"""The report of 3,000 operators: how long comparing takes, how large the page is, whether it is smooth in Chromium."""

from __future__ import annotations

import tempfile
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
    """diff() of the file and the model with another pool; the target is under 2 s after tracing."""
    import tflrecover
    from tflrecover import tracing

    path, model = deep.file(), deep.model(pool_size=3)
    trace_model = tracing.trace_model
    spent: list[float] = []

    def traced(*arguments: Any) -> Any:
        seconds, trace = timed(lambda: trace_model(*arguments))
        spent.append(seconds)
        return trace

    # What is loaded lazily belongs to neither.
    trace_model(model)
    with mock.patch.object(tracing, "trace_model", traced):
        total, report = timed(lambda: tflrecover.diff(path, model))
    print(f"diff after tracing             {total - sum(spent):.2f} s, tracing {sum(spent):.2f} s ({len(spent)} times)")
    print("differences                    " + "; ".join(difference.message for difference in report.differences))
    return report


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

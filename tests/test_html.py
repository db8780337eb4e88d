"""The page: what is in it, that it stands alone, and, where Chromium is there, that it works."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reports import ACCEPTED, POOL, aligned, cell, check, different, same
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference
from tflrecover.report import Report, Row

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(1)>"--><!--\u202e\ud800\x00{{ 7 * 7 }}'
SHOWN = HOSTILE.replace("\u202e", "\\u202e").replace("\ud800", "\\ud800").replace("\x00", "\\x00")


class Page(HTMLParser):
    """What a browser finds: tags, text outside of scripts and styles, and the contents of those."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, set[str]] = {}
        self.text = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in self.raw and self.cdata_elem:
            self.raw[self.tags[-1]].append(data)
        else:
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.raw["script"][0])


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[Report], Page]:
    def make(report: Report) -> Page:
        report.to_html(tmp_path / "report.html")
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return make


def test_page_needs_nothing_else(page_of, tmp_path: Path) -> None:
    page = page_of(aligned(20))
    assert re.findall(r"https?:", (tmp_path / "report.html").read_text(encoding="utf-8")) == []
    assert {"link", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert page.attributes.keys().isdisjoint({"src", "style"})
    assert all(target.startswith("#") for target in page.attributes["href"])


def test_no_script_runs_but_the_report_s_own(page_of) -> None:
    page = page_of(same())
    (policy,) = (content for content in page.attributes["content"] if "script-src" in content)
    hashes = [hashlib.sha256(page.raw[kind][-1].encode()).digest() for kind in ("style", "script")]
    style, script = (base64.b64encode(digest).decode() for digest in hashes)
    assert policy == f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'"


def test_names_are_only_names(page_of) -> None:
    plain = page_of(named("quux"))
    page = page_of(named(HOSTILE))
    assert page.tags == plain.tags
    assert len(page.raw["script"]) == 2
    assert page.data["rows"][0]["file"]["name"] == SHOWN
    assert page.data["rows"][0]["attributes"] == [[SHOWN, repr(HOSTILE), None, False]]
    assert page.data["rows"][0]["check"]["output"] == SHOWN
    # Among the counts, the output's name is quoted as Python does.
    assert page.text.count(SHOWN) == plain.text.count("quux") - 1
    assert "49" not in page.text


def named(name: str) -> Report:
    side = cell(1, type=name, name=name, layer=name, dtype=name, attributes={name: name})
    return Report(
        "verify",
        name,
        name,
        differences=(Difference("extra", name, consequences=(Difference("shape", name),)),),
        ambiguities=(Ambiguity(name, (1,), (name,), name),),
        assignments=(Assignment(name, "unresolved", recipe=name), Assignment(name, "kept", recipe=name)),
        constants=(ConstantUse(1, name, "unexplained"),),
        checks=(check(1, tflite_name=name, tflite_type=name, keras_layer=name, output=name),),
        notes=(name,),
        assumptions=(name,),
        overview=name,
        suggestion=name,
        rows=(Row(side, replace(side, attributes={}), name, name, differences=(0,)),),
    )


@pytest.mark.parametrize("report", [different(), aligned(30), same(), Report("verify", "f", "m")])
def test_everything_that_is_told_is_in_it(page_of, report: Report) -> None:
    page = page_of(report)
    text = " ".join(page.text.split())
    told = [*report.differences, *(one for d in report.differences for one in d.consequences)]
    wanted = [*(d.message.replace("`", "") for d in told), *(a.message for a in report.ambiguities), *report.notes]
    wanted += [c.name for c in report.constants if c.state == "unexplained"]
    wanted += [text for a in report.assignments for text in (a.variable, a.recipe)]
    assert [one for one in wanted if one not in text] == []
    wanted_advice = any(a.state == "reparametrised" for a in report.assignments)
    assert ("tflrecover.calibrate(model, data)" in text) == wanted_advice
    assert str(report).splitlines()[0].rsplit(": ", 1)[1] in text
    assert text.count("accepted") >= sum(d.accepted for d in report.differences)


def test_mapping_lines_can_be_copied(page_of) -> None:
    assert "\nmatch:\n  a: '#3'\n" in page_of(different()).text
    lines = "\ntflrecover: 1\naccept:\n  - {op: '#4', kind: missing}\n"
    assert lines in page_of(different(suggestion="accept:\n  - {op: '#4', kind: missing}")).text


def test_rows_have_places_that_differences_link_to(page_of) -> None:
    fused = (Row(cell(3), cell(None)), Row(cell(3, name="relu"), cell(None), differences=(0,)))
    rows = (*fused, Row(None, cell(None)), Row(None, cell(None), differences=(1,)))
    page = page_of(same(rows=rows, differences=(POOL, ACCEPTED), checks=(check(3, tflite_name="relu"),)))
    assert [row["id"] for row in page.data["rows"]] == ["op-3", "op-3.2", "extra.1", "extra.2"]
    assert page.attributes["href"] == {"#op-3.2", "#extra.2"}
    assert ["check" in row for row in page.data["rows"]] == [False, True, False, False]


HEATS = [(0.0, 0.0), (1e-4, 0.5), (1.0, 1.0), (1e-8, 0.02), (float("nan"), 1.0), (float("inf"), 1.0)]


@pytest.mark.parametrize(("error", "heat"), HEATS)
def test_bar_of_an_error_is_half_full_at_the_tolerance(page_of, error: float, heat: float) -> None:
    numbers = check(0, 1e-3, alone=error, ok=False)
    (row,) = page_of(same(rows=(Row(cell(0, name="conv_0"), cell(None)),), checks=(numbers,))).data["rows"]
    assert row["check"]["heat"] == heat
    assert row["check"]["first"]


def test_attributes_stand_side_by_side(page_of) -> None:
    mine = {"pool_size": (np.int64(2), 2), "names": ["a"], "table": np.zeros((2, 3)), "gone": None}
    row = Row(cell(0, attributes=mine), cell(None, attributes={"pool_size": (5, 5)}), differing=("pool_size",))
    assert page_of(same(rows=(row,))).data["rows"][0]["attributes"] == [
        ["pool_size", "(2, 2)", "(5, 5)", True],
        ["names", "('a',)", None, False],
        ["table", "float64 array of shape (2, 3)", None, False],
    ]


def test_large_report_stays_small(tmp_path: Path) -> None:
    report = aligned(3000)
    long = "functional_1/block_12/expand/batch_normalization/FusedBatchNormV3;functional_1/block_12/expand/Conv2D;"
    rows = tuple(
        replace(row, tflite=replace(row.tflite, name=f"{long}{number}")) if row.tflite else row
        for number, row in enumerate(report.rows)
    )
    variables = tuple(
        Assignment(f"block_{i}/conv2d/kernel", "assigned", recipe=f"{long}: o h w i -> h w i o") for i in range(3000)
    )
    checks = tuple(check(number, tflite_name=f"{long}{number}") for number in range(3000))
    replace(report, rows=rows, assignments=variables, checks=checks).to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_notebook_shows_the_page_in_a_frame(page_of, tmp_path: Path) -> None:
    page_of(different())
    frame = Page(different()._repr_html_())
    assert frame.tags == ["iframe"]
    assert frame.attributes["srcdoc"] == {(tmp_path / "report.html").read_text(encoding="utf-8")}
    assert frame.attributes["sandbox"] == {"allow-scripts"}


STATES = [
    (Row(cell(1), cell(None)), "equal"),
    (Row(cell(1), cell(None), differing=("strides",)), "different"),
    (Row(cell(1), cell(None, type="ADD")), "different"),
    (Row(cell(1), cell(None), differences=(0,)), "different"),
    (Row(cell(1), cell(None), following=(0,)), "following"),
    (Row(cell(1), cell(None, shape=(1, 1))), "following"),
    (Row(cell(1), None), "missing"),
    (Row(None, cell(None)), "extra"),
    (Row(None, cell(None, type="AFFINE")), "scaling"),
    (Row(cell(1, type="AFFINE"), None, differences=(0,)), "missing"),
]


@pytest.mark.parametrize(("row", "state"), STATES)
def test_state_of_a_row(row: Row, state: str) -> None:
    assert row.state == state


Browse = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Browse:
    """Opens the page of a report, runs more script in it, and gives the attributes of the document's element."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Chromium, which is not installed (on Debian: apt install chromium)")
    folder = tmp_path_factory.mktemp("browser")

    def open_page(report: Report, script: str = "", place: str = "") -> dict[str, str]:
        path = folder / "report.html"
        report.to_html(path)
        content = path.read_text(encoding="utf-8")
        if script:
            # The page's own policy lets no other script run.
            content = re.sub(r"<meta http-equiv=[^>]*>", "", content)
            path.write_text(content.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
        command = [browser, *options, "--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}{place}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        attributes = re.search(r"<html([^>]*)>", done.stdout)
        assert attributes is not None, done.stderr
        return {name: html.unescape(value) for name, value in re.findall(r'data-([\w-]+)="([^"]*)"', attributes[1])}

    return open_page


PRESS = """
const press = (key) => dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
const seen = [];
const see = (value) => seen.push(value);
"""
TELL = "; root.dataset.seen = JSON.stringify(seen);"


def test_browser_goes_to_the_operator_in_the_address(browse: Browse) -> None:
    found = browse(aligned(60), place="#op-44")
    assert (found["ready"], found["current"]) == ("62", "op-44")


def test_browser_shows_hostile_names_as_names(browse: Browse) -> None:
    found = browse(
        named(HOSTILE),
        "window.alert = () => (root.dataset.attacked = 'yes');"
        + PRESS
        + """
        press("j");
        press("Enter");
        see(document.querySelectorAll("img").length);
        see(document.querySelector("#rows .type").textContent);
    """
        + TELL,
    )
    assert json.loads(found["seen"]) == [0, SHOWN]
    assert "attacked" not in found


def test_browser_folds_what_is_equal_and_moves_by_keys(browse: Browse) -> None:
    found = browse(
        aligned(60),
        PRESS
        + """
        see(document.querySelectorAll("#rows > .row").length < 45);
        see(document.querySelector(".fold").textContent);
        press("j"); see(root.dataset.current);
        press("j"); see(root.dataset.current);
        press("k"); see(root.dataset.current);
        press("Enter"); see(document.querySelector(".detail .changed").textContent);
        see([...document.querySelectorAll(".detail a")].map((link) => link.textContent + link.hash));
        see(byId("position").textContent);
        byId("unfold").click(); see(document.querySelectorAll("#rows > .row").length);
        press("/"); see(document.activeElement.id);
        press("Escape"); see(document.activeElement.id);
        see(document.querySelectorAll("#map a").length);
    """
        + TELL,
    )
    assert json.loads(found["seen"]) == [
        True,
        "… 5 equal operators",
        "op-9",
        "op-19",
        "op-9",
        "pool_size(2, 2)(5, 5)",
        ["CONV_2D 8#op-8", "CONV_2D conv2d_8#op-8"],
        "1 of 8",
        62,
        "search",
        "",
        8,
    ]


def test_browser_searches(browse: Browse) -> None:
    found = browse(
        aligned(60),
        PRESS
        + """
        see(root.dataset.found);
        see(search.value);
        find("missing"); see(document.querySelector("#rows > .row").id);
        search.value = "nothing like it"; find(search.value); see(byId("found").textContent);
        document.querySelector(".difference a").click(); see(root.dataset.current);
        byId("theme").click(); see(root.dataset.theme);
        byId("theme").click(); see(root.dataset.theme);
    """
        + TELL,
        "#find=max_pool%20pool_29",
    )
    assert json.loads(found["seen"]) == ["1", "max_pool pool_29", "op-60", "0 of 62", "op-9", "dark", "light"]

"""The page: what is in it, that it stands alone, and, where Chromium is there, that it works."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import ABSENT, Browser, Tab, program
from tests.reports import ACCEPTED, POOL, aligned, cell, check, different, same, weight
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
    # The name of SVG is no address.
    assert (
        re.findall(r"https?:(?!//www\.w3\.org/2000/svg)", (tmp_path / "report.html").read_text(encoding="utf-8")) == []
    )
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
    assert len(page.raw["script"]) == 3
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
        rows=(Row(side, replace(side, attributes={}), name, name, differences=(0,), variables=(name,)),),
        weights=(weight(name, dtype=name),),
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
    weights = tuple(weight(f"block_{i}/conv2d/kernel") for i in range(3000))
    variables = tuple(
        Assignment(f"block_{i}/conv2d/kernel", "assigned", recipe=f"{long}: o h w i -> h w i o") for i in range(3000)
    )
    checks = tuple(check(number, tflite_name=f"{long}{number}") for number in range(3000))
    replace(report, rows=rows, assignments=variables, checks=checks, weights=weights).to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_notebook_shows_the_page_in_a_frame(page_of, tmp_path: Path) -> None:
    page_of(different())
    frame = Page(different()._repr_html_())
    assert frame.tags == ["iframe"]
    assert frame.attributes["srcdoc"] == {(tmp_path / "report.html").read_text(encoding="utf-8")}
    assert frame.attributes["sandbox"] == {"allow-scripts"}


STATES = [
    (Row(cell(1), cell(None), "strict both"), "equal"),
    (Row(cell(1), cell(None)), "unsure"),
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = program()
    if found is None:
        pytest.skip(ABSENT)
    with Browser(found, tmp_path_factory.mktemp("profile")) as started:
        yield started


Browse = Callable[..., Tab]


@pytest.fixture
def browse(browser: Browser, tmp_path: Path) -> Iterator[Browse]:
    """Opens the page of a report."""
    tabs: list[Tab] = []

    def open_page(report: Report, place: str = "", **options: Any) -> Tab:
        report.to_html(tmp_path / "report.html")
        tabs.append(browser.open(tmp_path / "report.html", place, **options))
        return tabs[-1]

    yield open_page
    for tab in tabs:
        tab.close()


def shown(tab: Tab) -> list[str]:
    """Anchors of the rows in the list, in order."""
    return list(tab.evaluate("[...document.querySelectorAll('#rows > .row')].map((row) => row.id)"))


def texts(tab: Tab, selector: str) -> list[str]:
    return list(tab.evaluate(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)"))


def data(tab: Tab, name: str) -> str:
    return str(tab.evaluate(f"document.documentElement.dataset.{name}"))


def test_browser_goes_to_the_operator_in_the_address(browse: Browse) -> None:
    tab = browse(aligned(60), "#op-44")
    assert (data(tab, "ready"), data(tab, "current")) == ("62", "op-44")
    assert tab.evaluate("document.getElementById('op-44').getBoundingClientRect().top < innerHeight")
    assert texts(tab, ".current .detail th") == ["", "file", "Keras"]


def test_browser_shows_hostile_names_as_names(browse: Browse) -> None:
    tab = browse(named(HOSTILE), before="window.alert = () => (window.attacked = true);")
    tab.press("j", "Enter")
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    assert texts(tab, "#rows .type") == [SHOWN] * 2
    assert tab.evaluate("window.attacked") is None
    assert texts(tab, ".weights b") == [SHOWN]


def test_browser_folds_what_is_equal_and_moves_by_keys(browse: Browse) -> None:
    tab = browse(aligned(60))
    assert len(shown(tab)) < 45
    assert texts(tab, ".fold")[0] == "… 5 equal operators"
    places = []
    for key in "jjk":
        tab.press(key)
        places.append(data(tab, "current"))
    assert places == ["op-9", "op-19", "op-9"]
    tab.press("Enter")
    assert texts(tab, ".detail .changed td") == ["pool_size", "(2, 2)", "(5, 5)"]
    assert texts(tab, ".detail a") == ["CONV_2D 8", "CONV_2D conv2d_8"]
    assert texts(tab, "#position") == ["1 of 8"]
    tab.click("#unfold")
    assert len(shown(tab)) == 62
    tab.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"
    tab.press("Escape")
    assert tab.evaluate("document.activeElement.id") == ""
    assert len(texts(tab, "#map a")) == 8


def test_browser_searches(browse: Browse) -> None:
    tab = browse(aligned(60), "#find=max_pool%20pool_29")
    assert shown(tab) == ["op-29"]
    assert tab.evaluate("search.value") == "max_pool pool_29"
    tab.press("Escape", "/", *"missing")
    assert (shown(tab), texts(tab, "#found")) == (["op-60"], ["1 of 62"])
    assert tab.evaluate("location.hash") == "#find=missing"
    tab.press(*"x")
    assert (shown(tab), texts(tab, "#found")) == ([], ["0 of 62"])
    tab.click(".difference a")
    assert (data(tab, "current"), tab.evaluate("search.value")) == ("op-9", "")


def test_browser_filters_by_state(browse: Browse) -> None:
    tab = browse(aligned(60, checks=(check(3, 1.0),)))
    options = ["all operators", "differences (9)", "diverging (1)", "different (6)", "missing (1)", "extra (1)"]
    assert texts(tab, "#filter option") == [*options, "equal (54)"]
    # The first letters of an option choose it.
    tab.press("f", *"mis")
    assert (shown(tab), tab.evaluate("location.hash")) == (["op-60"], "#show=missing")
    tab.press("Escape")
    assert "op-9" in shown(tab)
    narrowed = browse(aligned(60), "#show=different&find=pool_29")
    assert (shown(narrowed), texts(narrowed, "#found")) == (["op-29"], ["1 of 62"])


def test_browser_opens_details_by_a_click(browse: Browse) -> None:
    tab = browse(aligned(60))
    for count in (1, 0):
        tab.click("#op-9 .cell.keras .type")
        assert len(texts(tab, "#op-9 .detail")) == count
    assert tab.evaluate("location.hash") == "#op-9"


def test_browser_draws_the_branches_of_both_sides(browse: Browse) -> None:
    skip = ((), (0,), (1,), (2, 0), (3,))
    rows = [Row(cell(i, operands=taken), cell(None, operands=taken)) for i, taken in enumerate(skip)]
    rows[2] = Row(cell(2, operands=(1,)), None)
    rows[3] = Row(rows[3].tflite, cell(None, operands=(1, 0)))
    tab = browse(same(rows=tuple(rows)))
    circles = (
        "Object.fromEntries(['file', 'keras'].map((side) => [side, branches[side].spans.map((one) => one?.lane)]))"
    )
    assert tab.evaluate(circles) == {"file": [0, 1, 1, 0, 0], "keras": [0, 1, None, 0, 0]}
    assert tab.evaluate("branches.file.passing") == [[], [0], [0], [], []]
    drawn = "(side) => [...document.querySelectorAll(`.row > .lanes.${side}`)].map((one) => one.children.length)"
    assert tab.evaluate(f"['file', 'keras'].map({drawn})") == [[2, 2, 2, 2, 2], [2, 2, 1, 2, 2]]


def test_browser_draws_histograms_of_both_sides(browse: Browse) -> None:
    tab = browse(same(rows=(Row(cell(0), cell(None), variables=("w", "seed")),), weights=(weight("w"),)), "#op-0")
    heights = "(side) => [...document.querySelectorAll(`rect.${side}`)].map((bar) => bar.getAttribute('height'))"
    assert tab.evaluate(f"['file', 'keras'].map({heights})") == [["35", "0", "1"], ["0", "18", "18"]]
    figures = [["file", "-1", "2", "0.333", "1.25"], ["Keras", "0", "nan", "0.5", "0"]]
    assert texts(tab, ".weights td:nth-last-child(-n + 5)") == [text for side in figures for text in side]
    assert texts(tab, ".ends span") == ["-1", "2"]
    assert texts(tab, ".weights .quiet") == ["8x8 float32", "40 of 64 numbers"]


def test_browser_follows_the_system_s_scheme_or_the_button(browse: Browse) -> None:
    tab = browse(aligned(20))
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(20, 23, 28)"
    for scheme, colour in (("light", light), ("dark", dark)):
        tab.prefer(scheme)
        assert tab.evaluate(background) == colour
    tab.click("#theme")
    assert (tab.evaluate(background), data(tab, "theme")) == (light, "light")


def test_browser_fills_only_rows_near_what_is_in_sight(browse: Browse) -> None:
    tab = browse(aligned(1000))
    tab.click("#unfold")
    assert len(shown(tab)) == 1002
    filled = "[...document.querySelectorAll('#rows > .row')].flatMap((row, i) => (row.firstChild ? [i] : []))"
    first = tab.evaluate(filled)
    assert 0 in first
    assert len(first) < 200
    height = tab.evaluate("list.offsetHeight")
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.wait(f"{filled}.includes(1001) && !{filled}.includes(0)")
    # Rows keep their height when they are emptied.
    assert tab.evaluate("list.children[9].offsetHeight") > tab.evaluate("list.children[8].offsetHeight")
    assert tab.evaluate("list.offsetHeight") >= height


def test_browser_draws_it(browse: Browse, tmp_path: Path) -> None:
    tab = browse(aligned(20))
    tab.screenshot(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 20)
        assert picture.size == (1360, 860)
    assert colours is not None
    assert len(colours) > 50

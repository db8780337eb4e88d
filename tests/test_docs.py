"""The documentation does what it says."""

import dataclasses
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import yaml

import tflrecover
from tests.conftest import ROOT
from tests.test_imports import imports_between_modules
from tflrecover.checks import Check, WeightCheck
from tflrecover.cli import app
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference, Match, OperatorCounts
from tflrecover.mapping import Mapping

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
BLOCK = re.compile(r"^```([^\n`]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list:
    """One test parameter per block whose info string begins so: page, line, contents."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            if block[1].split()[: len(language.split())] == language.split():
                line = text.count("\n", 0, block.start()) + 2
                name = f"{page.relative_to(ROOT)}:{line}"
                found.append(pytest.param(name, "\n" * (line - 1) + block[2], id=name))
    return found


def pages_with(language: str) -> list:
    return sorted({parameter.values[0].rsplit(":", 1)[0] for parameter in blocks(language)})


@pytest.mark.parametrize(("place", "text"), blocks("yaml mapping"))
def test_mapping_example_is_a_mapping(tmp_path: Path, place: str, text: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    assert Mapping.load(path).model == Mapping.load(yaml.safe_load(text)).model


@pytest.mark.parametrize("path", sorted((ROOT / "mappings").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_mapping_is_a_mapping(path: Path) -> None:
    assert Mapping.load(path).source == str(path)


@pytest.mark.parametrize(("place", "text"), blocks("yaml workflow"))
def test_commands_of_a_workflow_are_commands(place: str, text: str) -> None:
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    commands = [step["run"].split() for step in steps if step.get("run", "").startswith("tflrecover ")]
    assert commands
    group = typer.main.get_command(app)
    for _, name, *arguments in commands:
        group.commands[name].make_context(name, arguments)


@pytest.mark.parametrize(("place", "text"), blocks("python"))
def test_python_example_is_python(place: str, text: str) -> None:
    compile(text, place, "exec")


@pytest.mark.parametrize("page", pages_with("python runnable"))
def test_python_examples_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    for parameter in blocks("python runnable"):
        place, text = parameter.values
        if place.rsplit(":", 1)[0] == page:
            exec(compile(text, str(ROOT / page), "exec"), names)
    printed = capsys.readouterr().out
    for parameter in blocks("text printed"):
        place, text = parameter.values
        if place.rsplit(":", 1)[0] == page:
            assert text.strip() in printed, place


@pytest.fixture
def palm_2021() -> Path:
    path = ROOT / "build/demo/palm_detection_full.tflite"
    if not path.is_file():
        pytest.skip("needs what `make demo` fetches")
    return path


def test_readme_shows_what_diff_says(palm_2021: Path) -> None:
    from examples.blazepalm.model import blazepalm_2021

    report = tflrecover.diff(palm_2021, blazepalm_2021("full", pool_size=5))
    (shown,) = re.findall(r"^```text\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    # The end of the text says where its words are explained.
    assert dataclasses.replace(report, source=palm_2021.name).to_text().startswith(shown + "\n")


def test_ten_lines_run(palm_2021: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").symlink_to(ROOT / "build")
    (parameter,) = blocks("python demo")
    exec(compile(parameter.values[1], str(ROOT / "README.md"), "exec"), {"__name__": "example"})
    assert (tmp_path / palm_2021.with_suffix(".keras").name).is_file()


def test_the_lines_at_the_top_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    (parameter,) = blocks("python yours")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, bias_initializer="random_normal")])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classifier.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    monkeypatch.setitem(sys.modules, "my_models", SimpleNamespace(classifier=lambda: keras.models.clone_model(model)))
    names: dict[str, Any] = {}
    exec(compile(parameter.values[1], str(ROOT / "README.md"), "exec"), names)
    x = np.ones((1, 4), "float32")
    np.testing.assert_allclose(names["model"](x), model(x), rtol=1e-5)


def test_the_index_lists_every_document() -> None:
    linked = set(LINK.findall((ROOT / "docs/README.md").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.*")} - {"README.md"} <= linked


def test_ten_lines_use_what_make_demo_leaves() -> None:
    (parameter,) = blocks("python demo")
    paths = re.findall(r'"(build/[^"]+)"', parameter.values[1])
    assert len(paths) == 1
    assert all(f"--model-file {path}" in (ROOT / "Makefile").read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    linked = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in linked if not (page.parent / target).exists()] == []


def test_design_lists_all_modules_from_the_bottom_up() -> None:
    table = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("## Decisions")[0]
    listed = [name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)", row)]
    modules, uses = imports_between_modules()
    assert sorted(listed) == sorted(modules)
    assert [(one, other) for one, other in uses if listed.index(one) < listed.index(other)] == []


def test_reference_names_everything_public_and_nothing_else() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| (?:&emsp;)?`(\w+)[(`]", text, re.M))
    assert named == set(tflrecover.__all__) - {"TFLRecoverError"}


def public(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)} | {name for name in dir(kind) if name[0] != "_"}


def test_reference_names_all_that_a_report_has() -> None:
    section = (ROOT / "docs/reference.md").read_text(encoding="utf-8").split("\n## ")[3]
    rows = {
        row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in re.findall(r"^\| (`.*?) \|.*\|(.*?)\|$", section, re.M)
    }
    named = {name for cell in rows for name in re.findall(r"`report\.(\w+)`", cell)}
    methods = set(re.findall(r"`(to_\w+)`", section))
    assert named | methods == public(tflrecover.Report)
    items = {"differences": Difference, "ambiguities": Ambiguity, "assignments": Assignment, "constants": ConstantUse}
    items |= {"checks": Check, "weight_checks": WeightCheck, "operators": OperatorCounts, "matches": Match}
    for field, kind in items.items():
        assert rows[f"`report.{field}`"] == public(kind), field


def test_reference_names_every_command() -> None:
    section = (ROOT / "docs/reference.md").read_text(encoding="utf-8").partition("## Commands")[2]
    group = typer.main.get_command(app)
    nested = [f"mapping {name}" for name in group.commands["mapping"].commands]
    for name in [*(name for name in group.commands if name != "mapping"), *nested]:
        assert f"`{name}`" in section


def test_reference_shows_which_error_is_a_kind_of_which() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8").partition("## Errors")[2]
    above = ""
    for indent, name in re.findall(r"^\| (&emsp;)?`(\w+)`", text, re.M):
        parent = above if indent else "TFLRecoverError"
        assert getattr(tflrecover, name).__base__.__name__ == parent
        above = above if indent else name

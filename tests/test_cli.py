import errno
import html
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tflrecover
from tests.conftest import ROOT
from tests.reports import POOL, different, same
from tflrecover import cli
from tflrecover.errors import MappingError, PortError
from tflrecover.report import Report

OK, BAD = same(), different()


class Recorder:
    """Stands in for an API call: answers with a report, or raises."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Report:
        self.calls.append((args, kwargs))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class SavableModel:
    """What the command line needs of a Keras model."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def save(self, path: Path) -> None:
        Path(path).write_text("half", encoding="utf-8")
        if self.error:
            raise self.error
        Path(path).write_text("whole", encoding="utf-8")


@pytest.fixture(autouse=True)
def files_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there reaches the API, of which most of these tests have a recorder, by its name."""
    both = cli._loaded

    def loaded(file: str, model: str) -> tuple[Any, Any]:
        return both(file, model) if Path(file).exists() else (file, cli.load_model(model))

    monkeypatch.setattr(cli, "_loaded", loaded)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> SavableModel:
    made = SavableModel()
    monkeypatch.setattr(cli, "load_model", lambda target: made)
    return made


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch):
    def put(name: str, answer: Any) -> Recorder:
        recorder = Recorder(answer)
        monkeypatch.setattr(tflrecover, name, recorder, raising=False)
        return recorder

    return put


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments))


def assert_one_line_of_trouble(result: Any, *parts: str) -> None:
    assert result.exit_code == cli.TROUBLE
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("tflrecover: error: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(("report", "code"), [(OK, 0), (BAD, 1)], ids=["same", "different"])
@pytest.mark.parametrize("command", ["diff", "verify"])
def test_exit_code_and_report(api, model: SavableModel, command: str, report: Report, code: int) -> None:
    called = api(command, report)
    result = run(command, "a.tflite", "m:f", "--mapping", "map.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (code, report.to_text(), "")
    assert called.calls == [(("a.tflite", model, "map.yaml"), {"inputs": None} if command == "verify" else {})]


@pytest.mark.parametrize("command", ["diff", "verify"])
def test_json_and_html(api, model: SavableModel, tmp_path: Path, command: str) -> None:
    api(command, BAD)
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    assert run(command, "a.tflite", "m:f", "--json", str(out), "--html", str(page)).exit_code == cli.DIFFERENT
    assert json.loads(out.read_text(encoding="utf-8")) == BAD.to_dict()
    assert BAD.differences[1].message in html.unescape(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["diff", "port", "verify"])
def test_model_explorer(api, model: SavableModel, tmp_path: Path, command: str) -> None:
    api(command, BAD)
    output = ["-o", str(tmp_path / "out.keras")] if command == "port" else []
    folder = tmp_path / "explorer"
    assert run(command, "a.tflite", "m:f", *output, "--model-explorer", str(folder)).exit_code == cli.DIFFERENT
    assert (folder / "keras.json").is_file()


def test_port_saves_the_model(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.keras"
    called = api("port", Report("port", "a.tflite", "m", applied=True))
    result = run("port", "a.tflite", "m:f", "-o", str(out), "-m", "map.yaml")
    assert result.exit_code == cli.SAME
    assert out.read_text(encoding="utf-8") == "whole"
    assert [path.name for path in out.parent.iterdir()] == ["out.keras"]
    assert called.calls == [(("a.tflite", model, "map.yaml"), {"strict": True})]


def test_port_that_is_refused_reports_and_writes_nothing(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    report = Report("port", "a.tflite", "m", differences=(POOL,))
    api("port", PortError("refused", report))
    page = tmp_path / "out.html"
    result = run("port", "a.tflite", "m:f", "-o", str(out), "--html", str(page))
    assert (result.exit_code, result.stdout) == (cli.DIFFERENT, report.to_text())
    assert [path.name for path in tmp_path.iterdir()] == [page.name]


def test_port_not_strict(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    called = api("port", Report("port", "a.tflite", "m", differences=(POOL,), applied=True))
    assert run("port", "a.tflite", "m:f", "-o", str(out), "--no-strict").exit_code == cli.DIFFERENT
    assert called.calls[0][1] == {"strict": False}
    assert out.exists()


def test_a_model_that_cannot_be_saved_leaves_the_old_file(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    out.write_text("old", encoding="utf-8")
    model.error = OSError(errno.ENOSPC, "No space left on device")
    api("port", Report("port", "a.tflite", "m", applied=True))
    result = run("port", "a.tflite", "m:f", "-o", str(out), "--force")
    assert_one_line_of_trouble(result, "No space left on device")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("out.keras", "old")]


def test_port_writes_keras_files_only(api, model: SavableModel) -> None:
    called = api("port", OK)
    assert_one_line_of_trouble(run("port", "a.tflite", "m:f", "-o", "out.h5"), "must be a .keras file", "'out.h5'")
    assert called.calls == []


def test_mapping_check(api, model: SavableModel) -> None:
    called = api("diff", OK)
    result = run("mapping", "check", "map.yaml", "a.tflite", "m:f")
    assert (result.exit_code, result.stdout) == (cli.SAME, f"map.yaml: every name is there\n{OK}\n")
    assert called.calls == [(("a.tflite", model, "map.yaml"), {})]


def test_mapping_check_of_a_stale_mapping(api, model: SavableModel) -> None:
    api("diff", MappingError("is no key", source="map.yaml", line=3, key="matsch"))
    assert_one_line_of_trouble(run("mapping", "check", "map.yaml", "a.tflite", "m:f"), "map.yaml:3: matsch: is no key")


def test_mapping_schema() -> None:
    published = (ROOT / "docs" / "mapping.schema.json").read_text(encoding="utf-8")
    assert run("mapping", "schema").stdout == published


TROUBLES = {
    "several lines": (MappingError("a\nb\x1b[2J"), "<mapping>: a b\\x1b[2J"),
    "file": (FileNotFoundError(2, "No such file or directory", "a.tflite"), "a.tflite: No such file or directory"),
    "bug": (RuntimeError("odd"), "internal error, please report it (RuntimeError: odd); --verbose shows where"),
}


@pytest.mark.parametrize(("error", "message"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_is_one_line_and_never_looks_like_a_difference(api, model, error: Exception, message: str) -> None:
    api("diff", error)
    assert_one_line_of_trouble(run("diff", "a.tflite", "m:f"), message)


def test_trouble_names_the_path_that_was_given(api, model: SavableModel, tmp_path: Path) -> None:
    taken = tmp_path / "out.keras"
    taken.mkdir()
    api("port", Report("port", "a.tflite", "m", applied=True))
    assert_one_line_of_trouble(run("port", "a.tflite", "m:f", "-o", str(taken)), f"error: {taken}: Is a directory")
    api("diff", OK)
    assert_one_line_of_trouble(run("diff", "a.tflite", "m:f", "--json", str(taken)), f"error: {taken}: Is a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["out.keras"]


def in_a_process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); from tflrecover.cli import main; main()"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


def test_a_reader_that_has_left_is_no_difference(palm_2019: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = in_a_process("inspect", str(palm_2019), stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (cli.READER_GONE, "")


def test_trouble_is_the_only_line_even_after_tensorflow_is_loaded() -> None:
    done = in_a_process("diff", "keras:absent", "keras:absent", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (cli.TROUBLE, "")
    (line,) = done.stderr.splitlines()
    assert "keras:absent gives no model" in line


def test_interrupted(api, model: SavableModel) -> None:
    api("diff", KeyboardInterrupt())
    assert run("diff", "a.tflite", "m:f").exit_code == cli.INTERRUPTED


@pytest.mark.parametrize(
    "arguments", [["diff"], ["nope"], ["diff", "a", "b", "--nope"], ["port", "a", "b"]], ids=" ".join
)
def test_usage_errors_are_trouble(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == cli.TROUBLE


MODULE = """
def good():
    return "a model"

def fails():
    raise ValueError("no weights")

def leaves():
    raise SystemExit(0)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "models_of_test_cli"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_model_from_a_function_in_the_current_folder(module: str) -> None:
    assert cli.load_model(f"{module}:good") == "a model"


NO_MODEL = {
    "fails": "ValueError: no weights",
    "leaves": "SystemExit: 0",
    "absent": "has no attribute 'absent'",
    "": "neither a .keras or .h5 file nor package.module:function",
}


@pytest.mark.parametrize(("function", "reason"), NO_MODEL.items(), ids=NO_MODEL)
def test_a_function_that_gives_no_model(module: str, function: str, reason: str) -> None:
    assert_one_line_of_trouble(run("diff", "a.tflite", f"{module}:{function}"), reason)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("absent.keras", "there is no model file 'absent.keras'"),
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("model", "neither a .keras"),
    ],
)
def test_a_model_that_is_not_there(target: str, reason: str) -> None:
    assert_one_line_of_trouble(run("diff", "a.tflite", target), reason)


def test_inspect_of_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"not a flatbuffer, only text")
    assert_one_line_of_trouble(run("inspect", str(path)), str(path))
    assert_one_line_of_trouble(run("inspect", str(tmp_path / "absent.tflite")), "absent.tflite")


def test_inspect(palm_2019: Path) -> None:
    result = run("inspect", str(palm_2019))
    assert result.exit_code == cli.SAME
    assert "CONV_2D 48" in result.stdout
    assert len(run("inspect", "--full", str(palm_2019)).stdout) > len(result.stdout)

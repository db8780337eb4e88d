import errno
import html
import json
import logging
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
from tflrecover.cli import commands, shell
from tflrecover.errors import MappingError, PortError
from tflrecover.mapping import Mapping
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
    loads = commands._loaded

    def loaded(file: str, model: str, mapping: str | None, signature: str | None) -> tuple[Any, Any, Any]:
        if Path(file).exists():
            return loads(file, model, mapping, signature)
        user = mapping if mapping is None or not Path(mapping).exists() else Mapping.load(mapping)
        return file, commands.load_model(model), user

    monkeypatch.setattr(commands, "_loaded", loaded)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> SavableModel:
    made = SavableModel()
    monkeypatch.setattr(commands, "load_model", lambda target: made)
    return made


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch):
    def put(name: str, answer: Any) -> Recorder:
        recorder = Recorder(answer)
        monkeypatch.setattr(tflrecover, name, recorder, raising=False)
        return recorder

    return put


def run(*arguments: str) -> Any:
    return CliRunner().invoke(commands.app, list(arguments))


def assert_one_line_of_trouble(result: Any, *parts: str) -> None:
    assert result.exit_code == shell.TROUBLE
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("tflrecover: error: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(("report", "code"), [(OK, 0), (BAD, 1)], ids=["same", "different"])
@pytest.mark.parametrize("command", ["diff", "verify"])
def test_exit_code_and_report(
    api, model: SavableModel, tmp_path: Path, command: str, report: Report, code: int
) -> None:
    called = api(command, report)
    (tmp_path / "map.yaml").write_text("tflrecover: 1\nskip: [head]\n", encoding="utf-8")
    result = run(command, "a.tflite", "m:f", "--mapping", str(tmp_path / "map.yaml"))
    assert (result.exit_code, result.stdout, result.stderr) == (code, report.to_text(), "")
    mapping = Mapping.load(tmp_path / "map.yaml")
    assert called.calls == [(("a.tflite", model, mapping), {"inputs": None} if command == "verify" else {})]


@pytest.mark.parametrize("command", ["diff", "verify"])
def test_json_and_html(api, model: SavableModel, tmp_path: Path, command: str) -> None:
    api(command, BAD)
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    assert run(command, "a.tflite", "m:f", "--json", str(out), "--html", str(page)).exit_code == shell.DIFFERENT
    assert json.loads(out.read_text(encoding="utf-8")) == BAD.to_dict()
    assert BAD.differences[1].message in html.unescape(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["diff", "port", "verify"])
def test_model_explorer(api, model: SavableModel, tmp_path: Path, command: str) -> None:
    api(command, BAD)
    output = ["-o", str(tmp_path / "out.keras")] if command == "port" else []
    folder = tmp_path / "explorer"
    assert run(command, "a.tflite", "m:f", *output, "--model-explorer", str(folder)).exit_code == shell.DIFFERENT
    assert (folder / "keras.json").is_file()


def test_port_saves_the_model(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.keras"
    called = api("port", Report("port", "a.tflite", "m", applied=True))
    result = run("port", "a.tflite", "m:f", "-o", str(out), "-m", "map.yaml")
    assert result.exit_code == shell.SAME
    assert out.read_text(encoding="utf-8") == "whole"
    assert [path.name for path in out.parent.iterdir()] == ["out.keras"]
    assert called.calls == [(("a.tflite", model, "map.yaml"), {"strict": True})]
    assert result.stdout == f"{called.answer.to_text()}{out}: written\n"


def test_port_that_is_refused_reports_and_writes_nothing(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    report = Report("port", "a.tflite", "m", differences=(POOL,))
    api("port", PortError("refused", report))
    page = tmp_path / "out.html"
    result = run("port", "a.tflite", "m:f", "-o", str(out), "--html", str(page))
    assert (result.exit_code, result.stdout) == (shell.DIFFERENT, f"{report.to_text()}{out}: not written\n")
    assert [path.name for path in tmp_path.iterdir()] == [page.name]


def test_port_not_strict(api, model: SavableModel, tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    called = api("port", Report("port", "a.tflite", "m", differences=(POOL,), applied=True))
    assert run("port", "a.tflite", "m:f", "-o", str(out), "--no-strict").exit_code == shell.DIFFERENT
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
    refused = run("port", "a.tflite", "m:f", "-o", "out.h5")
    assert_one_line_of_trouble(refused, "out.h5: the output must be a .keras file")
    assert called.calls == []


def test_mapping_check(api, model: SavableModel) -> None:
    called = api("diff", OK)
    result = run("mapping", "check", "map.yaml", "a.tflite", "m:f")
    assert (result.exit_code, result.stdout) == (shell.SAME, f"map.yaml: every name is there\n{OK}\n")
    assert called.calls == [(("a.tflite", model, "map.yaml"), {})]


def test_mapping_check_tells_what_accepts_nothing(api, model: SavableModel) -> None:
    api("diff", same(notes=("The mapping's accept entry 1, {layer: a}, accepts nothing.",)))
    result = run("mapping", "check", "map.yaml", "a.tflite", "m:f")
    assert result.stdout.splitlines()[-1] == "note: The mapping's accept entry 1, {layer: a}, accepts nothing."


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
    assert_one_line_of_trouble(run("port", "a.tflite", "m:f", "-o", str(taken)), f"error: {taken}: is a folder")
    api("diff", OK)
    assert_one_line_of_trouble(run("diff", "a.tflite", "m:f", "--json", str(taken)), f"error: {taken}: is a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["out.keras"]


@pytest.mark.parametrize("option", ["--json", "--html", "--model-explorer", "--output"])
@pytest.mark.parametrize("is_read_only", [False, True], ids=["file", "read-only"])
def test_what_cannot_be_written_is_told_before_the_work(
    api, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, is_read_only: bool
) -> None:
    called = api("port", OK)
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    if is_read_only:
        # Who runs the tests may be root, to whom nothing is read-only.
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    place = tmp_path / ("new" if is_read_only else "taken") / "out.keras"
    why = f"the folder {tmp_path} is read-only" if is_read_only else f"{tmp_path / 'taken'} is a file, not a folder"
    output = [] if option == "--output" else ["-o", "fine.keras"]
    result = run("port", "a.tflite", "m:f", *output, option, str(place))
    assert_one_line_of_trouble(result, f"error: {place}: cannot be written: {why}")
    assert called.calls == []
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_mapping_that_is_not_there_does_not_wait_for_the_model(palm_2019: Path) -> None:
    result = run("verify", str(palm_2019), "no_such_module:f", "--mapping", "absent.yaml")
    assert_one_line_of_trouble(result, "absent.yaml: cannot be read: No such file")


@pytest.mark.parametrize("place", ["before", "behind"])
def test_verbose(palm_2019: Path, place: str) -> None:
    arguments = ["inspect", str(palm_2019)]
    arguments = ["--verbose", *arguments] if place == "before" else [*arguments, "--verbose"]
    logger = logging.getLogger("tflrecover")
    logger.setLevel(logging.WARNING)
    try:
        assert run(*arguments).exit_code == shell.SAME
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(logging.NOTSET)


def test_no_status_where_nobody_looks(api, model: SavableModel) -> None:
    api("diff", OK)
    assert run("diff", "a.tflite", "m:f").stderr == ""


def test_information_of_native_code_is_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    with shell.waiting():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: no memory\nINFO")
    assert capfd.readouterr().err == "ERROR: no memory\nINFO"


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
    assert (done.returncode, done.stderr) == (shell.READER_GONE, "")


def test_trouble_is_the_only_line_even_after_tensorflow_is_loaded() -> None:
    done = in_a_process("diff", "keras:absent", "keras:absent", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (shell.TROUBLE, "")
    (line,) = done.stderr.splitlines()
    assert "keras:absent gives no model" in line


def test_interrupted(api, model: SavableModel) -> None:
    api("diff", KeyboardInterrupt())
    assert run("diff", "a.tflite", "m:f").exit_code == shell.INTERRUPTED


@pytest.mark.parametrize(
    "arguments", [["diff"], ["nope"], ["diff", "a", "b", "--nope"], ["port", "a", "b"]], ids=" ".join
)
def test_usage_errors_are_trouble(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == shell.TROUBLE


MODULE = """
class Model:
    variables, built, _flatten_layers = (), True, None

def good():
    return Model()

def texts():
    return "text"

text = "text"

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
    assert type(commands.load_model(f"{module}:good")).__name__ == "Model"


NO_MODEL = {
    "fails": "models_of_test_cli:fails gives no model: ValueError: no weights (models_of_test_cli.py:14, in fails)",
    "leaves": "SystemExit: 0",
    "text": "models_of_test_cli:text gives no model: it is a str; name a model",
    "texts": "models_of_test_cli:texts gives no model: it returns a str; name a model",
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
    assert result.exit_code == shell.SAME
    assert "CONV_2D 48" in result.stdout
    full = run("inspect", "--full", str(palm_2019)).stdout
    file = tflrecover.read(palm_2019)
    listed = full[full.index("\n  constants\n") :].splitlines()[2:]
    constants = {index: value for index, value in file.graph.values.items() if value.data is not None}
    assert [int(line.split()[0]) for line in listed] == list(constants)
    for line, (index, value) in zip(listed, constants.items(), strict=True):
        takers = [f"#{op.id}" for op in file.graph.ops() if index in op.inputs]
        assert repr(value.name) in line
        assert line.endswith(f"{value.dtype}, taken by {', '.join(takers)}")

"""What a MODEL argument may be, and what is said of what it may not."""

import subprocess
import sys
from pathlib import Path

import pytest

import tflrecover
from tests.conftest import ROOT
from tests.test_cli import run
from tflrecover.loading import load_model

MODULE = """
import keras

_hidden = 3

def classifier():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="from_a_function")

def forgets():
    classifier()

ready = classifier()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "models_of_test_loading"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


@pytest.mark.parametrize("name", ["classifier", "ready"])
def test_a_function_or_the_model_itself(module: str, name: str) -> None:
    assert load_model(f"{module}:{name}").name == "from_a_function"


def test_what_to_write_instead(module: str, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    (tmp_path / "a.weights.h5").write_bytes(b"")
    said = {
        f"{module}.py:classifier": f"write {module}:classifier, without the .py",
        f"nested/{module}.py:classifier": f"write nested.{module}:classifier, without the .py",
        f"{module}.py": f"write {module}:function, without the .py",
        module: f"write {module}:classifier or {module}:forgets or {module}:ready",
        f"{module}.classifier": f"write {module}:classifier",
        f"{module}:classifer": "did you mean 'classifier'?",
        f"{module}:forgets": "it returns None; end it with `return model`",
        "a.tflite": "got a .tflite file, 'a.tflite'; the .tflite file comes first, the model second",
        "a.weights.h5": "holds weights only; pass package.module:function",
    }
    for target, advice in said.items():
        with pytest.raises(tflrecover.InvalidModel) as caught:
            load_model(target)
        assert advice in str(caught.value), target


def test_an_output_that_is_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    out.write_text("old", encoding="utf-8")
    result = run("port", "a.tflite", "m:f", "-o", str(out))
    assert (result.exit_code, out.read_text(encoding="utf-8")) == (2, "old")
    assert f"{out} is there already; --force overwrites it" in result.stderr


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"tflrecover {tflrecover.__version__}\n")


def test_the_package_can_be_run() -> None:
    program = [sys.executable, "-m", "tflrecover", "--version"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT / "src")
    assert (done.returncode, done.stdout) == (0, f"tflrecover {tflrecover.__version__}\n")

"""What a MODEL argument may be, and what is said of what it may not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest

import tflrecover
from tests.conftest import ROOT
from tests.test_cli import run
from tflrecover.cli.loading import load_model

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


@keras.saving.register_keras_serializable("test_loading")
class Registered(keras.layers.Identity):
    pass


class Unregistered(keras.layers.Identity):
    pass


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_classes_that_keras_does_not_know_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    inputs = keras.Input((4,))
    x = Registered(name="a")(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, Unregistered(name="b")(Registered(name="c")(x)))
    path = str(tmp_path / f"own{suffix}")
    model.save(path)
    monkeypatch.delitem(keras.saving.get_custom_objects(), "test_loading>Registered")
    monkeypatch.delattr(sys.modules[__name__], "Unregistered")
    with pytest.raises(tflrecover.InvalidModel) as caught:
        load_model(path)
    said = str(caught.value)
    assert said.startswith(f"{path!r} has classes of your own, which Keras does not know here: ")
    assert ("Registered (of tests.test_loading), Unregistered" if suffix == ".keras" else "Unregistered") in said
    assert f"e.g. loaded.py with `model = keras.models.load_model({path!r})`" in said
    assert "Dense" not in said
    assert "loaded:model" in said


def test_a_model_that_keras_knows_but_cannot_make(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data.replace(b'"units": 3', b'"units": -3'))
    with pytest.raises(tflrecover.InvalidModel) as caught:
        load_model(str(tmp_path / "bad.keras"))
    said = str(caught.value)
    assert "cannot be loaded by Keras: " in said
    assert "units=-3" in said
    assert "Full object config" not in said


DAMAGED = {
    "cut off": (lambda whole: whole[: len(whole) // 2], "is no archive that Keras reads"),
    "noise": (lambda _: b"\0" * 512, "is no archive that Keras reads; it may be damaged"),
    "HDF5": (lambda _: b"\x89HDF\r\n\x1a\n", "is no archive that Keras reads: it is an HDF5 file"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_model_file(tmp_path: Path, damage: str) -> None:
    change, said = DAMAGED[damage]
    path = tmp_path / "a.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(tflrecover.InvalidModel, match=said):
        load_model(str(path))


def test_a_folder_is_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "a.keras").mkdir()
    with pytest.raises(tflrecover.InvalidModel, match=r"is a folder; give a \.keras or \.h5 file"):
        load_model(str(tmp_path / "a.keras"))


def test_an_output_that_is_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    out.write_text("old", encoding="utf-8")
    result = run("port", "a.tflite", "m:f", "-o", str(out))
    assert (result.exit_code, out.read_text(encoding="utf-8")) == (2, "old")
    assert f"{out}: is there already; --force" in result.stderr


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"tflrecover {tflrecover.__version__}\n")


def test_the_package_can_be_run() -> None:
    program = [sys.executable, "-m", "tflrecover", "--version"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT / "src")
    assert (done.returncode, done.stdout) == (0, f"tflrecover {tflrecover.__version__}\n")

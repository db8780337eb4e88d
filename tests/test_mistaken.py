"""Things in the wrong place are named, with what to do."""

import zipfile
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from keras import layers

import tflrecover
from tflrecover import mistaken


def tiny(built: bool = True) -> keras.Model:
    start = [keras.Input((4,), name="x")] if built else []
    return keras.Sequential([*start, layers.Dense(3, name="dense")], name="tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mistaken")
    model = tiny()
    model.save(made / "model.keras")
    model.save(made / "model.h5")
    (made / "a.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    (made / "saved").mkdir()
    (made / "saved" / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    (made / "a.onnx").write_bytes(b"\x08\x08\x12\x07pytorch and more")
    with zipfile.ZipFile(made / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"")
    with zipfile.ZipFile(made / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"")
    (made / "renamed.tflite").write_bytes((made / "model.keras").read_bytes())
    (made / "cut.keras").write_bytes((made / "model.keras").read_bytes()[:1000])
    (made / "noise.bin").write_bytes(bytes(range(64)))
    return made


KINDS = {
    "model.keras": "a Keras file",
    "renamed.tflite": "a Keras file",
    "model.h5": "an HDF5 file",
    "saved": "a SavedModel",
    "a.onnx": "an ONNX file",
    "a.pt": "a PyTorch file",
    "a.zip": "a zip archive",
    "cut.keras": "a Keras file",
    "a.tflite": "a .tflite file",
    "noise.bin": None,
    "absent": None,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS)
def test_what_a_file_is(folder: Path, name: str, kind: str | None) -> None:
    assert mistaken.kind_of(folder / name) == kind


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "saved", "renamed.tflite"])
def test_a_model_file_in_the_place_of_the_file(folder: Path, name: str) -> None:
    with pytest.raises(tflrecover.InvalidFile) as caught:
        tflrecover.diff(str(folder / name), tiny())
    said = f"{folder / name}: is {KINDS[name]}, not a TFLite file; where both are given, the .tflite file comes first"
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("name", ["a.onnx", "a.pt", "a.zip"])
def test_another_format_is_named(folder: Path, name: str) -> None:
    with pytest.raises(tflrecover.InvalidFile, match=f"is {KINDS[name]}, not a TFLite file$"):
        tflrecover.read(folder / name)


def test_contents_that_are_a_keras_file(folder: Path) -> None:
    with pytest.raises(tflrecover.InvalidFile, match="is an HDF5 file, not a TFLite file"):
        tflrecover.read((folder / "model.h5").read_bytes())


def test_swapped_arguments(folder: Path) -> None:
    with pytest.raises(tflrecover.InvalidFile, match=r"got the Keras model 'tiny'; the .tflite file comes first"):
        tflrecover.diff(tiny(), str(folder / "a.tflite"))
    with pytest.raises(tflrecover.InvalidFile, match=r"expected the path of a .tflite file or its bytes, got None$"):
        tflrecover.recover(None)
    with pytest.raises(tflrecover.InvalidFile, match=r"^nets:unet: is package.module:name of a model, .* comes first"):
        tflrecover.diff("nets:unet", str(folder / "a.tflite"))


NO_MODELS = [
    ("a.tflite", "got a .tflite file, .*; the .tflite file comes first, the model second"),
    ("nets:unet", r"as the command line takes it; in Python, from nets import unet, and pass the model: unet\(\)"),
    ("model.keras", r"load it first, keras.models.load_model\("),
    (tiny, r"got the function 'tiny': call it, tiny\(\)"),
    (keras.Sequential, r"got the class Sequential: make one of it"),
    (b"TFL3", "got bytes; the .tflite file comes first"),
    (None, "got None; does the function that makes it end with `return model`"),
    (3, "got int: pass a keras.Model"),
]


@pytest.mark.parametrize(
    ("given", "said"), NO_MODELS, ids=[type(given).__name__ + str(i) for i, (given, _) in enumerate(NO_MODELS)]
)
def test_no_model(folder: Path, given: object, said: str) -> None:
    with pytest.raises(tflrecover.InvalidModel, match=said):
        tflrecover.port(folder / "a.tflite", given)
    with pytest.raises(tflrecover.InvalidModel, match=said):
        tflrecover.freeze(given)


def test_a_model_that_is_not_built_is_told_the_files_shape(folder: Path) -> None:
    with pytest.raises(tflrecover.UnbuiltModel, match=r"model.build\(\(None, 4\)\)"):
        tflrecover.port(folder / "a.tflite", tiny(built=False))
    model = tiny(built=False)
    model.build((None, 4))
    assert tflrecover.port(folder / "a.tflite", model).ok


def test_a_layer_is_told_to_be_one(folder: Path) -> None:
    said = r"'dense' is a layer \(Dense\), not a model, and not built; put it into one, keras.Sequential\(\[keras.Input"
    with pytest.raises(tflrecover.UnbuiltModel, match=said + r"\(\(4,\)\), layer\]\)"):
        tflrecover.port(folder / "a.tflite", layers.Dense(3, name="dense"))

"""The command line on real files: a small model, converted, ported, mapped, and what stands in their places."""

from pathlib import Path
from typing import Any

import pytest

import tflrecover
from tests.test_cli import assert_one_line_of_trouble, run
from tflrecover.cli import commands, shell


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, the model that it was made from in both formats, and a model that differs."""
    import keras
    import numpy as np
    import tensorflow as tf

    def built(activation: str) -> Any:
        stack = [keras.Input((4,), name="x"), keras.layers.Dense(3, activation=activation, name="dense")]
        made = keras.Sequential(stack, name="small")
        for variable in made.variables:
            variable.assign(np.random.default_rng(len(variable.shape)).normal(size=variable.shape))
        return made

    folder = tmp_path_factory.mktemp("real")
    model = built("relu")
    model.save(folder / "same.keras")
    model.save(folder / "same.h5")
    built("tanh").save(folder / "other.keras")
    (folder / "corrupt.keras").write_bytes(b"PK\3\4 no archive")
    (folder / "a.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, 4), n, "float32")] for n in (-1, 0.5, 1))
    (folder / "int8.tflite").write_bytes(converter.convert())
    return folder


@pytest.mark.parametrize("command", ["diff", "verify"])
@pytest.mark.parametrize(("name", "code"), [("same.keras", 0), ("same.h5", 0), ("other.keras", 1)])
def test_real_files(real: Path, command: str, name: str, code: int) -> None:
    result = run(command, str(real / "a.tflite"), str(real / name))
    assert result.exit_code == code, result.output
    assert ("'dense'" in result.stdout) == (code == shell.DIFFERENT)


def test_real_port_gives_a_model_that_is_the_same(real: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.keras"
    assert run("port", str(real / "a.tflite"), str(real / "same.h5"), "-o", str(out)).exit_code == shell.SAME
    assert run("verify", str(real / "a.tflite"), str(out)).exit_code == shell.SAME
    refused = tmp_path / "refused.keras"
    refusal = run("port", str(real / "a.tflite"), str(real / "other.keras"), "-o", str(refused))
    assert refusal.exit_code == shell.DIFFERENT
    assert [path.name for path in tmp_path.iterdir()] == ["out.keras"]


def test_real_mapping(real: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text("tflrecover: 1\naccept:\n  - {layer: dense}\n", encoding="utf-8")
    files = (str(real / "a.tflite"), str(real / "other.keras"))
    assert run("diff", *files, "-m", str(mapping)).exit_code == shell.SAME
    assert run("mapping", "check", str(mapping), *files).exit_code == shell.SAME
    mapping.write_text("tflrecover: 1\naccept:\n  - {layer: danse}\n", encoding="utf-8")
    place = f"{mapping}:3: accept.0.layer: the model has no layer 'danse'; did you mean 'dense'?"
    assert_one_line_of_trouble(run("mapping", "check", str(mapping), *files), place)
    mapping.write_text("tflrecover: 1\nskip: [a]\nignore: [b]\n", encoding="utf-8")
    lines = run("mapping", "check", str(mapping), *files).stderr.splitlines()
    assert [line.partition(" fits")[0] for line in lines] == [
        f"tflrecover: error: {mapping}:2: skip.0: no layer of the model",
        f"tflrecover: error: {mapping}:3: ignore.0: no operator of the file",
    ]


def test_a_model_file_that_is_corrupt(real: Path) -> None:
    corrupt = str(real / "corrupt.keras")
    refused = run("diff", str(real / "a.tflite"), corrupt)
    assert_one_line_of_trouble(refused, f"'{corrupt}' is no archive that Keras reads", "damaged or cut off")


def test_recover(real: Path, tmp_path: Path) -> None:
    file, out, source = str(real / "a.tflite"), tmp_path / "new" / "out.keras", tmp_path / "network.py"
    result = run("recover", file, "-o", str(out), "--source", str(source))
    assert (result.exit_code, result.stdout) == (
        shell.SAME,
        f"{out}, {source}, {source.with_suffix('.weights.h5')}: written\n",
    ), result.output
    assert run("verify", file, str(out)).exit_code == shell.SAME
    written = sorted(path.name for path in (*out.parent.iterdir(), *tmp_path.glob("*.*")))
    assert written == ["network.py", "network.weights.h5", "out.keras"]
    out.unlink()
    refused = run("recover", file, "-o", str(out), "--source", str(source))
    assert_one_line_of_trouble(refused, f"{source}: is there already; --force")
    assert not out.exists()
    assert run("recover", file, "-o", str(out), "--source", str(source), "--force").exit_code == shell.SAME
    assert_one_line_of_trouble(run("recover", file, "-o", "out.h5"), "must be a .keras file", "out.h5")
    assert_one_line_of_trouble(run("recover", file), "give -o OUT.keras, --source OUT.py, or both")
    alone = tmp_path / "alone" / "network.py"
    assert run("recover", file, "--source", str(alone)).exit_code == shell.SAME
    assert sorted(path.name for path in alone.parent.iterdir()) == ["network.py", "network.weights.h5"]
    assert_one_line_of_trouble(run("recover", file, "-o", "o.keras", "--source", "o.txt"), "must be a .py file")
    assert_one_line_of_trouble(
        run("recover", file, "-o", "o.keras", "--source", "keras.py"), "'keras', which Keras needs"
    )


def test_recover_with_rounding(real: Path, tmp_path: Path) -> None:
    """The model and its source are of the same network."""
    out, source = tmp_path / "out.keras", tmp_path / "network.py"
    for word, found in (("float", False), ("simulate", True)):
        arguments = ("-o", str(out), "--source", str(source), "--quantized", word, "--force")
        result = run("recover", str(real / "int8.tflite"), *arguments)
        assert result.exit_code == shell.SAME, result.output
        assert ("`import tflrecover.recovery`" in result.stdout) == found
        assert ("FakeQuantize" in source.read_text(encoding="utf-8")) == found
    assert run("recover", str(real / "a.tflite"), "-o", str(out), "--quantized", "int8").exit_code == shell.TROUBLE


@pytest.mark.parametrize("kind", ["npy", "named", "unnamed"])
def test_inputs_from_a_file(real: Path, tmp_path: Path, kind: str) -> None:
    import keras
    import numpy as np

    from tflrecover.comparison.inputs import end_names

    (name,) = end_names(tflrecover.read(real / "a.tflite"), "inputs")
    array = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    path = tmp_path / ("x.npy" if kind == "npy" else "x.npz")
    if kind == "npy":
        np.save(path, array)
    elif kind == "named":
        np.savez(path, **{name: array})
    else:
        np.savez(path, array)
    result = run("verify", str(real / "a.tflite"), str(real / "same.keras"), "--inputs", str(path))
    assert result.exit_code == shell.SAME, result.output
    assert tflrecover.verify(real / "a.tflite", keras.models.load_model(real / "same.keras"), inputs=path).ok


@pytest.mark.parametrize("command", ["diff", "verify"])
def test_a_wrong_file_does_not_wait_for_the_model(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tflite").write_text("no file of TFLite's", encoding="utf-8")
    monkeypatch.setattr(commands, "load_model", lambda target: pytest.fail("loaded"))
    assert_one_line_of_trouble(run(command, str(tmp_path / "a.tflite"), "m:f"), "is not a TFLite file")


def test_inputs_that_are_none(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "x.npy").write_bytes(b"no arrays")
    np.save(tmp_path / "z.npy", np.array([{}], dtype=object))
    for name, told in (("x.npy", "holds no arrays"), ("y.npy", "No such file"), ("z.npy", "Python objects")):
        assert_one_line_of_trouble(run("verify", "a.tflite", "m:f", "--inputs", str(tmp_path / name)), told, name)


def test_mapping_init(real: Path, tmp_path: Path) -> None:
    mapping, files = tmp_path / "new" / "map.yaml", (str(real / "a.tflite"), str(real / "other.keras"))
    result = run("mapping", "init", *files, "-o", str(mapping))
    assert (result.exit_code, result.stdout.split(": ")[0]) == (shell.SAME, str(mapping)), result.output
    assert sorted(path.name for path in mapping.parent.iterdir()) == ["map.yaml", "mapping.schema.json"]
    assert mapping.with_name("mapping.schema.json").read_text(encoding="utf-8") == run("mapping", "schema").stdout
    assert run("mapping", "check", str(mapping), *files).exit_code == shell.DIFFERENT
    text = mapping.read_text(encoding="utf-8")
    assert "\n## a.tflite into 'small', begun by " in text
    assert "\n#   - {layer: dense, attribute: activation}\n" in text
    mapping.write_text("mine", encoding="utf-8")
    assert_one_line_of_trouble(run("mapping", "init", *files, "-o", str(mapping)), f"{mapping}: is there already")
    assert mapping.read_text(encoding="utf-8") == "mine"
    assert run("mapping", "init", *files, "-o", str(mapping), "--force").exit_code == shell.SAME
    assert mapping.read_text(encoding="utf-8") == text


def test_mapping_explain(real: Path, tmp_path: Path) -> None:
    mapping, files = tmp_path / "map.yaml", (str(real / "a.tflite"), str(real / "other.keras"))
    wanted = "tflrecover: 1\naccept:\n  - {layer: dense, attribute: activation}\n"
    mapping.write_text(wanted, encoding="utf-8")
    result = run("mapping", "explain", *files, "-m", str(mapping))
    assert (result.exit_code, len(result.stdout.splitlines())) == (shell.SAME, 1), result.output
    assert result.stdout.startswith(f"{mapping}:3: accept.0: took effect: it wants: ")
    mapping.write_text(f"{wanted}match: {{dense: '#0'}}\n", encoding="utf-8")
    result = run("mapping", "explain", *files, "-m", str(mapping))
    assert result.exit_code == shell.DIFFERENT
    assert result.stdout.startswith(f"{mapping}:4: match.dense: not needed: without it the outcome is the same\n")

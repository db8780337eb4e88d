"""A file with several signatures: each is that of the main subgraph, for every function."""

import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from tests.core.lite import by_order
from tests.test_cli import assert_one_line_of_trouble, run
from tflrecover.cli import shell
from tflrecover.errors import InvalidFile


class Codec(tf.Module):
    """Two signatures, one on the other's results; the second has a loop, which calls subgraphs by number."""

    def __init__(self):
        generator = np.random.default_rng(5)
        self.down, self.up = (tf.Variable(generator.normal(size=s).astype("float32")) for s in ((6, 4), (4, 6)))

    @tf.function(input_signature=[tf.TensorSpec((2, 6), name="x")])
    def encode(self, x):
        return {"code": tf.nn.relu(x @ self.down)}

    @tf.function(input_signature=[tf.TensorSpec((2, 4), name="code")])
    def decode(self, code):
        for _ in tf.range(3):
            code = tf.tanh(code) * 0.5
        return {"x": tf.sigmoid(code @ self.up)}


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder, module = str(tmp_path_factory.mktemp("codec")), Codec()
    tf.saved_model.save(module, folder, signatures={"encode": module.encode, "decode": module.decode})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["encode", "decode"])
    return module, converter.convert()


@pytest.mark.parametrize("key", ["encode", "decode"])
def test_each_is_that_of_the_main_subgraph(codec, key):
    from ai_edge_litert.interpreter import Interpreter

    module, content = codec
    file = tflrecover.read(content, signature=key)
    assert [(one.key, one.subgraph) for one in file.signatures] == [(key, 0)]
    assert not file.other_signatures
    model = tflrecover.recover(file)
    x = np.random.default_rng(0).normal(size=(2, 6 if key == "encode" else 4)).astype("float32")
    (wanted,) = getattr(module, key)(x).values()
    np.testing.assert_allclose(model(x), wanted, atol=1e-6)
    np.testing.assert_allclose(by_order(Interpreter(model_content=bytes(file.content)))(x)[0], wanted, atol=1e-6)
    assert tflrecover.port(file, model).ok
    assert tflrecover.verify(file, model).ok


def test_that_there_are_others_is_told(codec):
    _, content = codec
    file = tflrecover.read(content)
    first, other = sorted(file.signatures, key=lambda one: one.subgraph)
    model = tflrecover.recover(content)
    (note,) = tflrecover.diff(content, model).notes
    assert note == file.other_signatures
    assert repr(first.key) in note
    assert f"signature={other.key!r}" in note


def test_on_the_command_line(codec, tmp_path):
    file, model = tmp_path / "codec.tflite", str(tmp_path / "other.keras")
    file.write_bytes(codec[1])
    file = str(file)
    (other,) = (one.key for one in tflrecover.read(file).signatures if one.subgraph)
    chosen = ("--signature", other)
    source = str(tmp_path / "other.py")
    made = run("recover", file, "-o", model, "--source", source, *chosen)
    assert (made.exit_code, "other signatures" in made.stdout) == (shell.SAME, False), made.output
    for arguments in (
        ("diff", file, model),
        ("diff", file, file),
        ("verify", file, model),
        ("port", file, model, "-o", model, "--force"),
        ("mapping", "init", file, model, "-o", str(tmp_path / "m.yaml")),
        ("mapping", "check", str(tmp_path / "m.yaml"), file, model),
        ("mapping", "explain", file, model, "-m", str(tmp_path / "m.yaml")),
        ("inspect", file),
    ):
        done = run(*arguments, *chosen)
        assert done.exit_code == shell.SAME, done.output
    assert run("diff", file, model).exit_code == shell.DIFFERENT
    assert_one_line_of_trouble(run("diff", file, file, "--signature", "infer"), "has no signature 'infer'")
    assert_one_line_of_trouble(run("diff", model, model, *chosen), "is a model, and has no signatures")


def test_an_unknown_signature_is_told_with_those_there_are(codec):
    with pytest.raises(InvalidFile, match=r"has no signature 'infer'; its signatures: '\w+', '\w+'"):
        tflrecover.read(codec[1], signature="infer")

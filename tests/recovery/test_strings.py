"""Texts: operators that take them, tables that are looked up, and operators that only TensorFlow has."""

import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

import tflrecover
from tests.core import file_builders
from tests.tflite.builders import flex_options
from tflrecover.errors import UnsupportedOperators
from tflrecover.recovery import recover

KEYS, NUMBERS = [b"one", b"two", b"four"], np.array([1, 2, 4], np.int64)


def _table(is_text):
    """A file that looks numbers up by text, or texts by number; what fills the table runs before the first call."""
    types = [schema.TensorType.STRING, schema.TensorType.INT64][:: 1 if is_text else -1]
    fields = {"options": "HashtableOptions", "tableId": 7, "keyDtype": types[0], "valueDtype": types[1]}
    kind, result = ("string", "int64") if is_text else ("int64", "string")
    filling = file_builders.File()
    table = filling.op("HASHTABLE", [], (1,), "resource", **fields)
    texts = filling.const(file_builders.texts(*KEYS), "string", (3,))
    numbers = filling.const(NUMBERS)
    filling.op("HASHTABLE_IMPORT", [table, *([texts, numbers] if is_text else [numbers, texts])], ())
    filling.operators[-1].outputs = []
    file = file_builders.File()
    x = file.input((2, 3), kind)
    file.op("CALL_ONCE", [], (), options="CallOnceOptions", initSubgraphIndex=1)
    file.operators[-1].outputs = []
    table = file.op("HASHTABLE", [], (1,), "resource", **fields)
    default = np.int64([-1]) if is_text else file_builders.texts(b"none")
    found = file.op("HASHTABLE_FIND", [table, x, file.const(default, result, (1,))], (2, 3), result)
    size = file.op("HASHTABLE_SIZE", [table], (1,), "int64")
    return file_builders.with_subgraph(file.model(found, size), filling.model())


@pytest.mark.parametrize("is_text", [True, False])
def test_tables_are_looked_up(is_text, tmp_path):
    content = _table(is_text)
    words = np.array([[b"two", b"six", b"one"], [b"four", b"two", b""]], object)
    fed = words if is_text else np.int64([[4, 3, 1], [2, 2, 0]])
    model = recover(content)
    assert model.input_shape == (None, 3)
    model.save(tmp_path / "model.keras")
    tflrecover.generate(content, tmp_path / "model.py")
    source = runpy.run_path(str(tmp_path / "model.py"))
    for made in (model, keras.saving.load_model(tmp_path / "model.keras"), source["build_model"]()):
        found, size = made(tf.constant(fed))
        wanted = file_builders.run(content, fed)
        assert np.array_equal(found, wanted[0])
        assert np.array_equal(size, wanted[1])


def _flex(kind, attributes, *inputs):
    """An operator of TensorFlow as a converter writes it, on inputs given as ``(shape, dtype)``."""
    node = tf.compat.v1.NodeDef(name="node", op=kind)
    for name, value in attributes.items():
        node.attr[name].CopyFrom(value)
    raw = flex_options(node.SerializeToString(), kind)
    file = file_builders.File()
    slots = [file.input(shape, dtype) for shape, dtype in inputs]
    return file, file.custom(f"Flex{kind}", slots, inputs[0][0], options=raw, dtype="int64")


def _attr(**fields):
    return tf.compat.v1.AttrValue(**fields)


def test_flex_operators_are_tensorflows_own():
    file, results = _flex("StringToHashBucketFast", {"num_buckets": _attr(i=100)}, ((1, 3), "string"))
    model = recover(file.content(*results))
    words = tf.constant([[b"a", b"bc", b""], [b"d", b"e", b"f"]])
    assert model.input_shape == (None, 3)
    assert np.array_equal(model(words), tf.strings.to_hash_bucket_fast(words, 100))


def test_flex_operators_with_lists_of_operands():
    attributes = {"N": _attr(i=2), "separator": _attr(s=b"-")}
    file, results = _flex("StringJoin", attributes, ((1, 2), "string"), ((1, 2), "string"))
    model = recover(file.content(*results))
    made = model([tf.constant([[b"a", b"b"]]), tf.constant([[b"c", b"d"]])])
    assert np.array_equal(made, [[b"a-c", b"b-d"]])


def test_flex_operator_of_another_package():
    file, results = _flex("SentencepieceOp", {}, ((1,), "string"))
    with pytest.raises(UnsupportedOperators, match="TensorFlow itself has no operator of that name"):
        recover(file.content(*results))


def test_texts_are_moved_and_saved(tmp_path):
    file = file_builders.File()
    x = file.input((1, 2), "string")
    words = file.const(file_builders.texts(b"a", b"", "ü".encode()), "string", (1, 3))
    joined = file.op("CONCATENATION", [x, words], (1, 5), "string", "ConcatenationOptions", axis=1)
    model = recover(file.content(joined))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(tf.constant([[b"x", b"y"]])), [[b"x", b"y", b"a", b"", "ü".encode()]])


def _compared(text):
    """A file that asks whether texts are one of the code's."""

    @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.string)])
    def function(x):
        return tf.cast(tf.equal(x, text), tf.float32)

    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()


def test_a_text_of_the_code_is_compared_as_it_is():
    model = recover(_compared("one"))
    np.testing.assert_array_equal(model(np.array([[b"one", b"two", b"one"]])), [[1, 0, 1]])
    assert tflrecover.port(_compared("one"), model).ok
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(_compared("two"), model)

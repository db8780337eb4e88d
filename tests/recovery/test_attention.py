"""Attention that files hold as many operators, with masks and with heads that share their keys."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import recurrent_models as recurrent
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers as L
from keras import ops

import tflrecover
from tests.core import lite
from tests.core.file_builders import run
from tests.recovery.recovering import kinds, recovered
from tflrecover import tolerances

SEQUENCE, MASK = ((5, 6), "float32"), ((5, 5), "bool")


def heads(x, mask=None, **call):
    return L.MultiHeadAttention(2, 3)(x, x, attention_mask=mask, **call)


def masked(x):
    y = L.Masking()(x)
    return heads(y)


def padded(ids):
    y = L.Embedding(10, 6, mask_zero=True)(ids)
    return heads(y, use_causal_mask=True)


def banded(x):
    places = np.arange(5)
    return heads(x, abs(places[:, None] - places)[None] < 2)


def core(q, k, v):
    """Attention as libraries write it: heads first, and together again behind."""
    scores = ops.matmul(q * 3**-0.5, ops.transpose(k, (0, 1, 3, 2)))
    y = ops.transpose(ops.matmul(ops.softmax(ops.where(np.tri(5, dtype=bool), scores, -1e9)), v), (0, 2, 1, 3))
    return L.Dense(6)(ops.reshape(y, (-1, 5, 6)))


def split_first(x):
    """One dense layer makes all; its units are split, and then taken apart into heads."""
    parts = ops.split(L.Dense(18)(x), 3, axis=-1)
    return core(*(ops.transpose(ops.reshape(one, (-1, 5, 2, 3)), (0, 2, 1, 3)) for one in parts))


def parts_first(x):
    """As vision transformers have it: the parts are an axis of their own, and the first."""
    parts = ops.reshape(L.Dense(18)(x), (-1, 5, 3, 2, 3))
    return core(*ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)), axis=0))


def heads_have_parts(x):
    """Each head has its query, key and value side by side."""
    parts = ops.transpose(ops.reshape(L.Dense(18)(x), (-1, 5, 2, 9)), (0, 2, 1, 3))
    return core(*ops.split(parts, 3, axis=-1))


NETWORKS = {
    "split_first": (split_first, SEQUENCE),
    "parts_first": (parts_first, SEQUENCE),
    "heads_have_parts": (heads_have_parts, SEQUENCE),
    "all_axes": (lambda x: L.MultiHeadAttention(2, 3)(x, x), ((4, 5, 6), "float32")),
    "first_axis": (lambda x: L.MultiHeadAttention(2, 3, attention_axes=1)(x, x), ((4, 5, 6), "float32")),
    "causal": (lambda x: heads(x, use_causal_mask=True), SEQUENCE),
    "constant_mask": (banded, SEQUENCE),
    "given_mask": (heads, SEQUENCE, MASK),
    "keys": (lambda x, seen: heads(x, seen[:, None]), SEQUENCE, ((5,), "bool")),
    "masking": (masked, SEQUENCE),
    "padding": (padded, ((5,), "int32")),
    "scores": (lambda x: heads(x, return_attention_scores=True), SEQUENCE),
    "masked_scores": (lambda x, seen: heads(x, seen, return_attention_scores=True), SEQUENCE, MASK),
    "other_axis": (lambda x: L.MultiHeadAttention(2, 3, attention_axes=2)(x, x), ((4, 5, 6), "float32")),
    "groups": (lambda x: L.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True), SEQUENCE),
    "groups_masked": (lambda x, seen: L.GroupQueryAttention(3, 4, 2)(x, x, attention_mask=seen), SEQUENCE, MASK),
}


def network(name):
    function, *inputs = NETWORKS[name]
    given = [keras.Input(shape, batch_size=1, dtype=dtype) for shape, dtype in inputs]
    return recurrent.randomize(keras.Model(given, function(*given)), 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_is_one_layer_again_and_ported_back(name):
    content = recurrent.convert(network(name), "builtin")
    model = recovered(content)
    attention = "GroupedQueryAttention" if "groups" in name else "MultiHeadAttention"
    assert kinds(model).count(attention) == 1
    assert not {"Dense", "Softmax"}.intersection(kinds(model))
    assert all(tensor.shape[0] is None for tensor in model.inputs)
    assert tflrecover.port(content, model).ok


def test_a_scale_of_halves_is_the_layers_own():
    """The weights are the file's: the scale is what the layer has exactly, and a file rounds."""
    inputs = keras.Input((5, 6), batch_size=1)
    built = recurrent.randomize(keras.Model(inputs, heads(inputs)), 1)
    converter = tf.lite.TFLiteConverter.from_keras_model(built)
    lite.quantize(converter, "fp16")
    content = lite.converted(converter)
    model = tflrecover.recover(content)
    assert kinds(model) == ["InputLayer", "MultiHeadAttention"]
    x = np.random.default_rng(2).uniform(-1, 1, (1, 5, 6)).astype("float32")
    np.testing.assert_allclose(model(x), run(content, x)[0], rtol=0, atol=tolerances.RELATIVE_HALF_STEP["float16"])
    for mine, theirs in zip(model.get_weights(), built.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs.astype("float16"))
    assert tflrecover.port(content, model).ok


@pytest.mark.parametrize("name", ["given_mask", "masked_scores"])
def test_a_query_that_sees_no_key(name):
    """It sees all where one function does it all, and nothing where the layer makes the weights itself."""
    content = recurrent.convert(network(name), "builtin")
    model = tflrecover.recover(content)
    x = np.random.default_rng(2).normal(size=(1, 5, 6)).astype("float32")
    seen = np.tri(5, k=-2, dtype=bool)[None]
    order = [x if tensor.dtype == "float32" else seen for tensor in model.inputs]
    made = model(order)
    for mine, wanted in zip(made if isinstance(made, list) else [made], run(content, *order), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


def test_the_mask_is_in_the_source(tmp_path):
    file = tmp_path / "network.tflite"
    file.write_bytes(recurrent.convert(network("causal"), "builtin"))
    tflrecover.generate(file, tmp_path / "network.py")
    assert "use_causal_mask=True" in (tmp_path / "network.py").read_text()


def test_a_mask_is_not_merged_with_what_is_added_before(tmp_path):
    """Of a row that sees nothing, float32 keeps the scores' place only as long as the mask alone is zero elsewhere."""
    ids = keras.Input((5,), batch_size=1, dtype="int32")
    x = keras.Input((5, 5), batch_size=1)
    hidden = (1.0 - keras.ops.cast(keras.ops.expand_dims(ids, 1) > 0, "float32")) * -1e9
    bias = np.random.default_rng(4).normal(size=(1, 5, 5)).astype("float32")
    content = zoo.convert(keras.Model([ids, x], keras.ops.softmax(keras.ops.add(hidden, bias) + x)))
    model = tflrecover.recover(content)
    again = zoo.convert(model)
    given = {"int32": np.int32([[1, 1, 0, 1, 1]]), "float32": np.ones((1, 5, 5), "float32")}
    arrays = [given[one.dtype] for one in model.inputs]
    results = []
    for file in (content, again):
        interpreter = Interpreter(model_content=file)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], given[np.dtype(detail["dtype"]).name])
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
    np.testing.assert_allclose(model(arrays), results[0], atol=1e-6)
    assert tflrecover.port(content, model).ok

"""Integers that are drawn for an input are rows of what the file looks up by them, however it does."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import tflrecover
from tests.core.file_builders import File, run
from tflrecover.tflite import read
from tflrecover.verification.litert import random

ROWS, STEPS = 3, 4000


def keras_file(function, dtype="int32"):
    inputs = keras.Input((STEPS,), batch_size=1, dtype=dtype)
    model = zoo.randomize(keras.Model(inputs, function(inputs)), 1)
    return zoo.convert(model)


TABLE = np.arange(2.0 * ROWS, dtype="float32").reshape(ROWS, 2)


def lookup_file():
    file = File()
    x = file.input((STEPS,), "int32")
    return file.content(file.op("EMBEDDING_LOOKUP", (x, file.const(TABLE)), (STEPS, 2)))


def nd_file():
    """Two indices per place, into axes of 7 and 3."""
    file = File()
    x = file.input((STEPS, 2), "int32")
    table = file.const(np.ones((7, ROWS, 2), "float32"))
    return file.content(file.op("GATHER_ND", (table, x), (STEPS, 2)))


FILES = {
    "embedding": lambda: keras_file(L.Embedding(ROWS, 2)),
    "of real numbers": lambda: keras_file(lambda x: L.Embedding(ROWS, 2)(ops.cast(x, "int32")), "float32"),
    "the smaller of two": lambda: keras_file(lambda x: L.Embedding(ROWS, 2)(x) + L.Embedding(50, 2)(x)),
    "moved": lambda: keras_file(lambda x: L.Embedding(ROWS, 2)(ops.transpose(ops.reshape(x, (1, 2, -1)), (0, 2, 1)))),
    "a part beside others": lambda: keras_file(lambda x: L.Embedding(ROWS, 2)(ops.concatenate([x[:, :5], x], 1))),
    "from one": lambda: keras_file(lambda x: ops.take(tf.constant(TABLE), x - 1, axis=0)),
    "an axis behind": lambda: keras_file(lambda x: ops.take(tf.constant(TABLE.T), x, axis=1)),
    "in a loop": lambda: keras_file(lambda x: L.GRU(2)(L.Embedding(ROWS, 2)(x))),
    "lookup": lookup_file,
    "places": nd_file,
}
LOWEST = {"from one": 1}
FLOATS = {"of real numbers": "float32"}


@pytest.mark.parametrize("name", FILES)
def test_every_row_and_no_other(name):
    content = FILES[name]()
    (drawn,) = random(read(content), {})
    low = LOWEST.get(name, 0)
    assert np.unique(drawn).tolist() == list(range(low, low + ROWS))
    run(content, drawn.astype(FLOATS.get(name, "int32")))


def test_what_looks_nothing_up_is_small():
    content = keras_file(lambda x: L.Dense(2)(ops.one_hot(x, 4)))
    (drawn,) = random(read(content), {})
    assert np.unique(drawn).tolist() == list(range(10))


def test_a_small_table_is_verified():
    inputs = keras.Input((6,), batch_size=1, dtype="int32")
    model = zoo.randomize(keras.Model(inputs, L.Dense(4)(L.Embedding(2, 8)(inputs))), 1)
    assert tflrecover.verify(zoo.convert(model), model).ok

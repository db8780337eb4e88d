from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tflrecover.verification.parts import Parts, Variable

FLOAT = tf.float32.as_datatype_enum


@pytest.fixture
def graph():
    """``y = a + 10 b`` of the halves of ``given0``, placed with the constant; ``z = y + state``."""
    made = tf.Graph()
    with made.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (4,), name="given0")
        state = tf.compat.v1.placeholder(tf.resource, (), name="state")
        a, b = tf.split(x, 2, name="halves")
        ten = tf.constant(10.0, name="ten")
        with made.colocate_with(ten.op, ignore_existing=True):
            y = tf.add(a, 10 * b, name="y")
        tf.add(y, tf.raw_ops.ReadVariableOp(resource=state, dtype=tf.float32, name="read"), name="z")
    return made


def computed(parts, wanted, given, known=()):
    names = parts.needed(wanted, given, known)
    call = parts.callable(names, wanted, dict.fromkeys(given, FLOAT), [name for name in names if name in known])
    return names, call


def halves(first, second):
    return np.repeat(np.array([first, second], "float32"), 2)


def test_one_result_is_given_and_another_computed(graph):
    names, call = computed(Parts(graph, {}), ["y:0"], ["given0:0", "halves:0"])
    assert "halves" in names
    assert "given0" not in names
    for number in (5, 7):
        np.testing.assert_array_equal(call(halves(1, 2), halves(number, number)[:2])[0], [number + 20] * 2)


def test_what_is_given_needs_no_operation(graph):
    names, call = computed(Parts(graph, {}), ["y:0"], ["halves:0", "halves:1"])
    assert "halves" not in names
    assert "ten" not in names
    np.testing.assert_array_equal(call(np.ones(2, "float32"), np.ones(2, "float32"))[0], [11, 11])


def test_variable_is_held_or_what_is_read_of_it_known(graph):
    held = Parts(graph, {"state": Variable("state", (2,), FLOAT, np.full(2, 3, "float32"))})
    _, call = computed(held, ["z:0"], ["y:0"])
    np.testing.assert_array_equal(call(np.ones(2, "float32"))[0], [4, 4])
    names, call = computed(Parts(graph, {}), ["z:0"], ["y:0"], {"read"})
    assert "state" not in names
    np.testing.assert_array_equal(call(np.ones(2, "float32"), np.full(2, 5, "float32"))[0], [6, 6])


def test_what_holds_nothing_cannot_be_read(graph):
    parts = Parts(graph, {"state": Variable("state", (2,), FLOAT, None)})
    _, call = computed(parts, ["z:0"], ["y:0"])
    with pytest.raises(tf.errors.OpError):
        call(np.ones(2, "float32"))


def test_what_lets_several_through_needs_but_what_is_taken():
    """Keras's silu has a gradient of its own, and TensorFlow puts all that it is computed of through one operation."""
    made = tf.Graph()
    with made.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (2,), name="x")
        a, b = tf.square(x, name="a"), tf.abs(x, name="b")
        _, other = tf.identity_n([b, a], name="through")
        tf.add(other, 1.0, name="y")
    names, call = computed(Parts(made, {}), ["y:0"], ["a:0"])
    assert names == ["y", "y/y"]
    np.testing.assert_array_equal(call(np.full(2, 5, "float32"))[0], [6, 6])
    names, call = computed(Parts(made, {}), ["y:0"], ["through:1"])
    assert names == ["y", "y/y"]
    np.testing.assert_array_equal(call(np.full(2, 5, "float32"))[0], [6, 6])

"""Recurrent layers as PyTorch's converter writes them out, ported into Keras's own.

The products of all steps are one, states have a bias of their own, the gates of a GRU come in another order.
"""

import pytest
from keras import layers as L
from keras import ops
from layer_models import model
from porting import assert_ports, assert_refused

from tests.core.test_rewrite import Build
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.steps import blend

STEPS, WIDTH, UNITS = 5, 6, 8


class Cell(L.Layer):
    """One direction, from zeros: every state, in the order of the steps."""

    def __init__(self, gates, *, backwards=False):
        super().__init__()
        self.gates, self.backwards = gates, backwards

    def build(self, shape):
        units = self.gates * UNITS
        self.kernel = self.add_weight(shape=(shape[-1], units), name="kernel")
        self.recurrent = self.add_weight(shape=(UNITS, units), name="recurrent_kernel")
        self.bias = self.add_weight(shape=(units,), name="bias")
        self.state_bias = self.add_weight(shape=(units,), name="state_bias")

    def call(self, x):
        projected = ops.matmul(x, self.kernel) + self.bias
        states = (ops.zeros((1, 1, UNITS)), ops.zeros((1, 1, UNITS)))
        found = []
        steps = range(x.shape[1])
        for step in reversed(steps) if self.backwards else steps:
            states = self.step(projected[:, step : step + 1], self.state(states[0]), states)
            found.append(states[0])
        return ops.concatenate(found[::-1] if self.backwards else found, axis=1)

    def state(self, h):
        return ops.matmul(h, self.recurrent) + self.state_bias


class Plain(Cell):
    def step(self, x, h, states):
        return ops.tanh(h + x), states[1]


class Long(Cell):
    def step(self, x, h, states):
        i, f, g, o = ops.split(h + x, 4, axis=-1)
        cell = ops.sigmoid(f) * states[1] + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(cell), cell


class Gated(Cell):
    def step(self, x, h, states):
        (xr, xz, xn), (hr, hz, hn) = ops.split(x, 3, axis=-1), ops.split(h, 3, axis=-1)
        z = ops.sigmoid(hz + xz)
        new = ops.tanh(xn + hn * ops.sigmoid(hr + xr))
        return (states[0] - new) * z + new, states[1]


def both(cell, gates):
    return lambda x: ops.concatenate([cell(gates)(x), cell(gates, backwards=True)(x)], axis=2)


def each(layer):
    return layer(UNITS, return_sequences=True)


FORMS = {
    "plain": (Plain(1), each(L.SimpleRNN)),
    "long": (Long(4), each(L.LSTM)),
    "gated": (Gated(3), each(L.GRU)),
    "last of two": (
        lambda x: L.Dense(3)(Long(4)(Long(4)(x))[:, -1]),
        lambda x: L.Dense(3)(L.LSTM(UNITS)(each(L.LSTM)(x))),
    ),
    "both ways": (both(Gated, 3), L.Bidirectional(each(L.GRU))),
}


def one_example(function, shape=(STEPS, WIDTH)):
    return lambda: model(function, shape, batch=1)


def test_columns_of_an_image_are_steps():
    """As text is read: a column of pixels, of all channels, is a step."""

    def columns(x):
        y = L.ReLU()(L.Conv2D(4, 3)(x))
        return ops.reshape(ops.transpose(y, (0, 2, 3, 1)), (1, y.shape[2], y.shape[1] * 4))

    def reader(layer):
        return one_example(lambda x: L.Dense(3)(layer(columns(x))), (6, 7, 2))

    assert_ports(reader(both(Long, 4)), reader(L.Bidirectional(each(L.LSTM))))


@pytest.mark.parametrize(("written", "layer"), FORMS.values(), ids=FORMS)
def test_written_out_steps_are_ported_into_the_layer(written, layer):
    fresh = type(written)(written.gates) if isinstance(written, Cell) else written
    assert_ports(one_example(fresh), one_example(layer))


def test_another_gate_is_refused():
    wrong = L.GRU(UNITS, return_sequences=True, recurrent_activation="hard_sigmoid")
    assert_refused(one_example(Gated(3)), one_example(wrong))


def test_a_gru_that_resets_before_is_refused():
    wrong = L.GRU(UNITS, return_sequences=True, reset_after=False)
    assert_refused(one_example(Gated(3)), one_example(wrong))


@pytest.mark.parametrize(("order", "is_blend"), [((0, 1), True), ((1, 0), False)])
def test_only_what_ends_at_the_other_value_is_a_blend(order, is_blend):
    b = Build((1, 4), (1, 4), (1, 4))
    moved = b("MUL", b("SUB", *order, shape=(1, 4)), 2, shape=(1, 4))
    draft = canonicalize(b.draft(b("ADD", moved, 1, shape=(1, 4))))
    assert blend(draft) == is_blend

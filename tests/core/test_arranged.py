"""Reshapes and transposes in rows: with channels first in the file, with channels last in the model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as L
from keras import ops
from layer_models import model
from porting import assert_ports, assert_refused

from tests.core.test_rewrite import Build
from tflrecover.rewrite.arranged import arrange, arrangement

IMAGE, STEPS = (8, 10, 4), (12, 6)


class PerChannel(L.Layer):
    """A scale and an offset for each channel, which are the second axis."""

    def __init__(self, groups=None):
        super().__init__()
        self.groups = groups

    def build(self, shape):
        size = self.groups or (shape[1],)
        self.shape = (1, *size, *(1,) * (len(shape) - 1 - len(size)))
        self.scale = self.add_weight(shape=self.shape, name="gamma")
        self.offset = self.add_weight(shape=self.shape, name="beta")


class Scaled(PerChannel):
    def call(self, x):
        return x * self.scale + self.offset


class GroupNorm(PerChannel):
    """As PyTorch writes it: groups of channels with their pixels, scaled by one product, shifted by one sum."""

    def call(self, x):
        (groups, size), (_, channels, height, width) = self.groups, x.shape
        y = ops.reshape(x, (1, groups, size, height * width))
        mean = ops.mean(y, axis=(2, 3), keepdims=True)
        variance = ops.mean(ops.square(y - mean), axis=(2, 3))
        scale = ops.reshape(ops.rsqrt(variance + 1e-5), (1, groups, 1, 1)) * self.scale
        return ops.reshape(y * scale + (-1.0 * (mean * scale) + self.offset), (1, channels, height, width))


def instance_norm(x):
    centered = x - ops.mean(x, axis=(2, 3), keepdims=True)
    return centered * ops.rsqrt(ops.mean(ops.square(centered), axis=(2, 3), keepdims=True) + 1e-5)


def first(function):
    """On what has its channels first."""

    def around(x):
        rank = len(x.shape)
        y = function(ops.transpose(x, (0, rank - 1, *range(1, rank - 1))))
        return ops.transpose(y, (0, *range(2, rank), 1))

    return around


def shuffled_first(x, groups=4):
    _, channels, height, width = x.shape
    y = ops.transpose(ops.reshape(x, (1, groups, channels // groups, height, width)), (0, 2, 1, 3, 4))
    return ops.reshape(y, (1, channels, height, width))


def shuffled_last(x, groups=4):
    _, height, width, channels = x.shape
    y = ops.transpose(ops.reshape(x, (1, height, width, groups, channels // groups)), (0, 1, 2, 4, 3))
    return ops.reshape(y, (1, height, width, channels))


def pixels_first(x):
    """Two transposes, of two axes each."""
    _, channels, height, width = x.shape
    y = ops.transpose(ops.reshape(x, (channels // 4, 2, 2, height * width)), (0, 1, 3, 2))
    y = ops.transpose(ops.reshape(y, (channels // 4, 2, height, width * 2)), (0, 2, 1, 3))
    return ops.reshape(y, (1, channels // 4, height * 2, width * 2))


def pixels_last(x):
    _, height, width, channels = x.shape
    y = ops.transpose(ops.reshape(x, (1, height, width, channels // 4, 2, 2)), (0, 1, 4, 2, 5, 3))
    return ops.reshape(y, (1, height * 2, width * 2, channels // 4))


class Slope(L.Layer):
    def build(self, shape):
        self.slope = self.add_weight(shape=(1, shape[1], 1, 1), name="alpha")

    def call(self, x):
        return x * self.slope


def written_prelu(x):
    return ops.relu(x) - Slope()(ops.relu(x * -1.0))


def norm(groups, **arguments):
    return L.GroupNormalization(groups, epsilon=1e-5, **arguments)


def within(function):
    """Between two convolutions of 8 and of 5 channels."""
    return lambda x: L.Conv2D(5, 3)(L.Activation("swish")(function(L.Conv2D(8, 3)(x))))


def scaled_steps(x):
    """A scaling of what is an image of height 1 for the convolutions around it."""
    y = L.Conv2D(8, (1, 3))(ops.expand_dims(x, 1))
    y = ops.reshape(ops.transpose(y, (0, 3, 1, 2)), (1, 8, x.shape[1] - 2))
    y = ops.reshape(ops.relu(Scaled()(y)), (1, 8, 1, x.shape[1] - 2))
    return ops.squeeze(L.Conv2D(3, (1, 3))(ops.transpose(y, (0, 2, 3, 1))), 1)


def steps(x):
    return L.Conv1D(3, 3)(L.ReLU()(L.BatchNormalization()(L.Conv1D(8, 3)(x))))


FORMS = {
    "group norm": (IMAGE, within(first(GroupNorm((4, 2)))), within(norm(4))),
    "group norm of all channels": (IMAGE, within(first(GroupNorm((1, 8)))), within(norm(1))),
    "instance norm": (IMAGE, within(first(lambda x: Scaled()(instance_norm(x)))), within(norm(-1))),
    "bare instance norm": (IMAGE, within(first(instance_norm)), within(norm(-1, center=False, scale=False))),
    "shuffled channels": (IMAGE, within(first(shuffled_first)), within(shuffled_last)),
    "shuffled pixels": (IMAGE, within(first(pixels_first)), within(pixels_last)),
    "parametric relu": (IMAGE, within(first(written_prelu)), within(L.PReLU(shared_axes=[1, 2]))),
    "scaled steps": (STEPS, scaled_steps, steps),
    "both norms": (
        IMAGE,
        within(lambda x: first(GroupNorm((2, 4)))(L.LayerNormalization()(x))),
        within(lambda x: norm(2)(L.LayerNormalization()(x))),
    ),
}


def one_example(function, shape):
    return lambda: model(function, shape, batch=1)


@pytest.mark.parametrize(("shape", "written", "layer"), FORMS.values(), ids=FORMS)
def test_channels_first_within_are_ported_into_channels_last(shape, written, layer):
    assert_ports(one_example(written, shape), one_example(layer, shape))


def test_an_input_is_scaled_before_its_channels_are_last():
    def file(x):
        return L.Conv2D(5, 3)(ops.transpose(Scaled()(x), (0, 2, 3, 1)))

    def keras(x):
        return L.Conv2D(5, 3)(L.BatchNormalization()(L.Permute((2, 3, 1))(x)))

    assert_ports(one_example(file, (4, 8, 9)), one_example(keras, (4, 8, 9)))


@pytest.mark.parametrize("groups", [2, 8])
def test_other_groups_are_refused(groups):
    right = one_example(within(first(GroupNorm((4, 2)))), IMAGE)
    assert_refused(right, one_example(within(norm(groups)), IMAGE))


def test_channels_shuffled_back_are_refused():
    right = one_example(within(first(lambda x: shuffled_first(x, 2))), IMAGE)
    assert_refused(right, one_example(within(lambda x: shuffled_last(x, 4)), IMAGE))


def test_a_convolution_of_one_channel_is_one_by_channel():
    def gate(convolution):
        def function(x):
            y = L.Conv2D(8, 3)(x)
            weights = convolution(ops.reshape(L.GlobalAveragePooling2D()(y), (1, 1, 8, 1)))
            return y * ops.reshape(ops.sigmoid(weights), (1, 1, 1, 8))

        return one_example(function, IMAGE)

    depthwise, plain = L.DepthwiseConv2D((1, 3), padding="same"), L.Conv2D(1, (1, 3), padding="same")
    assert_ports(gate(lambda x: depthwise(x)), gate(lambda x: plain(x)))


SIZES = st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rows_of_moves_keep_every_number_in_its_place(data):
    shape = tuple(data.draw(SIZES))
    b = Build(shape)
    value, now = 0, shape
    numbers = np.arange(np.prod(shape)).reshape(shape)
    wanted = numbers
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            perm = data.draw(st.permutations(range(len(now))))
            wanted = wanted.transpose(perm)
            now = wanted.shape
            value = b("TRANSPOSE", value, b.const(np.array(perm, "int32")), shape=now)
        else:
            parts = [2] * int(np.log2(wanted.size & -wanted.size)) + [wanted.size // (wanted.size & -wanted.size)]
            parts = data.draw(st.permutations(parts))
            cut = data.draw(st.integers(0, len(parts)))
            now = (int(np.prod(parts[:cut])), int(np.prod(parts[cut:])))
            wanted = wanted.reshape(now)
            value = b("RESHAPE", value, b.const(np.array(now, "int32")), shape=now)
    draft = b.draft(value)
    arrange(draft)
    draft.prune()
    found = arrangement(draft, draft.outputs[0])
    if found.base == 0:
        assert [op.type for op in draft.ordered()].count("TRANSPOSE") <= 1
    got = numbers
    for op in draft.ordered():
        a = op.attributes
        got = got.transpose(a["perm"]) if op.type == "TRANSPOSE" else got.reshape(a["target_shape"])
    np.testing.assert_array_equal(got, wanted)

"""Source reads as a person's: names, loops over several tensors, sizes that nobody counts."""

import re

import numpy as np
import pytest

from tests.generation.networks import Network
from tests.generation.test_generate import assert_formatted, assert_same
from tflrecover.generation import generate_from
from tflrecover.generation.parameters import Derived, varying
from tflrecover.generation.steps import Form, Step


def source_of(found, folder):
    """The text of a source that makes the model again."""
    path, *_ = generate_from(found, "network.tflite", folder / "network.py")
    assert_same(path, found.model)
    assert_formatted(path)
    return path.read_text(encoding="utf-8")


def gated(net, x, skip, rate):
    """A block of a WaveNet: what goes on, and what is added up beside it."""
    gates = [
        net.layer("Conv1D", x, filters=4, kernel_size=2, dilation_rate=rate, padding="causal", activation=kind)
        for kind in ("tanh", "sigmoid")
    ]
    y = net.layer("Multiply", gates)
    skip = net.layer("Add", [skip, net.layer("Conv1D", y, filters=3, kernel_size=1)])
    return net.layer("Add", [x, net.layer("Conv1D", y, filters=4, kernel_size=1)]), skip


def test_a_loop_carries_several_tensors(tmp_path):
    for rates in ((1, 2, 4, 8), (2, 2, 2, 2)):
        net = Network((16, 4), (16, 3))
        x, skip = net.inputs
        for rate in rates:
            x, skip = gated(net, x, skip, rate)
        text = source_of(net.recovered(net.layer("Add", [net.layer("Dense", x, units=3), skip])), tmp_path)
        assert text.count("def residual_block(x, skip") == 1
        assert re.search(r"for .*:\n        (\w), (\w) = residual_block\(\1, \2\b", text), text


def test_no_loop_is_over_the_name_of_an_output(tmp_path):
    net = Network((6,))
    x = net.inputs[0]
    for wanted in ("", "", "", "features"):
        y = net.layer("Dense", net.layer("Dense", x, units=5, activation="relu"), units=6)
        x = net.layer("LayerNormalization", net.layer("Add", [x, y]), wanted=wanted)
    text = source_of(net.recovered(x, net.layer("Dense", x, units=2, wanted="scores")), tmp_path)
    assert "for name in" not in text
    assert 'features = residual_block(x, name="features")' in text


def test_places_are_not_counted(tmp_path):
    net = Network((16, 6, 3))
    x = net.layer("Reshape", net.inputs[0], target_shape=(96, 3))
    table = net.builder.ops("zeros_like", net.builder.sliced(x, (slice(None), slice(1), 0)), dtype="int32")
    table = net.builder.ops("add", table, np.arange(96, dtype="int32"))
    x = net.layer("Add", [x, net.layer("Embedding", table, input_dim=96, output_dim=3)])
    apart = net.layer("Dense", x, units=4)
    parts = [net.builder.sliced(apart, (slice(None), slice(None), i)) for i in range(4)]
    last = net.builder.sliced(net.layer("Dense", x, units=7), (slice(None), 95))
    text = source_of(net.recovered(net.layer("Concatenate", [*parts, last])), tmp_path)
    for wanted in ("Reshape((-1, 3))", 'np.arange(96, dtype="int32")', "[:, -1]", "[..., 3]"):
        assert wanted in text
    assert "CONSTANTS" not in text


def test_variables_have_names_of_the_file_and_not_of_classes(tmp_path):
    net = Network((8, 8, 3))
    features, scores = net.inputs[0], []
    for level in range(3):
        features = net.layer("Conv2D", features, filters=4, kernel_size=(3, 3), strides=(2, 2), padding="same")
        features = net.layer("LeakyReLU", features)
        one = net.layer("Conv2D", features, filters=2, kernel_size=(1, 1), wanted=f"cls_{level}")
        scores.append(net.layer("Reshape", one, target_shape=(one.shape[1] * one.shape[2], 2)))
    joined = net.layer("Concatenate", scores, axis=1)
    text = source_of(net.recovered(net.layer("Softmax", net.layer("Dense", joined, units=2))), tmp_path)
    assert "    cls_0 = layers.Conv2D(2, 1)(x)\n    cls_0 = layers.Reshape((-1, 2))(cls_0)\n" in text
    assert "leaky_re_lu" not in text
    assert not re.search(r"cls_\d = layers.Concatenate", text)


def test_of_many_different_numbers_small_ones_are_multiples():
    step = Step(Form("layers.Conv2D", (), (), ("filters",), ("",)), (0,), (), (1,))

    def columns(*rows):
        places = [[Step(step.form, (0,), (source,), (1,)) for source in row] for row in rows]
        return varying(places)

    found = columns(("16", "4"), ("24", "6"), ("40", "10"))
    assert len(found.columns) == 1
    assert found.sources[0][0] == Derived(0, factor=4)
    # These could be chance.
    assert len(columns(("16", "4"), ("24", "6")).columns) == 2
    assert len(columns(("8", "2"), ("12", "3"), ("16", "4")).columns) == 2


def shuffled(net, x, groups):
    *places, channels = x.shape[1:]
    x = net.layer("Reshape", x, target_shape=(*places, groups, channels // groups))
    x = net.layer("Permute", x, dims=(1, 2, 4, 3))
    return net.layer("Reshape", x, target_shape=(*places, channels))


def test_sizes_are_those_of_what_is_reshaped(tmp_path):
    net = Network((16, 16, 8))
    x = net.inputs[0]
    for filters in (8, 16, 32):
        x = net.layer("Conv2D", x, filters=filters, kernel_size=(3, 3), strides=(2, 2), padding="same")
        x = net.layer("ReLU", shuffled(net, x, 2))
    text = source_of(net.recovered(net.layer("Flatten", x)), tmp_path)
    assert "layers.Reshape((x.shape[1], x.shape[1], 2, x.shape[-1] // 2))(x)" in text
    assert re.search(r"for filters in \[8, 16, 32\]:\n        x = \w+\(x, filters\)", text) or "(x, 16)" in text


def test_what_takes_many_lines_is_written_once(tmp_path):
    """Four convolutions beside each other, whose arguments stand on lines of their own, and what is behind them."""
    net = Network((12, 12, 4))
    branches = []
    for rate in (2, 4, 6, 8):
        given = {"dilation_rate": (rate, rate), "padding": "same", "activation": "tanh", "use_bias": False}
        y = net.layer("Conv2D", net.inputs[0], filters=16, kernel_size=(3, 3), **given)
        given = {"equation": "bhwc,c->bhwc", "output_shape": (12, 12, 16), "bias_axes": "c"}
        branches.append(net.layer("ReLU", net.layer("EinsumDense", y, **given)))
    text = source_of(net.recovered(net.layer("Concatenate", branches)), tmp_path)
    assert text.count("layers.Conv2D(") == 1
    assert [line.strip() for line in text.splitlines() if "conv_block(inputs" in line] == [
        f"branch_{i} = conv_block(inputs, {2 * i})" for i in (1, 2, 3, 4)
    ]


def test_functions_are_called_after_what_they_do(tmp_path):
    net = Network((32, 32, 4))
    x, skips = net.inputs[0], []
    for filters in (4, 8, 16, 32):
        for _ in range(2):
            x = net.layer("Conv2D", x, filters=filters, kernel_size=(3, 3), padding="same", activation="relu")
        skips.append(x)
        x = net.layer("MaxPooling2D", x)
    for skip in skips[::-1]:
        x = net.layer("Conv2D", x, filters=2 * skip.shape[-1], kernel_size=(3, 3), padding="same", activation="relu")
        given = {"strides": (2, 2), "padding": "same"}
        x = net.layer("Conv2DTranspose", x, filters=skip.shape[-1], kernel_size=(2, 2), **given)
        x = net.layer("Concatenate", [x, skip])
    text = source_of(net.recovered(net.layer("Conv2D", x, filters=1, kernel_size=(1, 1))), tmp_path)
    assert "def decoder_block(x, skip, filters):" in text
    assert text.count("= decoder_block(") == 4


def test_what_all_blocks_take_is_made_before_them(tmp_path):
    """A mask, in the file between the operators of the first block, where it is needed first."""
    net = Network((6, 8), (6,))
    x, mask = net.inputs
    hidden = None
    for _ in range(3):
        q, k, v = (net.layer("Reshape", net.layer("Dense", x, units=8), target_shape=(6, 2, 4)) for _ in range(3))
        if hidden is None:
            hidden = net.layer("Reshape", net.builder.ops("subtract", 1.0, mask), target_shape=(1, 1, 6))
        y = net.layer("Reshape", net.builder.ops("dot_product_attention", q, k, v, bias=hidden), target_shape=(6, 8))
        x = net.layer("LayerNormalization", net.layer("Add", [x, net.layer("Dense", y, units=8)]))
    text = source_of(net.recovered(net.layer("Dense", x, units=2)), tmp_path)
    assert text.count("ops.dot_product_attention(") == 1
    assert "for _ in range(3):" in text


@pytest.mark.parametrize(("widened", "name"), [(False, "squeeze_excite_block"), (True, "inverted_residual")])
def test_what_scales_channels_is_called_so(tmp_path, widened, name):
    net = Network((16, 16, 8))
    x = net.inputs[0]
    for _ in range(3):
        before, filters = x, 32 if widened else 8
        x = net.layer("Conv2D", x, filters=filters, kernel_size=(1, 1), activation="relu")
        if widened:
            x = net.layer("DepthwiseConv2D", x, kernel_size=(3, 3), padding="same", activation="relu")
        y = net.layer("GlobalAveragePooling2D", x, keepdims=True)
        y = net.layer("Conv2D", y, filters=4, kernel_size=(1, 1), activation="relu")
        y = net.layer("Conv2D", y, filters=filters, kernel_size=(1, 1), activation="sigmoid")
        x = net.layer("Multiply", [x, y])
        if widened:
            x = net.layer("Add", [before, net.layer("Conv2D", x, filters=8, kernel_size=(1, 1))])
    assert f"def {name}(x):" in source_of(net.recovered(net.layer("Flatten", x)), tmp_path)

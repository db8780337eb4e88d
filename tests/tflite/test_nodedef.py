"""Options of Flex operators, against TensorFlow's own reading of the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tflite.builders import flex_options
from tflrecover.tflite import nodedef


def node():
    from tensorflow.core.framework import attr_value_pb2, node_def_pb2

    made = node_def_pb2.NodeDef(name="n", op="Conv3D", input=["x"])
    values = {
        "padding": {"s": b"SAME"},
        "count": {"i": 3},
        "negative": {"i": -1},
        "epsilon": {"f": 0.25},
        "is_training": {"b": True},
        "T": {"type": 1},
        "strides": {"list": {"i": [1, 2, -1]}},
        "ratios": {"list": {"f": [0.5, 1.5]}},
        "names": {"list": {"s": [b"a", b"b"]}},
        "types": {"list": {"type": [1, 3]}},
    }
    for name, value in values.items():
        made.attr[name].CopyFrom(attr_value_pb2.AttrValue(**value))
    return made


WANTED = {
    "padding": "SAME",
    "count": 3,
    "negative": -1,
    "epsilon": 0.25,
    "is_training": True,
    "T": "float32",
    "strides": (1, 2, -1),
    "ratios": (0.5, 1.5),
    "names": ("a", "b"),
    "types": ("float32", "int32"),
}


def test_every_kind_of_attribute():
    assert nodedef.attributes(flex_options(node().SerializeToString())) == WANTED


@pytest.mark.parametrize("share", np.linspace(0, 1, 40))
def test_damaged(share):
    raw = flex_options(node().SerializeToString())
    assert isinstance(nodedef.attributes(raw[: int(len(raw) * share)]), dict)


@given(st.binary(min_size=1, max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes(content):
    assert isinstance(nodedef.attributes(flex_options(content)), dict)
    assert isinstance(nodedef.attributes(content), dict)

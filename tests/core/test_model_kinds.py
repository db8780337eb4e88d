"""Every way to write a model: ported from a file without tensor names into a twin with other weights, and run."""

import dataclasses

import keras
import keras_models as zoo
import numpy as np
import pytest
from model_kinds import KINDS, convert_call

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances

# A free number of steps changes nothing about vectors.
SIZES = ("dynamic_reshape", "images_nested", "mean_over_steps", "positions")
# In a file of one example a transpose is a reshape; what the data decide is not known there either.
ONES = ("biaffine", "graph_attention", "latents", "linear_attention", "routed", "routing", "multi_hot")
CASES = [
    *((name, "batch") for name in sorted(KINDS)),
    *((name, "steps") for name in SIZES),
    *((name, "static") for name in ONES),
]


def flat(result):
    import tensorflow as tf

    result = vars(result) if dataclasses.is_dataclass(result) else result
    return [np.asarray(y) for y in tf.nest.flatten(result) if y is not None]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_port(name, form):
    keras.utils.clear_session()
    (original, args, kwargs), (twin, _, _) = KINDS[name](), KINDS[name]()
    zoo.randomize(original, 1), zoo.randomize(twin, 2)
    report = tflrecover.port(stripped(convert_call(original, args, kwargs, form)), twin)
    assert report.ok
    for want, got in zip(*(flat(m(*args, **kwargs)) for m in (original, twin)), strict=True):
        assert np.abs(want - got).max() <= tolerances.OUTPUT * np.abs(want).max()

"""Files of a fixed batch of one, in which converters turn transposes into reshapes and leave out what is one."""

import keras
import keras_models as zoo
import layer_models
import layer_models_more
import numpy as np
import pytest
import recurrent_models
from model_kinds import convert_call

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances

MODELS = layer_models.MODELS | layer_models_more.MODELS
NAMES = [
    "additive_attention",
    "attention_plain",
    "concat_attention",
    "conv_1d_causal",
    "conv_3d_groups_same",
    "einsum_abc,bc->abc",
    "einsum_abc,bcd->abd",
    "separable_1d",
    "squeeze_excite",
]


MADE = {name: MODELS[name] for name in NAMES} | {
    name: lambda make=recurrent_models.MODELS[name]: make(1) for name in ("bidirectional", "conv_lstm_2d", "deep")
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_port(name):
    keras.utils.clear_session()
    original, twin = zoo.randomize(MADE[name](), 1), zoo.randomize(MADE[name](), 2)
    inputs = layer_models.example_inputs(original)
    given = inputs if len(inputs) > 1 else inputs[0]
    assert tflrecover.port(stripped(convert_call(original, (given,), {})), twin).ok
    wanted, got = (np.asarray(model(given)) for model in (original, twin))
    assert np.abs(wanted - got).max() <= tolerances.OUTPUT * np.abs(wanted).max()

"""What is joined from a list again and again is joined with what was joined before."""

import keras_models as zoo
from keras import layers as L
from layer_models import model

from tests.core.test_pytorch_forms import dense_block
from tests.recovery.recovering import recovered
from tests.recovery.round_trip import assert_exact


def test_a_dense_block_takes_what_it_has_joined():
    content = zoo.convert(zoo.randomize(model(dense_block(is_listed=True), (6, 7, 4)), 1))
    joins = [layer for layer in recovered(content).layers if isinstance(layer, L.Concatenate)]
    assert [len(join.input) for join in joins] == [2, 2, 2]
    assert_exact(content)

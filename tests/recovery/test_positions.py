"""The place of the largest number, which ``keras.ops`` writes in many operators, is ported back."""

import numpy as np
import pytest

import tflrecover
from tests.core.file_builders import File, run

TYPES = {"int32": 2, "int64": 4}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["ARG_MAX", "ARG_MIN"])
def test_places_are_ported_back(kind, dtype):
    file = File()
    x = file.input((1, 4, 6))
    options = {"options": f"{kind[:3].title()}{kind[4:].title()}Options", "outputType": TYPES[dtype]}
    content = file.content(file.op(kind, (x, file.const(np.int32([2]))), (1, 4), dtype, **options))
    model = tflrecover.recover(content)
    given = np.random.default_rng(0).normal(size=(1, 4, 6)).astype("float32")
    np.testing.assert_array_equal(model(given), run(content, given)[0])
    assert tflrecover.port(content, model).ok
    assert tflrecover.diff(content, model).differences == ()

"""A file of each builtin operator, recovered, computes what LiteRT does."""

import numpy as np
import pytest

import tflrecover.recovery
from tests.core.op_consistency import assert_close, run
from tests.core.op_examples import FILES
from tests.core.op_files import Example, Given

# Each library draws its own numbers.
DRAWN = {"MULTINOMIAL"}


def _called(model, feeds):
    made = model(feeds if len(feeds) != 1 else feeds[0], training=False)
    return [np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])]


@pytest.mark.parametrize("name", sorted(FILES.keys() - DRAWN))
def test_recovered_operator_computes_what_litert_does(name):
    content, feeds, wanted = run(name, FILES[name])
    results = _called(tflrecover.recovery.recover(content), feeds)
    for got, expected in zip(results, wanted, strict=True):
        assert got.dtype == expected.dtype
        assert_close(got, expected)


def test_draws_have_the_distribution_of_the_logits():
    odds = np.array([[0.5, 0.25, 0.25], [0.0625, 0.9375, 1e-9]], np.float32)
    operands = (Given(np.log(odds)), np.array(4000, np.int32))
    content, feeds, (drawn,) = run("MULTINOMIAL", Example(operands, "Random", {"seed": 1, "seed2": 2}, kind="int64"))
    (got,) = _called(tflrecover.recovery.recover(content), feeds)
    assert got.shape == drawn.shape
    assert got.dtype == drawn.dtype
    for numbers in (got, drawn):
        found = np.stack([np.bincount(row, minlength=3) for row in numbers]) / numbers.shape[1]
        # Four standard deviations of 4000 draws.
        assert np.abs(found - odds).max() < 4 * np.sqrt(0.25 / 4000)

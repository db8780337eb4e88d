"""What rounding of settled variables may do to an expression: enough for every case of it, and no more."""

import numpy as np

from tflrecover.ops.elementwise import ADD, MUL
from tflrecover.ops.reduce import CONTRACTION
from tflrecover.transfer.rounding import drift
from tflrecover.weight import Leaf, evaluate

INPUTS, UNITS = 64, 16
SIZE = 0.01
KERNEL, OFFSET = Leaf((INPUTS, UNITS), "float32", "kernel"), Leaf((INPUTS, 1), "float32", "offset")
BIAS = Leaf((UNITS,), "float32", "bias")
TOTAL = ADD(BIAS, CONTRACTION(KERNEL, OFFSET, shape=(UNITS,), axis=(0,)), shape=(UNITS,))


def values():
    rng = np.random.default_rng(3)
    return {leaf.key: rng.normal(size=leaf.shape).astype("float32") for leaf in (KERNEL, OFFSET, BIAS)}


def test_sum_over_a_kernel_of_both_signs():
    known, rng = values(), np.random.default_rng(4)
    allowed = drift(TOTAL, "offset", SIZE, known)
    for _ in range(200):
        rounded = known["offset"] + rng.uniform(-SIZE, SIZE, OFFSET.shape)
        assert (np.abs(evaluate(TOTAL, {**known, "offset": rounded}) - evaluate(TOTAL, known)) <= allowed).all()
    # All roundings to the worst side at once are not allowed for.
    assert (allowed < 0.5 * SIZE * np.abs(known["kernel"]).sum(axis=0)).all()


def test_number_by_number_it_is_the_rounding_itself():
    known = values()
    np.testing.assert_allclose(drift(TOTAL, "bias", SIZE, known), SIZE, rtol=1e-3)
    scaled = drift(MUL(BIAS, BIAS), "bias", SIZE, known)
    wanted = np.abs((known["bias"] + SIZE) ** 2 - known["bias"] ** 2)
    np.testing.assert_allclose(scaled, wanted, rtol=1e-3, atol=1e-6)


def test_what_is_not_rounded_does_not_move():
    assert drift(TOTAL, "offset", 0.0, values()) == 0
    assert drift(BIAS, "offset", SIZE, values()) == 0

"""Every facet of every operator agrees with every other."""

import numpy as np
import pytest

from tflrecover import ops
from tflrecover.ops.layout import invert
from tflrecover.ops.window import effective_pads, output_size

SPECS = sorted({spec.name: spec for family in ops._FAMILIES for spec in family.SPECS}.values(), key=lambda s: s.name)
BOOLEAN = {"LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"}


def example(spec, slot):
    rng = np.random.default_rng(slot)
    array = rng.uniform(0.5, 2.0, (2, 3)).astype("float32")
    return array > 1 if spec.name in BOOLEAN else array


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_consistent(spec):
    assert_consistent_op(spec)


def assert_consistent_op(spec):
    """Layouts go back, operands that may be exchanged may, what is undone was done, shapes are inferred right."""
    assert set(spec.layouts) <= spec.weights <= set(spec.roles) | set()
    for pattern in spec.layouts.values():
        assert invert(invert(pattern)) == pattern
    assert spec.tflite is None or callable(spec.tflite)
    binary = spec.roles == ("x", "y") and not spec.declared
    unary = spec.roles == ("input",) and spec.family in ("unary", "activation") and not spec.declared
    if spec.evaluate is None or not (binary or unary):
        return
    args = [example(spec, slot) for slot in range(len(spec.roles))]
    result = spec.compute(args, {})
    if spec.infer_shape is not None:
        assert spec.infer_shape([arg.shape for arg in args], {}) == result.shape
    if binary:
        is_symmetric = np.array_equal(result, spec.compute(args[::-1], {}), equal_nan=True)
        assert is_symmetric == spec.commutative
    if spec.inverse is not None:
        for slot in range(len(args)):
            assert np.allclose(spec.inverse(slot, result, args, {}), args[slot], rtol=1e-5)


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_is_what_tensorflow_pads(size, kernel, stride):
    positions = output_size(size, kernel, stride, 1, "same")
    total = max((positions - 1) * stride + kernel - size, 0)
    assert effective_pads(size, kernel, stride, 1, "same") == (total // 2, total - total // 2)
    # Explicit padding with the same numbers is the same thing.
    before, after = effective_pads(size, kernel, stride, 1, "same")
    assert effective_pads(size, kernel, stride, 1, (before, after)) == (before, after)


def test_registered_operator_is_found():
    spec = ops.OpSpec("MyCustomOp")
    ops.register_op(spec)
    try:
        assert ops.by_name("MyCustomOp") is spec
    finally:
        ops._SPECS.pop("MyCustomOp")

"""Every facet of every operator agrees with every other."""

import pytest

from tests.core import op_examples
from tests.core.op_consistency import assert_consistent_op
from tflrecover import ops
from tflrecover.ops.window import effective_pads, output_size
from tflrecover.rewrite.lower import SHAPE_ONLY

SPECS = sorted(ops._SPECS.values(), key=lambda spec: spec.name)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_consistent(spec):
    assert_consistent_op(spec)


def test_examples_and_reasons_are_of_operators_that_there_are():
    known = {*(spec.name for spec in SPECS), *SHAPE_ONLY}
    for table in (op_examples.FILES, op_examples.CANONICAL, op_examples.NOT_EVALUATED, op_examples.NO_FILE):
        assert set(table) <= known


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

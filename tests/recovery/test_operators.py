"""A file of each builtin operator, recovered, computes what LiteRT does."""

import numpy as np
import pytest

import tflrecover.recovery
from benchmarks.coverage.operators import builtins
from tests.core import file_builders
from tests.core.op_consistency import assert_close, run
from tests.core.op_examples import FILES
from tests.core.op_files import Example, Given

# Each library draws its own numbers.
DRAWN = {"MULTINOMIAL"}

# Builtins that need more than a file of their own, and the test of this folder that recovers them.
ELSEWHERE = {
    **dict.fromkeys(["QUANTIZE", "DEQUANTIZE", "FAKE_QUANT", "DENSIFY", "CALL"], "test_operators.py"),
    **dict.fromkeys(["HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE"], "test_strings.py"),
    **dict.fromkeys(["WHILE", "IF", "CALL_ONCE"], "test_control.py"),
    **dict.fromkeys(["VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "SVDF", "RNN"], "test_control.py"),
    **dict.fromkeys(["UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "LSTM"], "test_recurrent.py"),
    **dict.fromkeys(["BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN"], "test_recurrent.py"),
    "CUSTOM": "test_custom_ops.py",
}
NOT_RECOVERED = {
    "CONCAT_EMBEDDINGS": "LiteRT has no kernel for it either",
    "DELEGATE": "an operator of a running interpreter, in no file",
    "SKIP_GRAM": "TensorFlow has no operator that leaves words out",
}


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


def test_every_builtin_is_recovered_or_known_not_to_be():
    known = {name for name in builtins() if not name.startswith("STABLEHLO")}
    assert FILES.keys() & ELSEWHERE.keys() == set()
    assert (FILES.keys() | ELSEWHERE.keys()) & NOT_RECOVERED.keys() == set()
    assert FILES.keys() | ELSEWHERE.keys() | NOT_RECOVERED.keys() == known


def _stored_otherwise(kind, file, x):
    """Numbers on the grid of the type that they are stored in are the same before and behind."""
    grid = file_builders.quantization(0.25, -3)
    if kind == "FAKE_QUANT":
        return file.op(kind, [x], (2, 3), options="FakeQuantOptions", min=-2.0, max=61.75, numBits=8)
    if kind == "DENSIFY":
        values, parameters = file_builders.sparse(np.diag(np.float32([1, 2, 3]))[:2], "ds")
        table = file.op(kind, [file.const(values, shape=(2, 3), sparsity=parameters)], (2, 3), options="DensifyOptions")
        return file.op("ADD", [x, table], (2, 3), options="AddOptions")
    stored = file.op("QUANTIZE", [x], (2, 3), "int8", "QuantizeOptions", result={"quantization": grid})
    return file.op("DEQUANTIZE", [stored], (2, 3), options="DequantizeOptions", version=2)


@pytest.mark.parametrize("kind", ["QUANTIZE", "FAKE_QUANT", "DENSIFY"])
def test_what_changes_how_numbers_are_stored(kind):
    file = file_builders.File()
    content = file.content(_stored_otherwise(kind, file, file.input((2, 3))))
    fed = np.float32([[0, 0.25, -1.5], [3, 7.25, 2]])
    (got,) = _called(tflrecover.recovery.recover(content), [fed])
    assert_close(got, file_builders.run(content, fed)[0])


def test_a_call_is_what_it_calls():
    """LiteRT has no kernel for it; converters do without."""
    inner, file = file_builders.File(), file_builders.File()
    inner_model = inner.model(inner.op("NEG", [inner.input((2, 3))], (2, 3)))
    x = file.input((2, 3))
    called = file.op("CALL", [x], (2, 3), options="CallOptions", subgraph=1)
    content = file_builders.with_subgraph(file.model(called), inner_model)
    fed = np.float32([[0, 0.25, -1.5], [3, 7.25, 2]])
    assert np.array_equal(_called(tflrecover.recovery.recover(content), [fed])[0], -fed)


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

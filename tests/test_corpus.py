"""Every file of the corpus: read, shown, brought to canonical form, the same as itself; or one clear error."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import tflrecover
from tflrecover import differences
from tflrecover.align import Pins, align
from tflrecover.cli import app
from tflrecover.errors import TFLRecoverError
from tflrecover.ops import tflite_reader
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import lower
from tflrecover.tflite import flattened
from tflrecover.transfer import equations
from tflrecover.weight import evaluate

CORPUS = Path(__file__).parents[2] / "shared" / "data" / "corpus"
FILES = sorted(p.name for p in CORPUS.glob("*") if p.suffix != ".tsv")
# Not TFLite at all, or cut off: what is left of them cannot be read.
UNREADABLE = {"ad_large_int8.tflite", "invalid_model.bin"}
pytestmark = pytest.mark.skipif(not FILES, reason="the real files (../shared/data) are not here")


def test_there_are_as_many_as_the_table_says():
    assert len(FILES) == 85


@pytest.mark.parametrize("name", FILES)
def test_read_show_and_compare_with_itself(name):
    path = CORPUS / name
    shown = CliRunner().invoke(app, ["inspect", "--full", str(path)])
    if name in UNREADABLE:
        assert shown.exit_code != 0
        assert isinstance(shown.exception, SystemExit)
        with pytest.raises(tflrecover.InvalidFile):
            tflrecover.read(path)
        return
    assert shown.exit_code == 0, shown.output
    source = flattened(tflrecover.read(path))
    contents = Contents(source)
    try:
        graph = canonicalize(lower(source, tflite_reader, contents)).freeze()
    except TFLRecoverError as error:
        pytest.fail(f"every file of the corpus can be brought to canonical form, but: {error}")
    same = {i: i for i in range(len(graph.inputs))}
    alignment = align(graph, graph, Pins(same, {i: i for i in range(len(graph.outputs))}, {}))
    assert not differences.find(alignment, (), {})
    for equation in equations(alignment):
        left, right = (evaluate(side, contents) for side in (equation.file, equation.keras))
        assert np.array_equal(left, right, equal_nan=True)
        assert left.shape == equation.file.shape
    assert tflrecover.diff(path, path).ok

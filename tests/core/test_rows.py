"""Both graphs side by side, in a report."""

import functools

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers

import tflrecover
from tests.core.porting import built

STATES = [
    ({}, {}),
    ({"pool_size": 3}, {6: ("different", ("pool_size",), (0,))}),
    ({"merge": layers.Multiply}, {4: ("different", (), (0,))}),
    ({"activation": "tanh"}, {5: ("different", (), (0,))}),
    ({"extra": True}, {6: ("extra", (), (0,))}),
    ({"skip": False}, {4: ("missing", (), (0,))}),
    (
        {"filters": 12},
        {
            7: ("different", ("filters",), (0,)),
            8: ("following", (), ()),
            9: ("following", (), ()),
            10: ("following", (), ()),
        },
    ),
]


@functools.cache
def report_of(*fault):
    return tflrecover.diff(zoo.file_of("plain"), zoo.plain(**dict(fault)))


@pytest.mark.parametrize(("fault", "wanted"), STATES, ids=[str([*fault]) for fault, _ in STATES])
def test_what_differs_is_in_its_row(fault, wanted):
    rows = report_of(*fault.items()).rows
    found = {i: (row.state, row.differing, row.differences) for i, row in enumerate(rows) if row.state != "equal"}
    assert found == wanted
    assert_in_order(rows)


def assert_in_order(rows):
    for side in ("tflite", "keras"):
        cells = [(i, cell) for i, row in enumerate(rows) if (cell := getattr(row, side)) is not None]
        assert all(operand < i for i, cell in cells for operand in cell.operands)


def test_rows_show_both_sides():
    rows = report_of(("skip", False)).rows
    mine, theirs = rows[5].tflite, rows[5].keras
    assert (mine.index, mine.type, mine.shape, mine.dtype) == (3, "RELU", (1, 16, 16, 8), "float32")
    assert (theirs.index, theirs.layer) == (None, "act")
    assert (mine.operands, theirs.operands) == ((4,), (3,))
    assert (rows[4].keras, rows[4].step) == (None, "")
    assert rows[6].step == "strict backward"
    assert rows[6].tflite.attributes["pool_size"] == rows[6].keras.attributes["pool_size"] == (2, 2)


def test_consequences_are_told_where_they_are():
    rows = report_of(("filters", 12)).rows
    assert [i for i, row in enumerate(rows) if row.following == (0,)] == [8, 10]


def branches(has_more=False):
    inputs = keras.Input((8, 8, 3))
    left, right = (layers.Conv2D(4, size, padding="same", name=f"conv_{size}")(inputs) for size in (1, 3))
    if has_more:
        left = layers.Activation("tanh", name="more")(left)
    return keras.Model(inputs, layers.Concatenate(name="both")([left, right]))


def test_what_is_extra_comes_after_what_it_takes():
    rows = tflrecover.diff(zoo.convert(built(branches, 1)), branches(has_more=True)).rows
    layers_ = [row.keras.layer for row in rows]
    assert layers_.index("more") == layers_.index("conv_1") + 1
    assert_in_order(rows)


def test_every_report_has_rows():
    model = built(zoo.plain, 2)
    ported = tflrecover.port(zoo.file_of("plain"), model)
    verified = tflrecover.verify(
        zoo.file_of("plain"), model, inputs=np.random.default_rng(3).random((1, 16, 16, 3), "float32")
    )
    assert len(ported.rows) == len(verified.rows) == ported.operators.canonical
    made = {(row.tflite.index, row.tflite.name) for row in verified.rows}
    assert {(check.tflite_op, check.tflite_name) for check in verified.checks} <= made
    assert ported.to_dict()["rows"][0]["tflite"]["type"] == "CONV_2D"

"""Rules about truth values, by text before and after."""

from dataclasses import replace

import numpy as np
import pytest

from tests.core.test_rewrite import Build


@pytest.mark.parametrize(("kind", "number", "wanted"), [("EQUAL", 0, "LOGICAL_NOT"), ("NOT_EQUAL", 1, "LOGICAL_NOT")])
def test_comparison_of_a_truth_value_is_what_it_says(kind, number, wanted):
    b = Build((2, 3))
    truth = b("LESS", 0, b.const(np.float32(1)), shape=(2, 3))
    b.values[truth] = replace(b.values[truth], dtype="bool")
    other = {"EQUAL": "NOT_EQUAL", "NOT_EQUAL": "EQUAL"}[kind]
    cast = b("CAST", truth, shape=(2, 3), out_data_type="INT32")
    negated = b(kind, cast, b.const(np.int32(number)), shape=(2, 3))
    same = b(other, cast, b.const(np.int32(number)), shape=(2, 3))
    _, graph = b.text(negated, same, b(wanted, truth, shape=(2, 3)), truth)
    assert graph.outputs[0] == graph.outputs[2]
    assert graph.outputs[1] == graph.outputs[3]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("EQUAL", "NOT_EQUAL"), ("NOT_EQUAL", "EQUAL"), ("LESS", "GREATER_EQUAL"), ("GREATER_EQUAL", "LESS")],
)
def test_negated_comparison_is_the_opposite_one(kind, wanted):
    b = Build((2, 3), (2, 3))
    compared = b(kind, 0, 1, shape=(2, 3))
    negated = b("LOGICAL_NOT", compared, shape=(2, 3))
    assert b.text(negated)[0] == wanted
    text, graph = b.text(negated, b("LOGICAL_NOT", negated, shape=(2, 3)), compared)
    assert sorted(text.split()) == sorted((kind, wanted))
    assert graph.outputs[1] == graph.outputs[2]

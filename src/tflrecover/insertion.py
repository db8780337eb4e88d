"""What the model lacks, as the lines to write."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tflrecover.comparison import Comparison
from tflrecover.comparison.side import used
from tflrecover.ir import Difference, Graph, Op
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Array, Key, evaluate

if TYPE_CHECKING:
    from tflrecover.generation.lines import Line

# Where more is missing, it is another network, and no lines make it this one.
_MOST = 8
# A line that makes a layer or calls a function, and how a message begins that names operators.
_CALL = re.compile(r"layers\.Activation\(activation=\"(\w+)\"|layers\.(\w+)\(|(ops\.\w+)\(")
_OPERATORS = re.compile(
    r"(add|use) (.*?)(?= (?:after|before) '| instead of [^:]*: the file has (?!it )|: the file has )"
)
_AND, _MANY, _FUNCTION = " + ", " operators)", "keras.ops."


def with_lines(comparison: Comparison) -> Comparison:
    """The comparison, with what would be there instead told with what is missing or another, where that is few lines.

    Args:
        comparison: A file and a model.
    """
    graph, contents = comparison.alignment.file.graph, comparison.both.mine.contents
    found = tuple(_with_numbers(one, graph, contents) for one in comparison.differences)
    comparison = replace(comparison, differences=found)
    lacking = [one for one in found if _OPERATORS.match(one.message) and not _is_scaling(one, graph)]
    if not 0 < len(lacking) <= _MOST:
        return comparison
    draft = used(comparison.both.mine, comparison.both.mapping.custom_ops)
    told = {id(one): _told(one, graph, draft) for one in lacking}
    return replace(comparison, differences=tuple(told.get(id(one), one) for one in found))


def _scalings(difference: Difference, graph: Graph) -> list[Op]:
    """What scales, if a difference is about nothing else."""
    ops = [graph.op(op_id) for op_id in difference.operators if op_id in graph]
    return ops if all(op.type == "AFFINE" for op in ops) else []


def _is_scaling(difference: Difference, graph: Graph) -> bool:
    """Whether numbers per channel are missing: a batch norm or another layer, which nothing in the file tells."""
    ops = _scalings(difference, graph)
    weights = (graph.values[value].weight for op in ops for value in op.inputs[1:] if value is not None)
    is_several = any(weight is not None and math.prod(weight.shape) > 1 for weight in weights)
    return is_several or not any(op_id in graph for op_id in difference.operators)


def _with_numbers(difference: Difference, graph: Graph, contents: Mapping[Key, Array]) -> Difference:
    """With a layer for numbers per channel that an input is scaled by, which nobody trains, if they are few."""
    ops = _scalings(difference, graph) if difference.kind == "missing" and _is_scaling(difference, graph) else []
    if len(ops) != 1 or ops[0].inputs[0] not in graph.inputs:
        return difference
    scale, offset = (
        1.0 if weight is None else np.ravel(evaluate(weight, contents)).astype(float)
        for weight in (None if value is None else graph.values[value].weight for value in ops[0].inputs[1:3])
    )
    offset = np.zeros_like(scale) if ops[0].inputs[2] is None else offset
    if np.size(scale + offset) > _MOST or np.min(scale) <= 0:
        return difference
    mean, variance = ([float(f"{n:.6g}") for n in np.ravel(one + 0 * scale)] for one in (-offset / scale, scale**-2))
    line = f"layers.Normalization(mean={mean}, variance={variance})"
    return replace(difference, message=f"{difference.message}: insert `{line}`")


def _told(difference: Difference, graph: Graph, draft: Draft) -> Difference:
    from tflrecover.generation.lines import lines

    written = lines(draft, graph, difference.operators)
    if not written:
        return difference
    if _is_another_function(difference, written):
        return difference
    called = _called(difference, written)
    sources = "`, then `".join(line.assigned or line.source for line in written)
    if difference.kind == "missing":
        return replace(called, message=f"{called.message}: insert `{sources}`")
    told = _OPERATORS.match(called.message)
    if len(written) == 1 and told is not None:
        return replace(called, message=f"use `{sources}`{called.message[told.end() :]}")
    return replace(called, message=f"{called.message}: write `{sources}`")


def _is_another_function(difference: Difference, written: Sequence[Line]) -> bool:
    """Whether the file has what is missing as a part of another function: a root within the inverse of one, say."""
    told, call = _OPERATORS.match(difference.message), _CALL.match(written[0].source)
    if told is None or call is None or call[3] is None or len(written) > 1 or _AND in told[2]:
        return False
    return told[2].startswith(_FUNCTION) and told[2] != f"keras.{call[3]}"


def _called(difference: Difference, written: Sequence[Line]) -> Difference:
    """With the names of what the lines call in the place of more operators; one that moves axes has one already."""
    told = _OPERATORS.match(difference.message)
    found = [_CALL.match(line.source) for line in written]
    names = [one[1] or one[2] or f"keras.{one[3]}" for one in found if one is not None]
    is_short = told is not None and told[2].count(_AND) > len(names) and not any(line.moves for line in written)
    if told is None or not (is_short or told[2].endswith(_MANY)):
        return difference
    name = _AND.join(names)
    value = name if difference.tflite_value == told[2] else difference.tflite_value
    return replace(difference, message=f"{told[1]} {name}{difference.message[told.end() :]}", tflite_value=value)

"""Which integers an input may hold: those that are rows of every table that it leads to.

LiteRT refuses an index that a table does not have. So what is drawn for an input follows what it becomes, through
operators that only move integers, to the operators that look something up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tflrecover.ir import Graph, Op, Shape

Range = tuple[int, int]
"""The smallest integer, and the one behind the largest."""

# Their operands and their results hold the same integers.
_MOVES = frozenset(
    [
        "BROADCAST_TO",
        "CAST",
        "CONCATENATION",
        "EXPAND_DIMS",
        "PACK",
        "PAD",
        "PADV2",
        "RESHAPE",
        "REVERSE_V2",
        "SELECT",
        "SELECT_V2",
        "SLICE",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
        "UNPACK",
    ]
)
_Rows = Callable[[Op, Shape, Shape], int]


def _gathered(op: Op, table: Shape, indices: Shape) -> int:
    return table[int(op.attributes.get("axis", 0))]


def _gathered_nd(op: Op, table: Shape, indices: Shape) -> int:
    return min(table[: indices[-1]])


def _first(op: Op, table: Shape, indices: Shape) -> int:
    return table[0]


# What looks up: slot of the indices, slot of the table, and how many rows it has for an operator and both shapes.
_LOOKS_UP: Mapping[str, tuple[int, int, _Rows]] = {
    "EMBEDDING_LOOKUP": (0, 1, _first),
    "EMBEDDING_LOOKUP_SPARSE": (0, 4, _first),
    "GATHER": (1, 0, _gathered),
    "GATHER_ND": (1, 0, _gathered_nd),
}
# A constant that is added to an index moves its range the other way.
_SHIFTS = {"ADD": -1, "SUB": 1}


def ranges(graph: Graph) -> dict[int, Range]:
    """Value id to the range that its integers must be in, for values that lead to a table.

    Args:
        graph: A file's.
    """
    found: dict[int, Range] = {}

    def narrow(value: int | None, to: Range) -> None:
        if value is None:
            return
        low, high = found.get(value, to)
        both = max(low, to[0]), min(high, to[1])
        # An offset that leaves nothing is added to negative indices only, which count from the end.
        if both[0] < both[1]:
            found[value] = both

    for op in reversed(list(graph.ops())):
        if (looks_up := _LOOKS_UP.get(str(op.type))) is not None:
            slot, table, rows = looks_up
            shapes = [_shape(graph, op.inputs, number) for number in (table, slot)]
            if all(shapes):
                narrow(op.inputs[slot], (0, rows(op, *shapes)))
        for to in [found[value] for value in op.outputs if value in found]:
            if op.type in _MOVES:
                for value in op.inputs:
                    narrow(value, to)
            elif op.type in _SHIFTS:
                _shifted(graph, op, to, narrow)
    return found


def _shape(graph: Graph, values: Sequence[int | None], slot: int) -> Shape:
    value = values[slot] if slot < len(values) else None
    return () if value is None else graph.values[value].shape or ()


def _shifted(graph: Graph, op: Op, to: Range, narrow: Callable[[int | None, Range], None]) -> None:
    x, *others = op.inputs
    constant = graph.values[others[0]].data if others and others[0] is not None else None
    if constant is None:
        return
    numbers = _SHIFTS[str(op.type)] * np.asarray(constant)
    narrow(x, (to[0] + int(numbers.max()), to[1] + int(numbers.min())))

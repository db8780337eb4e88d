"""Reports made by hand, for whatever draws them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tflrecover.checks import Check
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference, Match
from tflrecover.report import Cell, Distribution, Report, Row, WeightStatistics

POOL = Difference(
    "attribute",
    "set `pool_size=(2, 2)` on layer 'max_pooling2d': the file has (2, 2) at operator 24 (MAX_POOL_2D, output "
    "'max_pool'), the model has (5, 5)",
    24,
    "MAX_POOL_2D",
    "max_pool",
    "max_pooling2d",
    "pool_size",
    (2, 2),
    (5, 5),
    consequences=(Difference("shape", "the channels after it differ", 25, "ADD", "add"),),
)
ACCEPTED = Difference("extra", "remove layer 'concatenate'", keras_layer="concatenate", accepted=True)


def same(**changes: Any) -> Report:
    """A diff that found nothing."""
    fields: dict[str, Any] = {
        "matches": (Match(0, "conv2d", "full-depth hash"),),
        "assignments": (
            Assignment(
                "conv2d/kernel", "assigned", np.zeros((3, 3, 3, 8), "float32"), "conv2d/Kernel: o h w i -> h w i o"
            ),
        ),
        "constants": (ConstantUse(1, "conv2d/Kernel", "consumed"),),
    }
    return Report("diff", "palm.tflite", "blazepalm", **{**fields, **changes})


def check(op: int, max_rel: float = 0.0, **changes: Any) -> Check:
    """Numbers of one operator; out of tolerance from 1e-4."""
    fields: dict[str, Any] = {
        "tflite_op": op,
        "tflite_type": "CONV_2D",
        "tflite_name": f"conv_{op}",
        "keras_layer": f"conv2d_{op}",
        "max_abs": max_rel * 2,
        "max_rel": max_rel,
        "rms_rel": max_rel / 2,
        "alone": max_rel,
        "tolerance": 1e-4,
        "ok": max_rel < 1e-4,
    }
    return Check(**{**fields, **changes})


def different(**changes: Any) -> Report:
    """A diff with one of everything."""
    return same(
        differences=(POOL, ACCEPTED),
        ambiguities=(
            Ambiguity(
                "operators [3, 4] and layers ['a', 'b'] cannot be told apart", (3, 4), ("a", "b"), "match:\n  a: '#3'"
            ),
        ),
        assignments=(
            *same().assignments,
            Assignment("bn/moving_variance", "reparametrised", np.ones(8, "float32"), "scale of conv2d"),
            Assignment("head/kernel", "kept", None, "by the mapping"),
            Assignment("seed", "unresolved", None, "nothing in the file determines it"),
        ),
        constants=(*same().constants, ConstantUse(2, "left", "unexplained")),
        notes=("The file computes with integers.",),
        weights=(weight("conv2d/kernel"), weight("seed", file=None)),
        **changes,
    )


def cell(index: int | None, **changes: Any) -> Cell:
    """A convolution; with an index it is the file's."""
    fields: dict[str, Any] = {
        "index": index,
        "type": "CONV_2D",
        "name": f"conv_{index}",
        "layer": None if index is not None else "conv2d",
        "shape": (1, 24, 24, 64),
        "dtype": "float32",
        "attributes": {"kernel_size": (3, 3), "strides": (1, 1), "padding": "same"},
    }
    return Cell(**{**fields, **changes})


def weight(variable: str, **changes: Any) -> WeightStatistics:
    """A kernel of which some numbers were looked at."""
    fields: dict[str, Any] = {
        "variable": variable,
        "shape": (8, 8),
        "dtype": "float32",
        "numbers": 40,
        "ends": (-1.0, 2.0),
        "file": Distribution(-1.0, 2.0, 1 / 3, 1.25, (39, 0, 1)),
        "keras": Distribution(0.0, float("nan"), 0.5, 0.0, (0, 20, 20)),
    }
    return WeightStatistics(**{**fields, **changes})


def aligned(count: int, **changes: Any) -> Report:
    """A report of so many pairs, of which every tenth pool has another size; a missing and an extra operator follow."""
    rows = [
        Row(
            cell(i, operands=(i - 1,) if i else ()),
            cell(None, layer=f"conv2d_{i}", operands=(i - 1,) if i else ()),
            "strict both",
            "the same all around",
        )
        for i in range(count)
    ]
    pools = range(9, count, 10)
    for number, i in enumerate(pools):
        sides = (
            cell(
                i if is_file else None,
                type="MAX_POOL_2D",
                layer=f"pool_{i}",
                attributes={"pool_size": (size, size)},
                operands=(i - 1,),
            )
            for is_file, size in ((True, 2), (False, 5))
        )
        rows[i] = Row(*sides, "loose both", differing=("pool_size",), differences=(number,))
    found = [replace(POOL, message=f"set `pool_size=(2, 2)` on layer 'pool_{i}'", tflite_op=i) for i in pools]
    rows.append(Row(cell(count, type="ADD"), None, differences=(len(found),)))
    rows.append(Row(None, cell(None, type="MUL"), differences=(len(found) + 1,)))
    found += [Difference("missing", "add Add", count), replace(ACCEPTED, accepted=False)]
    return same(**{"rows": tuple(rows), "differences": tuple(found), **changes})

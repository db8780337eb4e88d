"""What the model lacks, as the lines to insert."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from tflrecover.comparison import Comparison
from tflrecover.ir import Difference, Graph, Op
from tflrecover.rewrite.draft import Draft

_log = logging.getLogger(__name__)

# Where more is missing, it is another network, and no lines make it this one.
_MOST = 8
# A line that makes a layer, and the beginning of a message, which names operators.
_LAYER = re.compile(r"layers\.(\w+)\(")
_OPERATORS = re.compile(r"add .*?(?= after '|: the file has )")


def with_lines(comparison: Comparison) -> Comparison:
    """The comparison, with the layers that would be what is missing told with it, where these are few.

    Args:
        comparison: A file and a model.
    """
    graph = comparison.alignment.file.graph
    lacking = [one for one in comparison.differences if one.kind == "missing" and not _is_scaling(one, graph)]
    if not 0 < len(lacking) <= _MOST:
        return comparison
    draft = comparison.both.mine.draft(comparison.both.mapping.custom_ops)
    told = {id(one): _told(one, graph, draft) for one in lacking}
    return replace(comparison, differences=tuple(told.get(id(one), one) for one in comparison.differences))


def _is_scaling(difference: Difference, graph: Graph) -> bool:
    """Whether numbers per channel are missing: a batch norm or another layer, which nothing in the file tells."""
    ops = [graph.op(op_id) for op_id in difference.operators if op_id in graph]
    weights = (graph.values[value].weight for op in ops for value in op.inputs[1:] if value is not None)
    is_several = any(weight is not None and math.prod(weight.shape) > 1 for weight in weights)
    return not ops or (is_several and all(op.type == "AFFINE" for op in ops))


def _told(difference: Difference, graph: Graph, draft: Draft) -> Difference:
    from tflrecover.generation.lines import lines

    mine = _origins(op for op in graph.ops() if op.id in difference.operators)
    others = _origins(op for op in graph.ops() if op.id not in difference.operators)
    try:
        written = lines(draft, mine, others - mine, _shared(draft, mine & others, difference.operators))
    # A part of a network need not be one that Keras takes; without this advice the difference is told as well.
    except Exception as error:
        _log.debug("no lines for %s: %s: %s", difference.tflite_name, type(error).__name__, error)
        written = ()
    if not written:
        return difference
    return replace(difference, message=f"{_called(difference.message, written)}: insert `{'`, then `'.join(written)}`")


def _shared(draft: Draft, origins: Collection[int | str], own: Collection[int | str]) -> set[int | str]:
    """What is not missing, though it comes from the same of the file: what an activation was fused with."""
    kept = {origin.op for op_id in own if op_id in draft.ops for origin in draft.ops[op_id].origins}
    return {op.id for op in draft.ops.values() if op.id not in own and {o.op for o in op.origins} & kept & set(origins)}


def _called(message: str, written: Sequence[str]) -> str:
    """What is missing by the names of the layers that it is, where it is more operators than were named."""
    made = [_LAYER.match(line) for line in written]
    names = " + ".join(found[1] for found in made if found is not None)
    told = _OPERATORS.match(message)
    is_many = told is not None and told[0].endswith(" operators)") and None not in made
    return f"add {names}{message[told.end() :]}" if told is not None and is_many else message


def _origins(ops: Iterable[Op]) -> set[int | str]:
    """The file's own operators that canonical ones come from."""
    return {origin.op for op in ops for origin in op.origins}

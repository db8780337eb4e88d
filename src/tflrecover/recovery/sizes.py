"""Sizes that the data decide: what asks for a shape is answered by the file, which cannot know those.

``SHAPE``, ``RANK`` and ``ZEROS_LIKE`` are constants as soon as a draft is made. That is right as long as the value that
they look at has one shape; behind ``WHERE``, ``UNIQUE`` and operators with a computed shape it may have another each
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflrecover.ir import Graph, Op
from tflrecover.ops.spec import Unsupported
from tflrecover.recovery.layers import is_tensor
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import SHAPE_ONLY

# Operators that give as many results as they find.
_FINDS = ("WHERE", "UNIQUE")


class Sizes:
    """Looks at the shapes of results as they are made.

    Attributes:
        wanted: Values whose shapes are asked for and may be decided by data: they must be made to be looked at.
    """

    def __init__(self, source: Graph, draft: Draft) -> None:
        self._opaque = draft.opaque
        self._asked = {op.inputs[0] for op in source.ops() if op.type in SHAPE_ONLY and op.inputs}
        self._decided: set[int | None] = set()
        doubtful: set[int | None] = set()
        for op in source.ops():
            if self._is_start(op) or doubtful.intersection(op.inputs):
                doubtful.update(op.outputs)
        self.wanted = tuple(v for v in self._asked if v is not None and v in doubtful and draft.weight(v) is None)

    def _is_start(self, op: Op) -> bool:
        return op.type in _FINDS or op.id in self._opaque

    def look(self, op: Op, args: Sequence[Any], results: Sequence[Any]) -> None:
        """Takes note of what an operator gave.

        Raises:
            Unsupported: the data decide its size, and the file goes on with another.
        """
        were_known = not any(None in arg.shape for arg in args if is_tensor(arg))
        for value, result in zip(op.outputs, results, strict=False):
            if not is_tensor(result) or None not in result.shape:
                continue
            if were_known or self._is_start(op) or self._decided.intersection(op.inputs):
                self._decided.add(value)
                if value in self._asked:
                    raise Unsupported("its result has a size that the data decide, and another operator asks for it")

"""An operator that stands for many is written out in operators of its own dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tflrecover.ir import Op, Origin, Value
from tflrecover.ops.spec import OpSpec, Source
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Literal


@dataclass
class _Writer:
    """Collects operators (:class:`~tflrecover.ops.spec.Writer`); each is lowered as soon as it is written."""

    op: Op
    draft: Draft
    lower: Callable[[Op], None]
    count: int = field(default=0)
    reason: str = ""

    def __call__(self, kind: str, *inputs: int | None, results: int = 1, **attributes: Any) -> tuple[int, ...]:
        given = next((value for value in inputs if value is not None), None)
        dtype = "float32" if given is None else self.draft.values[given].dtype
        name = self.draft.values[self.op.outputs[0]].name
        outputs = tuple(self.draft.new_value(None, dtype, name) for _ in range(results))
        written = Op(f"{self.op.id}/{self.count}", kind, inputs, outputs, attributes, self.op.layer)
        self.lower(written)
        if self.reason:
            self.draft.reasons[written.id] = self.reason
        self.count += 1
        return outputs

    def constant(self, array: Any) -> int:
        return self.draft.constant(Literal.of(array))

    def because(self, reason: str) -> None:
        self.reason = reason


def expand(source: Source, op: Op, spec: OpSpec, draft: Draft, lower: Callable[[Op], None]) -> None:
    """Writes ``op`` out.

    Raises:
        Unsupported: its spec cannot, and nothing was written.
    """
    assert spec.expand is not None
    results = spec.expand(source, _Writer(op, draft, lower))
    origin = Origin(op.id, op.type, op.layer)
    for i, (made, wanted) in enumerate(zip(results, op.outputs, strict=False)):
        before = draft.values[wanted]
        draft.values[wanted] = Value(before.name, draft.shape(made), before.dtype)
        draft.add(Op(f"{op.id}/result {i}", "IDENTITY", (made,), (wanted,), {}, op.layer, (origin,)))

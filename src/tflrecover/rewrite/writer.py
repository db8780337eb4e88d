"""Writes several operators in the place of one."""

from __future__ import annotations

from collections.abc import Mapping

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.rewrite.draft import Draft

_COMPARISONS = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})


class Writer:
    """Adds operators that stand for another one, with its layer and origins, and none that would change nothing.

    Args:
        draft: The graph.
        op: The operator that they stand for.
    """

    def __init__(self, draft: Draft, op: Op) -> None:
        self._draft = draft
        self._op = op

    def add(
        self,
        name: str,
        inputs: tuple[int | None, ...],
        shape: Shape | None = None,
        result_type: str | int = "",
        **attributes: object,
    ) -> int:
        """Adds an operator with one result and returns that; its shape and type are inferred where none are given."""
        given = next(self._draft.values[value] for value in inputs if value is not None)
        dtype = result_type or ("bool" if name in _COMPARISONS else given.dtype)
        result = self._draft.new_value(self._inferred(name, inputs, attributes) if shape is None else shape, dtype)
        self._draft.add(Op(self._id(result), name, inputs, (result,), attributes, self._op.layer, self._op.origins))
        return result

    def transposed(self, value: int | None, perm: tuple[int, ...]) -> int | None:
        """The value with its axes in that order."""
        return value if perm == tuple(range(len(perm))) else self.add("TRANSPOSE", (value,), perm=perm)

    def reshaped(self, value: int | None, shape: Shape) -> int | None:
        """The value in that shape."""
        return value if self._draft.shape(value) == shape else self.add("RESHAPE", (value,), target_shape=shape)

    def finish(self, result: int | None) -> None:
        """Takes the operator out; what makes the result takes its place, its id and its own first result."""
        self._draft.remove(self._op.id)
        # What no reader knows by itself is known by what stands for it.
        self._draft.opaque.discard(self._op.id)
        made = self._draft.producer(result)
        if result is None:
            return
        if made is not None and made.id == self._id(result):
            self._draft.remove(made.id)
            self._draft.add(made.evolve(id=self._op.id, outputs=self._op.outputs[:1]))
            self._draft.redirect(result, self._op.outputs[0])
        else:
            self._draft.redirect(self._op.outputs[0], result)

    def _id(self, result: int | None) -> str:
        return f"{self._op.id}.{result}"

    def _inferred(self, name: str, inputs: tuple[int | None, ...], attributes: Mapping[str, object]) -> Shape:
        spec = ops.by_name(name)
        assert spec is not None
        assert spec.infer_shape is not None
        return tuple(spec.infer_shape([self._draft.shape(value) for value in inputs], attributes))

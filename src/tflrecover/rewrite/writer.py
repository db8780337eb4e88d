"""Writes several operators in the place of one."""

from __future__ import annotations

from tflrecover.ir import Op, Shape
from tflrecover.rewrite.draft import Draft


class Writer:
    """Adds operators that stand for another one, with its layer and origins, and none that would change nothing.

    Args:
        draft: The graph.
        op: The operator that they stand for.
    """

    def __init__(self, draft: Draft, op: Op) -> None:
        self._draft = draft
        self._op = op

    def add(self, name: str, inputs: tuple[int | None, ...], shape: Shape, **attributes: object) -> int:
        """Adds an operator with one result and returns that."""
        result = self._draft.new_value(shape, self._draft.values[self._op.outputs[0]].dtype)
        made = f"{self._op.id}.{result}"
        self._draft.add(self._op.evolve(id=made, type=name, inputs=inputs, outputs=(result,), attributes=attributes))
        return result

    def transposed(self, value: int | None, perm: tuple[int, ...]) -> int | None:
        """The value with its axes in that order."""
        if perm == tuple(range(len(perm))):
            return value
        shape = self._draft.shape(value)
        return self.add("TRANSPOSE", (value,), tuple(shape[axis] for axis in perm), perm=perm)

    def reshaped(self, value: int | None, shape: Shape) -> int | None:
        """The value in that shape."""
        if self._draft.shape(value) == shape:
            return value
        return self.add("RESHAPE", (value,), shape, target_shape=shape)

    def finish(self, result: int | None) -> None:
        """Puts the result in the place of the operator's first, and takes the operator out."""
        self._draft.remove(self._op.id)
        if result is not None:
            self._draft.redirect(self._op.outputs[0], result)

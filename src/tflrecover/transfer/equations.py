"""What a match says about weights: the file's expression equals Keras's, operand by operand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tflrecover import ops
from tflrecover.align import Alignment
from tflrecover.ir import Graph, Op
from tflrecover.rewrite.forward import absorb
from tflrecover.weight import Literal, Weight

# Operands that scale come first: what they leave neutral (gamma, variance) is then known for those that shift.
_SHIFTS = ("bias", "offset")
# An operand that an AFFINE leaves out.
_ABSENT = {"scale": Literal.of(np.float32(1)), "offset": Literal.of(np.float32(0))}


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """``file = keras`` for one constant operand of one pair.

    Attributes:
        file: The file's expression, over its tensors.
        keras: Keras's expression, over the model's variables.
        role: Name of the operand.
        file_op: Id of the operator in the file's canonical graph.
        keras_op: Id in Keras's.
    """

    file: Weight
    keras: Weight
    role: str
    file_op: int | str
    keras_op: int | str

    @property
    def shifts(self) -> bool:
        """Whether the operand is added (a bias) rather than multiplied."""
        return self.role in _SHIFTS


def equations(alignment: Alignment) -> list[Equation]:
    """Every equation that the matches give, scaling operands first, otherwise in file order."""
    file, keras = alignment.file.graph, alignment.keras.graph
    forward = {alignment.keras.ops[k].id: pair for k, pair in alignment.forward.items()}
    found: list[Equation] = []
    for match in alignment.matches:
        f, k = file.op(match.tflite), keras.op(match.keras)
        theirs = _constants(keras, k)
        if match.keras in forward:
            theirs[1], theirs[2] = absorb(k, theirs[1], theirs[2], forward[match.keras])
        found += _of_pair(f, k, _constants(file, f), theirs)
    return sorted(found, key=lambda equation: equation.shifts)


def _of_pair(f: Op, k: Op, mine: dict[int, Weight], theirs: dict[int, Weight]) -> Iterator[Equation]:
    if f.type != k.type:
        return
    spec = ops.by_name(f.type)
    if spec is not None and spec.commutative and mine.keys() != theirs.keys() and len(mine) == len(theirs) == 1:
        theirs = dict(zip(mine, theirs.values(), strict=True))
    for slot in sorted(mine.keys() | theirs.keys()):
        role = spec.role(slot) if spec is not None else f"operand {slot}"
        left, right = mine.get(slot) or _ABSENT.get(role), theirs.get(slot) or _ABSENT.get(role)
        if left is not None and right is not None:
            yield Equation(left, right, role, f.id, k.id)


def _constants(graph: Graph, op: Op) -> dict[int, Weight]:
    found = {slot: graph.values[v].weight for slot, v in enumerate(op.inputs) if v is not None}
    return {slot: weight for slot, weight in found.items() if weight is not None}

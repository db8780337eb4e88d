"""What a match says about weights: the file's expression equals Keras's, operand by operand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tflrecover import ops
from tflrecover.align import Alignment
from tflrecover.align.links import Link, OpId
from tflrecover.align.view import shape_of
from tflrecover.ir import Graph, Op
from tflrecover.ops.elementwise import DIV, MUL
from tflrecover.ops.reduce import REDUCE_MAX
from tflrecover.rewrite.affine import Pair, compose
from tflrecover.rewrite.forward import absorb, scaling
from tflrecover.transfer.gauges import given_out, taken_back
from tflrecover.weight import Literal, Weight

_SHIFTS = ("bias", "offset")
_ROLES = ("scale", "offset")
# What an AFFINE leaves out.
_ABSENT = {"scale": Literal.of(np.float32(1)), "offset": Literal.of(np.float32(0))}


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """``file = keras`` for one constant operand of one pair.

    Attributes:
        file: The file's expression, over its tensors.
        keras: Keras's expression, over the model's variables.
        role: Name of the operand.
        file_op: Id of the operator in the file's canonical graph; None for an output that is a constant.
        keras_op: Id in Keras's, or None.
        is_broadcast: Whether broadcasting repeats the operand, so that its shape shows nowhere else.
        is_across: Whether it is repeated along other axes on the one side than on the other.
    """

    file: Weight
    keras: Weight
    role: str
    file_op: OpId | None
    keras_op: OpId | None
    is_broadcast: bool = False
    is_across: bool = False

    @property
    def shifts(self) -> bool:
        """Whether the operand is added (a bias) rather than multiplied."""
        return self.role in _SHIFTS

    @property
    def is_absent(self) -> bool:
        """Whether the model has nothing there that scales or shifts."""
        return self.keras in _ABSENT.values()

    def place(self, alignment: Alignment) -> int:
        """Number of the file's operator; behind all others for what is none."""
        number, end = alignment.file.number, len(alignment.file)
        return end if self.file_op is None else number.get(self.file_op, end)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """A linear operator behind scalings, of which the converter may have taken some into its weights.

    Attributes:
        edge: The scalings on both sides are equal.
        apart: What holds besides if they are: the weights are equal.
        inside: What holds in any case: the weights are equal when each side takes its own scalings in.
        border: What holds besides where windows reach over a padded border.
        written: Of numbers in the model's code what the file still has is the same; in one of these ways, for what is
            scaled last may have gone into the weights whole.
        told: What is told where that, or the border, does not hold.
    """

    edge: tuple[Equation, ...]
    apart: tuple[Equation, ...]
    inside: tuple[Equation, ...]
    border: tuple[Equation, ...]
    written: tuple[tuple[Equation, ...], ...] = ()
    told: tuple[Equation, ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether the model's scalings are numbers in its code."""
        return not any(equation.keras.leaves for equation in self.edge)


@dataclass(frozen=True, eq=False)
class System:
    """Everything that the matches say.

    Attributes:
        edges: Scalings between the same places are equal; those of the fewest operators first.
        folds: Linear operators behind scalings.
        weights: Constant operands of all other operators.
    """

    edges: tuple[Equation, ...] = ()
    folds: tuple[Fold, ...] = ()
    weights: tuple[Equation, ...] = ()

    def __iter__(self) -> Iterator[Equation]:
        yield from self.edges
        yield from self.weights
        for fold in self.folds:
            yield from (*fold.edge, *fold.apart, *fold.inside, *fold.border)


def equations(alignment: Alignment, gauges: Mapping[int, Pair] | None = None) -> System:
    """Every equation that the matches give, in file order.

    Args:
        alignment: The pairs.
        gauges: Unknown scalings behind linear Keras nodes (see :mod:`tflrecover.transfer.gauges`).
    """
    sides = _Sides(alignment, gauges or {})
    behind: dict[tuple[OpId, OpId], tuple[Pair, Pair, Link]] = {}
    edges: dict[tuple[tuple[OpId, ...], tuple[OpId, ...], int], tuple[Equation, ...]] = {}
    for link in alignment.links:
        is_gauged = link.source in sides.gauges
        if not is_gauged and (link.is_odd or not link.is_scaled):
            continue
        mine, theirs = sides.scalings(link)
        if link.target is not None and _may_fold(link, mine, theirs):
            behind[link.target] = mine, theirs, link
        else:
            edges[link.file, link.keras, link.source if is_gauged else -1] = sides.edge(link, mine, theirs)
    weights = list(_outputs(alignment))
    folds: list[Fold] = []
    for match in alignment.matches:
        f, k = sides.file.op(match.tflite), sides.keras.op(match.keras)
        found = behind.get((match.tflite, match.keras))
        apart = tuple(sides.of_pair(f, k, *sides.constants(f, k)))
        if found is None:
            weights += apart
            continue
        mine, theirs, link = found
        inside, border = sides.inside(f, k, mine, theirs, link)
        if link.file and link.keras:
            edge = sides.edge(link, mine, theirs)
            held = _written(edge, mine, theirs)
            fewer = (_written(begun, mine, pair) for begun, pair in sides.begun(link, mine))
            told = edge if border else _told(edge, mine, held)
            folds.append(Fold(edge, apart, inside, border, (held, *fewer), told))
        else:
            weights += inside + border
    return System(tuple(equation for pair in edges.values() for equation in pair), tuple(folds), tuple(weights))


def _may_fold(link: Link, mine: Pair, theirs: Pair) -> bool:
    offsets = [offset is not None for _, offset in (mine, theirs)]
    return link.is_linear and (not link.is_padded or not any(offsets) or all(offsets))


class _Sides:
    """Both graphs, and what is unknown between them."""

    def __init__(self, alignment: Alignment, gauges: Mapping[int, Pair]) -> None:
        self.file, self.keras = alignment.file.graph, alignment.keras.graph
        self.gauges = gauges
        self._ids = {k: op.id for k, op in enumerate(alignment.keras.ops)}
        self._by_id = {self._ids[k]: gauge for k, gauge in gauges.items()}
        self._partner = {match.keras: match.tflite for match in alignment.matches}

    def constants(self, f: Op, k: Op) -> tuple[dict[int, Weight], dict[int, Weight]]:
        """Constant operands of a pair by slot."""
        mine, theirs = _constants(self.file, f), _constants(self.keras, k)
        if k.id in self._by_id:
            theirs[1], theirs[2] = given_out(k, theirs[1], theirs[2], self._by_id[k.id])
        return mine, theirs

    def scalings(self, link: Link) -> tuple[Pair, Pair]:
        """``(s₁, o₁)`` and ``(s₂, o₂)`` of an edge."""
        theirs = scaling(self.keras, link.keras)
        if link.source in self.gauges:
            theirs = compose(taken_back(self.gauges[link.source]), theirs)
        return scaling(self.file, link.file), theirs

    def edge(self, link: Link, mine: Pair, theirs: Pair) -> tuple[Equation, ...]:
        """``s₁ = s₂`` and ``o₁ = o₂``; nothing where both leave it out."""
        k = link.keras[-1] if link.keras else self._ids[link.source]
        f = link.file[-1] if link.file else self._partner[self._ids[link.source]]
        return tuple(
            Equation(left or _ABSENT[role], right or _ABSENT[role], role, f, k, is_broadcast=True)
            for role, left, right in zip(_ROLES, mine, theirs, strict=True)
            if left is not None or right is not None
        )

    def begun(self, link: Link, mine: Pair) -> Iterator[tuple[tuple[Equation, ...], Pair]]:
        """What the model's scalings but the last one, two, … say of an edge, and what they are."""
        for end in range(len(link.keras) - 1, 0, -1):
            fewer = replace(link, keras=link.keras[:end])
            theirs = self.scalings(fewer)[1]
            yield self.edge(fewer, mine, theirs), theirs

    def inside(
        self, f: Op, k: Op, mine: Pair, theirs: Pair, link: Link
    ) -> tuple[tuple[Equation, ...], tuple[Equation, ...]]:
        """``k₁ · s₁ = k₂ · s₂`` and ``b₁ + Σ k₁ · o₁ = b₂ + Σ k₂ · o₂``.

        Where windows reach over a padded border that is too little: there ``b₁ = b₂``, and ``o₁ / s₁ = o₂ / s₂``, which
        is the second of what is returned.
        """
        left, right = self.constants(f, k)
        border: tuple[Equation, ...] = ()
        if link.is_padded and mine[1] is not None and theirs[1] is not None:
            border = (Equation(_shift(*mine), _shift(*theirs), "offset", link.file[-1], link.keras[-1]),)
            mine, theirs = (mine[0], None), (theirs[0], None)
        left[1], left[2] = absorb(f, left[1], left[2], mine)
        right[1], right[2] = absorb(k, right[1], right[2], theirs)
        return tuple(self.of_pair(f, k, left, right)), border

    def of_pair(self, f: Op, k: Op, mine: dict[int, Weight], theirs: dict[int, Weight]) -> Iterator[Equation]:
        """One per constant operand that either of a pair has."""
        if f.type != k.type:
            return
        spec = ops.by_name(f.type)
        if spec is not None and spec.commutative and mine.keys() != theirs.keys() and len(mine) == len(theirs) == 1:
            theirs = dict(zip(mine, theirs.values(), strict=True))
        is_elementwise = spec is not None and spec.is_elementwise
        for slot in sorted(mine.keys() | theirs.keys()):
            role = spec.role(slot) if spec is not None else f"operand {slot}"
            left, right = mine.get(slot) or _ABSENT.get(role), theirs.get(slot) or _ABSENT.get(role)
            if left is not None and right is not None:
                along = (_axes(self.file, f, left), _axes(self.keras, k, right)) if is_elementwise else ()
                is_across = None not in along and len(set(along)) > 1
                yield Equation(left, right, role, f.id, k.id, is_elementwise, is_across)


def _outputs(alignment: Alignment) -> Iterator[Equation]:
    """Outputs that no input decides, such as a table of anchors: no operator has them as an operand."""
    file, keras = alignment.file.graph, alignment.keras.graph
    for i, j in alignment.outputs.items():
        mine, theirs = file.values[file.outputs[i]].weight, keras.values[keras.outputs[j]].weight
        if mine is not None and theirs is not None:
            yield Equation(mine, theirs, "output", None, None)


def _axes(graph: Graph, op: Op, weight: Weight) -> tuple[int, ...] | None:
    """Along which axes of the result a constant goes, from the last; those of size 1 are none.

    None: along all, being one number, or not known.
    """
    made = shape_of(graph, op.outputs[0])
    if math.prod(weight.shape) == 1 or len(made) < len(weight.shape):
        return None
    long = [axis for axis, n in enumerate(reversed(made)) if n != 1]
    own = [axis for axis, n in enumerate(reversed(weight.shape)) if n != 1]
    return tuple(long.index(axis) for axis in own) if set(own) <= set(long) else None


def _written(edge: tuple[Equation, ...], mine: Pair, theirs: Pair) -> tuple[Equation, ...]:
    """What holds of numbers in the code.

    A converter takes one factor, or what is added last, into the weights behind. An offset before that factor, and how
    the channels are scaled beside each other, is left in the file as somebody wrote it.
    """
    (scale, offset), (wanted, _) = mine, theirs
    held: list[Equation] = []
    for equation in edge:
        if equation.role == "offset" and offset is not None:
            own = offset if scale is None else DIV(offset, scale)
            held.append(replace(equation, file=own if wanted is None else MUL(own, wanted)))
        elif equation.role == "scale" and scale is not None and math.prod(scale.shape) > 1:
            held.append(replace(equation, file=_beside(scale), keras=_beside(equation.keras)))
    return tuple(held)


def _told(edge: tuple[Equation, ...], mine: Pair, held: tuple[Equation, ...]) -> tuple[Equation, ...]:
    """What is told where the numbers in the code are not those of the file."""
    scale, offset = mine
    is_whole = scale is not None and offset is not None
    return edge if is_whole else held if scale is None else edge[:1]


def _beside(scale: Weight) -> Weight:
    """Factors as parts of the largest."""
    return DIV(scale, REDUCE_MAX(scale, axis=tuple(range(len(scale.shape))), keepdims=True))


def _shift(scale: Weight | None, offset: Weight | None) -> Weight:
    assert offset is not None
    return offset if scale is None else DIV(offset, scale)


def _constants(graph: Graph, op: Op) -> dict[int, Weight]:
    found = {slot: graph.values[v].weight for slot, v in enumerate(op.inputs) if v is not None}
    return {slot: weight for slot, weight in found.items() if weight is not None}

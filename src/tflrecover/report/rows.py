"""Both graphs side by side: which row is which, and what was found there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tflrecover.align import Alignment
from tflrecover.differences import describe
from tflrecover.differences.attributes import differing
from tflrecover.ir import Difference, Graph, Op
from tflrecover.report.report import Cell, Row

if TYPE_CHECKING:
    from tflrecover.comparison import Outcome

OpId = int | str
Place = tuple[OpId | None, OpId | None]


def rows(comparison: Outcome) -> tuple[Row, ...]:
    """One row per pair, per missing and per extra canonical operator; an extra one stands behind what it takes."""
    alignment = comparison.alignment
    file, keras = alignment.file.graph, alignment.keras.graph
    pairs = {alignment.file.ops[f].id: alignment.keras.ops[k].id for f, k in alignment.pairs.items()}
    pairs = {**comparison.plan.scalings, **pairs}
    places = _places(file, keras, pairs)
    numbers = (
        {f: number for number, (f, _) in enumerate(places) if f is not None},
        {k: number for number, (_, k) in enumerate(places) if k is not None},
    )
    steps = {match.tflite: match for match in comparison.matches}
    cells = [
        (None if f is None else _cell(file, f, numbers[0]), None if k is None else _cell(keras, k, numbers[1]))
        for f, k in places
    ]
    told = _told(comparison.differences, _Index(cells, numbers[0]))
    made = []
    for number, ((f, k), (mine, theirs)) in enumerate(zip(places, cells, strict=True)):
        match = steps.get(f) if f is not None else None
        changed = () if f is None or k is None else _differing(alignment, file.op(f), keras.op(k))
        step, evidence = (match.step, match.evidence) if match is not None else ("", "")
        variables = () if k is None else _variables(keras, keras.op(k))
        made.append(Row(mine, theirs, step, evidence, changed, *told.get(number, ((), ())), variables))
    return tuple(made)


def _places(file: Graph, keras: Graph, pairs: Mapping[OpId, OpId]) -> list[Place]:
    """Pairs and missing operators in the file's order; what is extra, behind the last that it takes anything from."""
    back = {k: f for f, k in pairs.items()}
    order = {op.id: number for number, op in enumerate(file.ops())}
    place: dict[OpId, int] = {}
    extra: list[tuple[int, OpId]] = []
    for op in keras.ops():
        if op.id in back:
            place[op.id] = order[back[op.id]]
        else:
            place[op.id] = max((place.get(source, -1) for source in keras.predecessors(op.id)), default=-1)
            extra.append((place[op.id], op.id))
    listed: list[tuple[int, int, Place]] = [(at, 0, (f, pairs.get(f))) for f, at in order.items()]
    listed += [(at, 1, (None, k)) for at, k in extra]
    # Sorting is stable: extra operators at one place stay in the model's order.
    return [item for _, _, item in sorted(listed, key=lambda item: item[:2])]


def _cell(graph: Graph, op_id: OpId, numbers: Mapping[OpId, int]) -> Cell:
    op = graph.op(op_id)
    value = graph.values[op.outputs[0]] if op.outputs else None
    taken = sorted((slot, source) for source, edges in graph.pred[op_id].items() for _, slot in edges)
    return Cell(
        describe.file_index(op),
        op.type,
        value.name if value is not None else "",
        describe.layer_of(op),
        value.shape if value is not None else None,
        value.dtype if value is not None else "",
        op.attributes,
        tuple(dict.fromkeys(numbers[source] for _, source in taken)),
    )


def _variables(graph: Graph, op: Op) -> tuple[str, ...]:
    """Paths of the variables in an operator's operands."""
    weights = [weight for v in op.inputs if v is not None and (weight := graph.values[v].weight) is not None]
    return tuple(dict.fromkeys(str(leaf.key) for weight in weights for leaf in weight.leaves))


def _differing(alignment: Alignment, f: Op, k: Op) -> tuple[str, ...]:
    return differing(alignment.file, alignment.keras, f, k) if f.type == k.type else ()


@dataclass(frozen=True, slots=True)
class _Index:
    """Finds rows.

    Attributes:
        cells: Both sides of every row.
        number: Id of an operator of the file to its row.
        by_op: Index in the file to the rows that the operator became.
        by_layer: Layer path to the rows of its operators.
    """

    cells: Sequence[tuple[Cell | None, Cell | None]]
    number: Mapping[OpId, int]
    by_op: dict[int | None, list[int]] = field(default_factory=dict)
    by_layer: dict[str | None, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, (mine, theirs) in enumerate(self.cells):
            if mine is not None:
                self.by_op.setdefault(mine.index, []).append(number)
            if theirs is not None:
                self.by_layer.setdefault(theirs.layer, []).append(number)

    def rows(self, difference: Difference) -> list[int]:
        """What a difference is about: by operator of the file, else by layer, there first what has no partner."""
        listed = [self.number[op_id] for op_id in difference.operators if op_id in self.number]
        if not listed and difference.tflite_op is not None:
            at = self.by_op.get(difference.tflite_op, [])
            listed = [n for n in at if (f := self.cells[n][0]) is not None and f.name == difference.tflite_name] or at
        if listed and not difference.layers:
            return listed
        layers = dict.fromkeys(filter(None, (difference.keras_layer, *difference.layers)))
        of_layers = [number for layer in layers for number in self.by_layer.get(layer, [])]
        alone = [number for number in of_layers if self.cells[number][0] is None]
        return [*listed, *(alone or ([] if listed else of_layers))]


def _told(differences: Sequence[Difference], index: _Index) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Row to the numbers of the differences that are told there, and of those that it follows from."""
    roots: dict[int, list[int]] = {}
    following: dict[int, list[int]] = {}
    for number, difference in enumerate(differences):
        mine = set(index.rows(difference))
        for row in mine:
            roots.setdefault(row, []).append(number)
        for row in {row for one in _under(difference) for row in index.rows(one)} - mine:
            following.setdefault(row, []).append(number)
    return {row: (tuple(roots.get(row, ())), tuple(following.get(row, ()))) for row in roots.keys() | following.keys()}


def _under(difference: Difference) -> Iterator[Difference]:
    for one in difference.consequences:
        yield one
        yield from _under(one)

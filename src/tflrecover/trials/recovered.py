"""What the file has in the place of a layer, recovered as a layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tflrecover.comparison import Outcome
from tflrecover.comparison.side import FileSide, used
from tflrecover.differences import describe
from tflrecover.ir import Difference
from tflrecover.rewrite.draft import Draft, OpId
from tflrecover.trials.candidates import SIBLING, Candidate, built, configuration, like
from tflrecover.trials.suspects import Suspects

if TYPE_CHECKING:
    from tflrecover.generation.lines import Line

# Fewer operators may be a part of a layer.
_SEVERAL = 4


class Recovered:
    """Layers that stand in the file where those of the model do.

    Args:
        comparison: With its differences as they were found.
        suspects: The layers that these point to.
    """

    def __init__(self, comparison: Outcome, suspects: Suspects) -> None:
        self._comparison = comparison
        self._suspects = suspects

    def is_layer(self, difference: Difference) -> bool:
        """Whether what is missing is one layer of several operators: no argument of another makes up for it."""
        written = self._written(difference.operators) if difference.kind == "missing" else ()
        return len(written) == 1 and written[0].layer is not None and len(difference.operators) >= _SEVERAL

    def instead(self, path: str, found: Sequence[Difference]) -> Iterator[Candidate]:
        """The layer that the file has in the place of one, if it is one alone: of another class, or in several ways."""
        from tflrecover.tracing.standin import StandIn

        layer, concerned = self._suspects.layers[path], self._concerned(path, found)
        # One that moves axes may be what a layer beside it ends or begins with.
        staying = concerned - {op.id for op in self._comparison.alignment.file.ops if op.type in describe.LAYOUT}
        written = next((one for ids in (concerned, staying) if len(one := self._written(ids, is_tried=True)) == 1), ())
        made = written[0].layer if written else None
        # Layers of Keras 2 take no tensors of Keras 3.
        if made is None or not any(cls.__name__ == "Operation" for cls in type(layer).__mro__):
            return
        if type(made) is type(layer):
            yield from like(layer, path, made)
            return
        other = None if self._is_besides(path, made) else built(type(made), configuration(made))
        if other is not None:
            have, value = type(layer).__name__, type(made).__name__
            yield Candidate(path, SIBLING, have, value, StandIn(layer, other), source=written[0].source)

    def _is_besides(self, path: str, made: Any) -> bool:
        """Whether the file has a layer without weights besides one that it has taken into others, as a batch norm."""
        ops = self._comparison.alignment.keras.ops
        is_taken_in = not any(self._suspects.owner(op) == path for op in ops)
        return is_taken_in and bool(_weights(self._suspects.layers[path])) and not _weights(made)

    def _concerned(self, path: str, found: Sequence[Difference]) -> set[OpId]:
        """What the file has near a layer that the model lacks or has otherwise, and what it has of the layer."""
        alignment, suspects = self._comparison.alignment, self._suspects
        near = [difference for difference in found if path in suspects.nearby(difference)]
        ids = {op_id for difference in near for op_id in difference.operators}
        places = {difference.tflite_op for difference in near} - {None}
        file = enumerate(alignment.file.ops)
        partners = (f for f, op in file if describe.file_index(op) in places or self._is_of(path, f))
        return ids.union(alignment.file.ops[f].id for f in partners)

    def _is_of(self, path: str, f: int) -> bool:
        """Whether a node of the file has one of a layer as its counterpart."""
        alignment = self._comparison.alignment
        return f in alignment.pairs and self._suspects.owner(alignment.keras.ops[alignment.pairs[f]]) == path

    def _written(self, operators: Collection[OpId], *, is_tried: bool = False) -> Sequence[Line]:
        from tflrecover.generation.lines import lines

        graph = self._comparison.alignment.file.graph
        return () if self._draft is None else lines(self._draft, graph, operators, is_tried=is_tried)

    @cached_property
    def _draft(self) -> Draft | None:
        """The file before any rule; None where the first of two models is in its place."""
        both = self._comparison.both
        return used(both.mine, both.mapping.custom_ops) if isinstance(both.mine, FileSide) else None


def _weights(layer: Any) -> Sequence[Any]:
    """The variables of a layer; none of a function of ``keras.ops``."""
    return getattr(layer, "weights", ())

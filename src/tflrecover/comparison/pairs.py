"""Two files or two models side by side: what changed between two releases, in structure and in numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from tflrecover import differences
from tflrecover.comparison.forms import Facing, aligned
from tflrecover.comparison.networks import FileNetwork, ModelNetwork, Network, Networks, refuse_weightless
from tflrecover.comparison.outcome import Outcome, accepted
from tflrecover.comparison.side import FileSide, ModelSide, Side
from tflrecover.comparison.weights import other_constants, weight_checks
from tflrecover.differences.between import far_apart, inputs_alone, other_order, retold, undecided
from tflrecover.errors import EvaluationError, InvalidModel, MappingError
from tflrecover.mapping import Mapping as UserMapping
from tflrecover.mapping import OpName, resolve
from tflrecover.report import PAIR
from tflrecover.tflite import quantized, read
from tflrecover.transfer import System, plan, settle
from tflrecover.transfer.constants import leaf_keys
from tflrecover.transfer.equations import Equation, Fold
from tflrecover.weight import Array, Key, keys

if TYPE_CHECKING:
    from tflrecover.tracing.standin import StandIn


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair(Outcome):
    """Everything that is known of two files or two models."""

    def again(self, stand_ins: Sequence[StandIn]) -> Pair:
        """With stand-ins in the second of two models."""
        theirs = self.both.theirs
        assert isinstance(theirs, ModelSide)
        stood_in = ModelSide(theirs.trace.standing_in(stand_ins))
        return _solved(replace(self.both, theirs=stood_in, in_all_forms=False))


def compare_files(first: Any, second: Any, mapping: Any) -> Pair:
    """Compares two files.

    Args:
        first: A path, bytes, or a file as it was read.
        second: Likewise.
        mapping: A path, a dict, a :class:`~tflrecover.Mapping`, or None.
    """
    files = [read(given) for given in (first, second)]
    for file in files:
        refuse_weightless(file)
    return _compared(FileNetwork(files[0], is_second=False), FileNetwork(files[1], is_second=True), mapping)


def compare_models(first: Any, second: Any, mapping: Any) -> Pair:
    """Compares two built Keras models; changes neither."""
    from tflrecover.tracing.tracer import check

    for model in (first, second):
        check(model)
    return _compared(ModelNetwork(first, is_second=False), ModelNetwork(second, is_second=True), mapping)


def _compared(first: Network, second: Network, mapping: Any) -> Pair:
    """The comparison; where sizes are free and nothing differs in structure, it must be so on other sizes too."""
    user = UserMapping.load(mapping)
    if user.model.weights:
        raise MappingError("says what a port writes; between two of a kind nothing is written", key="weights")
    names = [[one.name for one in network.inputs] for network in (first, second)]
    networks = Networks(first, second, user.pairs("inputs", names[1], names[0]))
    found = _solved(_facing(networks, networks.seen(), user))
    if found.differences or not networks.has_free_sizes:
        return found
    try:
        other = _solved(_facing(networks, networks.seen(again=True), user))
    except (EvaluationError, InvalidModel):
        # A table of positions is only so long.
        return found
    if not other.differences:
        return found
    shapes = ", ".join(str(list(shape)) for shape in other.alignment.file.inputs)
    return replace(other, notes=(*other.notes, f"They differ on inputs of {shapes}, not on every size."))


def _facing(networks: Networks, sides: tuple[Side, Side], user: UserMapping) -> Facing:
    mine, theirs = sides
    resolved = resolve(
        user,
        layers=list(theirs.layers) or [op.layer for op in theirs.source.ops() if op.layer is not None],
        variables=(),
        ops=_op_names(mine),
        file_inputs=mine.input_names,
        file_outputs=mine.output_names,
        keras_inputs=theirs.input_names,
        keras_outputs=theirs.output_names,
        sha256=lambda: mine.file.sha256 if isinstance(mine, FileSide) else "",
    )
    return Facing(mine, theirs, resolved, networks.inputs, frozenset())


def _op_names(side: Side) -> list[OpName]:
    """What a mapping may call operators of the first: of a model by their layers."""
    if isinstance(side, ModelSide):
        return [OpName(path, type(layer).__name__, path) for path, layer in side.layers.items()]
    values = side.source.values
    return [OpName(op.id, op.type, values[op.outputs[0]].name if op.outputs else "") for op in side.source.ops()]


def _solved(both: Facing) -> Pair:
    sides = aligned(both)
    first, mapping = both.mine.contents, both.mapping
    second = {key: both.theirs.contents[key] for key in leaf_keys(sides.keras) if key in both.theirs.contents}
    known: dict[Key, tuple[Array, str]] = {key: (array, "") for key, array in second.items()}
    settled = settle(sides.alignment, sides.again, lambda system: plan(_readable(system, first), {}, (), first, known))
    outcome = settled.plan
    constants = other_constants(outcome, first, second)
    alignment, roots = differences.read(settled.alignment, constants, both.theirs.layers)
    found = (
        *inputs_alone(alignment, both.mine.input_names, both.theirs.input_names),
        *differences.turned(alignment, "input"),
        *roots,
        *differences.forgotten(alignment, both.theirs.layers),
        *differences.turned(alignment, "output"),
    )
    counts = differences.count(alignment, len(both.mine.source))
    checks = weight_checks(alignment, _readable(settled.system, first), outcome, first, second)
    return Pair(
        both=both,
        alignment=alignment,
        plan=outcome,
        differences=tuple(accepted(difference, mapping) for difference in found),
        ambiguities=undecided(alignment),
        notes=(*other_order(alignment), *_quantized(both)),
        operators=counts,
        overview=far_apart(counts, found),
        weights=tuple(check for check in checks if check.keras_layer not in mapping.skip),
    )


def _readable(system: System, contents: Collection[Key]) -> System:
    """The equations over numbers that are known: a lookup table that a layer closed over is none."""

    def kept(equations: Iterable[Equation]) -> tuple[Equation, ...]:
        return tuple(equation for equation in equations if all(key in contents for key in keys(equation.file)))

    names = [field.name for field in fields(Fold) if field.name != "written"]
    folds = (
        Fold(**{name: kept(getattr(fold, name)) for name in names}, written=tuple(map(kept, fold.written)))
        for fold in system.folds
    )
    return System(kept(system.edges), tuple(folds), kept(system.weights))


def _quantized(both: Facing) -> Iterator[str]:
    for which, side in zip(PAIR, (both.mine, both.theirs), strict=True):
        found = quantized(side.source) if isinstance(side, FileSide) else None
        if found is not None:
            yield f"The {which}: {found.text}"


def told(pair: Pair) -> Pair:
    """The pair with its differences in words that fit two of a kind."""
    return replace(pair, differences=tuple(retold(one, pair.alignment) for one in pair.differences))

"""What each difference does to the outputs: the model is run with it and without it, on the file's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from tflrecover.comparison import Comparison
from tflrecover.differences import describe
from tflrecover.errors import EvaluationError, InputMismatch, TFLRecoverError
from tflrecover.ir import Difference, Op, at_operator
from tflrecover.output_effect import OutputEffect
from tflrecover.stages import stage
from tflrecover.verification.both import Both, run_both
from tflrecover.verification.check import errors
from tflrecover.verification.litert import random
from tflrecover.verification.sites import Site
from tflrecover.weight import Array, rms

# So many differences at most, of so many operators together: two runs of the model each.
_MOST_MEASURED = 20
_MOST_OPERATORS = 40_000


def measured(comparison: Comparison, both: Both | None = None) -> Comparison:
    """The comparison with what each of its differences does to the outputs, ranked.

    What cannot be simulated at all, such as other shapes, ranks before what can.

    Args:
        comparison: File and model.
        both: A run of the file, if there is one; None: one on reproducible random numbers, in a process of its own.
    """
    if not comparison.differences:
        return comparison
    stage("measuring what the differences do to the outputs")
    try:
        both = _ready(comparison, both)
    except TFLRecoverError as error:
        # Which shapes is what the difference says.
        why = "both sides take inputs of other shapes" if isinstance(error, InputMismatch) else error
        told = f"What the differences do to the outputs was not measured: {why}"
        return replace(comparison, notes=(*comparison.notes, told))
    most = min(_MOST_MEASURED, _MOST_OPERATORS // max(len(comparison.trace.source), 1))
    looked_at, rest = comparison.differences[:most], comparison.differences[most:]
    effects = _ranked(list(_effects(both, looked_at)))
    found = (replace(d, effect=effect) for d, effect in zip(looked_at, effects, strict=True))
    told = f"What the last {len(rest)} differences do to the outputs was not measured, for they are many."
    notes = (*comparison.notes, told) if rest else comparison.notes
    return replace(comparison, differences=(*found, *rest), notes=notes)


def _ready(comparison: Comparison, both: Both | None) -> Both:
    """A run of the file, and the model with the file's weights: the one goes on elsewhere while the other is made here.

    Raises:
        TFLRecoverError: the file cannot be run.
    """
    from tflrecover.verification.keras import KerasRun, planned

    def prepared() -> KerasRun:
        return KerasRun(comparison.trace, planned(comparison.assignments))

    if both is not None:
        return replace(both, prepared=prepared())
    arrays = random(comparison.file, comparison.reading.shapes)
    with ThreadPoolExecutor(1) as elsewhere:
        run = elsewhere.submit(run_both, comparison, arrays, is_isolated=True)
        model = prepared()
        return replace(run.result(), prepared=model)


def _effects(both: Both, differences: Sequence[Difference]) -> Iterator[OutputEffect]:
    """One per difference; that which comes first in the file, of those that have any, is marked."""
    places = [_places(both, difference) for difference in differences]
    effects = [_told(both, sites) for sites in places]
    # Where the file has fused what two are about, they show at the same place: the first in the file's order counts.
    diverging = {
        number: (sites[0].op, difference.tflite_op or 0)
        for number, (difference, sites, effect) in enumerate(zip(differences, places, effects, strict=True))
        if sites and effect.relative != 0
    }
    first = min(diverging, key=diverging.__getitem__, default=None)
    for number, effect in enumerate(effects):
        yield replace(effect, first=number == first)


def _ranked(effects: Sequence[OutputEffect]) -> list[OutputEffect]:
    order = sorted(range(len(effects)), key=lambda i: -np.inf if (r := effects[i].relative) is None else -r)
    ranks = {i: rank for rank, i in enumerate(order, 1)}
    return [replace(effect, rank=ranks[i]) for i, effect in enumerate(effects)]


def _told(both: Both, sites: Sequence[Site]) -> OutputEffect:
    try:
        return _effect(both, sites)
    except TFLRecoverError as error:
        return OutputEffect(reason=str(error))


def _places(both: Both, difference: Difference) -> list[Site]:
    """Sites right behind the operators that a difference is about, in file order."""
    graph = both.comparison.alignment.file.graph
    indices = (describe.file_index(graph.op(i)) for i in difference.operators if i in graph)
    listed = {difference.tflite_op, *indices} - {None}
    layers = tuple(filter(None, {difference.keras_layer, *difference.layers}))

    def concerns(site: Site) -> bool:
        mine, theirs = both.mine[site.tensor].ops, both.theirs[site.value].ops
        return any(describe.file_index(op) in listed for op in mine) or any(_is_within(op, layers) for op in theirs)

    return [site for site in both.sites if concerns(site)]


def _is_within(op: Op, layers: Sequence[str]) -> bool:
    path = op.layer or ""
    return any(path == layer or path.startswith(f"{layer}/") for layer in layers)


def _effect(both: Both, sites: Sequence[Site]) -> OutputEffect:
    """The effect of what the model computes itself at these sites.

    Raises:
        EvaluationError: it cannot be simulated.
    """
    if not sites:
        raise EvaluationError("no operator that both sides have shows what it changes")
    own, kept = _divergent(both, sites)
    ends = [site for site in both.sites if site.output is not None]
    if not ends:
        raise EvaluationError("the outputs of the file have no counterpart in the model")
    ends = [site for site in ends if np.isfinite(rms(both.array(site.tensor)))]
    if not ends:
        raise EvaluationError("the file's outputs are no finite numbers on these inputs: they get too large")
    if not own:
        return OutputEffect(0.0, 0.0, 0.0, str(ends[0].output))
    wanted = [site.value for site in ends]
    with_it, without_it = (both.model.compute(wanted, {**both.given, **fed}) for fed in (own, kept))
    results = zip(ends, with_it, without_it, strict=True)
    return max((_compared(both, *result) for result in results), key=lambda effect: effect.relative or 0.0)


def _divergent(both: Both, sites: Sequence[Site]) -> tuple[dict[int, Array], dict[int, Array]]:
    """Of the sites where the model is not the file within rounding: what it computes, and what the file has."""
    own, kept = {}, {}
    alone = dict(both.alone({site.value for site in sites}))
    for site in sites:
        (array, allowed), want = alone[site.value], both.array(site.tensor)
        if site.value not in both.fed:
            where = f"layer {site.layer!r}" if site.layer else at_operator(site.op, site.type, site.name)
            raise EvaluationError(f"it changes the shape of {where}")
        if errors(want, array)[0] > allowed:
            own[site.value], kept[site.value] = array, want
    return own, kept


def _compared(both: Both, site: Site, with_it: Array, without_it: Array) -> OutputEffect:
    """The numbers of one output."""
    want = both.array(site.tensor)
    if with_it.size != want.size:
        raise EvaluationError(f"it changes the shape of output {site.output!r}")
    apart = rms(with_it.astype(np.float64) - without_it) / (rms(want) or 1.0)
    return OutputEffect(apart, errors(want, with_it)[2], errors(want, without_it)[2], str(site.output))

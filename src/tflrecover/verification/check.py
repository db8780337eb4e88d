"""Compares every place that both sides can show, in two ways.

End to end: both sides run on the same inputs of the network. That is what a user of the model gets; behind the first
rounding all errors are mixed. Alone: what lies between a place and those right before it is run on the file's own
values there. So each error shows where it comes in and nowhere else, however deep the network; and as these parts
cover everything between inputs and outputs, the whole agrees if all of them do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tflrecover import tolerances
from tflrecover.comparison import Comparison
from tflrecover.errors import EvaluationError, InputMismatch
from tflrecover.inputs import end_names
from tflrecover.ir import Check
from tflrecover.tflite import flattened
from tflrecover.verification.allowance import allowance, clipped, is_hybrid, rounded
from tflrecover.verification.litert import FileRun
from tflrecover.verification.sites import Site, batches, fits, independent, lone, regions, repeats, sites
from tflrecover.weight import Array

# Numbers fetched from the Keras side at a time: bounds the memory that a large network's activations take.
_MOST_NUMBERS = 2**26


def check_all(comparison: Comparison, arrays: Sequence[Array]) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """Checks in file order, and notes on what could not be checked.

    Args:
        comparison: File and model.
        arrays: One per input of the file, real numbers, in file order.

    Raises:
        EvaluationError: LiteRT cannot run the file, or inputs are not paired.
        InputMismatch: the model does not take inputs of these shapes.
    """
    pairs = _inputs(comparison, arrays)
    run = FileRun(comparison.file, arrays)
    found, notes = sites(comparison)
    shown = [site for site in found if run.tensor(site.tensor) is not None]
    if len(shown) < len(found):
        notes = (*notes, f"{len(found) - len(shown)} tensors were kept by LiteRT and are covered by the next one.")
    both = _Both(comparison, run, tuple(shown), {theirs: mine for mine, theirs in pairs.items()})
    ends = dict(both.end_to_end({pairs[v]: array for v, array in zip(pairs, arrays, strict=True)}))
    alone = dict(both.alone())
    return tuple(both.check(site, ends[site.value], *alone[site.value]) for site in shown), notes


def _inputs(comparison: Comparison, arrays: Sequence[Array]) -> dict[int, int]:
    """Input tensor of the file to the value of the trace that is taken for it, in file order."""
    graph, source, order = comparison.file.graph, comparison.trace.source, comparison.alignment.inputs
    if any(i not in order for i in range(len(arrays))):
        raise EvaluationError("which input is which is not known; say it in the mapping under `inputs:`")
    for i, (name, array) in enumerate(zip(end_names(comparison.file, "inputs"), arrays, strict=True)):
        shape = source.values[source.inputs[order[i]]].shape or ()
        if not fits(array.size, shape):
            told = f"the file takes {name!r} as {array.shape}, the model {shape}"
            raise InputMismatch(f"{comparison.file.source}: build the model for inputs of shape {array.shape}: {told}")
    return {v: source.inputs[order[i]] for i, v in enumerate(graph.inputs)}


@dataclass(frozen=True, eq=False)
class _Both:
    """One run of the file, and the model beside it.

    Attributes:
        comparison: File and model.
        run: The file's.
        sites: Those that both show.
        inputs: Input value of the trace to the file's tensor.
    """

    comparison: Comparison
    run: FileRun
    sites: tuple[Site, ...]
    inputs: Mapping[int, int]

    def end_to_end(self, inputs: Mapping[int, Array]) -> Iterator[tuple[int, Array]]:
        """``(value, contents)`` of every site's value when the model runs on those inputs."""
        from tflrecover.verification.keras import part

        for wanted in batches([[site.value for site in self.sites]], self._sizes(), _MOST_NUMBERS):
            yield from zip(wanted, part(self.comparison.trace, tuple(inputs), wanted)(inputs), strict=True)

    def alone(self) -> Iterator[tuple[int, tuple[Array, float]]]:
        """``(value, (contents, allowance))`` of every site's value when all before it has the file's values."""
        from tflrecover.verification.keras import part

        trace, graph = self.comparison.trace, flattened(self.comparison.file)
        tensors = {**self.inputs, **{site.value: site.tensor for site in self.sites if self._can_feed(site)}}
        whole = lone(trace.source)
        tensors = {v: tensor for v, tensor in {**self._repeated(tensors), **tensors}.items() if v in whole}
        theirs = regions(trace.source, tensors, [site.value for site in self.sites])
        mine = regions(graph, set(tensors.values()), [site.tensor for site in self.sites])
        by_value = {site.value: site for site in self.sites}
        for wanted in batches(independent(theirs), self._sizes(), _MOST_NUMBERS):
            given = list(dict.fromkeys(value for target in wanted for value in theirs[target].operands))
            arrays = {value: self._array(tensors[value]) for value in given}
            run = part(trace, given, wanted)
            results = run(arrays)
            parts = [mine[by_value[value].tensor] for value in wanted]
            rounds = any(is_hybrid(graph, region.ops) for region in parts)
            moved = run({value: rounded(array) for value, array in arrays.items()}) if rounds else results
            for value, region, result, other in zip(wanted, parts, results, moved, strict=True):
                most = allowance(graph, by_value[value].tensor, region.ops, self._peak)
                if is_hybrid(graph, region.ops):
                    most += tolerances.HYBRID * _largest(result.astype(np.float64) - other)
                yield value, (result, most)

    def check(self, site: Site, end: Array, alone: Array, allowed: float) -> Check:
        """The numbers of one site."""
        want = self._array(site.tensor)
        max_abs, max_rel, rms = errors(want, end)
        worst = errors(want, clipped(alone, self.comparison.file.graph.values[site.tensor]))[0]
        peak = _largest(want) or 1.0
        return Check(
            site.op,
            site.type,
            site.name,
            site.layer,
            max_abs,
            max_rel,
            rms,
            worst / peak,
            allowed / peak,
            worst <= allowed,
            site.output,
        )

    def _repeated(self, tensors: Mapping[int, int]) -> dict[int, int]:
        """The same tensors for the values of the trace that repeat those which have one."""
        first = repeats(self.comparison.trace.source)
        known = {first.get(value, value): tensor for value, tensor in tensors.items()}
        return {v: known[one] for v in self.comparison.trace.tensors if (one := first.get(v, v)) in known}

    def _sizes(self) -> dict[int, int]:
        return {site.value: self._array(site.tensor).size for site in self.sites}

    def _can_feed(self, site: Site) -> bool:
        return fits(self._array(site.tensor).size, self.comparison.trace.tensors[site.value].shape.as_list())

    def _array(self, tensor: int) -> Array:
        found = self.run.tensor(tensor)
        assert found is not None
        return found

    def _peak(self, tensor: int) -> float:
        found = self.run.tensor(tensor) if tensor in self.comparison.file.graph.values else None
        return 0.0 if found is None else _largest(found)


def _largest(array: Array) -> float:
    return float(np.abs(array.astype(np.float64)).max(initial=0.0))


def errors(want: Array, got: Array) -> tuple[float, float, float]:
    """``(largest absolute, that relative to the largest magnitude, RMS relative to the RMS)``; inf for other shapes."""
    if want.size != got.size or not np.isfinite(got.astype(np.float64)).all():
        return (float("inf"),) * 3
    a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    if not a.size:
        return 0.0, 0.0, 0.0
    worst, peak = float(np.abs(a - b).max()), float(np.abs(a).max())
    rms, power = float(np.sqrt(np.mean((a - b) ** 2))), float(np.sqrt(np.mean(a**2)))
    return worst, worst / (peak or 1.0), rms / (power or 1.0)

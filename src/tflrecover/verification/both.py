"""One run of a file, and the model beside it on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tflrecover import tolerances
from tflrecover.comparison import Comparison
from tflrecover.comparison.inputs import end_names
from tflrecover.errors import EvaluationError, InputMismatch
from tflrecover.ir import Graph, called
from tflrecover.stages import stage
from tflrecover.tflite import flattened
from tflrecover.verification.allowance import allowance, is_hybrid, rounded
from tflrecover.verification.litert import FileRun
from tflrecover.verification.saturation import saturation
from tflrecover.verification.sites import Region, Site, batches, fits, independent, lone, regions, repeats, sites
from tflrecover.weight import Array

if TYPE_CHECKING:
    from tflrecover.verification.keras import KerasRun

# Numbers fetched from the Keras side at a time: bounds the memory that a large network's activations take.
_MOST_NUMBERS = 2**26


@dataclass(frozen=True, eq=False)
class Both:
    """One run of the file, and the model beside it.

    Attributes:
        comparison: File and model.
        run: The file's.
        sites: Those that both show, in file order.
        inputs: Input value of the trace to the file's tensor; to the rounded one where the file rounds it at once.
        given: Input value of the trace to the numbers that both sides are given.
        notes: Sentences on what could not be compared.
        prepared: The model with other numbers than its variables hold now; None: with those.
    """

    comparison: Comparison
    run: FileRun
    sites: tuple[Site, ...]
    inputs: Mapping[int, int]
    given: Mapping[int, Array]
    notes: tuple[str, ...] = ()
    prepared: KerasRun | None = None

    def end_to_end(self) -> Iterator[tuple[int, Array]]:
        """``(value, contents)`` of every site's value when the model runs on the given numbers."""
        for wanted in batches([[site.value for site in self.sites]], self._sizes, _MOST_NUMBERS):
            yield from zip(wanted, self.model.compute(wanted, self.given), strict=True)

    def alone(self, values: Collection[int] | None = None) -> Iterator[tuple[int, tuple[Array, float]]]:
        """``(value, (contents, allowance))`` of sites' values when all before them has the file's contents.

        Args:
            values: Those that are wanted; None: all.
        """
        graph = flattened(self.comparison.file)
        theirs = {v: region for v, region in self.theirs.items() if values is None or v in values}
        by_value = {site.value: site for site in self.sites}
        for wanted in batches(independent(theirs), self._sizes, _MOST_NUMBERS):
            given = list(dict.fromkeys(value for target in wanted for value in theirs[target].operands))
            arrays = {value: self.array(self.fed[value]) for value in given}
            results = self.model.compute(wanted, arrays)
            parts = [self.mine[by_value[value].tensor] for value in wanted]
            rounds = any(is_hybrid(graph, region.ops) for region in parts)
            moved = results
            if rounds:
                moved = self.model.compute(wanted, {value: rounded(array) for value, array in arrays.items()})
            for value, region, result, other in zip(wanted, parts, results, moved, strict=True):
                most = allowance(graph, by_value[value].tensor, region.ops, self._peak)
                if is_hybrid(graph, region.ops):
                    most += tolerances.HYBRID * largest(result.astype(np.float64) - other)
                yield value, (result, most)

    @cached_property
    def theirs(self) -> dict[int, Region]:
        """Value of every site to what lies right before it in the model."""
        return regions(self.comparison.trace.source, self.fed, [site.value for site in self.sites])

    @cached_property
    def mine(self) -> dict[int, Region]:
        """Tensor of every site to what lies right before it in the file."""
        stops = set(self.fed.values())
        return regions(flattened(self.comparison.file), stops, [site.tensor for site in self.sites])

    def saturation(self, site: Site) -> Array | None:
        """By how much each number of a site is changed by what saturates on the way; None where nobody can tell."""
        return saturation(flattened(self.comparison.file), self.mine[site.tensor], site.tensor, self.array)

    @cached_property
    def model(self) -> KerasRun:
        """The model, ready to run."""
        from tflrecover.verification.keras import KerasRun

        return self.prepared or KerasRun(self.comparison.trace)

    def array(self, tensor: int) -> Array:
        """What the file has in a tensor, as real numbers."""
        found = self.run.tensor(tensor)
        assert found is not None
        return found

    @cached_property
    def fed(self) -> dict[int, int]:
        """Values of the trace that can be given the file's contents, each with its tensor."""
        source = self.comparison.trace.source
        tensors = {**self.inputs, **{site.value: site.tensor for site in self.sites if self._can_feed(site)}}
        whole = lone(source)
        return {v: tensor for v, tensor in {**self._repeated(tensors), **tensors}.items() if v in whole}

    def _repeated(self, tensors: Mapping[int, int]) -> dict[int, int]:
        """The same tensors for the values of the trace that repeat those which have one."""
        first = repeats(self.comparison.trace.source)
        known = {first.get(value, value): tensor for value, tensor in tensors.items()}
        return {v: known[one] for v in self.comparison.trace.tensors if (one := first.get(v, v)) in known}

    @cached_property
    def _sizes(self) -> dict[int, int]:
        return {site.value: math.prod(self.run.shape(site.tensor) or ()) for site in self.sites}

    def _can_feed(self, site: Site) -> bool:
        return fits(self._sizes[site.value], self.comparison.trace.tensors[site.value].shape.as_list())

    def _peak(self, tensor: int) -> float:
        found = self.run.tensor(tensor) if tensor in self.comparison.file.graph.values else None
        return 0.0 if found is None else largest(found)


def run_both(comparison: Comparison, arrays: Sequence[Array], *, is_isolated: bool = False) -> Both:
    """Runs the file.

    Args:
        comparison: File and model.
        arrays: One per input of the file, real numbers, in file order.
        is_isolated: Run the file in a process of its own.

    Raises:
        EvaluationError: LiteRT cannot run the file, or inputs are not paired.
        InputMismatch: the model does not take inputs of these shapes.
    """
    pairs = _inputs(comparison, arrays)
    stage("running the file with LiteRT")
    run = FileRun(comparison.file, arrays, is_isolated=is_isolated)
    found, notes = sites(comparison)
    run.look_at(site.tensor for site in found)
    shown = tuple(site for site in found if run.shape(site.tensor) is not None)
    if len(shown) < len(found):
        notes = (*notes, f"{len(found) - len(shown)} tensors were kept by LiteRT and are covered by the next one.")
    if run.evaluated:
        types = sorted({str(op.type) for op in run.evaluated})
        notes = (*notes, f"LiteRT lacks {types}: what tflrecover knows of them stands in for it.")
    given = dict(zip(pairs.values(), arrays, strict=True))
    inputs = {theirs: _as_rounded(comparison.file.graph, run, mine) for mine, theirs in pairs.items()}
    return Both(comparison, run, shown, inputs, given, notes)


def _as_rounded(graph: Graph, run: FileRun, tensor: int) -> int:
    """The integers that a file computes on in the place of an input of real numbers, or the input itself."""
    users = [op for op in graph.ops() if tensor in op.inputs]
    made = users[0].outputs[0] if len(users) == 1 and users[0].type == "QUANTIZE" else tensor
    return made if run.shape(made) is not None else tensor


def _inputs(comparison: Comparison, arrays: Sequence[Array]) -> dict[int, int]:
    """Input tensor of the file to the value of the trace that is taken for it, in file order."""
    graph, source, order = comparison.file.graph, comparison.trace.source, comparison.alignment.inputs
    if any(i not in order for i in range(len(arrays))):
        raise EvaluationError("which input is which is not known; say it in the mapping under `inputs:`")
    for i, (name, array) in enumerate(zip(end_names(comparison.file, "inputs"), arrays, strict=True)):
        shape = source.values[source.inputs[order[i]]].shape or ()
        if not fits(array.size, shape):
            told = f"the file takes {called(name, f'input {i}')} as {array.shape}, the model {shape}"
            raise InputMismatch(f"{comparison.file.source}: build the model for inputs of shape {array.shape}: {told}")
    return {v: source.inputs[order[i]] for i, v in enumerate(graph.inputs)}


def largest(array: Array) -> float:
    """The largest finite magnitude; 0 of an empty array."""
    magnitudes = np.abs(array.astype(np.float64))
    return float(magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))

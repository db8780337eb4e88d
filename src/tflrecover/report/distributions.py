"""How the numbers of every weight are distributed: those of the file against those that the model has now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflrecover.ir import Assignment
from tflrecover.report.report import Distribution, WeightStatistics

Reals = NDArray[np.float64]

BINS = 24
# Enough for a histogram of so few bins, and few enough that a report costs next to nothing.
MOST_NUMBERS = 2048
# Counted at once: so few that what is made on the way is small beside the weights.
_MOST_AT_ONCE = 8 * MOST_NUMBERS


def distributions(assignments: Iterable[Assignment], held: Mapping[str, NDArray[Any]]) -> tuple[WeightStatistics, ...]:
    """Statistics of every variable that holds real numbers, in the order of the assignments.

    Args:
        assignments: With the file's numbers, as they are or would be assigned.
        held: Unique path of a variable to the numbers that the model has now.
    """
    weights = [one for one in assignments if held[one.variable].size and _is_real(held[one.variable])]
    return tuple(statistics for part in _parts(weights, held) for statistics in _counted_at_once(part, held))


def _parts(weights: Iterable[Assignment], held: Mapping[str, NDArray[Any]]) -> Iterator[list[Assignment]]:
    part: list[Assignment] = []
    room = _MOST_AT_ONCE
    for one in weights:
        numbers = min(held[one.variable].size, MOST_NUMBERS)
        if numbers > room:
            yield part
            part, room = [], _MOST_AT_ONCE
        part.append(one)
        room -= numbers
    if part:
        yield part


def _counted_at_once(weights: Sequence[Assignment], held: Mapping[str, NDArray[Any]]) -> Iterator[WeightStatistics]:
    given = [number for number, one in enumerate(weights) if one.value is not None]
    keras = _Samples.of([held[one.variable] for one in weights])
    file = _Samples.of([np.asarray(weights[number].value) for number in given])
    # What is not finite makes figures that are not, which is what they have to tell.
    with np.errstate(all="ignore"):
        ends = _common(keras.ends, file.ends, given)
        mine = dict(zip(given, file.distributions(ends[given]), strict=True))
        theirs = keras.distributions(ends)
    for number, one in enumerate(weights):
        yield WeightStatistics(
            one.variable,
            held[one.variable].shape,
            str(held[one.variable].dtype),
            int(keras.sizes[number]),
            (float(ends[number, 0]), float(ends[number, 1])),
            mine.get(number),
            theirs[number],
        )


def _is_real(array: NDArray[Any]) -> bool:
    return np.can_cast(array.dtype, np.float64, "same_kind")


def _sample(array: NDArray[Any]) -> Reals:
    """All numbers, or of many evenly spaced ones: of every array of a shape those at the same places."""
    step = math.ceil(array.size / MOST_NUMBERS)
    # A step that shares a factor with the size would come to some of the channels only.
    while step > 1 and math.gcd(step, array.size) > 1:
        step += 1
    return np.asarray(array.flat[::step], np.float64)


def _common(keras: Reals, file: Reals, given: Sequence[int]) -> Reals:
    """Where the bins of both sides begin and end; they have a width even where all numbers are the same."""
    low, high = keras[:, 0].copy(), keras[:, 1].copy()
    low[given], high[given] = np.minimum(low[given], file[:, 0]), np.maximum(high[given], file[:, 1])
    is_empty = low > high
    low[is_empty] = high[is_empty] = 0.0
    margin = np.where(low == high, 0.5, 0.0)
    return np.stack([low - margin, high + margin], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Samples of many weights, one behind the other: thousands of small ones are counted at once.

    Attributes:
        numbers: All of them.
        sizes: How many each weight has, at least one.
    """

    numbers: Reals
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]]) -> _Samples:
        samples = [_sample(array) for array in arrays]
        return cls(np.concatenate([*samples, np.empty(0)]), np.array([len(sample) for sample in samples], np.int64))

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.sizes) - self.sizes

    @property
    def ends(self) -> Reals:
        """The least and the greatest finite number of each."""
        is_finite = np.isfinite(self.numbers)
        low = np.minimum.reduceat(np.where(is_finite, self.numbers, np.inf), self.starts)
        high = np.maximum.reduceat(np.where(is_finite, self.numbers, -np.inf), self.starts)
        return np.stack([low, high], axis=1)

    def distributions(self, ends: Reals) -> list[Distribution]:
        """One of each, its numbers counted in bins between the ends."""
        numbers, sizes, starts = self.numbers, self.sizes, self.starts
        low, high = np.minimum.reduceat(numbers, starts), np.maximum.reduceat(numbers, starts)
        mean = np.add.reduceat(numbers, starts) / sizes
        std = np.sqrt(np.add.reduceat((numbers - np.repeat(mean, sizes)) ** 2, starts) / sizes)
        columns = (low.tolist(), high.tolist(), mean.tolist(), std.tolist(), map(tuple, self._counted(ends)))
        return [Distribution(*row) for row in zip(*columns, strict=True)]

    def _counted(self, ends: Reals) -> list[list[int]]:
        owner = np.repeat(np.arange(len(self.sizes)), self.sizes)
        is_finite = np.isfinite(self.numbers)
        numbers, owner = self.numbers[is_finite], owner[is_finite]
        low, high = ends[owner].T
        bins = np.minimum((numbers - low) / (high - low) * BINS, BINS - 1).astype(np.int64)
        counts = np.bincount(owner * BINS + bins, minlength=len(self.sizes) * BINS)
        return counts.reshape(-1, BINS).tolist()

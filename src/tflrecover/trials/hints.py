"""Values worth trying for an argument: what the differences tell, what Keras's words are, what a class takes itself."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

from tflrecover.ir import Difference
from tflrecover.ops.spec import comparable

# Arguments that take one of a few words, by the end of their names.
WORDS: Mapping[str, tuple[str, ...]] = {
    "activation": (
        *("linear", "relu", "sigmoid", "tanh", "silu", "gelu", "elu", "relu6", "hard_sigmoid", "softmax"),
        *("leaky_relu", "softplus", "selu", "hard_silu", "softsign", "exponential", "mish"),
    ),
    "padding": ("same", "valid", "causal"),
    "interpolation": ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    "merge_mode": ("concat", "sum", "mul", "ave"),
    "score_mode": ("dot", "concat"),
    "mode": ("constant", "reflect", "symmetric"),
}
# Arguments that are one pair of amounts where there is one axis.
_SIDES = ("padding", "cropping")
_AXES = (-1, 1, 2, 3)
# Orders of more axes are too many to try.
_MOST_DIMS = 3
# The digits of a float32 that a user may have written.
DIGITS = 7


@dataclass(frozen=True, slots=True)
class Hints:
    """What the differences tell of the file.

    Attributes:
        numbers: Its single numbers: those that differ first, then constants that are next to what differs.
        ratios: Those of the model divided by its own.
        lists: Its values that are several numbers.
        factors: The same divided by the model's, number by number.
        words: Its values that are words.
    """

    numbers: tuple[float, ...]
    ratios: tuple[float, ...]
    lists: tuple[tuple[Any, ...], ...]
    factors: tuple[tuple[float, ...], ...]
    words: tuple[str, ...]

    @staticmethod
    def of(found: Sequence[Difference], constants: Iterable[float] = ()) -> Hints:
        """Those of some differences and of what follows from them; ``constants`` are the file's numbers near them."""
        every = [*found, *(consequence for difference in found for consequence in difference.consequences)]
        values = [difference.tflite_value for difference in every]
        pairs = [(_numbers(d.tflite_value), _numbers(d.keras_value)) for d in every]
        ratios = [
            b / a
            for mine, theirs in pairs
            if len(mine) == len(theirs)
            for a, b in zip(mine, theirs, strict=True)
            if a and b and a != b
        ]
        return Hints(
            tuple(
                dict.fromkeys(filter(math.isfinite, (*(number for mine, _ in pairs for number in mine), *constants)))
            ),
            tuple(dict.fromkeys(ratios)),
            tuple(dict.fromkeys(value for value in values if isinstance(value, tuple))),
            tuple(dict.fromkeys(filter(None, (_factors(*pair) for pair in pairs)))),
            tuple(dict.fromkeys(value for value in values if isinstance(value, str))),
        )

    def factors_of(self, size: int) -> list[tuple[int, int]]:
        """Two of the numbers of a list that make a size together, in their order."""
        pairs = (pair for value in self.lists for pair in combinations(value, 2) if all(type(n) is int for n in pair))
        return list(dict.fromkeys((a, b) for a, b in pairs if a * b == size))

    def values(self, key: str, have: Any, default: Any = inspect.Parameter.empty) -> list[Any]:
        """Other values of an argument, the likeliest first.

        Args:
            key: The argument.
            have: The model's value.
            default: What the class itself would take; ``inspect.Parameter.empty``: nothing.
        """
        words = next((words for end, words in WORDS.items() if key.endswith(end)), ())
        found: list[Any] = []
        if isinstance(have, str) or (have is None and words):
            told = [word for word in self.words if word in words]
            found = [*told, *words]
        elif isinstance(have, bool):
            found = [not have]
        elif key == "axis" and isinstance(have, int):
            found = list(_AXES)
        elif key.endswith("_axes"):
            found = [axes for count in (2, 1, 3) for axes in combinations(_AXES[1:], count)]
        elif key == "dims" and isinstance(have, (list, tuple)):
            found = list(permutations(sorted(have))) if len(have) <= _MOST_DIMS else []
        elif isinstance(have, (list, tuple)) and all(map(_is_pair, have)):
            found = _sides(have)
        elif key in _SIDES and _is_pair(have):
            found = [sides for (sides,) in _sides([have])]
        elif isinstance(have, (list, tuple)) and any(isinstance(n, float) for n in have):
            # A mean is subtracted, by a variance's root is divided.
            parts = [factors for factors in self.factors if len(factors) == len(have)]
            found = [value[-len(have) :] for value in self.lists if len(value) >= len(have)]
            # Of what is multiplied the last digit is uncertain.
            ways = [(power, digits) for power in (1, -1, -2, 2) for digits in (DIGITS - 1, DIGITS)]
            found += [_scaled(have, factors, *how) for factors in parts for how in ways]
        elif isinstance(have, (list, tuple)):
            # Operators over images stand for layers over steps, with an axis more.
            found = [value[-len(have) :] for value in self.lists if len(value) >= len(have)]
            found += _on_one_axis(have)
        elif isinstance(have, int):
            scaled = [have * r for ratio in self.ratios for r in (1 / ratio, ratio, ratio**-2, ratio**2)]
            found = [round(n) for n in (*scaled, have * 2, have / 2) if n == round(n) and n > 0]
        elif isinstance(have, float) or have is None:
            scaled = [(have or 0.0) * r for ratio in self.ratios for r in (1 / ratio, ratio)]
            found = [*self.numbers, *(float(f"{n:.{DIGITS}g}") for n in scaled)]
        if default is not inspect.Parameter.empty and comparable(default) != have:
            found.insert(0, comparable(default))
        return [value for value in dict.fromkeys(found) if value != comparable(have)]


def _on_one_axis(have: Sequence[Any]) -> list[Any]:
    """Other sizes, strides or factors of a window, along one of its axes."""
    if not all(type(n) is int and n > 0 for n in have):
        return []
    return [(*have[:i], n, *have[i + 1 :]) for i in range(len(have)) for n in (have[i] * 2, have[i] // 2) if n]


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(type(n) is int for n in value)


def _sides(pairs: Sequence[Sequence[int]]) -> list[Any]:
    """Paddings or croppings of the same sums on other sides, then those of one more or one less on one side."""
    kept = [(a, b) for a, b in pairs]
    sums = [a + b for a, b in kept]
    turned = tuple((b, a) for a, b in kept)
    behind, before = tuple((0, n) for n in sums), tuple((n, 0) for n in sums)
    found: list[Any] = [turned, behind, before, tuple((n // 2, n - n // 2) for n in sums)]
    for i, (a, b) in enumerate(kept):
        others = [(b, a), (a + 1, b), (a, b + 1), (a - 1, b), (a, b - 1)]
        found += [(*kept[:i], other, *kept[i + 1 :]) for other in others if min(other) >= 0]
    return found


def _factors(mine: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """What each of several numbers would have to be multiplied by; nothing where that is not known."""
    if len(mine) != len(theirs) or len(mine) < 2 or not all(theirs) or not all(mine):
        return ()
    return tuple(a / b for a, b in zip(mine, theirs, strict=True))


def _scaled(have: Sequence[float], factors: Sequence[float], power: int, digits: int) -> tuple[float, ...]:
    return tuple(float(f"{n * factor**power:.{digits}g}") for n, factor in zip(have, factors, strict=True))


def _numbers(value: Any) -> list[float]:
    listed = value if isinstance(value, tuple) else (value,)
    return [float(n) for n in listed if isinstance(n, (int, float)) and not isinstance(n, bool)]


def rounded(value: Any) -> Any:
    """A number of a file as a person would have written it; anything else as it is."""
    return float(f"{value:.{DIGITS - 1}g}") if isinstance(value, float) else value

"""What a difference does to the outputs of the network."""

from __future__ import annotations

from dataclasses import dataclass

# Relative. What is less is no other difference.
_TOLD = 1e-3


@dataclass(frozen=True, slots=True)
class OutputEffect:
    """What a difference does to the outputs of the network, with the file's weights in the model.

    The model runs twice, with everything before the difference as the file has it: once it computes the difference's
    place itself, once it is given there what the file has. All numbers are root mean squares relative to that of the
    file's output, and of the output where they are largest.

    Attributes:
        relative: How far the outputs of the two runs are apart; None: could not be measured.
        with_it: How far the model's output is from the file's when the model computes the place itself.
        without_it: The same when it is given what the file has there; what is left are other differences.
        output: Name of the file's output.
        rank: 1 for the difference that changes the outputs most; what cannot be simulated ranks before what can.
        first: Whether no other difference's place comes before in the file.
        reason: Why it could not be measured; else empty.
    """

    relative: float | None = None
    with_it: float | None = None
    without_it: float | None = None
    output: str = ""
    rank: int = 0
    first: bool = False
    reason: str = ""

    def __str__(self) -> str:
        if self.relative is None:
            return f"effect not measured: {self.reason}"
        first = "; the first divergence" if self.first else ""
        if self.relative == 0:
            return f"changes no output beyond rounding{first}"
        told = f"changes output {self.output!r} by {_percent(self.relative)} (relative RMS)"
        left = self.without_it or 0.0
        rest = f"; without it an error of {_percent(left)} is left" if left > _TOLD else ""
        return f"{told}{rest}{first}"


def _percent(value: float) -> str:
    """Two digits behind the point, but never 0 of what is not."""
    if value >= 0.1:
        return f"{value:.0%}"
    return f"{value:.2%}" if value >= 1e-4 or value == 0 else f"{100 * value:.0e}%"

"""Numbers that were compared: of a matched operator, or of a weight of two files or models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tflrecover.ir import Shape


@dataclass(frozen=True, slots=True)
class Check:
    """Numbers of one matched operator: the file's output against Keras's.

    End to end both sides run on the same inputs of the network; alone, the model's operator is given the file's own
    values, so that only its own error is left. ``ok`` depends on the latter.

    Attributes:
        tflite_op: Index of the operator in the file whose output was compared.
        tflite_type: Its type.
        tflite_name: Name of its output tensor.
        keras_layer: Layer path.
        max_abs: Largest absolute error end to end.
        max_rel: ``max_abs`` divided by the largest magnitude in the file's output.
        rms_rel: Root mean square of the error end to end divided by that of the file's output.
        alone: Largest absolute error alone, divided by the largest magnitude in the file's output.
        tolerance: The largest ``alone`` that rounding explains.
        ok: Within tolerance.
        output: Name of the graph output when the value is one, else None; several are joined by commas.
        reference: ``"litert"``, or ``"evaluated"`` where LiteRT cannot run the operator.
        decides: Whether being within tolerance shows anything: rounding explains no more than
            ``tolerances.MOST_CHECKED`` of the largest magnitude.
    """

    tflite_op: int
    tflite_type: str | int
    tflite_name: str
    keras_layer: str | None
    max_abs: float
    max_rel: float
    rms_rel: float
    alone: float
    tolerance: float
    ok: bool
    output: str | None = None
    reference: Literal["litert", "evaluated"] = "litert"
    decides: bool = True

    @property
    def is_open(self) -> bool:
        """Whether it shows neither that the numbers agree nor that they do not."""
        return self.ok and not self.decides


@dataclass(frozen=True, slots=True)
class WeightCheck:
    """How far a weight of the second of two files or models is from that of the first.

    Attributes:
        tflite: The first's tensor or variable, or the expression where several make one weight.
        keras: The second's.
        role: Of the operand that it is, or is a part of: ``kernel``, ``bias``…
        tflite_op: Index of the operator in the first where it is a file, else None.
        keras_layer: Path of the layer in the second, or of the operator where it is a file.
        shape: Its shape.
        max_abs: Largest absolute change.
        rms_rel: Root mean square of the change divided by that of the first's numbers.
        ok: Equal, but for what rounding to the stored types explains.
    """

    tflite: str
    keras: str
    role: str
    tflite_op: int | None
    keras_layer: str | None
    shape: Shape
    max_abs: float
    rms_rel: float
    ok: bool

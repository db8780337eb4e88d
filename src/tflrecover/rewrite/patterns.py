"""Functions that one side has as one operator and the other writes out, as formulas.

A formula is read like the code that it stands for: ``("MUL", X, ("RELU6", ("AFFINE", X, 1, 3)))``; ``X`` is the
operand, ``AFFINE`` takes its scale and offset as numbers, a bare number is a constant operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tflrecover import ops, tolerances
from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.scalars import scalar
from tflrecover.weight import written

X = "x"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A formula, the operator that it is, and what its operators must be like besides."""

    type: str
    attributes: Mapping[str, Any]
    formula: Any
    where: Callable[[Draft, Sequence[Op]], bool] = lambda _, parts: True


_ROOT_HALF = math.sqrt(0.5)
_CUBIC = ("ADD", X, ("AFFINE", ("POW", X, 3), 0.044715, 0))
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_SELU_LOW = ("AFFINE", ("EXP", X), _SELU_SCALE * _SELU_ALPHA, -_SELU_SCALE * _SELU_ALPHA)


def _along_last_axis(draft: Draft, parts: Sequence[Op]) -> bool:
    sums = [op for op in parts if op.type == "SUM"]
    last = [(len(draft.shape(op.inputs[0])) - 1,) for op in sums]
    return [op.attributes["axis"] for op in sums] == last and all(op.attributes["keepdims"] for op in sums)


PATTERNS = (
    Pattern("HARD_SWISH", {}, ("AFFINE", ("MUL", X, ("RELU6", ("AFFINE", X, 1, 3))), 1 / 6, 0)),
    Pattern("GELU", {"approximate": False}, ("AFFINE", ("MUL", X, ("ERFC", ("AFFINE", X, -_ROOT_HALF, 0))), 0.5, 0)),
    Pattern(
        "GELU",
        {"approximate": False},
        ("AFFINE", ("MUL", X, ("AFFINE", ("ERF", ("AFFINE", X, _ROOT_HALF, 0)), 1, 1)), 0.5, 0),
    ),
    Pattern(
        "GELU",
        {"approximate": True},
        ("AFFINE", ("MUL", X, ("AFFINE", ("TANH", ("AFFINE", _CUBIC, math.sqrt(2 / math.pi), 0)), 1, 1)), 0.5, 0),
    ),
    Pattern(
        "GELU",
        {"approximate": True},
        ("MUL", ("AFFINE", X, 0.5, 0), ("AFFINE", ("TANH", ("AFFINE", _CUBIC, math.sqrt(2 / math.pi), 0)), 1, 1)),
    ),
    Pattern("GELU", {"approximate": False}, ("MUL", ("AFFINE", X, 0.5, 0), ("ERFC", ("AFFINE", X, -_ROOT_HALF, 0)))),
    Pattern(
        "GELU",
        {"approximate": False},
        ("MUL", ("AFFINE", X, 0.5, 0), ("AFFINE", ("ERF", ("AFFINE", X, _ROOT_HALF, 0)), 1, 1)),
    ),
    Pattern("SOFTPLUS", {}, ("LOG", ("AFFINE", ("EXP", X), 1, 1))),
    # PyTorch's, which is linear from where float32 knows no difference.
    Pattern("SOFTPLUS", {}, ("SELECT_V2", ("GREATER", X, 20), X, ("SOFTPLUS", X))),
    Pattern("ELU", {}, ("SELECT_V2", ("GREATER_EQUAL", X, 0), X, ("AFFINE", ("EXP", X), 1, -1))),
    Pattern("ELU", {}, ("SELECT_V2", ("GREATER", X, 0), X, ("AFFINE", ("EXP", X), 1, -1))),
    Pattern("SOFTSIGN", {}, ("DIV", X, ("AFFINE", ("ABS", X), 1, 1))),
    Pattern("RELU_N1_TO_1", {}, ("MAXIMUM", ("MINIMUM", X, 1), -1)),
    Pattern("RELU_N1_TO_1", {}, ("MINIMUM", ("MAXIMUM", X, -1), 1)),
    Pattern(
        "L2_NORMALIZATION",
        {},
        ("MUL", X, ("RSQRT", ("MAXIMUM", ("SUM", ("SQUARE", X)), 1e-12))),
        _along_last_axis,
    ),
    Pattern("L2_NORMALIZATION", {}, ("MUL", X, ("RSQRT", ("SUM", ("SQUARE", X)))), _along_last_axis),
    Pattern("SELU", {}, ("SELECT_V2", ("GREATER", X, 0), ("AFFINE", X, _SELU_SCALE, 0), _SELU_LOW)),
)


def _forms(pattern: Pattern) -> Iterator[Pattern]:
    """A scaled product in every place that its scale may stand: ``s · (x · y) = (s · x) · y = x · (s · y)``."""
    yield pattern
    if pattern.formula[0] == "AFFINE" and pattern.formula[1][0] == "MUL" and pattern.formula[3] == 0:
        _, (_, *factors), scale, _ = pattern.formula
        for i, factor in enumerate(factors):
            inner, first, offset = factor[1:] if factor[0] == "AFFINE" else (factor, 1, 0)
            scaled = ("AFFINE", inner, first * scale, offset * scale)
            yield replace(pattern, formula=("MUL", *factors[:i], scaled, *factors[i + 1 :]))


def _by_root() -> Mapping[str | int, Sequence[Pattern]]:
    found: dict[str | int, list[Pattern]] = {}
    for pattern in PATTERNS:
        for form in _forms(pattern):
            found.setdefault(form.formula[0], []).append(form)
    return found


# By the type of the last operator of the formula.
_FORMS = _by_root()


def fuse_patterns(draft: Draft) -> int:
    """Every formula that is found becomes its operator; parts that others take stay for them."""
    count = 0
    for op in draft.of_type(*_FORMS):
        for pattern in _FORMS[op.type]:
            found = _Matcher(draft)
            if (
                found.match(op.outputs[0], pattern.formula)
                and found.x is not None
                and pattern.where(draft, found.parts)
            ):
                origins = merged_origins(*found.parts)
                made = op.evolve(type=pattern.type, inputs=(found.x,), attributes=pattern.attributes, origins=origins)
                draft.replace(made)
                found.mark_constants()
                count += 1
                break
    return count


class _Matcher:
    """One attempt: what ``X`` is bound to, and the operators that were passed."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.x: int | None = None
        self.parts: list[Op] = []

    def match(self, value: int | None, formula: Any) -> bool:
        if formula == X:
            return self._bind(value)
        if isinstance(formula, (int, float)):
            number = scalar(self.draft, value, math.nan)
            return number is not None and math.isclose(number, formula, rel_tol=self._slack(value))
        if formula[0] == "AFFINE":
            return self._affine(value, formula)
        op = self.draft.producer(value)
        if op is None or op.type != formula[0] or len(op.inputs) != len(formula) - 1:
            return False
        spec = ops.by_name(op.type)
        orders = [op.inputs, op.inputs[::-1]] if spec is not None and spec.commutative else [op.inputs]
        return any(self._operands(op, order, formula[1:]) for order in orders)

    def _operands(self, op: Op, order: tuple[int | None, ...], formulas: tuple[Any, ...]) -> bool:
        before = self.x, list(self.parts)
        self.parts.append(op)
        if all(self.match(value, formula) for value, formula in zip(order, formulas, strict=True)):
            return True
        self.x, self.parts = before
        return False

    def _bind(self, value: int | None) -> bool:
        if value is None or self.draft.weight(value) is not None:
            return False
        if self.x is None:
            self.x = value
        return self.x == value

    def _affine(self, value: int | None, formula: tuple[Any, ...]) -> bool:
        """One AFFINE or several in a row that together scale and shift as the formula says."""
        _, inner, want_scale, want_offset = formula
        scale, offset, slack, chain = 1.0, 0.0, 0.0, []
        while (op := self.draft.producer(value)) is not None and op.type == "AFFINE":
            s, o = scalar(self.draft, op.inputs[1], 1.0), scalar(self.draft, op.inputs[2], 0.0)
            if s is None or o is None:
                return False
            scale, offset = scale * s, offset + scale * o
            slack += self._slack(op.inputs[1]) + self._slack(op.inputs[2])
            chain.append(op)
            value = op.inputs[0]
            fits = math.isclose(scale, want_scale, rel_tol=slack)
            if fits and math.isclose(offset, want_offset, rel_tol=slack, abs_tol=slack):
                before = self.x, list(self.parts)
                self.parts += chain
                if self.match(value, inner):
                    return True
                self.x, self.parts = before
        return False

    def _slack(self, value: int | None) -> float:
        """How far a constant may be from the formula's number, relative to it: rounding to the type it is stored in."""
        weight = self.draft.weight(value)
        types = [*(str(leaf.dtype) for leaf in weight.leaves), *written(weight)] if weight is not None else []
        return tolerances.LITERAL + sum(tolerances.ROUNDING.get(dtype, 0.0) for dtype in types)

    def mark_constants(self) -> None:
        """The formula's own numbers are explained by it."""
        for op in self.parts:
            for value in op.inputs:
                weight = self.draft.weight(value)
                if weight is not None:
                    self.draft.mark_structural(weight)

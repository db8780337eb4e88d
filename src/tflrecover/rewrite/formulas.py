"""``OP(x) = formula(x)``: an operator that no side has but the file, in those that both have."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.ops.formula import numpy_calls, results
from tflrecover.ops.quantize import real_dtype
from tflrecover.ops.slicing import plain_slice
from tflrecover.ops.spec import Formula
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal

_log = logging.getLogger(__name__)

# What a formula raises that does not fit its operands, as in a damaged file.
_MISFITS = (ValueError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError)
# Functions of all operands that are one operator without attributes.
_PLAIN = {
    "abs": "ABS",
    "add": "ADD",
    "arctan2": "ATAN2",
    "cos": "COS",
    "equal": "EQUAL",
    "less_equal": "LESS_EQUAL",
    "logical_and": "LOGICAL_AND",
    "logical_or": "LOGICAL_OR",
    "maximum": "MAXIMUM",
    "minimum": "MINIMUM",
    "multiply": "MUL",
    "negative": "NEG",
    "relu": "RELU",
    "sin": "SIN",
    "sqrt": "SQRT",
    "square": "SQUARE",
    "subtract": "SUB",
}
# Those with attributes.
_OPERATORS = {
    "average_pool": "AVERAGE_POOL_2D",
    "cast": "CAST",
    "concatenate": "CONCATENATION",
    "expand_dims": "RESHAPE",
    "matmul": "BATCH_MATMUL",
    "max": "REDUCE_MAX",
    "max_pool": "MAX_POOL_2D",
    "min": "REDUCE_MIN",
    "pad": "PAD",
    "reshape": "RESHAPE",
    "stack": "PACK",
    "take": "GATHER",
    "transpose": "TRANSPOSE",
}


def write_formulas(draft: Draft) -> int:
    """Operators that have a formula become the operators of it."""
    count = 0
    formulas = {spec.name: spec.formula for spec in ops.specs() if spec.formula is not None}
    for op in draft.of_type(*formulas):
        count += _written(draft, op, formulas[str(op.type)])
    return count


def _written(draft: Draft, op: Op, formula: Formula) -> bool:
    writer = Writer(draft, op)
    try:
        args = [_Tensor(v, _ones(draft, v)) for v in op.inputs if v is not None]
        made = results(formula(_Calls(draft, writer), args, op.attributes))
    except _MISFITS as error:
        _log.info("operator %s (%s) is compared as it is: %r", op.id, op.type, error)
        return False
    for value, result in zip(op.outputs[1:], made[1:], strict=False):
        draft.redirect(value, result.value)
    writer.finish(made[0].value)
    return True


def _ones(draft: Draft, value: int) -> Array:
    return np.broadcast_to(np.ones((), real_dtype(draft.values[value])), draft.shape(value))


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A value, with what numpy would have in its place: ones of its shape and type."""

    value: int
    like: Array

    @property
    def shape(self) -> Shape:
        return self.like.shape


@dataclass(frozen=True, slots=True)
class _Calls:
    """Writes an operator per call."""

    draft: Draft
    writer: Writer

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        like = numpy_calls.ops(name, *map(_like, args), **arguments)
        if name in _PLAIN:
            return self._add(_PLAIN[name], args, like)
        tensors = args[0] if name in ("stack", "concatenate") else args[:2] if name in ("matmul", "take") else args[:1]
        return self._add(_OPERATORS[name], tensors, like, **_attributes(name, args, like, **arguments))

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        like = x.like[index]
        if like.size == x.like.size:
            return self._add("RESHAPE", [x], like, target_shape=like.shape)
        slices = tuple(map(_place, index, x.shape))
        return self._add("STRIDED_SLICE", [x], like, slices=slices)

    def _add(self, kind: str, args: Any, like: Any, **attributes: Any) -> _Tensor:
        inputs = [x.value if isinstance(x, _Tensor) else self.draft.constant(Literal.of(x)) for x in args]
        like = np.asarray(like)
        made = self.writer.add(kind, tuple(inputs), like.shape, like.dtype.name, **attributes)
        return _Tensor(made, like)


def _attributes(name: str, args: tuple[Any, ...], like: Any, *, axis: int = 0, constant_values: float = 0.0) -> Any:
    """What an operator has besides its operands, in canonical terms."""
    match name:
        case "cast":
            return {"dtype": args[1]}
        case "concatenate" | "stack":
            return {"axis": axis % like.ndim}
        case "max" | "min":
            return {"axis": (axis % (like.ndim + 1),), "keepdims": False}
        case "take":
            return {"axis": axis, "batch_dims": 0}
        case "matmul":
            return {"adj_x": False, "adj_y": False}
        case "average_pool" | "max_pool":
            return dict(zip(("pool_size", "strides", "padding"), args[1:], strict=True))
        case "pad":
            return {"padding": args[1], "value": constant_values}
        case "transpose":
            return {"perm": args[1]}
    return {"target_shape": like.shape}


def _place(place: Any, size: int) -> Any:
    """A number or a slice in the notation of STRIDED_SLICE."""
    return plain_slice(place.start, place.stop, place.step or 1, size) if isinstance(place, slice) else place


def _like(arg: Any) -> Any:
    if isinstance(arg, (list, tuple)):
        return type(arg)(map(_like, arg))
    return arg.like if isinstance(arg, _Tensor) else arg

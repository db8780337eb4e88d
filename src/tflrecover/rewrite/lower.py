"""The first rule on both sides: each operator is read into canonical terms by its spec.

In the same pass constants become expressions, shapes are inferred anew where the source does not know them, and
activations that were fused behind an operator become operators of their own.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from einops import EinopsError

from tflrecover import ops
from tflrecover.errors import EvaluationError
from tflrecover.ir import Graph, Op, Origin, Quantization, Shape, Value
from tflrecover.ops.custom import attributes as unregistered
from tflrecover.ops.quantize import clipped, dequantized, real_dtype
from tflrecover.ops.spec import Lowered, OpSpec, Reader, Unsupported
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.ends import ENDS
from tflrecover.rewrite.expand import expand
from tflrecover.rewrite.scalars import known_array
from tflrecover.rewrite.tables import with_tables
from tflrecover.rewrite.variables import lower_state, threaded
from tflrecover.weight import Apply, Array, Key, Leaf, Literal, Weight, evaluate

_log = logging.getLogger(__name__)

# A folded constant is computed at once when it is small and nobody's: index arithmetic, epsilons, scales.
_EAGER_SIZE = 4096
# Operators that look at the shape of a value only, never at its contents.
SHAPE_ONLY: Mapping[str | int, Callable[[Shape], Literal]] = {
    "SHAPE": lambda shape: Literal.of(np.array(shape, np.int64)),
    "Shape": lambda shape: Literal.of(np.array(shape, np.int64)),
    "RANK": lambda shape: Literal.of(np.int64(len(shape))),
    "Rank": lambda shape: Literal.of(np.int64(len(shape))),
    "ZEROS_LIKE": lambda shape: Literal.of(np.zeros(shape, np.float32)),
    "ZerosLike": lambda shape: Literal.of(np.zeros(shape, np.float32)),
}
_UNREADABLE = (KeyError, ValueError, IndexError, TypeError, ArithmeticError, EvaluationError, EinopsError)
_STATE_ENDS = ("STATE", "NEXT_STATE")


@dataclass(slots=True)
class _View:
    """An operator as its reader sees it (:class:`~tflrecover.ops.spec.Source`)."""

    op: Op
    draft: Draft

    @property
    def type(self) -> str | int:
        return self.op.type

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.op.attributes

    @property
    def inputs(self) -> tuple[int | None, ...]:
        return self.op.inputs

    @property
    def custom_options(self) -> bytes:
        return self.op.custom_options

    def shape(self, slot: int) -> Shape:
        return self.draft.shape(self.op.inputs[slot])

    def output_shape(self) -> Shape | None:
        value = self.draft.values[self.op.outputs[0]]
        return None if _is_dynamic(value) else value.shape

    def dtype(self, slot: int) -> str | int:
        value = self.op.inputs[slot]
        return "" if value is None else self.draft.values[value].dtype

    def output_dtype(self, slot: int = 0) -> str | int:
        return self.draft.values[self.op.outputs[slot]].dtype

    def output_quantization(self) -> Quantization | None:
        return self.draft.values[self.op.outputs[0]].quantization

    def weight(self, slot: int) -> Weight | None:
        return self.draft.weight(self.op.inputs[slot]) if slot < len(self.op.inputs) else None

    def constant(self, slot: int) -> Array | None:
        weight = self.weight(slot)
        if weight is None:
            return None
        array = known_array(self.draft, weight)
        if array is not None:
            self.draft.mark_structural(weight)
        return array


def _is_dynamic(value: Value) -> bool:
    return value.shape is None or -1 in (value.shape_signature or value.shape)


def source_weight(key: int, values: Mapping[int, Value]) -> Weight | None:
    """What a constant of the source graph is in expressions.

    Raises:
        EvaluationError: its quantization does not fit its shape.
    """
    value = values[key]
    if value.weight is not None:
        return value.weight
    leaf, quantization = _leaf(key, values), value.quantization
    if leaf is None or quantization is None:
        return leaf
    if quantization.scale.size:
        return dequantized(leaf, quantization)
    parameters = _parameters(leaf, quantization, values)
    return dequantized(leaf, quantization, parameters) if parameters else leaf


def _parameters(leaf: Leaf, quantization: Quantization, values: Mapping[int, Value]) -> list[Leaf]:
    """The tensors of scales and zero points that blockwise quantization names; empty for schemes of other kinds."""
    if "scales" not in quantization.details:
        return []
    scales, zeros = (_leaf(quantization.details[name], values) for name in ("scales", "zero_points"))
    if scales is None:
        raise EvaluationError(f"tensor {leaf.name!r} is scaled by a tensor that has no contents; the file is damaged")
    # Where there are no zero points their index is -1, or was left at 0.
    return [scales] if zeros is None or "int" not in str(zeros.dtype) else [scales, zeros]


def _leaf(key: int, values: Mapping[int, Value]) -> Leaf | None:
    value = values.get(key)
    return None if value is None or value.data is None else Leaf(value.shape or (), value.dtype, key, value.name)


def _simplified(weight: Weight) -> Weight:
    """Literals are computed at once."""
    is_written = isinstance(weight, Apply) and all(isinstance(arg, Literal) for arg in weight.args)
    if is_written and math.prod(weight.shape) <= _EAGER_SIZE:
        return Literal.of(evaluate(weight, {}), of=[weight])
    return weight


def _fold(lowered: Lowered, spec: OpSpec | None, known: Shape | None, env: Mapping[Key, Array]) -> Weight | None:
    """The operator as an expression, when all it takes is constant; ``known`` is its shape where that is certain."""
    args = [arg for arg in lowered.inputs if isinstance(arg, Weight)]
    if spec is None or spec.evaluate is None or len(args) != len(lowered.inputs) or not args:
        return None
    if lowered.type == "IDENTITY":
        return args[0]
    dtype = spec.result_dtype(args, lowered.attributes)
    shape = _folded_shape(lowered, spec, args, env) if known is None else known
    return _simplified(Apply(shape, dtype, spec, tuple(args), lowered.attributes))


def _folded_shape(lowered: Lowered, spec: OpSpec, args: Sequence[Weight], env: Mapping[Key, Array]) -> Shape:
    if spec.infer_shape is not None:
        return spec.infer_shape([arg.shape for arg in args], lowered.attributes)
    # The contents decide (a list of sizes to fill), so they are looked at where they are known.
    is_known = all(leaf.key in env for arg in args for leaf in arg.leaves)
    arrays = [evaluate(arg, env) if is_known else np.zeros(arg.shape) for arg in args]
    return tuple(np.shape(spec.compute(arrays, lowered.attributes)))


def lower(source: Graph, reader_of: Callable[[str | int], Reader | None], env: Mapping[Key, Array]) -> Draft:
    """Reads a graph into canonical terms.

    Args:
        source: A graph as read from a file or traced from a model.
        reader_of: The dialect: operator type to reader.
        env: Contents of the constants.

    Returns:
        The draft that the rules go on with. An operator that nobody can read stays as it is, opaque.
    """
    source = with_tables(threaded(source))
    draft = Draft(source.values, source.inputs, env)
    made = {*source.inputs, *(value for op in source.ops() for value in op.outputs)}
    borrowed = _on_the_grid_of_another(source)
    for key, value in source.values.items():
        weight = source_weight(key, source.values)
        if weight is None and key not in made and 0 in (value.shape or ()):
            # An empty constant (the shape of a scalar) has no bytes to point at.
            weight = Literal.of(np.zeros(value.shape or (), np.int64))
        if weight is not None:
            draft.values[key] = _with_weight(value, clipped(weight, borrowed[key]) if key in borrowed else weight)
    draft.outputs = source.outputs
    for op in source.ops():
        _lower_op(op, draft, reader_of)
    return draft


def _on_the_grid_of_another(source: Graph) -> dict[int, set[str | int]]:
    """Constants with the very scale and zero point of a value of the operator that takes them, and who takes them.

    Operators that only choose among their operands' numbers (MINIMUM, SELECT_V2) need one grid for all.
    """
    grids = {value: grid for value, one in source.values.items() if (grid := _grid(one)) is not None}
    users: dict[int, set[str | int]] = defaultdict(set)
    if not grids:
        return users
    borrowed: set[int] = set()
    for op in source.ops():
        used = [value for value in (*op.inputs, *op.outputs) if value in grids]
        others = {grids[value] for value in used if source.values[value].data is None}
        constants = [value for value in used if source.values[value].data is not None]
        borrowed.update(value for value in constants if grids[value] in others)
        for value in constants:
            users[value].add(op.type)
    return {value: users[value] for value in borrowed}


def _grid(value: Value) -> tuple[bytes, bytes] | None:
    quantization = value.quantization
    if quantization is None or quantization.scale.size != 1:
        return None
    return quantization.scale.tobytes(), quantization.zero_point.tobytes()


def _with_weight(value: Value, weight: Weight) -> Value:
    return Value(value.name, weight.shape, value.dtype, quantization=value.quantization, weight=weight)


def _lower_op(op: Op, draft: Draft, reader_of: Callable[[str | int], Reader | None]) -> None:
    view = _View(op, draft)
    if op.type in SHAPE_ONLY and op.inputs and op.outputs:
        made = SHAPE_ONLY[op.type](view.shape(0))
        draft.values[op.outputs[0]] = _with_weight(draft.values[op.outputs[0]], made)
        return
    origin = Origin(op.id, op.type, op.layer)
    if op.type in ENDS:
        ENDS[op.type](op, draft, origin)
        return
    if op.type in _STATE_ENDS:
        lower_state(op, draft, origin)
        return
    if _expanded(view, reader_of):
        return
    found = _read(view, reader_of(op.type))
    if found is None:
        draft.opaque.add(op.id)
        kind = _unread(ops.without_flex(op.type))
        draft.add(op.evolve(type=kind, attributes=unregistered(op), origins=(origin,)))
        return
    lowered, shape, folded = found
    spec = ops.by_name(lowered.type)
    if spec is not None and spec.parts is not None:
        _lower_parts(op, draft, lowered, spec, origin)
        return
    if folded is not None:
        draft.values[op.outputs[0]] = _with_weight(draft.values[op.outputs[0]], folded)
        return
    inputs = tuple(draft.constant(arg) if isinstance(arg, Weight) else arg for arg in lowered.inputs)
    result = draft.values[op.outputs[0]]
    for output in op.outputs if spec is not None and spec.alike else op.outputs[:1]:
        known = draft.values[output]
        if _is_dynamic(known) or known.shape != shape:
            draft.values[output] = Value(known.name, shape, known.dtype, quantization=known.quantization)
    main = Op(op.id, lowered.type, inputs, op.outputs[: lowered.results], lowered.attributes, op.layer, (origin,))
    if lowered.channels_first:
        _add_channels_last(draft, main)
        return
    if lowered.activation is None:
        draft.add(main)
        return
    before = draft.new_value(shape, real_dtype(result), f"{result.name} before {lowered.activation}")
    draft.add(main.evolve(outputs=(before, *op.outputs[1:])))
    fused = Op(f"{op.id}.activation", lowered.activation, (before,), op.outputs[:1], {}, op.layer, (origin,))
    draft.add(fused)


def _expanded(view: _View, reader_of: Callable[[str | int], Reader | None]) -> bool:
    """Whether an operator was written out as many."""
    spec = ops.by_name(view.op.type)
    if spec is None or spec.expand is None:
        return False
    try:
        expand(view, view.op, spec, view.draft, lambda op: _lower_op(op, view.draft, reader_of))
        return True
    except Unsupported as error:
        view.draft.reasons[view.op.id] = str(error)
        return False
    except _UNREADABLE as error:
        _log.info("operator %s (%s) cannot be written out and stays opaque: %r", view.op.id, view.op.type, error)
        return False


def _unread(kind: str | int) -> str | int:
    """A type of its own for a layer that cannot be read: nothing may take it for one that can."""
    spec = ops.by_name(kind)
    return f"{kind} (unreadable)" if spec is not None and (spec.weights or spec.lower is not None) else kind


def _add_channels_last(draft: Draft, main: Op) -> None:
    """``NCHW(x) = TRANSPOSE(NHWC(TRANSPOSE(x)))``: one vocabulary for both orders of axes."""
    rank = len(draft.shape(main.inputs[0]))
    last, first = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    before, after = (_reordered(draft, value, last) for value in (main.inputs[0], main.outputs[0]))
    order = {"type": "TRANSPOSE", "attributes": {"perm": last}}
    draft.add(main.evolve(id=f"{main.id}.before", inputs=main.inputs[:1], outputs=(before,), **order))
    draft.add(main.evolve(inputs=(before, *main.inputs[1:]), outputs=(after, *main.outputs[1:])))
    order = {"type": "TRANSPOSE", "attributes": {"perm": first}}
    draft.add(main.evolve(id=f"{main.id}.after", inputs=(after,), outputs=main.outputs[:1], **order))


def _reordered(draft: Draft, value: int | None, order: Shape) -> int:
    shape = draft.shape(value)
    dtype = "float32" if value is None else draft.values[value].dtype
    return draft.new_value(tuple(shape[axis] for axis in order), dtype)


def _lower_parts(op: Op, draft: Draft, lowered: Lowered, spec: OpSpec, origin: Origin) -> None:
    """One operator per result, each a part of the operand."""
    whole = lowered.inputs[0]
    shape = whole.shape if isinstance(whole, Weight) else draft.shape(whole)
    assert spec.parts is not None
    name, attributes_of = spec.parts
    part = ops.by_name(name)
    listed = attributes_of(shape, lowered.attributes, len(op.outputs))
    for slot, (result, attributes) in enumerate(zip(op.outputs, listed, strict=True)):
        value = draft.values[result]
        made = Lowered(name, (whole,), attributes)
        here = (
            part.infer_shape([shape], attributes) if part is not None and part.infer_shape is not None else value.shape
        )
        draft.values[result] = value = Value(value.name, here, value.dtype, quantization=value.quantization)
        folded = _fold(made, part, here, draft.env)
        if folded is not None:
            draft.values[result] = _with_weight(value, folded)
        else:
            inputs = tuple(draft.constant(arg) if isinstance(arg, Weight) else arg for arg in made.inputs)
            name_of = op.id if slot == 0 else f"{op.id}.{slot}"
            draft.add(Op(name_of, name, inputs, (result,), attributes, op.layer, (origin,)))


def _read(view: _View, reader: Reader | None) -> tuple[Lowered, Shape | None, Weight | None] | None:
    """``(canonical operator, shape, expression when it is constant)``; None leaves the operator opaque.

    Options that are missing or absurd are no reason to stop: what cannot be read is shown as it is.
    """
    if reader is None:
        return None
    try:
        lowered = reader(view)
        if lowered is None:
            return None
        spec = ops.by_name(lowered.type)
        _check(view, lowered, spec)
        shape = _output_shape(view, lowered, spec)
        is_single = len(view.op.outputs) == 1 and lowered.activation is None
        known = lowered.shape if lowered.shape is not None else view.output_shape() or None
        return lowered, shape, _fold(lowered, spec, known, view.draft.env) if is_single else None
    except _UNREADABLE as error:
        _log.info("operator %s (%s) cannot be read and stays opaque: %r", view.op.id, view.op.type, error)
        return None


def _check(view: _View, lowered: Lowered, spec: OpSpec | None) -> None:
    """Raises where operands are missing, or where the numbers that decide cannot be computed from the options."""
    if spec is None:
        return
    wanted = sum(not role.startswith("*") for role in spec.roles)
    if len(lowered.inputs) < wanted or not view.op.outputs:
        raise ValueError(f"{len(lowered.inputs)} operands of {wanted}, {len(view.op.outputs)} results")
    if any(role == "bias" and isinstance(arg, int) for role, arg in zip(spec.roles, lowered.inputs, strict=False)):
        raise ValueError("a bias that is computed is no weight")
    if spec.lower is not None:
        shapes = [arg.shape if isinstance(arg, Weight) else view.draft.shape(arg) for arg in lowered.inputs]
        spec.lower(lowered.attributes, shapes)


def _output_shape(view: _View, lowered: Lowered, spec: OpSpec | None) -> Shape | None:
    """What the reader knows, else what the source says for certain, else what the operator's own rule gives."""
    # Old converters left shapes out, which reads as a scalar.
    known = lowered.shape if lowered.shape is not None else view.output_shape() or None
    if known is not None:
        return known
    if spec is not None and spec.infer_shape is not None:
        shapes = [arg.shape if isinstance(arg, Weight) else view.draft.shape(arg) for arg in lowered.inputs]
        if lowered.channels_first:
            batch, channels, *spatial = shapes[0]
            batch, *spatial, channels = spec.infer_shape([(batch, *spatial, channels), *shapes[1:]], lowered.attributes)
            return (batch, channels, *spatial)
        return spec.infer_shape(shapes, lowered.attributes)
    return view.draft.values[view.op.outputs[0]].shape

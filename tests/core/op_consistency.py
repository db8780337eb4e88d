"""``assert_consistent_op``: every facet of an operator agrees with every other, and with LiteRT or TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import tflrecover
from tests.core import op_examples as examples
from tests.core.op_files import Example, Given
from tests.tflite.builders import code, model, operator, pack, tensor
from tflrecover import ops, tolerances
from tflrecover.ops.window import window_pads
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.tflite import flattened
from tflrecover.transfer.solve import MOVES
from tflrecover.weight import Literal, evaluate

# Attributes that a reader records beside what a user declares.
_DERIVED = {"dtype"}


def assert_consistent_op(spec: ops.OpSpec) -> None:
    """Checks what can be checked of an operator; what cannot is named in ``op_examples``, with the reason."""
    _check_words(spec)
    assert (spec.evaluate is None) == (spec.name in examples.NOT_EVALUATED), (
        f"{spec.name}: evaluate is {'missing' if spec.evaluate is None else 'there'}; put down the reason in "
        "op_examples.NOT_EVALUATED, or take it out"
    )
    if spec.tflite is not None and spec.name not in examples.NO_FILE:
        assert spec.name in examples.FILES, f"{spec.name} needs an example in op_examples.FILES or a reason in NO_FILE"
        _check_file(spec, examples.FILES[spec.name])
    if spec.name in examples.CANONICAL:
        args, attributes = examples.CANONICAL[spec.name]
        _check_facets(spec, args, attributes)
        _check_tensorflow(spec, args)


def _check_words(spec: ops.OpSpec) -> None:
    """Roles, weights, declared attributes and parts name things that are there."""
    assert spec.weights <= set(spec.roles)
    assert len(set(spec.declared)) == len(spec.declared)
    assert not spec.commutative or len(spec.roles) == 2
    assert spec.parts is None or ops.by_name(spec.parts[0]) is not None
    for name, reader in spec.tf.items():
        assert ops.tf_reader(name) is reader, f"{name} is read by two operators"


def _check_file(spec: ops.OpSpec, example: Example) -> None:
    """The reader reads it, and shape and numbers are LiteRT's."""
    content, feeds, results = run(spec.name, example)
    file = tflrecover.read(content)
    source = flattened(file)
    draft = lower(source, ops.tflite_reader, Contents(source))
    values = dict(zip(draft.inputs, feeds, strict=True))
    for op in draft.ordered():
        made = ops.by_name(op.type)
        assert made is not None, f"{spec.name} stays opaque"
        args = [_operand(draft, value, values) for value in op.inputs]
        wanted = [results[draft.outputs.index(value)] for value in op.outputs if value in draft.outputs]
        _check_facets(made, args, op.attributes, wanted)
        if made.evaluate is None:
            assert len(draft.ops) == 1
            return
        for value, array in zip(op.outputs, made.evaluate(args, op.attributes), strict=False):
            values[value] = np.asarray(array)
    for value, wanted in zip(draft.outputs, results, strict=True):
        got = values[value] if draft.weight(value) is None else evaluate(draft.weight(value), draft.env)
        assert_close(got, wanted)


def _operand(draft: Draft, value: int | None, values: Mapping[int, Any]) -> Any:
    if value is None:
        return None
    weight = draft.weight(value)
    return values[value] if weight is None else evaluate(weight, draft.env)


def _check_facets(
    spec: ops.OpSpec, args: Sequence[Any], attributes: Mapping[str, Any], results: Sequence[Any] = ()
) -> None:
    """Shapes, exchanged operands, inverses and lowered numbers, on one example in canonical terms."""
    assert set(spec.declared) <= set(attributes)
    assert set(attributes) <= {*spec.declared, *_DERIVED} or spec.name in examples.CANONICAL
    shapes = [np.shape(arg) for arg in args if arg is not None]
    if results and spec.infer_shape is not None:
        assert tuple(spec.infer_shape(shapes, attributes)) == results[0].shape
    if spec.evaluate is not None:
        result = spec.compute(args, attributes)
        if spec.infer_shape is not None:
            assert tuple(spec.infer_shape(shapes, attributes)) == result.shape
        _check_dtype(spec, args, attributes, result)
        _check_commutative(spec, args, attributes, result)
        _check_inverse(spec, args, attributes, result)
    if spec.lower is not None:
        _check_lower(spec, shapes, attributes)


def _check_dtype(spec: ops.OpSpec, args: Sequence[Any], attributes: Mapping[str, Any], result: Any) -> None:
    """What an expression claims to be is what is computed: numbers would be cast to it."""
    if all(isinstance(arg, np.ndarray) and arg.dtype.kind in "biuf" for arg in args):
        claimed = spec.result_dtype([Literal.of(arg) for arg in args], attributes)
        assert (claimed == "bool") == (result.dtype == bool), f"{spec.name} claims {claimed}"


def _check_commutative(spec: ops.OpSpec, args: Sequence[Any], attributes: Mapping[str, Any], result: Any) -> None:
    if spec.roles != ("x", "y") or attributes:
        return
    exchanged = spec.compute(args[::-1], attributes)
    assert np.array_equal(exchanged, result) == spec.commutative


def _check_inverse(spec: ops.OpSpec, args: Sequence[Any], attributes: Mapping[str, Any], result: Any) -> None:
    """An operand that was undone makes the same result; of what only moves numbers, to the bit."""
    if spec.inverse is None:
        return
    known = _but_one_of_each_sum(args[0], attributes["axis"]) if spec.name == "SUM" else args
    for slot in range(len(args)):
        try:
            undone = np.asarray(spec.inverse(slot, result, known, attributes))
        except ValueError:
            # The operator says that this operand cannot be told from the result.
            assert slot > 0
            continue
        assert undone.shape == np.shape(args[slot])
        again = spec.compute([*args[:slot], undone, *args[slot + 1 :]], attributes)
        if spec.name in MOVES:
            assert np.array_equal(again, result)
        else:
            assert_close(again, result)


def _but_one_of_each_sum(x: Any, axes: Sequence[int]) -> list[Any]:
    open_ = np.array(x)
    open_[tuple(0 if axis in axes else slice(None) for axis in range(open_.ndim))] = np.nan
    return [open_]


def _check_lower(spec: ops.OpSpec, shapes: Sequence[Any], attributes: Mapping[str, Any]) -> None:
    """What is declared decides: alone, and each of it; SAME is the explicit padding with its numbers."""
    declared = {name: attributes[name] for name in spec.declared}
    numbers = spec.lower(declared, shapes)
    assert spec.lower(attributes, shapes) == numbers
    for name in spec.declared:
        changed = {**declared, name: examples.OTHERWISE[name](declared[name])}
        assert spec.lower(changed, shapes) != numbers, f"{name} decides nothing"
    size = next((name for name in ("kernel_size", "pool_size") if name in declared), None)
    if size is not None and spec.name != "TRANSPOSE_CONV":
        explicit = window_pads(shapes[0][1:-1], declared, size)
        assert spec.lower({**declared, "padding": explicit}, shapes) == numbers


def _check_tensorflow(spec: ops.OpSpec, args: Sequence[Any]) -> None:
    """The TensorFlow operators that are said to mean the same do so."""
    for name in spec.tf if spec.family in ("unary", "activation") else ():
        raw = getattr(tf.raw_ops, name)
        operand = "features" if spec.family == "activation" else "x"
        assert_close(spec.compute(args, {}), raw(**{operand: args[0]}).numpy())


def assert_close(got: Any, wanted: Any) -> None:
    """The same shape, and numbers within the tolerance of an operator in float32."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    if wanted.dtype.kind not in "fc":
        assert np.array_equal(got, wanted)
        return
    assert np.abs(got - wanted).max(initial=0) <= tolerances.OUTPUT * np.abs(wanted).max(initial=0)


def run(name: str, example: Example) -> tuple[bytes, list[Any], list[Any]]:
    """``(file, what is fed, results of LiteRT)``; the file says the shapes that LiteRT gives."""
    feeds, results = _run(_file(name, example, [()] * example.results), example)
    return _file(name, example, [array.shape for array in results]), feeds, results


def _run(content: bytes, example: Example) -> tuple[list[Any], list[Any]]:
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    feeds = [operand.array for operand in example.operands if isinstance(operand, Given)]
    for detail, array in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return feeds, [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def _file(name: str, example: Example, shapes: Sequence[Any]) -> bytes:
    tensors, buffers, slots, inputs = [], [b""], [], []
    for operand in example.operands:
        if operand is None:
            slots.append(-1)
            continue
        is_given = isinstance(operand, Given)
        array = np.asarray(operand.array if is_given else operand)
        if is_given:
            inputs.append(len(tensors))
        else:
            buffers.append(array.tobytes())
        slots.append(len(tensors))
        kind = getattr(schema.TensorType, array.dtype.name.upper())
        tensors.append(tensor(f"t{len(tensors)}", array.shape, 0 if is_given else len(buffers) - 1, kind))
    outputs = range(len(tensors), len(tensors) + example.results)
    kinds = example.kind if isinstance(example.kind, tuple) else (example.kind,) * example.results
    for shape, kind in zip(shapes, kinds, strict=True):
        tensors.append(tensor(f"t{len(tensors)}", shape, 0, getattr(schema.TensorType, kind.upper())))
    table = f"{example.options}Options" if example.options else ""
    options = getattr(schema, f"{table}T")() if table else None
    for key, value in example.fields.items():
        assert hasattr(options, key), key
        setattr(options, key, value)
    made = operator(0, slots, outputs, options, getattr(schema.BuiltinOptions, table, 0))
    if hasattr(schema.BuiltinOptions2, table):
        made.builtinOptions, made.builtinOptionsType = None, 0
        made.builtinOptions2, made.builtinOptions2Type = options, getattr(schema.BuiltinOptions2, table)
    builtin = code(getattr(schema.BuiltinOperator, name))
    builtin.version = example.version
    return pack(model(tensors, [made], [builtin], inputs, outputs, buffers))

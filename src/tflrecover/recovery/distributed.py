"""What a file does with each step of a sequence, and stacks, is a layer that is called on all of them.

Keras calls the layer of a ``TimeDistributed`` once for each step, so that a file has it as often. Operators of one kind
with the same constants, each on the next place of one sequence, are one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.distributed import Step, is_of_layers
from tflrecover.ops.slicing import WHOLE
from tflrecover.recovery.recurrent import become, unstack
from tflrecover.recovery.sequences import batch_first
from tflrecover.rewrite.common import freeze, signature
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array
from tflrecover.rewrite.writer import Writer


def distribute_steps(draft: Draft) -> int:
    """``PACK(f(x[0]), f(x[1]), …) = TIME_DISTRIBUTED(f)(x)``."""
    count = 0
    for stack in draft.ordered("PACK"):
        found = _found(draft, stack) if len(stack.inputs) > 1 and stack.attributes["axis"] in (0, 1) else None
        if found is not None:
            _replace(draft, stack, *found)
            draft.prune()
            count += 1
    return count


def _found(draft: Draft, stack: Op) -> tuple[int, list[Op]] | None:
    """The sequence, batch first, and what is done with its first step, in order."""
    values, done = list(stack.inputs), list[Op]()
    while True:
        made = [draft.producer(value) for value in values]
        row = [op for op in made if op is not None and op.inputs and op.id not in draft.opaque]
        if len(row) != len(values) or len({op.id for op in row}) != len(row):
            return None
        if (x := _sequence(draft, row)) is not None:
            return (x, done[::-1]) if done else None
        if len({_kind(draft, op) for op in row}) != 1 or not _is_layer(draft, row[0]):
            return None
        done.append(row[0])
        values = [op.inputs[0] for op in row]


def _kind(draft: Draft, op: Op) -> Hashable:
    """What operators have in common that are one layer; each that takes more than one value is of a kind of its own."""
    weights = [draft.weight(value) for value in op.inputs[1:]]
    if any(weight is None and value is not None for weight, value in zip(weights, op.inputs[1:], strict=True)):
        return op.id
    constants = tuple(None if weight is None else signature(weight, draft) for weight in weights)
    return op.type, freeze(op.attributes), constants, len(op.outputs)


def _is_layer(draft: Draft, op: Op) -> bool:
    step = _step(draft, op)
    return step is not None and is_of_layers(step, [array(draft, value) for value in op.inputs[1:]])


def _step(draft: Draft, op: Op) -> Step | None:
    spec, (result, *others) = ops.by_name(op.type), op.outputs
    if spec is None or spec.keras is None or others or not draft.shape(result):
        return None
    shapes = tuple(() if value is None else draft.shape(value) for value in op.inputs)
    dtype = str(draft.values[result].dtype)
    return Step(str(op.type), op.attributes, dtype, draft.shape(result), shapes, spec.keras)


def _sequence(draft: Draft, row: Sequence[Op]) -> int | None:
    """What all are one place of, in order, with the batch first; None where they are not."""
    if {op.type for op in row} != {"STRIDED_SLICE"} or len({op.inputs[0] for op in row}) != 1:
        return None
    x = row[0].inputs[0]
    assert x is not None
    for axis, lead in enumerate(((), (WHOLE,))):
        if [op.attributes["slices"] for op in row] == [(*lead, place) for place in range(len(row))]:
            is_whole = draft.shape(x)[axis : axis + 1] == (len(row),)
            return (x if axis else batch_first(draft, Writer(draft, row[0]), x)) if is_whole else None
    return None


def _replace(draft: Draft, stack: Op, x: int, done: Sequence[Op]) -> None:
    write, steps = Writer(draft, stack), len(stack.inputs)
    for op in done:
        batch, *rest = draft.shape(op.outputs[0])
        known = draft.values[op.outputs[0]]
        made = draft.new_value((batch, steps, *rest), known.dtype, known.name)
        attributes = {"layer": _step(draft, op)}
        draft.add(
            op.evolve(
                id=f"{op.id}.steps",
                type="TIME_DISTRIBUTED",
                inputs=(x, *op.inputs[1:]),
                outputs=(made,),
                attributes=attributes,
            )
        )
        x = made
    if stack.attributes["axis"] == 0:
        unstack(draft, write, stack.outputs[0], x)
    else:
        become(draft, write, stack.outputs[0], x)

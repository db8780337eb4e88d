"""Whole recurrent layers as one operator, written out as the loop that they are.

What the operators compute stands in LiteRT's kernels (``unidirectional_sequence_lstm.cc`` and its like). With
``z = x·K + h·R + b`` and its four parts, in the order of the file's operands:

    c' = sigmoid(z_f) · c + sigmoid(z_i) · g(z_c)          h' = sigmoid(z_o) · g(c')

States are variable tensors of the file: zero before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.spec import OpSpec, Source, Unsupported, Writer

Result = tuple[int, ...]

# What the converter writes for every Keras LSTM, which clips nothing: far from where a cell state ever is.
_CONVERTER_CLIP = 10.0
_TIME_AND_BATCH = np.array([1, 0, 2], np.int32)


def activated(write: Writer, name: object, x: int) -> int:
    """A value behind the activation that an operator has fused."""
    return x if name in ("NONE", None) else write(str(name), x)[0]


def _gates(write: Writer, z: int) -> tuple[int, ...]:
    return write("SPLIT", write.constant(np.int32(1)), z, results=4, num_splits=4)


def _product(write: Writer, x: int, kernel: int, bias: int | None = None) -> int:
    return write("FULLY_CONNECTED", x, kernel, bias)[0]


def _lstm_step(write: Writer, gates: Sequence[int], cell: int, activation: object) -> tuple[int, int]:
    """``(h', c')`` from the parts of z in the order input, forget, cell, output."""
    i, f, g, o = gates
    kept = write("MUL", write("LOGISTIC", f)[0], cell)[0]
    added = write("MUL", write("LOGISTIC", i)[0], activated(write, activation, g))[0]
    cell = write("ADD", kept, added)[0]
    return write("MUL", write("LOGISTIC", o)[0], activated(write, activation, cell))[0], cell


def _joined(write: Writer, parts: Sequence[int]) -> int:
    return write("CONCATENATION", *parts, axis=0)[0]


def _present(source: Source, slots: Sequence[int]) -> list[int]:
    """Operands that must be there.

    Raises:
        ValueError: one is left out.
    """
    found = [value for slot in slots if (value := source.inputs[slot]) is not None]
    if len(found) != len(slots):
        raise ValueError(f"an operand of {source.type} is left out")
    return found


class _Lstm:
    """The weights of one direction."""

    def __init__(self, source: Source, write: Writer, first: int) -> None:
        gates = (_present(source, range(first + i, first + i + 4)) for i in (0, 4, 11))
        self.kernel, self.recurrent, self.bias = (_joined(write, parts) for parts in gates)
        self.units = source.shape(first)[0]
        self.states = 2

    def step(self, write: Writer, x: int, states: Sequence[int], activation: object) -> tuple[int, ...]:
        z = write("ADD", _product(write, x, self.kernel), _product(write, states[0], self.recurrent))[0]
        z = write("ADD", z, self.bias)[0]
        return _lstm_step(write, _gates(write, z), states[1], activation)


class _Simple:
    """The weights of one direction."""

    def __init__(self, source: Source, write: Writer, first: int) -> None:
        self.kernel, self.recurrent = _present(source, [first, first + 1])
        self.bias = source.inputs[first + 2]
        self.units = source.shape(first)[0]
        self.states = 1

    def step(self, write: Writer, x: int, states: Sequence[int], activation: object) -> tuple[int, ...]:
        x = _product(write, x, self.kernel, self.bias)
        return (activated(write, activation, write("ADD", x, _product(write, states[0], self.recurrent))[0]),)


def _sequence(source: Source, write: Writer, cell: _Lstm | _Simple, *, backwards: bool = False) -> int:
    """The loop of one direction over the operator's first operand; its outputs in the operand's order of axes."""
    is_time_major, x = bool(source.attributes.get("time_major")), source.inputs[0]
    assert x is not None
    trips, batch = _sizes(source.shape(0), is_time_major)
    if not is_time_major:
        x = write("TRANSPOSE", x, write.constant(_TIME_AND_BATCH))[0]
    if backwards:
        x = write("REVERSE_V2", x, write.constant(np.array([0], np.int32)))[0]
    zeros = write.constant(np.zeros((batch, cell.units), np.float32))
    index, *states = write("LOOP", *[zeros] * cell.states, results=1 + cell.states)
    item = write("GATHER", x, index, axis=0)[0]
    following = cell.step(write, item, states, source.attributes.get("fused_activation_function"))
    *_, result = write("END_LOOP", index, None, *following, following[0], results=cell.states + 1, trips=trips)
    if not is_time_major:
        result = write("TRANSPOSE", result, write.constant(_TIME_AND_BATCH))[0]
    if backwards:
        axis = 0 if is_time_major else 1
        result = write("REVERSE_V2", result, write.constant(np.array([axis], np.int32)))[0]
    return result


def _sizes(shape: Shape, is_time_major: bool) -> tuple[int, int]:
    return (shape[0], shape[1]) if is_time_major else (shape[1], shape[0])


def _has(source: Source, slots: Sequence[int]) -> bool:
    return any(slot < len(source.inputs) and source.inputs[slot] is not None for slot in slots)


def _refuse(found: Mapping[str, bool]) -> None:
    """Raises where the operator has something that no recurrent layer of Keras has.

    Raises:
        Unsupported: with what it has.
    """
    has = [what for what, is_there in found.items() if is_there]
    if has:
        raise Unsupported(f"it has {' and '.join(has)}, which no recurrent layer of Keras has")


def _of_direction(source: Source, first: int) -> dict[str, bool]:
    """What one direction of an LSTM may have besides its four gates, and whether it has it."""
    clips = source.attributes.get("cell_clip") or 0.0, source.attributes.get("proj_clip") or 0.0
    return {
        "a gate that is left out": not all(_has(source, [first + i]) for i in (*range(8), *range(11, 15))),
        "peephole weights": _has(source, range(first + 8, first + 11)),
        "a projection": _has(source, range(first + 15, first + 17)),
        f"a clip of {clips[0]:g} and {clips[1]:g}": clips not in ((0.0, 0.0), (_CONVERTER_CLIP, 0.0)),
    }


def _unidirectional_lstm(source: Source, write: Writer) -> Result:
    others = {
        "a layer normalization": _has(source, range(20, 24)),
        "diagonal recurrent kernels": bool(source.attributes.get("diagonal_recurrent_tensors")),
    }
    _refuse({**_of_direction(source, 1), **others})
    return (_sequence(source, write, _Lstm(source, write, 1)),)


def _both(source: Source, write: Writer, forward: int, backward: int) -> Result:
    if not source.attributes.get("merge_outputs"):
        return forward, backward
    return (write("CONCATENATION", forward, backward, axis=2)[0],)


def _bidirectional_lstm(source: Source, write: Writer) -> Result:
    auxiliary = {"an auxiliary input": _has(source, range(39, 48))}
    for first in (1, 18):
        _refuse({**_of_direction(source, first), **auxiliary})
    forward = _sequence(source, write, _Lstm(source, write, 1))
    return _both(source, write, forward, _sequence(source, write, _Lstm(source, write, 18), backwards=True))


def _unidirectional_rnn(source: Source, write: Writer) -> Result:
    return (_sequence(source, write, _Simple(source, write, 1)),)


def _bidirectional_rnn(source: Source, write: Writer) -> Result:
    _refuse({"an auxiliary input": _has(source, range(9, 12))})
    forward = _sequence(source, write, _Simple(source, write, 1))
    return _both(source, write, forward, _sequence(source, write, _Simple(source, write, 5), backwards=True))


def _basic_lstm(source: Source, write: Writer) -> Result:
    """One step with explicit states; the rows of its kernel are the gates input, cell, forget, output."""
    _refuse({"the full kernel type": source.attributes.get("kernel_type") != "BASIC"})
    x, h, kernel, bias, cell = _present(source, range(5))
    size, units = source.shape(0)[-1], source.shape(1)[-1]
    rows = [_rows(write, kernel, bias, i * units, units, size) for i in (0, 2, 1, 3)]
    kernels, recurrents, biases = (_joined(write, parts) for parts in zip(*rows, strict=True))
    z = write("ADD", _product(write, x, kernels), _product(write, h, recurrents))[0]
    z = write("ADD", z, biases)[0]
    return _lstm_step(write, _gates(write, z), cell, "TANH")


def _basic_rnn(source: Source, write: Writer) -> Result:
    """One step; its state is a variable of the file that goes on in the next call."""
    cell, x = _Simple(source, write, 1), source.inputs[0]
    if x is None:
        raise ValueError("RNN has no input")
    variable = f"tensor {source.inputs[4]}"
    zeros = write.constant(np.zeros((source.shape(0)[0], cell.units), np.float32))
    state = write("STATE", zeros, variable=variable)[0]
    (result,) = cell.step(write, x, [state], source.attributes.get("fused_activation_function"))
    write("NEXT_STATE", state, result, variable=variable)
    return (result,)


def _rows(write: Writer, kernel: int, bias: int, start: int, units: int, size: int) -> tuple[int, int, int]:
    def part(value: int, begin: list[int], extent: list[int]) -> int:
        arrays = (write.constant(np.array(numbers, np.int32)) for numbers in (begin, extent))
        return write("SLICE", value, *arrays)[0]

    return (
        part(kernel, [start, 0], [units, size]),
        part(kernel, [start, size], [units, units]),
        part(bias, [start], [units]),
    )


SPECS = (
    OpSpec("UNIDIRECTIONAL_SEQUENCE_LSTM", expand=_unidirectional_lstm),
    OpSpec("BIDIRECTIONAL_SEQUENCE_LSTM", expand=_bidirectional_lstm),
    OpSpec("UNIDIRECTIONAL_SEQUENCE_RNN", expand=_unidirectional_rnn),
    OpSpec("BIDIRECTIONAL_SEQUENCE_RNN", expand=_bidirectional_rnn),
    OpSpec("LSTM", expand=_basic_lstm),
    OpSpec("RNN", expand=_basic_rnn),
)

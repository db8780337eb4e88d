"""Whole recurrent layers as one operator, written out as the loop that they are.

What the operators compute stands in LiteRT's kernels (``unidirectional_sequence_lstm.cc`` and its like). With
``z = x·K + h·R + b`` and its four parts, in the order of the file's operands:

    c' = sigmoid(z_f) · c + sigmoid(z_i) · g(z_c)          h' = sigmoid(z_o) · g(c')

States are variable tensors of the file: zero before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.lstm import BIASES, KERNELS, PROJECTION, RECURRENT, FullLstm, clips, operand
from tflrecover.ops.readers import activated
from tflrecover.ops.spec import OpSpec, Source, Writer

Result = tuple[int, ...]

_TIME_AND_BATCH = np.array([1, 0, 2], np.int32)


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
        self._write = write
        gates = (_present(source, range(first + i, first + i + 4)) for i in (KERNELS, RECURRENT, BIASES))
        self.kernel, self.recurrent, self.bias = (_joined(write, parts) for parts in gates)
        self.sizes = (source.shape(first)[0],) * 2

    def step(self, x: int, states: Sequence[int], activation: object, auxiliary: int | None = None) -> tuple[int, ...]:
        write = self._write
        z = write("ADD", _product(write, x, self.kernel), _product(write, states[0], self.recurrent))[0]
        z = write("ADD", z, self.bias)[0]
        return _lstm_step(write, _gates(write, z), states[1], activation)


class _Simple:
    """The weights of one direction."""

    def __init__(self, source: Source, write: Writer, first: int, auxiliary: int | None = None) -> None:
        self._write = write
        self.kernel, self.recurrent = _present(source, [first, first + 1])
        self.bias = source.inputs[first + 2]
        self.auxiliary = None if auxiliary is None else operand(source, auxiliary)
        self.sizes = (source.shape(first)[0],)

    def step(self, x: int, states: Sequence[int], activation: object, auxiliary: int | None = None) -> tuple[int, ...]:
        write = self._write
        z = write("ADD", _product(write, x, self.kernel, self.bias), _product(write, states[0], self.recurrent))[0]
        if auxiliary is not None and self.auxiliary is not None:
            z = write("ADD", z, _product(write, auxiliary, self.auxiliary))[0]
        return (activated(write, activation, z),)


_Cell = _Lstm | FullLstm | _Simple


def _sequence(
    source: Source, write: Writer, cell: _Cell, *, slot: int = 0, auxiliary: int | None = None, backwards: bool = False
) -> int:
    """The loop of one direction over an operand; its outputs in the operand's order of axes.

    Args:
        source: The operator.
        write: Writes what it is.
        cell: What one step computes.
        slot: The operand.
        auxiliary: Another operand that each step gets a part of; None: there is none.
        backwards: Whether the last part comes first.
    """
    is_time_major = bool(source.attributes.get("time_major"))
    trips, batch = _sizes(source.shape(slot), is_time_major)
    parts = [_time_first(source, write, part, backwards) for part in (slot, auxiliary) if part is not None]
    zeros = [write.constant(np.zeros((batch, size), np.float32)) for size in cell.sizes]
    index, *states = write("LOOP", *zeros, results=1 + len(zeros))
    items = [write("GATHER", part, index, axis=0)[0] for part in parts]
    activation = source.attributes.get("fused_activation_function")
    following = cell.step(items[0], states, activation, *items[1:])
    *_, result = write("END_LOOP", index, None, *following, following[0], results=len(zeros) + 1, trips=trips)
    if not is_time_major:
        result = write("TRANSPOSE", result, write.constant(_TIME_AND_BATCH))[0]
    if backwards:
        axis = 0 if is_time_major else 1
        result = write("REVERSE_V2", result, write.constant(np.array([axis], np.int32)))[0]
    return result


def _time_first(source: Source, write: Writer, slot: int, backwards: bool) -> int:
    (x,) = _present(source, [slot])
    if not source.attributes.get("time_major"):
        x = write("TRANSPOSE", x, write.constant(_TIME_AND_BATCH))[0]
    return write("REVERSE_V2", x, write.constant(np.array([0], np.int32)))[0] if backwards else x


def _sizes(shape: Shape, is_time_major: bool) -> tuple[int, int]:
    return (shape[0], shape[1]) if is_time_major else (shape[1], shape[0])


def _has(source: Source, slots: Sequence[int]) -> bool:
    return any(operand(source, slot) is not None for slot in slots)


def _extras(source: Source, *firsts: int, norms: int | None = None, auxiliary: int | None = None) -> str:
    """What an LSTM has besides what those of Keras have, as a sentence; empty where it is one of theirs.

    Args:
        source: The operator.
        firsts: The first operand of each direction.
        norms: The first coefficients of a layer normalization, where it can have some.
        auxiliary: The slot of an auxiliary input, where it can have one.
    """
    cell, projection = clips(source)
    gates = [first + group + i for first in firsts for group in (KERNELS, RECURRENT, BIASES) for i in range(4)]
    found = {
        "a gate that is left out": any(operand(source, slot) is None for slot in gates),
        "peephole weights": any(_has(source, range(first + 8, first + 11)) for first in firsts),
        "a projection": any(_has(source, range(first + PROJECTION, first + PROJECTION + 2)) for first in firsts),
        f"a clip of {cell:g} and {projection:g}": bool(cell or projection),
        "a layer normalization": norms is not None and _has(source, range(norms, norms + 4)),
        "diagonal recurrent kernels": bool(source.attributes.get("diagonal_recurrent_tensors")),
        "an auxiliary input": auxiliary is not None and _has(source, [auxiliary]),
    }
    has = [what for what, is_there in found.items() if is_there]
    return f"it has {' and '.join(has)}, which no recurrent layer of Keras has" if has else ""


def _unidirectional_lstm(source: Source, write: Writer) -> Result:
    extras = _extras(source, 1, norms=20)
    write.because(extras)
    cell = FullLstm(source, write, 1, norms=20) if extras else _Lstm(source, write, 1)
    return (_sequence(source, write, cell),)


def _both(source: Source, write: Writer, forward: int, backward: int) -> Result:
    if not source.attributes.get("merge_outputs"):
        return forward, backward
    return (write("CONCATENATION", forward, backward, axis=2)[0],)


def _linked(source: Source, auxiliary: int, kernels: Sequence[int]) -> tuple[int, int | None]:
    """The operand that the backward direction goes over, and the auxiliary one of both directions.

    With kernels of its own both directions add an auxiliary input to their gates; without, it is the backward one's.
    """
    if not _has(source, [auxiliary]):
        return 0, None
    return (0, auxiliary) if _has(source, kernels) else (auxiliary, None)


def _bidirectional_lstm(source: Source, write: Writer) -> Result:
    extras = _extras(source, 1, 18, auxiliary=39)
    write.because(extras)

    def cell(first: int, kernels: int) -> _Cell:
        return FullLstm(source, write, first, auxiliary=kernels) if extras else _Lstm(source, write, first)

    slot, auxiliary = _linked(source, 39, range(40, 48))
    forward = _sequence(source, write, cell(1, 40), auxiliary=auxiliary)
    return _both(
        source, write, forward, _sequence(source, write, cell(18, 44), slot=slot, auxiliary=auxiliary, backwards=True)
    )


def _unidirectional_rnn(source: Source, write: Writer) -> Result:
    return (_sequence(source, write, _Simple(source, write, 1)),)


def _bidirectional_rnn(source: Source, write: Writer) -> Result:
    slot, auxiliary = _linked(source, 9, range(10, 12))
    forward = _sequence(source, write, _Simple(source, write, 1, 10), auxiliary=auxiliary)
    cell = _Simple(source, write, 5, 11)
    return _both(source, write, forward, _sequence(source, write, cell, slot=slot, auxiliary=auxiliary, backwards=True))


def _lstm(source: Source, write: Writer) -> Result:
    return _basic_lstm(source, write) if source.attributes.get("kernel_type") == "BASIC" else _full_lstm(source, write)


def _full_lstm(source: Source, write: Writer) -> Result:
    """One step; its states are variables of the file that go on in the next call."""
    cell, (x,), batch = FullLstm(source, write, 1, norms=20), _present(source, [0]), source.shape(0)[0]
    variables = [f"tensor {source.inputs[slot]}" for slot in (18, 19)]
    zeros = [write.constant(np.zeros((batch, size), np.float32)) for size in cell.sizes]
    states = [write("STATE", zero, variable=name)[0] for zero, name in zip(zeros, variables, strict=True)]
    following = cell.step(x, states, source.attributes.get("fused_activation_function"))
    for state, left, name in zip(states, following, variables, strict=True):
        write("NEXT_STATE", state, left, variable=name)
    return following[:1]


def _basic_lstm(source: Source, write: Writer) -> Result:
    """One step with explicit states; the rows of its kernel are the gates input, cell, forget, output."""
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
    zeros = write.constant(np.zeros((source.shape(0)[0], *cell.sizes), np.float32))
    state = write("STATE", zeros, variable=variable)[0]
    (result,) = cell.step(x, [state], source.attributes.get("fused_activation_function"))
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
    OpSpec("LSTM", expand=_lstm),
    OpSpec("RNN", expand=_basic_rnn),
)

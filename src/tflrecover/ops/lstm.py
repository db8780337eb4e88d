"""The cell of LiteRT's LSTM operators with all that the schema knows (``lstm_eval.cc``).

A gate is, with what the file has of it:

    gate(c) = act(norm(x·K + a·A + h·R + p * c) + b)      norm(z) = (z - mean z) / sqrt(var z + 1e-8) * scale, or z

and one step, with ``i = 1 - f`` where the file has no input gate:

    f = gate_f(c)   i = gate_i(c)   c' = clip(f * c + i * gate_c)   o = gate_o(c')   h' = clip(o * act(c') · P + q)

``a`` is an auxiliary input, ``p`` the weights of a peephole, ``P`` and ``q`` a projection. Where ``R`` is diagonal, it
is a vector, and the product is one number by number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflrecover.ops.readers import activated
from tflrecover.ops.spec import Source, Writer

# What the converter writes for every Keras LSTM, which clips nothing: far from where a cell state ever is.
_CONVERTER_CLIP = 10.0

INPUT, FORGET, CELL, OUTPUT = range(4)
_GATES = 4
_NORM_EPSILON = 1e-8
# From the first operand of a direction to its kernels, recurrent kernels, biases and projection.
KERNELS, RECURRENT, BIASES, PROJECTION = 0, 4, 11, 15
# The cell itself has no peephole.
_PEEPHOLES = {INPUT: 8, FORGET: 9, OUTPUT: 10}


def operand(source: Source, slot: int) -> int | None:
    """An operand, or None where it is left out, as the last ones may be by being fewer."""
    return source.inputs[slot] if slot < len(source.inputs) else None


def clips(source: Source) -> tuple[float, float]:
    """The largest magnitudes of a cell state and of a projection; 0 where there is no bound."""
    cell, projection = (float(source.attributes.get(name) or 0.0) for name in ("cell_clip", "proj_clip"))
    return (0.0 if cell == _CONVERTER_CLIP else cell), projection


class FullLstm:
    """The weights of one direction.

    Args:
        source: The operator.
        write: Writes what it is.
        first: Its kernel of the input gate; the others follow in the order of the schema.
        norms: Its first coefficients of a layer normalization; None where it can have none.
        auxiliary: Its first kernel for an auxiliary input; None where it can have none.
    """

    def __init__(
        self, source: Source, write: Writer, first: int, norms: int | None = None, auxiliary: int | None = None
    ) -> None:
        self._write = write
        self._kernels, self._recurrent, self._biases = (
            [operand(source, first + group + gate) for gate in range(_GATES)] for group in (KERNELS, RECURRENT, BIASES)
        )
        self._peepholes = {gate: operand(source, first + slot) for gate, slot in _PEEPHOLES.items()}
        self._norms = [None if norms is None else operand(source, norms + gate) for gate in range(_GATES)]
        self._auxiliary = [None if auxiliary is None else operand(source, auxiliary + gate) for gate in range(_GATES)]
        self._projection, self._offset = (operand(source, first + PROJECTION + i) for i in (0, 1))
        self._clips = clips(source)
        cells = source.shape(first + KERNELS + FORGET)[0]
        self.sizes = (cells if self._projection is None else source.shape(first + PROJECTION)[0], cells)
        self._is_diagonal = len(source.shape(first + RECURRENT + FORGET)) == 1

    def step(self, x: int, states: Sequence[int], activation: object, auxiliary: int | None = None) -> tuple[int, ...]:
        """``(h', c')``."""
        write, (h, c) = self._write, states
        given = x, h, auxiliary
        f = self._gate(FORGET, given, c)
        if self._kernels[INPUT] is None:
            i = write("SUB", write.constant(np.float32(1)), f)[0]
        else:
            i = self._gate(INPUT, given, c)
        g = activated(write, activation, self._summed(CELL, given, None))
        c = write("ADD", write("MUL", f, c)[0], write("MUL", i, g)[0])[0]
        c = self._clipped(c, self._clips[0])
        h = write("MUL", self._gate(OUTPUT, given, c), activated(write, activation, c))[0]
        if self._projection is not None:
            h = write("FULLY_CONNECTED", h, self._projection, self._offset)[0]
            h = self._clipped(h, self._clips[1])
        return h, c

    def _gate(self, gate: int, given: tuple[int, int, int | None], cell: int) -> int:
        return self._write("LOGISTIC", self._summed(gate, given, cell))[0]

    def _summed(self, gate: int, given: tuple[int, int, int | None], cell: int | None) -> int:
        """What a gate's activation is applied to."""
        write, (x, h, auxiliary) = self._write, given
        scale, bias = self._norms[gate], self._biases[gate]
        z = write("FULLY_CONNECTED", x, self._kernels[gate], bias if scale is None else None)[0]
        if auxiliary is not None and self._auxiliary[gate] is not None:
            z = write("ADD", z, write("FULLY_CONNECTED", auxiliary, self._auxiliary[gate], None)[0])[0]
        recurrent = self._recurrent[gate]
        product = write("MUL", h, recurrent) if self._is_diagonal else write("FULLY_CONNECTED", h, recurrent, None)
        z = write("ADD", z, product[0])[0]
        peephole = self._peepholes.get(gate)
        if peephole is not None and cell is not None:
            z = write("ADD", z, write("MUL", cell, peephole)[0])[0]
        return z if scale is None else self._normalized(z, scale, bias)

    def _normalized(self, z: int, scale: int, bias: int | None) -> int:
        """``z * factor + (bias - mean z * factor)``, as Keras's layer normalization has it."""
        write = self._write
        axis = write.constant(np.array([1], np.int32))
        mean = write("MEAN", z, axis, keep_dims=True)[0]
        variance = write("MEAN", write("SQUARED_DIFFERENCE", z, mean)[0], axis, keep_dims=True)[0]
        factor = write("RSQRT", write("ADD", variance, write.constant(np.float32(_NORM_EPSILON)))[0])[0]
        factor = write("MUL", factor, scale)[0]
        offset = write.constant(np.float32(0)) if bias is None else bias
        offset = write("SUB", offset, write("MUL", mean, factor)[0])[0]
        return write("ADD", write("MUL", z, factor)[0], offset)[0]

    def _clipped(self, x: int, most: float) -> int:
        if not most:
            return x
        x = self._write("MINIMUM", x, self._write.constant(np.float32(most)))[0]
        return self._write("MAXIMUM", x, self._write.constant(np.float32(-most)))[0]

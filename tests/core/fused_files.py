"""Files with one fused recurrent operator, written with the schema's own classes, and what LiteRT makes of them."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter


class File:
    """One operator on one input: ``shape``, then constants, variables (as shapes) and left out operands (None)."""

    def __init__(self, shape):
        self.tensors, self.buffers = [], [schema.BufferT()]
        self.input = self._tensor(shape)

    def _tensor(self, shape, data=None, variable=False):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.isVariable = list(shape), schema.TensorType.FLOAT32, variable
        tensor.name = f"t{len(self.tensors)}"
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.astype("float32").tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _operand(self, given):
        if given is None:
            return -1
        return self._tensor(given, variable=True) if isinstance(given, tuple) else self._tensor(given.shape, given)

    def write(self, code, options, operands, *result_shapes):
        """The bytes of the file."""
        operator = schema.OperatorT()
        operator.inputs = [self.input, *(self._operand(given) for given in operands)]
        operator.outputs = outputs = [self._tensor(shape) for shape in result_shapes]
        name = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        operator.builtinOptions = options
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, [operator], [self.input], outputs
        kind = schema.OperatorCodeT()
        kind.builtinCode = getattr(schema.BuiltinOperator, code)
        kind.deprecatedBuiltinCode = min(kind.builtinCode, 127)
        model = schema.ModelT()
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [kind], [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind, **fields):
    made = getattr(schema, f"{kind}OptionsT")()
    made.fusedActivationFunction = schema.ActivationFunctionType.TANH
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def weights(seed, units, size, gates=4):
    """Kernels, recurrent kernels and biases of the gates of one direction."""
    rng = np.random.default_rng(seed)
    return [
        [rng.uniform(-0.5, 0.5, shape).astype("float32") for _ in range(gates)]
        for shape in ((units, size), (units, units), (units,))
    ]


def lstm_direction(seed, units, size):
    kernels, recurrent, biases = weights(seed, units, size)
    return [*kernels, *recurrent, None, None, None, *biases, None, None]


def unidirectional_lstm(batch, steps, size, units, time_major=False, seed=1):
    shape, result = _shapes(batch, steps, size, units, time_major)
    states = [(batch, units)] * 2
    made = options("UnidirectionalSequenceLSTM", timeMajor=time_major)
    return File(shape).write(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", made, [*lstm_direction(seed, units, size), *states], result
    )


def full_lstm(steps, size, units, has, projected=None, **fields):
    """An LSTM with what the schema has besides the gates of Keras.

    Args:
        steps: Length of the sequence.
        size: Of an item.
        units: Of the cell.
        has: ``"peephole"``, ``"normalization"``, ``"diagonal"``, ``"coupled"`` (no input gate).
        projected: Size of what it gives.
        fields: Other options.
    """
    rng = np.random.default_rng(1)
    outputs = projected or units
    square = (units,) if "diagonal" in has else (units, outputs)
    kernels, recurrent, biases, coefficients = (
        [rng.uniform(-0.5, 0.5, shape) for _ in range(4)] for shape in ((units, size), square, (units,), (units,))
    )
    peepholes = [rng.uniform(-0.5, 0.5, units) if "peephole" in has else None for _ in range(3)]
    if "normalization" not in has:
        coefficients = [None] * 4
    if "coupled" in has:
        for one in (kernels, recurrent, peepholes, biases, coefficients):
            one[0] = None
    projection = [rng.uniform(-0.5, 0.5, shape) if projected else None for shape in ((outputs, units), (outputs,))]
    operands = [*kernels, *recurrent, *peepholes, *biases, *projection, (1, outputs), (1, units), *coefficients]
    made = options("UnidirectionalSequenceLSTM", diagonalRecurrentTensors="diagonal" in has, **fields)
    return File((1, steps, size)).write("UNIDIRECTIONAL_SEQUENCE_LSTM", made, operands, (1, steps, outputs))


def bidirectional_lstm(batch, steps, size, units, merge=True):
    directions = [*lstm_direction(1, units, size), *lstm_direction(2, units, size)]
    operands = [*directions, *[(batch, units)] * 4, *[None] * 9]
    made = options("BidirectionalSequenceLSTM", mergeOutputs=merge, timeMajor=False)
    results = [(batch, steps, 2 * units)] if merge else [(batch, steps, units)] * 2
    return File((batch, steps, size)).write("BIDIRECTIONAL_SEQUENCE_LSTM", made, operands, *results)


def rnn_direction(seed, batch, size, units):
    return [*(part[0] for part in weights(seed, units, size, 1)), (batch, units)]


def unidirectional_rnn(batch, steps, size, units, time_major=False, seed=1):
    shape, result = _shapes(batch, steps, size, units, time_major)
    made = options("SequenceRNN", timeMajor=time_major)
    return File(shape).write("UNIDIRECTIONAL_SEQUENCE_RNN", made, rnn_direction(seed, batch, size, units), result)


def bidirectional_rnn(batch, steps, size, units):
    operands = [*rnn_direction(1, batch, size, units), *rnn_direction(2, batch, size, units), *[None] * 3]
    made = options("BidirectionalSequenceRNN", mergeOutputs=True, timeMajor=False)
    return File((batch, steps, size)).write("BIDIRECTIONAL_SEQUENCE_RNN", made, operands, (batch, steps, 2 * units))


def _shapes(batch, steps, size, units, time_major):
    lead = (steps, batch) if time_major else (batch, steps)
    return (*lead, size), (*lead, units)


def run(file, given):
    """LiteRT's outputs."""
    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    interpreter.reset_all_variables()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def run_both(make, given, units):
    """Outputs of both directions, each from a file of its own.

    LiteRT's operator for both gives other numbers from run to run on one file and one input.
    """
    sizes = (*given.shape, units)
    (forward,) = run(make(*sizes), given)
    (backward,) = run(make(*sizes, seed=2), np.ascontiguousarray(given[:, ::-1]))
    return [forward, backward[:, ::-1]]

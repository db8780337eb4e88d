"""Files written operator by operator, as old converters made them, and LiteRT's reference kernels to run them."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffers import flexbuffers

from tests.tflite import builders

FUSED = schema.ActivationFunctionType


class File:
    """Collects tensors and operators; every method that adds a tensor returns its index."""

    def __init__(self):
        self.tensors, self.operators, self.codes, self.buffers, self.inputs = [], [], [], [b""], []

    def tensor(self, shape, dtype="float32", buffer=0, **fields):
        kind = getattr(schema.TensorType, dtype.upper())
        self.tensors.append(builders.tensor(f"t{len(self.tensors)}", shape, buffer, kind, **fields))
        return len(self.tensors) - 1

    def input(self, shape, dtype="float32", **fields):
        self.inputs.append(self.tensor(shape, dtype, **fields))
        return self.inputs[-1]

    def const(self, array, dtype=None, shape=None, **fields):
        """``dtype`` and ``shape`` where the array is not what the tensor says: packed or sparse contents."""
        array = np.asarray(array)
        self.buffers.append(np.ascontiguousarray(array).tobytes())
        shape = array.shape if shape is None else shape
        return self.tensor(shape, dtype or array.dtype.name, len(self.buffers) - 1, **fields)

    def op(self, kind, inputs, shape, dtype="float32", options=None, version=1, result=None, **values):
        """An operator with one result; ``options`` is the name of the schema's table, ``values`` its fields."""
        number = getattr(schema.BuiltinOperator, kind)
        code = builders.code(number)
        code.version = version
        self.codes.append(code)
        table = None
        if options is not None:
            table = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(table, name, value)
        number = getattr(schema.BuiltinOptions, options) if options else 0
        output = self.tensor(shape, dtype, **(result or {}))
        self.operators.append(builders.operator(len(self.codes) - 1, inputs, (output,), table, number))
        return output

    def custom(self, name, inputs, *shapes, options=b"", version=1, dtype="float32"):
        """A custom operator with a result per shape; ``options`` are bytes, or what a flexbuffer map holds."""
        code = builders.code(schema.BuiltinOperator.CUSTOM, name)
        code.version = version
        self.codes.append(code)
        raw = options if isinstance(options, bytes) else bytes(flexbuffers.Dumps(options))
        results = [self.tensor(shape, dtype) for shape in shapes]
        self.operators.append(builders.operator(len(self.codes) - 1, inputs, results, custom=raw))
        return results

    def model(self, *outputs):
        return builders.model(self.tensors, self.operators, self.codes, self.inputs, outputs, self.buffers)

    def content(self, *outputs):
        return builders.pack(self.model(*outputs))


def with_subgraph(model, inner):
    """Adds the subgraph of another model, with its operators and constants."""
    (graph,) = inner.subgraphs
    for op in graph.operators:
        op.opcodeIndex += len(model.operatorCodes)
    for tensor in graph.tensors:
        tensor.buffer += len(model.buffers) if tensor.buffer else 0
    model.operatorCodes += inner.operatorCodes
    model.buffers += inner.buffers
    model.subgraphs.append(graph)
    return builders.pack(model)


def texts(*given):
    """Contents of a tensor of strings."""
    ends = np.cumsum([4 * (len(given) + 2), *map(len, given)])
    return np.frombuffer(np.int32([len(given), *ends]).tobytes() + b"".join(given), np.uint8)


def quantization(scale, zero=0, axis=0):
    """Scales and zero points, one or one per slice of an axis."""
    made = schema.QuantizationParametersT()
    made.scale = np.atleast_1d(np.float32(scale)).tolist()
    made.zeroPoint = np.broadcast_to(np.int64(zero), len(made.scale)).tolist()
    made.quantizedDimension = axis
    return made


def blockwise(scales, block_size, zero_points=-1):
    """Scales in a tensor of their own."""
    made, details = schema.QuantizationParametersT(), schema.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = scales, zero_points, block_size
    made.detailsType, made.details = schema.QuantizationDetails.BlockwiseQuantization, details
    return made


def run(content, *inputs, delegates=False):
    """Outputs of a file as stored, by LiteRT's own kernels; XNNPACK only on demand."""
    kind = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


_VECTORS = {"uint8": "Uint8Vector", "uint16": "Uint16Vector", "int32": "Int32Vector"}


def sparse(array, formats, block_map=(), block_sizes=(), order=None, indices="uint8"):
    """A dense array as the schema's tree: its values in order, and the parameters.

    Args:
        array: The tensor.
        formats: Per level of the tree, ``d`` (dense) or ``s`` (compressed).
        block_map: Axes that are divided into blocks.
        block_sizes: Sizes of the blocks.
        order: Dimension of every level; None: as they come.
        indices: Type of segments and indices.
    """
    rank, inside = array.ndim, dict(zip(block_map, block_sizes, strict=True))
    split = array.reshape(
        [m for axis, n in enumerate(array.shape) for m in (n // inside.get(axis, 1), inside.get(axis, 1))]
    )
    order = list(range(rank + len(block_map))) if order is None else list(order)
    places = [2 * axis if axis < rank else 2 * block_map[axis - rank] + 1 for axis in order]
    levels = split.transpose([*places, *(i for i in range(2 * rank) if i not in places)])
    levels = levels.reshape(levels.shape[: len(places)])
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder, parameters.blockMap = order, list(block_map) or None
    parameters.dimMetadata, nodes = [], [()]
    for size, kind in zip(levels.shape, formats, strict=True):
        level = schema.DimensionMetadataT()
        children = [[i for i in range(size) if kind == "d" or levels[(*node, i)].any()] for node in nodes]
        nodes = [(*node, i) for node, found in zip(nodes, children, strict=True) for i in found]
        if kind == "d":
            level.format, level.denseSize = schema.DimensionType.DENSE, size
        else:
            level.format = schema.DimensionType.SPARSE_CSR
            segments = np.concatenate([[0], np.cumsum([len(found) for found in children])])
            level.arraySegmentsType, level.arraySegments = _vector(segments, indices)
            level.arrayIndicesType, level.arrayIndices = _vector([i for found in children for i in found], indices)
        parameters.dimMetadata.append(level)
    return np.array([levels[node] for node in nodes], array.dtype), parameters


def _vector(numbers, kind):
    made = getattr(schema, f"{_VECTORS[kind]}T")()
    made.values = np.asarray(numbers, kind).tolist()
    return getattr(schema.SparseIndexVector, _VECTORS[kind]), made


def packed(numbers, bits):
    """Elements of fewer than eight bits, the first in the lowest bits of a byte."""
    per_byte = 8 // bits
    flat = np.ravel(numbers).astype(np.int64) & (2**bits - 1)
    flat = np.concatenate([flat, np.zeros(-len(flat) % per_byte, np.int64)]).reshape(-1, per_byte)
    return (flat << (np.arange(per_byte) * bits)).sum(axis=1).astype(np.uint8)

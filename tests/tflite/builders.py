"""Small flatbuffers, written with LiteRT's own object API."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers


def tensor(name, shape, buffer=0, dtype=schema.TensorType.FLOAT32, **fields):
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name, list(shape), buffer, dtype
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def operator(code, inputs, outputs, options=None, options_type=0, custom=None):
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, list(inputs), list(outputs)
    made.builtinOptions, made.builtinOptionsType = options, options_type
    if custom is not None:
        made.customOptions = list(custom)
    return made


def code(builtin, custom=None, deprecated=None):
    made = schema.OperatorCodeT()
    made.builtinCode, made.customCode = builtin, custom
    made.deprecatedBuiltinCode = min(builtin, 127) if deprecated is None else deprecated
    return made


def model(tensors, operators, codes, inputs, outputs, buffers=(b"",), **fields):
    made, graph = schema.ModelT(), schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, list(inputs), list(outputs)
    graph.name = "main"
    made.version, made.operatorCodes, made.subgraphs, made.description = 3, codes, [graph], "built by a test"
    made.buffers = []
    for content in buffers:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8) if content else None
        made.buffers.append(buffer)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def pack(made):
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def flex_options(content, kind="Conv3D"):
    """Options of a Flex operator: a flexbuffer of two strings, whatever bytes the second holds."""
    builder = flexbuffers.Builder(share_strings=False)
    with builder.Vector():
        builder.String(kind)
        builder.String("x" * len(content))
    return bytes(builder.Finish()).replace(b"x" * len(content), content)


def conv_model():
    """CONV_2D with a weight, a left-out bias and a fused RELU6."""
    options = schema.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 2
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    weight = np.arange(2 * 3 * 3 * 1, dtype=np.float32)
    return model(
        [
            tensor("image", (1, 8, 8, 1), shapeSignature=[-1, 8, 8, 1]),
            tensor("kernel", (2, 3, 3, 1), 1),
            tensor("y", (1, 3, 6, 2)),
        ],
        [operator(0, (0, 1, -1), (2,), options, schema.BuiltinOptions.Conv2DOptions)],
        [code(schema.BuiltinOperator.CONV_2D)],
        (0,),
        (2,),
        (b"", weight.tobytes()),
    )

"""A file recovered and compared with what LiteRT makes of it."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import tflrecover
from tflrecover import tolerances


def recovered(content):
    """The model, after its outputs were found to be LiteRT's on random inputs."""
    model = tflrecover.recover(content)
    interpreter = Interpreter(model_content=bytes(content))
    generator = np.random.default_rng(7)
    given = []
    for tensor, detail in zip(model.inputs, interpreter.get_input_details(), strict=True):
        shape = [n or 1 for n in tensor.shape]
        interpreter.resize_tensor_input(detail["index"], shape)
        is_real = tensor.dtype.startswith("float")
        given.append(generator.uniform(-1, 1, shape) if is_real else generator.integers(0, 4, shape))
    interpreter.allocate_tensors()
    arrays = [x.astype(detail["dtype"]) for x, detail in zip(given, interpreter.get_input_details(), strict=True)]
    for x, detail in zip(arrays, interpreter.get_input_details(), strict=True):
        interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    made = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    outputs = made if isinstance(made, (list, tuple)) else [made]
    for mine, detail in zip(outputs, interpreter.get_output_details(), strict=True):
        wanted = interpreter.get_tensor(detail["index"])
        assert mine.shape == wanted.shape
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max(initial=0))
    return model


def kinds(model):
    """Classes of the layers, in order."""
    return [type(layer).__name__ for layer in model.layers]

"""TFLite files made and run: under which quantization, without names, by the order of its inputs."""

import contextlib
import functools
import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

INTEGER = {
    "int8": "TFLITE_BUILTINS_INT8",
    "int16x8": "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
}


def quantize(converter, form, samples=None, *, falls_back=False):
    """Sets a converter's options.

    Args:
        converter: The converter.
        form: ``fp32``, ``fp16``, ``dynamic`` or one of :data:`INTEGER`.
        samples: Gives lists of inputs that integers are calibrated on.
        falls_back: Whether operators without integers may stay as they are.
    """
    import tensorflow as tf

    if form == "fp32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if form in INTEGER:
        converter.representative_dataset = samples
        rest = [tf.lite.OpsSet.TFLITE_BUILTINS] if falls_back else []
        converter.target_spec.supported_ops = [tf.lite.OpsSet[INTEGER[form]], *rest]


def converted(converter):
    """The file, without what the converter prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return bytes(converter.convert())


def stripped(content):
    """The same file with every tensor name replaced: nothing but structure is left to match by."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    for graph in model.subgraphs:
        for i, tensor in enumerate(graph.tensors):
            tensor.name = f"t{i}"
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def by_order(interpreter):
    """A function of arrays to arrays: as the signature numbers inputs and outputs, or as the file does without one."""
    if not interpreter.get_signature_list():
        return functools.partial(_by_place, interpreter)
    runner = interpreter.get_signature_runner()
    inputs, outputs = (sorted(names(), key=number) for names in (runner.get_input_details, runner.get_output_details))

    def run(*arrays):
        found = runner(**{name: np.asarray(x) for name, x in zip(inputs, arrays, strict=True)})
        return [found[name] for name in outputs]

    return run


def _by_place(interpreter, *arrays):
    interpreter.allocate_tensors()
    for detail, x in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(detail["index"], np.asarray(x).astype(detail["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def number(name):
    """Sorts names of inputs or outputs as Keras numbers them."""
    digits = "".join(c for c in name if c.isdigit())
    return int(digits or 0), name


class Runner:
    """Runs files in a process of its own, for LiteRT ends the process on some of them."""

    def __init__(self):
        self.pool = None

    def __call__(self, content, inputs):
        """What :func:`run_file` gives; None where the process ended."""
        if self.pool is None:
            self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            return self.pool.submit(run_file, content, inputs).result()
        except BrokenProcessPool:
            self.pool = None
            return None


run_apart = Runner()


def run_file(content, inputs):
    """What LiteRT computes, in the model's order: so the signature numbers inputs and outputs."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # XNNPACK refuses some of these small files.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    run = by_order(Interpreter(model_content=content, experimental_op_resolver_type=plain))
    results = [run(*(x[i : i + 1] for x in inputs)) for i in range(len(inputs[0]))]
    return [np.concatenate(values) for values in zip(*results, strict=True)]

"""Numbers of a port: outputs, logits and inner values, against the original model and against the file itself."""

from __future__ import annotations

from typing import Any

import numpy as np

# A port is as good as the file when its noise is no louder than this much more; decibel.
MARGIN = 3.0
# Relative to the largest magnitude; float32 in another order of summation.
CLOSE = 1e-4
# Inside a network, where nothing saturates and rounding has a hundred layers to add up.
CLOSE_INSIDE = 1e-3
# Decibel. Eight bits per weight leave more than this at any depth; one wrong kernel leaves less than half of it.
LOUD = 20.0
_EXACT = 200.0
# A linear layer may be restored up to the batch norm behind it; what follows tells whether both together are right.
_COMPARED = ("Activation", "ReLU", "Add", "Multiply", "Concatenate", "LayerNormalization", "Dropout")


def signal_to_noise(wanted: Any, got: Any) -> float:
    """Decibel; 200 when nothing differs."""
    noise = float(np.mean((wanted - got) ** 2))
    return _EXACT if noise == 0 else 10 * float(np.log10(float(np.mean(wanted**2)) / noise))


def relative(wanted: Any, got: Any) -> float:
    """Largest deviation, relative to the largest magnitude."""
    return float(np.abs(wanted - got).max() / (np.abs(wanted).max() or 1.0))


def run_file(content: bytes, image: Any) -> tuple[Any, Any]:
    """``(output, logits)`` of a classifier under LiteRT, as real numbers; logits are what its softmax takes."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    interpreter.set_tensor(given["index"], stored(image, given))
    interpreter.invoke()
    output = interpreter.get_output_details()[0]
    softmax = [op for op in interpreter._get_ops_details() if op["op_name"] == "SOFTMAX"]
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    logits = tensors[softmax[-1]["inputs"][0]] if softmax else output
    return real(interpreter, output), real(interpreter, logits)


def stored(array: Any, detail: Any) -> Any:
    """Real numbers as a tensor of a file keeps them."""
    if np.issubdtype(detail["dtype"], np.integer):
        scale, zero = detail["quantization"]
        limits = np.iinfo(detail["dtype"])
        array = np.clip(np.round(array / (scale or 1) + zero), limits.min, limits.max)
    return array.astype(detail["dtype"])


def real(interpreter: Any, detail: Any) -> Any:
    """What a tensor of a file holds, as real numbers."""
    array = interpreter.get_tensor(detail["index"])
    scale, zero = detail["quantization"]
    if np.issubdtype(array.dtype, np.integer) and scale:
        array = (array.astype("float32") - zero) * scale
    return array.astype("float32")


def run_model(model: Any, image: Any) -> tuple[Any, Any, list[Any]]:
    """``(output, logits, inner values)`` of a Keras classifier whose last layer has the softmax."""
    import keras

    inner = [layer.output for layer in model.layers if type(layer).__name__ in _COMPARED]
    last = model.layers[-1]
    output = np.asarray(model(image, training=False))
    softmax, last.activation = last.activation, keras.activations.linear
    try:
        values = keras.Model(model.inputs, [*inner, model.outputs[0]])(image, training=False)
    finally:
        last.activation = softmax
    *inside, logits = [np.asarray(value) for value in values]
    return output, logits, inside


def judged(original: Any, twin: Any, content: bytes, image: Any, *, exact: bool) -> dict[str, Any]:
    """Every number, and the reason why the port does not pass (empty when it does).

    Args:
        original: The model that the file was made of.
        twin: The model that it was ported into.
        content: The file.
        image: What all three are given.
        exact: Whether the file has the weights unrounded.
    """
    wanted, wanted_logits, wanted_inside = run_model(original, image)
    got, got_logits, got_inside = run_model(twin, image)
    file, file_logits = run_file(content, image)
    numbers = {
        "relative": relative(wanted, got),
        "logits_relative": relative(wanted_logits, got_logits),
        "inside_relative": max(map(relative, wanted_inside, got_inside), default=0.0),
        "port_db": signal_to_noise(wanted, got),
        "file_db": signal_to_noise(wanted, file),
        "logits_port_db": signal_to_noise(wanted_logits, got_logits),
        "logits_file_db": signal_to_noise(wanted_logits, file_logits),
        "inside_db": min(map(signal_to_noise, wanted_inside, got_inside), default=_EXACT),
    }
    return {**numbers, "reason": _reason(numbers, exact=exact)}


def _reason(n: dict[str, float], *, exact: bool) -> str:
    if not (n["relative"] < CLOSE or n["port_db"] >= n["file_db"] - MARGIN):
        return f"output: {n['port_db']:.0f} dB, the file's own {n['file_db']:.0f} dB"
    if not (n["logits_relative"] < CLOSE or n["logits_port_db"] >= n["logits_file_db"] - MARGIN):
        return f"logits: {n['logits_port_db']:.0f} dB, the file's own {n['logits_file_db']:.0f} dB"
    if n["inside_relative"] >= CLOSE_INSIDE if exact else n["inside_db"] < LOUD:
        return f"an inner value: {n['inside_db']:.0f} dB, relative {n['inside_relative']:.0e}"
    return ""

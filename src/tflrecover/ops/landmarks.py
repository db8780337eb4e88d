"""MediaPipe's operators that look closer at a part of an image: found from landmarks, cut out, and landmarks put back.

A matrix is ``(batch, 4, 4)`` and takes a point ``(x, y, 0, 1)`` of the part, in its pixels, to one of the whole.
Options are a flexbuffer map. The kind on four axes with other options, of earlier models, is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.formula import given_by
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Calls, Lowered, Source

_MATRIX = ("left_rotation_idx", "right_rotation_idx", "target_rotation_radians", "subset_idxs", "scale", "size")
_ALL = slice(None)


def _size(options: Attributes) -> tuple[int, int]:
    return int(options["output_height"]), int(options["output_width"])


def _matrix_reader(source: Source) -> Lowered | None:
    options = source.attributes["custom_options"]
    if len(source.shape(0)) != 3:
        return None
    attributes = {
        "left_rotation_idx": int(options["left_rotation_idx"]),
        "right_rotation_idx": int(options["right_rotation_idx"]),
        "target_rotation_radians": float(options["target_rotation_radians"]),
        "subset_idxs": tuple(int(index) for index in np.ravel(options["subset_idxs"])),
        "scale": (float(options["scale_y"]), float(options["scale_x"])),
        "size": _size(options),
    }
    return Lowered("Landmarks2TransformMatrix", operands(source), attributes, shape=(source.shape(0)[0], 4, 4))


def _matrix(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    """The box of a subset of landmarks, turned as the line between two of them is.

    ``R(r) = [[cos r, -sin r], [sin r, cos r]]`` with r from that line to the target; the box is that of the points
    after R(r). The result is ``shift(middle) R(-r) scale(scale · box / size) shift(-size / 2)``.
    """
    op = calls.ops
    points = calls.sliced(args[0], (_ALL, _ALL, slice(0, 2)))
    left, right = (calls.sliced(points, (_ALL, a[f"{side}_rotation_idx"])) for side in ("left", "right"))
    line = op("subtract", right, left)
    found = op("arctan2", calls.sliced(line, (_ALL, 1)), calls.sliced(line, (_ALL, 0)))
    angle = op("subtract", np.float32(a["target_rotation_radians"]), found)
    cos, sin = op("cos", angle), op("sin", angle)
    # Rows of points times this is R(r) on columns; and it is R(-r).
    back = _square(calls, cos, sin, op("negative", sin), cos)
    turned = op("matmul", op("take", points, np.array(a["subset_idxs"]), axis=1), back)
    high, low = op("max", turned, axis=1), op("min", turned, axis=1)
    middle = op("multiply", op("add", high, low), np.float32(0.5))
    middle = op("matmul", back, op("expand_dims", middle, -1))
    size = np.array(a["size"][::-1], np.float32)
    factor = np.array(a["scale"][::-1], np.float32) / size
    linear = op("multiply", back, op("expand_dims", op("multiply", op("subtract", high, low), factor), 1))
    shift = op("subtract", middle, op("matmul", linear, size[:, None] / 2))
    rows = op("concatenate", [op("pad", linear, ((0, 0), (0, 0), (0, 1)), constant_values=0.0), shift], axis=2)
    rows = op("pad", rows, ((0, 0), (0, 2), (0, 0)), constant_values=0.0)
    return op("add", rows, np.diag(np.array([0, 0, 1, 1], np.float32)))


def _square(calls: Calls, a: Any, b: Any, c: Any, d: Any) -> Any:
    """``[[a, b], [c, d]]`` of numbers per example."""
    rows = [calls.ops("stack", row, axis=-1) for row in ([a, b], [c, d])]
    return calls.ops("stack", rows, axis=1)


LANDMARKS_TO_TRANSFORM_MATRIX = given_by(
    "Landmarks2TransformMatrix",
    _matrix,
    tflite=_matrix_reader,
    roles=("landmarks",),
    infer_shape=lambda shapes, _: (shapes[0][0], 4, 4),
    declared=_MATRIX,
)


def _bilinear_reader(source: Source) -> Lowered | None:
    if len(source.shape(0)) != 4:
        return None
    return Lowered("TransformTensorBilinear", operands(source), {"size": _size(source.attributes["custom_options"])})


def _bilinear_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return (shapes[0][0], *a["size"], shapes[0][-1])


def _bilinear(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    """Pixels of the part, sampled between four of the whole; 0 outside.

    A pixel's place is its middle. To sample linearly is to sum with weights ``relu(1 - |place - pixel|)``.
    """
    op, (image, matrix) = calls.ops, args
    (height, width), (rows, columns, channels) = a["size"], image.shape[1:]
    y, x = (axis.ravel() + np.float32(0.5) for axis in np.mgrid[:height, :width].astype(np.float32))
    linear = calls.sliced(matrix, (_ALL, slice(0, 2), slice(0, 2)))
    shift = calls.sliced(matrix, (_ALL, slice(0, 2), slice(3, 4)))
    places = op("add", op("matmul", linear, np.stack([x, y])), op("subtract", shift, np.float32(0.5)))
    weights = []
    for axis, size in enumerate((columns, rows)):
        place = op("expand_dims", calls.sliced(places, (_ALL, axis)), -1)
        far = op("abs", op("subtract", place, np.arange(size, dtype=np.float32)))
        inside = op("less_equal", op("abs", op("subtract", place, np.float32((size - 1) / 2))), (size - 1) / 2)
        tent = op("relu", op("subtract", np.float32(1), far))
        weights.append(op("multiply", tent, op("cast", inside, "float32")))
    across, down = weights
    sampled = op("matmul", down, op("reshape", image, (-1, rows, columns * channels)))
    sampled = op("reshape", sampled, (-1, height * width, columns, channels))
    sampled = op("matmul", op("expand_dims", across, 2), sampled)
    return op("reshape", sampled, (-1, height, width, channels))


TRANSFORM_TENSOR_BILINEAR = given_by(
    "TransformTensorBilinear",
    _bilinear,
    tflite=_bilinear_reader,
    roles=("image", "matrix"),
    infer_shape=_bilinear_shape,
    declared=("size",),
)


def _landmarks_reader(source: Source) -> Lowered | None:
    if len(source.shape(0)) != 3:
        return None
    return Lowered("TransformLandmarks", operands(source))


def _transformed(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    """``matrix · (x, y, 0, 1)`` for each landmark; what else it has stays."""
    op, (landmarks, matrix) = calls.ops, args
    columns = op("transpose", calls.sliced(matrix, (_ALL, slice(0, 2))), (0, 2, 1))
    linear, shift = (calls.sliced(columns, (_ALL, part)) for part in (slice(0, 2), slice(3, 4)))
    points = calls.sliced(landmarks, (_ALL, _ALL, slice(0, 2)))
    points = op("add", op("matmul", points, linear), shift)
    if landmarks.shape[-1] == 2:
        return points
    return op("concatenate", [points, calls.sliced(landmarks, (_ALL, _ALL, slice(2, None)))], axis=-1)


TRANSFORM_LANDMARKS = given_by(
    "TransformLandmarks",
    _transformed,
    tflite=_landmarks_reader,
    roles=("landmarks", "matrix"),
    infer_shape=lambda shapes, _: shapes[0],
)

SPECS = (LANDMARKS_TO_TRANSFORM_MATRIX, TRANSFORM_TENSOR_BILINEAR, TRANSFORM_LANDMARKS)

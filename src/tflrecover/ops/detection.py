"""What follows a detector of boxes: decoding, and suppression of those that overlap a better one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.formula import numpy_calls
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Builder, Calls, Lowered, OpSpec, Part, Source
from tflrecover.weight import Array

_OPTIONS = {
    "max_detections": int,
    "max_classes_per_detection": int,
    "detections_per_class": int,
    "use_regular_nms": bool,
    "nms_score_threshold": float,
    "nms_iou_threshold": float,
    "num_classes": int,
    "y_scale": float,
    "x_scale": float,
    "h_scale": float,
    "w_scale": float,
}
_DEFAULTS = {"detections_per_class": 100, "use_regular_nms": False}


def _reader(source: Source) -> Lowered:
    options = {**_DEFAULTS, **source.attributes["custom_options"]}
    attributes = {name: kind(options[name]) for name, kind in _OPTIONS.items()}
    return Lowered("TFLite_Detection_PostProcess", operands(source), attributes)


def _count(a: Attributes) -> int:
    return int(a["max_detections"] * (1 if a["use_regular_nms"] else a["max_classes_per_detection"]))


def _decoded(calls: Calls, encoded: Any, anchors: Any, a: Attributes) -> Any:
    """``(batch, boxes, 4)`` of corners ``(ymin, xmin, ymax, xmax)``, from middles and sizes relative to anchors."""
    op = calls.ops
    places, sizes = (
        op("divide", calls.sliced(encoded, (slice(None), slice(None), part)), np.array(scales, np.float32))
        for part, scales in (
            (slice(0, 2), (a["y_scale"], a["x_scale"])),
            (slice(2, 4), (a["h_scale"], a["w_scale"])),
        )
    )
    middle = op("add", op("multiply", places, anchors[:, 2:]), anchors[:, :2])
    half = op("multiply", op("exp", sizes), anchors[:, 2:] / 2)
    return op("concatenate", [op("subtract", middle, half), op("add", middle, half)], axis=-1)


def _without_background(calls: Calls, scores: Any, a: Attributes) -> Any:
    """Scores of the classes; a background comes first where there is one."""
    return calls.sliced(scores, (slice(None), slice(None), slice(scores.shape[-1] - a["num_classes"], None)))


def _overlap(box: Array, others: Array) -> Array:
    """Intersection over union; 0 for boxes without an area."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=-1)
    area = np.prod(box[2:] - box[:2])
    has_area = (areas > 0) & (area > 0)
    return np.asarray(np.where(has_area, shared / np.where(has_area, area + areas - shared, 1), 0))


def _kept(boxes: Array, scores: Array, most: int, a: Attributes) -> list[int]:
    """Indices of boxes, best first, of which none overlaps a better one."""
    left = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= np.float32(a["nms_score_threshold"])]
    kept: list[int] = []
    while left and len(kept) < most:
        kept.append(left.pop(0))
        overlaps = _overlap(boxes[kept[-1]], boxes[left])
        left = [i for i, overlap in zip(left, overlaps, strict=True) if overlap <= a["nms_iou_threshold"]]
    return kept


def _found(boxes: Array, scores: Array, a: Attributes) -> tuple[list[tuple[int, int]], int]:
    """``(box, class)`` of each detection, and how many are counted."""
    if a["use_regular_nms"]:
        # Each class alone; the best of all together.
        each = [_kept(boxes, scores[:, c], a["detections_per_class"], a) for c in range(a["num_classes"])]
        found = [(box, c) for c, kept in enumerate(each) for box in kept]
        found = sorted(found, key=lambda one: -scores[one])[: a["max_detections"]]
        return found, len(found)
    classes = np.argsort(-scores, axis=-1, kind="stable")[:, : a["max_classes_per_detection"]]
    kept = _kept(boxes, scores.max(axis=-1), a["max_detections"], a)
    return [(box, int(c)) for box in kept for c in classes[box]], len(kept)


def _evaluate(args: Sequence[Array], a: Attributes) -> list[Array]:
    boxes = _decoded(numpy_calls, args[0], args[2], a)[0]
    scores = _without_background(numpy_calls, args[1], a)[0]
    found, count = _found(boxes, scores, a)
    results = [np.zeros((1, _count(a), *rest), np.float32) for rest in ((4,), (), ())]
    for i, (box, c) in enumerate(found):
        for result, number in zip(results, (boxes[box], c, scores[box, c]), strict=True):
            result[0, i] = number
    return [*results, np.array([count], np.float32)]


def _keras(builder: Builder, part: Part) -> Any:
    a, (encoded, scores, anchors) = part.attributes, part.args
    boxes = _decoded(builder, encoded, anchors, a)
    scores = _without_background(builder, scores, a)
    # TensorFlow asks for scores above the threshold, TFLite for those that reach it.
    limits = {
        "iou_threshold": a["nms_iou_threshold"],
        "score_threshold": float(np.nextafter(np.float32(a["nms_score_threshold"]), np.float32(-np.inf))),
    }
    build = _keras_regular if a["use_regular_nms"] else _keras_fast
    return build(builder, boxes, scores, a, limits)


def _keras_regular(builder: Builder, boxes: Any, scores: Any, a: Attributes, limits: Any) -> Any:
    sizes = {"max_output_size_per_class": a["detections_per_class"], "max_total_size": a["max_detections"]}
    boxes = builder.ops("expand_dims", boxes, 2)
    made = builder.tensorflow("image.combined_non_max_suppression", boxes, scores, **sizes, **limits, clip_boxes=False)
    boxes, scores, classes, count = made
    return boxes, classes, scores, builder.ops("cast", count, "float32")


def _keras_fast(builder: Builder, boxes: Any, scores: Any, a: Attributes, limits: Any) -> Any:
    op, most, width = builder.ops, a["max_detections"], min(a["max_classes_per_detection"], a["num_classes"])
    boxes, scores = (builder.sliced(x, (0,)) for x in (boxes, scores))
    best, classes = op("top_k", scores, width)
    kept, count = builder.tensorflow(
        "image.non_max_suppression_padded",
        boxes,
        builder.sliced(best, (slice(None), 0)),
        most,
        pad_to_max_output_size=True,
        **limits,
    )
    is_found = op("cast", op("less", np.arange(most), count), "float32")
    mask = op("expand_dims", is_found, -1)
    boxes = op("multiply", op("take", boxes, kept, axis=0), mask)
    boxes = op("repeat", op("expand_dims", boxes, 1), a["max_classes_per_detection"], axis=1)
    rest = ((0, 0), (0, a["max_classes_per_detection"] - width))
    results = [op("reshape", boxes, (1, -1, 4))]
    for x in (op("cast", classes, "float32"), best):
        x = op("pad", op("multiply", op("take", x, kept, axis=0), mask), rest)
        results.append(op("reshape", x, (1, -1)))
    return (*results, op("reshape", op("cast", count, "float32"), (1,)))


def _shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return (1, _count(a), 4)


DETECTION_POSTPROCESS = OpSpec(
    "TFLite_Detection_PostProcess",
    evaluate=_evaluate,
    tflite=_reader,
    roles=("boxes", "scores", "anchors"),
    infer_shape=_shape,
    declared=tuple(_OPTIONS),
    keras=_keras,
)

SPECS = (DETECTION_POSTPROCESS,)

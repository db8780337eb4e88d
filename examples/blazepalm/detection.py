"""From raw outputs to palms: anchors, decoding, non-max suppression; numpy only, no loop over anchors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# (stride, anchors per cell), in the order of the network's rows.
LAYOUTS = {
    256: ((8, 2), (16, 2), (32, 6)),
    192: ((8, 2), (16, 6)),
}
SCORE_LIMIT = 100.0


@dataclass(frozen=True)
class Detections:
    """Palms of one image, best first; coordinates are shares of the image's width and height.

    Attributes:
        boxes: (n, 4): y0, x0, y1, x1.
        keypoints: (n, 7, 2): x, y.
        scores: (n,).
        classes: (n,) class numbers.
    """

    boxes: Array
    keypoints: Array
    scores: Array
    classes: NDArray[np.intp]


def anchors(size: int) -> Array:
    """Anchor centres (n, 2) as x, y in [0, 1]; every anchor has size 1, so centres are all there is."""
    grids = []
    for stride, count in LAYOUTS[size]:
        cells = size // stride
        centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, count, axis=0))
    return np.concatenate(grids)


def decode(raw: Array, size: int) -> tuple[Array, Array]:
    """Boxes (n, 4) and keypoints (n, 7, 2) from the network's rows (n, 18): offsets in pixels from the anchors."""
    centres = anchors(size)
    values = raw.reshape(len(centres), -1) / size
    centre, extent = values[:, :2] + centres, values[:, 2:4]
    low, high = centre - extent / 2, centre + extent / 2
    boxes = np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)
    return boxes, values[:, 4:].reshape(len(centres), -1, 2) + centres[:, None]


def scores(logits: Array) -> Array:
    """Probabilities; logits are clipped first so that the exponential cannot overflow."""
    clipped = np.clip(logits, -SCORE_LIMIT, SCORE_LIMIT).astype(np.float64)
    return (1 / (1 + np.exp(-clipped))).astype(np.float32)


def overlaps(box: Array, boxes: Array) -> Array:
    """Intersection over union of boxes (..., 4) with boxes (..., n, 4)."""
    low = np.maximum(box[..., None, :2], boxes[..., :2])
    high = np.minimum(box[..., None, 2:], boxes[..., 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    area = np.prod(np.clip(box[..., 2:] - box[..., :2], 0, None), axis=-1)
    areas = np.prod(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None), axis=-1)
    union = area[..., None] + areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(union), where=union > 0))


def suppress(boxes: Array, probabilities: Array, threshold: float, overlap: float, limit: int) -> NDArray[np.bool_]:
    """Non-max suppression of all classes at once.

    Each round takes the best box that is left of every class and drops what overlaps it: as many rounds as the class
    with most palms has, whatever the number of classes.

    Args:
        boxes: (n, 4).
        probabilities: (n, classes).
        threshold: Scores below are no palms.
        overlap: Boxes that share more than this are one palm.
        limit: Palms per class.

    Returns:
        Which boxes are kept, (n, classes).
    """
    left = np.where(probabilities >= threshold, probabilities, -1.0)
    kept = np.zeros(left.shape, np.bool_)
    columns = np.arange(left.shape[1])
    for _ in range(limit):
        best = left.argmax(axis=0)
        alive = left[best, columns] >= 0
        if not alive.any():
            break
        kept[best[alive], columns[alive]] = True
        together = overlap < overlaps(boxes[best], boxes[None]).T
        left[together & alive] = -1.0
        left[best, columns] = -1.0
    return kept


def detect(
    raw: Array, logits: Array, size: int, *, threshold: float = 0.5, overlap: float = 0.3, limit: int = 20
) -> Detections:
    """Palms from the network's outputs of one image: raw boxes (n, 18) and logits (n, classes)."""
    boxes, keypoints = decode(raw, size)
    probabilities = scores(logits.reshape(len(boxes), -1))
    rows, classes = np.nonzero(suppress(boxes, probabilities, threshold, overlap, limit))
    found = probabilities[rows, classes]
    order = np.argsort(-found, kind="stable")
    rows, classes = rows[order], classes[order]
    return Detections(boxes[rows], keypoints[rows], found[order], classes)

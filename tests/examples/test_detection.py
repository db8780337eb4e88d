"""Decoding and suppression, against slow and obvious references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.blazepalm.detection import anchors, decode, detect, overlaps, scores, suppress


@pytest.mark.parametrize(("size", "count"), [(256, 2944), (192, 2016)])
def test_anchors(size, count):
    found = anchors(size)
    assert found.shape == (count, 2)
    assert found[0].tolist() == pytest.approx([4 / size, 4 / size])
    assert 0 < found.min() < found.max() < 1


def test_decode_puts_a_box_around_its_anchor():
    raw = np.zeros((2016, 18), "float32")
    raw[:, 2], raw[:, 3], raw[:, 4] = 19.2, 38.4, 19.2
    boxes, keypoints = decode(raw, 192)
    x, y = anchors(192)[100]
    assert np.allclose(boxes[100], [y - 0.1, x - 0.05, y + 0.1, x + 0.05], atol=1e-6)
    assert np.allclose(keypoints[100, 0], [x + 0.1, y], atol=1e-6)


def test_scores_do_not_overflow():
    assert np.isfinite(scores(np.array([-1e9, 0, 1e9], "float32"))).all()


def naive_overlap(a, b):
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
    return height * width / union if union > 0 else 0.0


def naive(boxes, probabilities, threshold, overlap, limit):
    kept = np.zeros(probabilities.shape, bool)
    for c in range(probabilities.shape[1]):
        left = [i for i in np.argsort(-probabilities[:, c], kind="stable") if probabilities[i, c] >= threshold]
        while left and kept[:, c].sum() < limit:
            best = left.pop(0)
            kept[best, c] = True
            left = [i for i in left if naive_overlap(boxes[best], boxes[i]) <= overlap]
    return kept


@given(seed=st.integers(0, 10_000), count=st.integers(1, 30), classes=st.integers(1, 4), limit=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_suppression_of_all_classes_at_once(seed, count, classes, limit):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.8, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.05, 0.4, (count, 2))], axis=1)
    probabilities = rng.uniform(0, 1, (count, classes))
    got = suppress(boxes, probabilities, 0.4, 0.3, limit)
    assert np.array_equal(got, naive(boxes, probabilities, 0.4, 0.3, limit))


def test_overlap_of_empty_boxes_is_zero():
    boxes = np.zeros((2, 4), "float32")
    assert overlaps(boxes, boxes[None]).tolist() == [[0, 0], [0, 0]]


def test_detect_orders_by_score():
    raw = np.zeros((2016, 18), "float32")
    raw[:, 2:4] = 10
    logits = np.full((2016, 2), -50, "float32")
    logits[10, 1], logits[2000, 0] = 3.0, 2.0
    found = detect(raw, logits, 192)
    assert found.classes.tolist() == [1, 0]
    assert found.scores[0] > found.scores[1]
    assert found.keypoints.shape == (2, 7, 2)

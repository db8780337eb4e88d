"""Custom operators that the library knows: recovered, and run beside LiteRT or a plain reference."""

import importlib.util
import struct
from pathlib import Path

import keras
import numpy as np
import pytest

import tflrecover
from tests.core.file_builders import File, run
from tflrecover import ops, tolerances

SAME, VALID = 1, 2
INDICES = [3, 7, 1, 0, 9, 4, 4, 8]
PART = {"output_height": 5, "output_width": 4}


def assert_close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


def recovered(content, path):
    """Its own port finds nothing that differs; saved, and loaded by Keras's own means."""
    model = tflrecover.recover(content)
    assert tflrecover.port(content, model).ok
    model.save(path / "model.keras")
    return keras.models.load_model(path / "model.keras", custom_objects={})


def pool_options(padding, strides, size):
    return struct.pack("<8i", padding, strides[1], strides[0], size[1], size[0], 0, -1, -1)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_pooling_with_indices_and_back(rng, tmp_path):
    """LiteRT runs both through XNNPACK."""
    file, options = File(), pool_options(VALID, (2, 3), (2, 3))
    x = file.input((1, 6, 9, 4))
    pooled, indices = file.custom("MaxPoolingWithArgmax2D", (x,), (1, 3, 3, 4), (1, 3, 3, 4), options=options)
    other = file.input((1, 3, 3, 4))
    (back,) = file.custom("MaxUnpooling2D", (other, indices), (1, 6, 9, 4), options=options)
    content = file.content(pooled, back)
    image, small = rng.normal(size=(1, 6, 9, 4)).astype("float32"), rng.normal(size=(1, 3, 3, 4)).astype("float32")
    model = recovered(content, tmp_path)
    assert model.inputs[0].shape[0] is None
    for got, wanted in zip(model([image, small]), run(content, image, small, delegates=True), strict=True):
        assert_close(got, wanted)
    attributes = {"pool_size": (2, 3), "strides": (2, 3), "padding": "valid"}
    _, places = ops.by_name("MaxPoolingWithArgmax2D").evaluate([image], attributes)
    assert_close(ops.by_name("MaxUnpooling2D").evaluate([small, places], attributes)[0], model([image, small])[1])


def test_windows_that_overlap_and_are_padded(rng):
    file = File()
    x = file.input((2, 5, 6, 3))
    options = pool_options(SAME, (1, 2), (3, 2))
    results = file.custom("MaxPoolingWithArgmax2D", (x,), (2, 5, 3, 3), (2, 5, 3, 3), options=options)
    image = -np.exp(rng.normal(size=(2, 5, 6, 3))).astype("float32")
    pooled, indices = map(np.asarray, tflrecover.recover(file.content(*results))(image))
    padded = np.pad(image, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=-np.inf)
    for n, row, column, c in np.ndindex(*pooled.shape):
        window = padded[n, row : row + 3, 2 * column : 2 * column + 2, c]
        assert pooled[n, row, column, c] == window.max()
        assert indices[n, row, column, c] == window.argmax()


def attention_options(**others):
    indices = {"left_rotation_idx": 2, "right_rotation_idx": 5, "subset_idxs": INDICES}
    return {**indices, "target_rotation_radians": 0.3, "scale_x": 1.5, "scale_y": 1.25, **PART, **others}


def attention(landmarks, image):
    """A part of the image that landmarks choose, and landmarks of that part put back."""
    file = File()
    points, pixels = file.input(landmarks), file.input(image)
    (matrix,) = file.custom("Landmarks2TransformMatrix", (points,), (1, 4, 4), options=attention_options(), version=2)
    (part,) = file.custom("TransformTensorBilinear", (pixels, matrix), (1, 5, 4, image[-1]), options=PART, version=2)
    (back,) = file.custom("TransformLandmarks", (points, matrix), landmarks, version=2)
    return file.content(matrix, part, back)


def test_attention_to_a_part(rng, tmp_path):
    # Near the border, so that the part reaches beyond the image.
    points = rng.uniform(0, 10, (1, 10, 3)).astype("float32")
    image = rng.normal(size=(1, 12, 11, 2)).astype("float32")
    model = recovered(attention(points.shape, image.shape), tmp_path)
    assert [tensor.shape[0] for tensor in model.inputs] == [None, None]
    matrix, part, back = (np.asarray(x)[0] for x in model([points, image]))
    xy = points[0, :, :2]
    angle = 0.3 - np.arctan2(*(xy[5] - xy[2])[::-1])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = xy[INDICES] @ rotation.T
    box, middle = np.ptp(turned, axis=0), (turned.max(axis=0) + turned.min(axis=0)) / 2
    # The middle of the part is the middle of the box, its right edge that of the box made wider.
    assert_close(matrix[:2] @ [2, 2.5, 0, 1], rotation.T @ middle)
    assert_close(matrix[:2] @ [4, 2.5, 0, 1], rotation.T @ (middle + np.array([1.5 * box[0] / 2, 0])))
    assert_close(matrix[:2] @ [2, 5, 0, 1], rotation.T @ (middle + np.array([0, 1.25 * box[1] / 2])))
    np.testing.assert_array_equal(matrix[2:], np.eye(4)[2:])
    assert_close(back, np.hstack([xy @ matrix[:2, :2].T + matrix[:2, 3], points[0, :, 2:]]))
    outside = 0
    for row, column in np.ndindex(5, 4):
        x, y = matrix[:2] @ [column + 0.5, row + 0.5, 0, 1] - 0.5
        wanted = np.zeros(2)
        if 0 <= x <= 10 and 0 <= y <= 11:
            left, above = min(int(x), 9), min(int(y), 10)
            square = image[0, above : above + 2, left : left + 2]
            wanted = np.einsum("yxc,y,x", square, [1 - y + above, y - above], [1 - x + left, x - left])
        outside += not wanted.any()
        np.testing.assert_allclose(part[row, column], wanted, atol=1e-4)
    assert 0 < outside < 20


@pytest.mark.parametrize(
    ("kind", "shapes", "options"),
    [
        ("MaxUnpooling2D", [(1, 2, 2, 1), (1, 2, 2, 1)], b"\1\0"),
        ("Landmarks2TransformMatrix", [(1, 4, 3)], attention_options(subset_idxs=[3, 4])),
        ("Landmarks2TransformMatrix", [(1, 4, 3)], {"subset_idxs": []}),
        ("TransformTensorBilinear", [(1, 4, 4, 1), (1, 4, 4)], {"output_height": -1, "output_width": 2**40}),
    ],
)
def test_damaged_options_are_told(kind, shapes, options):
    file = File()
    content = file.content(*file.custom(kind, [file.input(shape) for shape in shapes], (1, 4, 4), options=options))
    with pytest.raises(tflrecover.UnsupportedOperators, match=kind):
        tflrecover.recover(content)
    assert tflrecover.diff(content, content).ok


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("classes_per_box", [1, 2])
def test_detections(rng, regular, classes_per_box):
    file, boxes, most = File(), 40, 12
    options = {
        "max_detections": most,
        "max_classes_per_detection": classes_per_box,
        "detections_per_class": 6,
        "use_regular_nms": regular,
        "nms_score_threshold": 0.35,
        "nms_iou_threshold": 0.3,
        "num_classes": 3,
        "y_scale": 10.0,
        "x_scale": 9.0,
        "h_scale": 5.0,
        "w_scale": 4.0,
    }
    anchors = rng.uniform(0.2, 0.8, (boxes, 4)).astype("float32")
    encoded, scores = file.input((1, boxes, 4)), file.input((1, boxes, 4))
    count = most * classes_per_box
    shapes = ((1, count, 4), (1, count), (1, count), (1,))
    inputs = (encoded, scores, file.const(anchors))
    results = file.custom("TFLite_Detection_PostProcess", inputs, *shapes, options=options)
    content = file.content(*results)
    given = (
        rng.normal(size=(1, boxes, 4)).astype("float32"),
        rng.uniform(0, 1, (1, boxes, 4)).astype("float32"),
    )
    wanted, got = run(content, *given), tflrecover.recover(content)(list(given))
    evaluated = ops.by_name("TFLite_Detection_PostProcess").evaluate([*given, anchors], options)
    # What lies behind the detections LiteRT leaves as it was.
    found = int(wanted[-1][0]) * (1 if regular else classes_per_box)
    assert found > 3
    for one, model, reference in zip(got, wanted, evaluated, strict=True):
        assert_close(np.asarray(one)[:, :found] if one.ndim > 1 else one, model[:, :found] if model.ndim > 1 else model)
        assert_close(np.asarray(one), reference)


def test_face_mesh_with_attention(shared):
    """Three operators that LiteRT lacks; the numbers are those of MediaPipe's own runtime."""
    if (package := importlib.util.find_spec("mediapipe")) is None:
        pytest.skip("the model is in the mediapipe wheel, which is not installed")
    path = Path(package.origin).parent / "modules/face_landmark/face_landmark_with_attention.tflite"
    reference = np.load(shared / "data/mediapipe/face_landmark_with_attention.reference.npz")
    model = tflrecover.recover(path)
    got = model((reference["image"] / 255).astype("float32")[None])
    for name, array in zip(model.output_names, got, strict=True):
        assert_close(np.ravel(array), reference[name])

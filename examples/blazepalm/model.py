"""BlazePalm of 2019 and 2021 as Keras models.

Both are single-shot detectors of palms: a backbone of depthwise blocks, two steps up again, and two heads per scale,
one for scores and one for boxes with seven keypoints. ``pool_size`` is here to plant the famous fault: with 5 instead
of 2 every shape still fits, and the detector fails at a distance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

KEYPOINTS = 7
BOX_VALUES = 4 + 2 * KEYPOINTS
BLOCKS_2021 = {"full": 4, "lite": 3}


class _Names:
    """Keras's default names, counted per model, so that a mapping stays valid whatever was built before."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, stem: str) -> str:
        count = self._counts[stem]
        self._counts[stem] += 1
        return f"{stem}_{count}" if count else stem


class _Builder:
    """Layers of one BlazePalm.

    Args:
        kernel_size: Of the depthwise convolutions.
        activation: Makes a named activation layer.
        depthwise_bias: Whether depthwise convolutions have a bias.
        pool_size: Of the max-pools that shrink the skip connections.
    """

    def __init__(
        self, kernel_size: int, activation: Callable[[_Names], Any], depthwise_bias: bool, pool_size: int
    ) -> None:
        self.names = _Names()
        self._kernel_size = kernel_size
        self._activation = activation
        self._depthwise_bias = depthwise_bias
        self._pool_size = pool_size

    def activate(self, x: Any) -> Any:
        return self._activation(self.names)(x)

    def add(self, *xs: Any) -> Any:
        return layers.Add(name=self.names("add"))(list(xs))

    def stem(self, x: Any, kernel_size: int) -> Any:
        x = layers.Conv2D(32, kernel_size, strides=2, padding="same", name=self.names("conv2d"))(x)
        return self.activate(x)

    def pointwise(self, x: Any, filters: int, name: str | None = None) -> Any:
        return layers.Conv2D(filters, 1, padding="same", name=name or self.names("conv2d"))(x)

    def block(self, x: Any, filters: int, strides: int = 1) -> Any:
        """Depthwise, pointwise, plus the input; a block that shrinks pools the input and pads its channels."""
        y = layers.DepthwiseConv2D(
            self._kernel_size,
            strides=strides,
            padding="same",
            use_bias=self._depthwise_bias,
            name=self.names("depthwise_conv2d"),
        )(x)
        y = self.pointwise(y, filters)
        if strides > 1:
            x = layers.MaxPooling2D(self._pool_size, strides=strides, padding="same", name=self.names("max_pooling2d"))(
                x
            )
        if filters > x.shape[-1]:
            missing = filters - x.shape[-1]
            x = keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, missing]])
        return self.activate(self.add(y, x))

    def stage(self, x: Any, filters: int, blocks: int) -> Any:
        for _ in range(blocks):
            x = self.block(x, filters)
        return x

    def head(self, features: Sequence[tuple[Any, int]], values: int, name: str) -> Any:
        """One prediction per anchor: ``(feature map, anchors per cell)`` from the finest scale to the coarsest."""
        rows = []
        for x, anchors in features:
            y = self.pointwise(x, anchors * values)
            rows.append(layers.Reshape((-1, values), name=self.names("reshape"))(y))
        return layers.Concatenate(axis=1, name=name)(rows)

    def heads(self, features: Sequence[tuple[Any, int]], classes: int, first: str) -> tuple[Any, Any]:
        """Boxes and scores; which of the two is built first decides their layers' names, nothing else."""
        if first == "boxes":
            boxes = self.head(features, BOX_VALUES, "regressors")
            return boxes, self.head(features, classes, "classificators")
        scores = self.head(features, classes, "classificators")
        return self.head(features, BOX_VALUES, "regressors"), scores


def _model(inputs: Any, boxes: Any, scores: Any, single_output: bool, name: str) -> keras.Model:
    outputs = [boxes, scores]
    if single_output:
        outputs = layers.Concatenate(axis=-1, name="predictions")([boxes, scores])
    return keras.Model(inputs, outputs, name=name)


def blazepalm_2019(
    classes: int = 1, pool_size: int = 2, heads_first: str = "boxes", single_output: bool = False
) -> keras.Model:
    """The network of 2019: 256x256 RGB in [0, 1] to 2944 anchors.

    Args:
        classes: Scores per anchor.
        pool_size: Of the four max-pools; 2 is right.
        heads_first: ``"boxes"`` or ``"classes"``: the order in which the heads are built.
        single_output: Join boxes and scores along the last axis.

    Returns:
        A model with the outputs boxes ``(batch, 2944, 18)`` and scores ``(batch, 2944, classes)`` (logits).
    """
    build = _Builder(3, lambda names: layers.ReLU(name=names("activation")), depthwise_bias=True, pool_size=pool_size)
    inputs = keras.Input((256, 256, 3), name="input")
    x = build.stage(build.stem(inputs, 3), 32, 7)
    scales = []
    for filters in (64, 128, 256, 256):
        x = build.stage(build.block(x, filters, strides=2), filters, 7)
        scales.append(x)
    _, fine, middle, coarse = scales
    x = coarse
    ups = []
    for filters, skip in ((256, middle), (128, fine)):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same", name=build.names("conv2d_transpose"))(x)
        x = build.block(build.add(build.activate(x), skip), filters)
        ups.append(x)
    features = [(ups[1], 2), (ups[0], 2), (coarse, 6)]
    boxes, scores = build.heads(features, classes, heads_first)
    return _model(inputs, boxes, scores, single_output, "blazepalm_2019")


def blazepalm_2021(
    variant: str = "full", classes: int = 1, pool_size: int = 2, heads_first: str = "boxes"
) -> keras.Model:
    """The network of 2021: 192x192 RGB in [0, 1] to 2016 anchors.

    Args:
        variant: ``"full"`` or ``"lite"``, which has fewer blocks.
        classes: Scores per anchor.
        pool_size: Of the four max-pools; 2 is right.
        heads_first: ``"boxes"`` or ``"classes"``: the order in which the heads are built.

    Returns:
        A model with the outputs boxes ``(batch, 2016, 18)`` and scores ``(batch, 2016, classes)`` (logits).
    """
    blocks = BLOCKS_2021[variant]
    build = _Builder(
        5,
        lambda names: layers.PReLU(shared_axes=[1, 2], name=names("p_re_lu")),
        depthwise_bias=False,
        pool_size=pool_size,
    )
    inputs = keras.Input((192, 192, 3), name="input_1")
    x = build.stage(build.stem(inputs, 5), 32, blocks)
    scales = []
    for filters in (64, 128, 256, 256):
        x = build.stage(build.block(x, filters, strides=2), filters, blocks)
        scales.append(x)
    ups = []
    for filters, skip in ((256, scales[2]), (128, scales[1])):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=build.names("up_sampling2d"))(x)
        x = build.stage(build.add(skip, build.activate(build.pointwise(x, filters))), filters, 2)
        ups.append(x)
    boxes, scores = build.heads([(ups[1], 2), (ups[0], 6)], classes, heads_first)
    return _model(inputs, boxes, scores, False, f"blazepalm_2021_{variant}")


def blazepalm_2019_5x5() -> keras.Model:
    """The network of 2019 with the famous fault, for the command line."""
    return blazepalm_2019(pool_size=5)


def blazepalm_2021_full() -> keras.Model:
    """The full network of 2021, for the command line."""
    return blazepalm_2021("full")


def blazepalm_2021_lite() -> keras.Model:
    """The lite network of 2021, for the command line."""
    return blazepalm_2021("lite")

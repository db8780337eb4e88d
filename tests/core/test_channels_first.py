"""Models with their channels on axis 1: the converter moves transposes around, and so do the rules."""

import pytest
from keras import layers as L
from layer_models import image, model
from porting import assert_ports, differences

FIRST = {"data_format": "channels_first"}


def first(function, shape=(4, 8, 9)):
    """A model of images with their channels on axis 1."""
    return lambda: model(function, shape)


def small_net(x, data_format, axis):
    order = {"data_format": data_format}
    y = L.Conv2D(6, 3, strides=2, padding="same", use_bias=False, **order)(x)
    y = L.ReLU()(L.BatchNormalization(axis=axis)(y))
    z = L.BatchNormalization(axis=axis)(L.DepthwiseConv2D(3, padding="same", **order)(y))
    y = L.Add()([y, L.Conv2D(6, 1, **order)(L.ReLU(6)(z))])
    y = L.MaxPooling2D(3, 2, padding="same", **order)(y)
    y = L.Concatenate(axis=axis)([y, L.Conv2D(2, 3, padding="same", activation="sigmoid", **order)(y)])
    return L.Dense(4, activation="softmax")(L.GlobalAveragePooling2D(**order)(y))


CHANNELS_FIRST = {
    "conv": first(lambda x: L.Conv2D(3, 3, **FIRST)(L.Conv2D(5, 3, padding="same", activation="relu", **FIRST)(x))),
    "conv_norm": first(lambda x: L.ReLU()(L.BatchNormalization(axis=1)(L.Conv2D(5, 3, strides=2, **FIRST)(x)))),
    "norm_conv": first(lambda x: L.Conv2D(5, 3, padding="same", **FIRST)(L.ReLU()(L.BatchNormalization(axis=1)(x)))),
    "groups": first(lambda x: L.Conv2D(6, 3, groups=2, **FIRST)(x)),
    "dilated": first(lambda x: L.Conv2D(5, 3, dilation_rate=2, **FIRST)(x)),
    "depthwise": first(lambda x: L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, **FIRST)(x)),
    "separable": first(lambda x: L.SeparableConv2D(5, 3, **FIRST)(x)),
    "pools": first(
        lambda x: [pool(2, **FIRST)(L.Conv2D(5, 3, **FIRST)(x)) for pool in (L.MaxPooling2D, L.AveragePooling2D)]
    ),
    "global_pools": first(
        lambda x: [
            L.Dense(3)(L.GlobalMaxPooling2D(**FIRST)(x)),
            L.Conv2D(3, 1, **FIRST)(L.GlobalAveragePooling2D(keepdims=True, **FIRST)(L.Conv2D(5, 3, **FIRST)(x))),
        ]
    ),
    "flatten": first(lambda x: L.Dense(3)(L.Flatten(**FIRST)(L.Conv2D(5, 3, **FIRST)(x)))),
    "flatten_as_it_is": first(lambda x: L.Dense(3)(L.Flatten()(L.Conv2D(5, 3, **FIRST)(x)))),
    "upsampling": first(lambda x: L.Conv2D(3, 3, **FIRST)(L.UpSampling2D(2, **FIRST)(L.Conv2D(5, 3, **FIRST)(x)))),
    "bilinear": first(
        lambda x: L.Conv2D(3, 3, **FIRST)(
            L.UpSampling2D(2, interpolation="bilinear", **FIRST)(L.Conv2D(5, 3, **FIRST)(x))
        )
    ),
    "pad_and_crop": first(
        lambda x: L.Conv2D(5, 3, **FIRST)(
            L.Cropping2D(((0, 1), (1, 0)), **FIRST)(
                L.ZeroPadding2D(((0, 1), (1, 0)), **FIRST)(L.Conv2D(4, 1, **FIRST)(x))
            )
        )
    ),
    "prelu": first(lambda x: L.Conv2D(3, 1, **FIRST)(L.PReLU(shared_axes=[2, 3])(L.Conv2D(5, 3, **FIRST)(x)))),
    "squeeze_excite": first(
        lambda x: x * L.Reshape((4, 1, 1))(L.Dense(4, activation="sigmoid")(L.GlobalAveragePooling2D(**FIRST)(x)))
    ),
    "layer_norm": first(lambda x: L.Conv2D(3, 1, **FIRST)(L.LayerNormalization(axis=1)(L.Conv2D(5, 3, **FIRST)(x)))),
    "group_norm": first(lambda x: L.Conv2D(3, 1, **FIRST)(L.GroupNormalization(2, axis=1)(L.Conv2D(6, 3, **FIRST)(x)))),
    "softmax": first(lambda x: L.Softmax(axis=1)(L.Conv2D(5, 1, **FIRST)(x))),
    "resizing": first(lambda x: L.Conv2D(3, 1, **FIRST)(L.Resizing(5, 6, **FIRST)(x))),
    "net": first(lambda x: small_net(x, "channels_first", 1), (3, 16, 16)),
}


@pytest.mark.parametrize("name", sorted(CHANNELS_FIRST))
def test_port(name):
    assert_ports(CHANNELS_FIRST[name])


def behind_permute(x):
    """The same network on the same input, its layers with their channels first."""
    y = L.Conv2D(5, 3, **FIRST)(L.Permute((3, 1, 2))(x))
    y = L.MaxPooling2D(2, **FIRST)(L.ReLU()(L.BatchNormalization(axis=1)(y)))
    return L.Dense(3)(L.GlobalAveragePooling2D(**FIRST)(y))


def channels_last(x):
    y = L.MaxPooling2D(2)(L.ReLU()(L.BatchNormalization()(L.Conv2D(5, 3)(x))))
    return L.Dense(3)(L.GlobalAveragePooling2D()(y))


@pytest.mark.parametrize(("file", "target"), [(channels_last, behind_permute), (behind_permute, channels_last)])
def test_the_other_order_of_axes(file, target):
    assert_ports(image(file), image(target))


def test_wrong_strides_are_named():
    right, wrong = (first(lambda x, s=s: L.Conv2D(5, 3, strides=s, **FIRST, name="wrong")(x)) for s in (2, 1))
    assert differences(right, wrong) == [("wrong", "strides", (2, 2), (1, 1))]


def test_wrong_axis_of_a_concatenation_is_seen():
    def join(axis):
        return first(lambda x: L.Concatenate(axis=axis, name="join")([x, L.Conv2D(4, 1, **FIRST)(x)]))

    assert next(layer for layer, *_ in differences(join(1), join(2))) == "join"

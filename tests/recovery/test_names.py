"""Layers are called as in the program that the file was made from."""

import pytest

from tflrecover.recovery.names import Names, Scheme, legal, snake_case

KERAS_2 = [
    "model/block/conv/Relu;model/block/bn/add;model/block/conv/Conv2D",
    "model/block/pool/MaxPool",
    "model/add/add",
]
KERAS_3 = ["net_1/relu_1/Relu;net_1/conv_1/convolution", "net_1/conv_1_2/convolution", "net_1/add_1/Add"]

NET, BLOCK = "pkg.resnet.ResNet", "torch.nn.modules.container.Sequential_layer1/pkg.resnet.BasicBlock_0"
PYTORCH = [
    f"{NET}/{BLOCK}/torch.nn.ReLU_relu;;{NET}/{BLOCK}/torch.nn.BatchNorm2d_bn1;;{NET}/{BLOCK}/torch.nn.Conv2d_conv1;1",
    f"{NET}/{BLOCK}/torch.nn.Conv2d_conv1;",
    f"{NET}/torch.nn.modules.linear.Linear_fc;2",
]


@pytest.mark.parametrize(
    ("tensors", "tensor", "kind", "name"),
    [
        (KERAS_2, KERAS_2[0], "CONV_2D", "block_conv"),
        (KERAS_2, KERAS_2[1], "MAX_POOL_2D", "block_pool"),
        (KERAS_2, KERAS_2[2], "ADD", "add"),
        (KERAS_3, KERAS_3[0], "CONV_2D", "conv"),
        (KERAS_3, KERAS_3[0], "RELU", "relu"),
        (KERAS_3, KERAS_3[1], "CONV_2D", "conv_1"),
        (KERAS_3, "net_1/act_1/Relu;net_1/sum_1/Add before RELU", "ADD", "sum"),
        (KERAS_3, "net_1/act_1/Relu before RELU", "ADD", ""),
        (["regressor_8", "add_42"], "regressor_8", "CONV_2D", "regressor_8"),
        (["t1", "t2"], "t2", "CONV_2D", ""),
        ([""], "", "CONV_2D", ""),
        (["a/<script>/Relu"], "a/<script>/Relu", "RELU", "script"),
        (PYTORCH, PYTORCH[0], "CONV_2D", "layer1_0_conv1"),
        (PYTORCH, PYTORCH[0], "RELU", "layer1_0_relu"),
        (PYTORCH, PYTORCH[1], "PAD", ""),
        (PYTORCH, PYTORCH[2], "FULLY_CONNECTED", "fc"),
    ],
)
def test_a_layer_is_called_as_its_program_calls_it(tensors, tensor, kind, name):
    assert Scheme(tensors).layer(tensor, kind) == name


def test_names_are_given_once():
    names = Names(("output",))
    assert [names.unique(name) for name in ("conv", "conv", "conv_1", "output")] == [
        "conv",
        "conv_1",
        "conv_1_1",
        "output_1",
    ]
    assert names.unique(names.promised("output")) == "output"


def test_names_are_legal():
    assert legal("StatefulPartitionedCall:0") == "StatefulPartitionedCall"
    assert legal('"; import os') == "import_os"
    assert legal("///") == ""


def test_classes_become_names_as_in_keras():
    found = [snake_case(kind) for kind in ("Conv2D", "ZeroPadding2D", "PReLU", "DepthwiseConv2D", "LSTM")]
    assert found == ["conv2d", "zero_padding2d", "p_re_lu", "depthwise_conv2d", "lstm"]

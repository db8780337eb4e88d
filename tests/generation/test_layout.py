"""Lines come out as Ruff lays them out."""

import subprocess
import sys

import pytest

from tflrecover.generation.layout import laid_out

LONG = "features_of_the_second_stage"
LINES = (
    "x = layers.Conv2D(32, 3)(x)",
    f'x = layers.Concatenate(axis=1, name="{LONG}_{LONG}")([y, {LONG}, z])',
    f'x = layers.Concatenate(axis=1, name="a, (b] {LONG}_{LONG}")({LONG})',
    f"x = layers.Concatenate()([{LONG}, y, z, {LONG}, branch_1, branch_2, branch_3])",
    f'x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)({LONG})',
    f"{LONG} = stage({LONG}_1, 256, 1024, strides=2, kernel_size=5)",
    f"x = ops.pad({LONG}, ((0, 0), (0, 0), ({LONG}, {LONG}), (0, 32)))",
    f'return keras.Model(inputs, [{LONG}_1, {LONG}_2], name="palm_detection")',
    f'x = layers.Reshape((1152, 18), name="reshaped_{LONG}")({LONG}_{LONG})',
    f'x = layers.Conv2D(128, 3, strides=2, activation="softmax", name="{LONG}_{LONG}")(y)',
    f"for a, b in [({LONG}, 1), ({LONG}, 2), ({LONG}, 3)]:",
    'x = ops.multiply(x, np.array([1, 2, 3, 4, 5555555555, 666666666666, 7, 8, 9, 10], "float32"))',
)


@pytest.mark.parametrize("line", LINES)
def test_as_ruff(line):
    text = "\n".join(["def f():", *laid_out(line, "    "), *["        pass"] * line.startswith("for")]) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--stdin-filename", "x.py", "-"]
    made = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    assert made == text

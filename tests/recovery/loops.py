"""Functions of TensorFlow with loops and conditions, whose files hold graphs of their own."""

import numpy as np
import tensorflow as tf

_GENERATOR = np.random.default_rng(4)
ONE, OTHER = (_GENERATOR.normal(size=(4, 4)).astype("float32") for _ in range(2))


def until_large(x):
    def step(x, n):
        return x @ ONE * 1.5 + 0.1, n + 1

    return tf.while_loop(lambda x, _: tf.reduce_max(tf.abs(x)) < 100.0, step, [x, tf.constant(0)])


def choice_in_loop_in_loop(x):
    def step(i, x):
        _, y = tf.while_loop(lambda j, _: j < 3, lambda j, y: (j + 1, tf.tanh(y @ ONE + tf.cast(i, y.dtype))), [0, x])
        return i + 1, tf.cond(tf.reduce_sum(y) > 0, lambda: y * 0.5, lambda: y + 1.0)

    return tf.while_loop(lambda i, _: i < 4, step, [0, x])[1]


def list_that_ends_early(x):
    def step(i, y, written):
        y = y @ ONE * 0.7 + 0.1
        return i + 1, y, written.write(i, y)

    start = (0, x, tf.TensorArray(tf.float32, size=6, element_shape=x.shape))
    goes_on = lambda i, y, _: tf.logical_and(i < 6, tf.reduce_max(tf.abs(y)) < 3.0)  # noqa: E731
    return tf.while_loop(goes_on, step, start)[2].stack()


def each_by_itself(x):
    return tf.map_fn(lambda row: tf.nn.softmax(tf.linalg.matvec(ONE, row)), x)

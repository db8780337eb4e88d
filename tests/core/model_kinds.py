"""One small model per way to write a Keras model: subclassed, nested, with arguments and results of every structure.

Each entry of ``KINDS`` makes a built model and the arguments that it is called with.
"""

import dataclasses

import keras
import numpy as np
from keras import layers as L
from keras import ops

VECTOR, STEPS, IMAGE = (2, 4), (2, 6, 4), (2, 8, 8, 3)


def numbers(*shapes):
    rng = np.random.default_rng(5)
    return [rng.uniform(-1, 1, shape).astype("float32") for shape in shapes]


def model_of(call, make):
    """A subclassed model: ``make`` gives its layers by name, ``call`` is its call."""

    def init(self):
        keras.Model.__init__(self)
        for name, layer in make().items():
            setattr(self, name, layer)

    return type("Subclassed", (keras.Model,), {"__init__": init, "call": call})


def kind(call, make, *args, **kwargs):
    """An entry: the class is made anew each time, and built by calling it."""

    def build():
        model = model_of(call, make)()
        model(*args, **kwargs)
        return model, args, kwargs

    return build


def heads(**units):
    return {name: L.Dense(n) for name, n in units.items()}


def stem():
    return keras.Sequential([L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU()])


a, b = numbers(VECTOR, VECTOR)
wide = numbers((2, 5))[0]
images = numbers(IMAGE)[0]
sequence = numbers(STEPS)[0]
tokens = np.random.default_rng(5).integers(0, 9, (2, 6)).astype("int32")


def several_arguments(self, first, second):
    return self.p(first) * 2 - self.q(second)


def list_argument(self, inputs):
    first, second = inputs
    return self.p(first) * 2 - self.q(second)


def dict_argument(self, inputs):
    return self.p(inputs["zeta"]) * 2 - self.q(inputs["alpha"])


def nested_argument(self, inputs):
    return self.p(inputs["pair"][0]) * 2 - self.q(inputs["pair"][1]) + self.r(inputs["other"])


def keyword_argument(self, inputs, *, context, training=False):
    return self.drop(self.p(inputs), training=training) * 2 - self.q(context)


def optional_argument(self, inputs, context=None, bias=None):
    y = self.p(inputs)
    return y if context is None else y * 2 - self.q(context)


def training_and_mask(self, inputs, training=None, mask=None):
    return self.q(self.drop(self.norm(self.p(inputs), training=training), training=training))


def two_structures(self, inputs, context):
    return self.p(inputs["x"]) * 2 - self.q(context[0]) + self.r(context[1])


def dict_result(self, inputs):
    return {"zeta": self.p(inputs), "alpha": self.q(inputs)}


def nested_result(self, inputs):
    return {"scores": [self.p(inputs), self.q(inputs)], "box": (self.r(inputs),)}


@dataclasses.dataclass
class Detection:
    scores: object
    boxes: object


def dataclass_result(self, inputs):
    return Detection(self.p(inputs), self.q(inputs))


def none_in_result(self, inputs):
    return self.p(inputs), None, self.q(inputs)


def layers_in_a_list(self, inputs):
    for layer in self.blocks:
        inputs = layer(inputs)
    return inputs


def layers_in_a_dict(self, inputs):
    return self.table["b"](ops.tanh(self.table["a"](inputs)))


def layer_twice(self, inputs):
    return self.p(ops.relu(self.p(inputs)))


class Block(keras.Model):
    def __init__(self, inner=None):
        super().__init__()
        self.inner = inner or L.Dense(4, activation="tanh")
        self.dense = L.Dense(4)

    def call(self, x):
        return self.dense(self.inner(x)) + x


def functional(units=4):
    inputs = keras.Input((4,))
    return keras.Model(inputs, L.Dense(units)(L.Dense(3, activation="relu")(inputs)))


def functional_around_subclassed():
    inputs = keras.Input((4,))
    return keras.Model(inputs, L.Dense(3)(Block()(inputs))), (a,), {}


def optional_functional_input():
    first, second = keras.Input((4,)), keras.Input((4,), optional=True)

    class Merge(L.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

    return keras.Model([first, second], L.Dense(3)(Merge()(first, second))), ([a, None],), {}


def dict_functional():
    inputs = {"zeta": keras.Input((4,), name="zeta"), "alpha": keras.Input((4,), name="alpha")}
    y = L.Dense(3)(inputs["zeta"]) * 2 - L.Dense(3)(inputs["alpha"])
    return keras.Model(inputs, {"b": y, "a": L.Dense(3)(y)}), ({"zeta": a, "alpha": b},), {}


def many_ends():
    inputs = [keras.Input((4,), name=name) for name in ("third", "first", "second")]
    outputs = [L.Dense(3, name=f"out_{i}")(inputs[i % 3]) for i in range(12)]
    return keras.Model(inputs, outputs), ([a, b, a - b],), {}


def token_types(self, inputs, types, padding):
    y = self.words(inputs) + self.types(types)
    return self.head(ops.where(padding[..., None], y, 0.0))


def dynamic_reshape(self, inputs):
    batch, rows, columns, channels = ops.shape(inputs)
    y = self.p(ops.reshape(inputs, (batch, rows * columns, channels)))
    return ops.reshape(y, (batch, rows, columns, 5))


def positions(self, inputs):
    y = self.words(inputs)
    where = ops.arange(ops.shape(inputs)[1])
    return self.head(y + self.places(where))


def mean_over_steps(self, inputs):
    steps = ops.shape(inputs)[1]
    return self.p(ops.sum(inputs, axis=1) / ops.cast(steps, "float32"))


def graph_attention(self, inputs):
    """Scores are sums of a number of the one place and a number of the other."""
    y = self.p(inputs)
    scores = self.q(y) + ops.transpose(self.r(y), (0, 2, 1))
    return ops.matmul(ops.softmax(ops.leaky_relu(scores)), y)


def routed(self, inputs):
    """Capsules: a kernel of each place, and means over places."""
    y = self.p(inputs)
    agreement = ops.sum(y * ops.tanh(ops.mean(y, axis=1, keepdims=True)), axis=-1, keepdims=True)
    return ops.sum(ops.softmax(agreement, axis=2) * y, axis=1)


def linear_attention(self, inputs):
    """Keys and values first: of three factors a product is made whose axes only the next one takes."""
    queries, keys, values = ops.elu(self.p(inputs)) + 1, ops.elu(self.q(inputs)) + 1, self.r(inputs)
    total = 1 / (ops.einsum("bnd,bd->bn", queries, ops.sum(keys, axis=1)) + 1e-3)
    return ops.einsum("bnd,bde,bn->bne", queries, ops.einsum("bnd,bne->bde", keys, values), total)


def biaffine(self, inputs):
    """As in a parser: every pair of words is scored, and a constant stands in front of each word's features."""
    words, heads = (ops.pad(f(inputs), [[0, 0], [0, 0], [0, 1]], constant_values=1.0) for f in (self.p, self.q))
    return ops.einsum("bxi,oij,byj->boxy", words, self.table, heads)


def attention_over_places(self, inputs):
    """A product over two axes beside a softmax over one: the converter has one axis for both."""
    size = inputs.shape[1]
    queries, keys, values = (f(inputs) for f in (self.p, self.q, self.r))
    scores = ops.reshape(ops.einsum("bhwc,bijc->bhwij", queries, keys), (-1, size, size, size**2))
    scores = ops.reshape(ops.softmax(scores), (-1, *[size] * 4))
    return self.s(ops.einsum("bhwij,bijc->bhwc", scores, values))


def mixed(normalized):
    """Three branches, each times a learned weight, of which every one depends on all."""

    def call(self, inputs):
        weights = normalized(self.weights_)
        branches = [ops.relu(self.p(inputs)), ops.tanh(self.q(inputs)), self.r(inputs)]
        return self.s(ops.relu(sum(weights[i] * branch for i, branch in enumerate(branches))))

    return kind(call, lambda: {**heads(p=4, q=4, r=4, s=3), "weights_": keras.Variable(np.ones(3, "float32"))}, a)


def fast_normalized(weights):
    """As BiFPN has it in the place of a softmax."""
    positive = ops.relu(weights)
    return positive / (ops.sum(positive) + 1e-4)


def latents(self, inputs):
    """A perceiver: learned rows go through the norm and the queries that what becomes of them goes through, too."""
    rows = self.table[None]
    for _ in range(2):
        normed = self.norm(rows)
        scores = ops.softmax(ops.matmul(self.p(normed), ops.transpose(self.q(inputs), (0, 2, 1))))
        rows = ops.tanh(ops.matmul(scores, self.r(inputs))) + normed
    return rows


def routing(self, inputs):
    """Capsules: predictions vote, and what agrees counts more."""
    votes = ops.einsum("jidk,bik->bjid", self.table, inputs)
    scores = ops.zeros_like(votes[..., 0])
    for _ in range(2):
        found = ops.tanh(ops.einsum("bji,bjid->bjd", ops.softmax(scores, axis=1), votes))
        scores = scores + ops.einsum("bjd,bjid->bji", found, votes)
    return found


def two_dense():
    return heads(p=3, q=3)


def three_dense():
    return heads(p=3, q=3, r=3)


def with_norm():
    return {"p": L.Dense(4), "norm": L.BatchNormalization(), "drop": L.Dropout(0.5), "q": L.Dense(3)}


KINDS = {
    "several_arguments": kind(several_arguments, two_dense, a, b),
    "several_shapes": kind(several_arguments, two_dense, a, wide),
    "list_argument": kind(list_argument, two_dense, [a, b]),
    "tuple_argument": kind(list_argument, two_dense, (a, wide)),
    "dict_argument": kind(dict_argument, two_dense, {"zeta": a, "alpha": b}),
    "dict_argument_shapes": kind(dict_argument, two_dense, {"zeta": a, "alpha": wide}),
    "nested_argument": kind(nested_argument, three_dense, {"pair": [a, b], "other": a - b}),
    "keyword_argument": kind(keyword_argument, lambda: {**two_dense(), "drop": L.Dropout(0.5)}, a, context=b),
    "optional_argument": kind(optional_argument, two_dense, a, b),
    "optional_left_out": kind(optional_argument, lambda: heads(p=3), a),
    "training_and_mask": kind(training_and_mask, with_norm, a),
    "two_structures": kind(two_structures, three_dense, {"x": a}, [b, a - b]),
    "dict_result": kind(dict_result, two_dense, a),
    "nested_result": kind(nested_result, three_dense, a),
    "dataclass_result": kind(dataclass_result, two_dense, a),
    "none_in_result": kind(none_in_result, two_dense, a),
    "layers_in_a_list": kind(layers_in_a_list, lambda: {"blocks": [L.Dense(4), L.ReLU(), L.Dense(3)]}, a),
    "layers_in_a_dict": kind(layers_in_a_dict, lambda: {"table": {"a": L.Dense(4), "b": L.Dense(3)}}, a),
    "layer_twice": kind(layer_twice, lambda: heads(p=4), a),
    "submodel_twice": kind(layer_twice, lambda: {"p": Block()}, a),
    "three_deep": kind(layer_twice, lambda: {"p": Block(Block(Block()))}, a),
    "images_nested": kind(layers_in_a_list, lambda: {"blocks": [stem(), stem(), L.Flatten(), L.Dense(3)]}, images),
    "functional_in_subclassed": kind(layer_twice, lambda: {"p": functional()}, a),
    "functional_around_subclassed": functional_around_subclassed,
    "optional_functional_input": optional_functional_input,
    "dict_functional": dict_functional,
    "many_ends": many_ends,
    "integer_and_bool": kind(
        token_types,
        lambda: {"words": L.Embedding(10, 4), "types": L.Embedding(2, 4), "head": L.Dense(3)},
        tokens,
        (tokens > 4).astype("int32"),
        tokens > 2,
    ),
    "dynamic_reshape": kind(dynamic_reshape, lambda: heads(p=5), images),
    "positions": kind(
        positions, lambda: {"words": L.Embedding(10, 4), "places": L.Embedding(6, 4), "head": L.Dense(3)}, tokens
    ),
    "graph_attention": kind(
        graph_attention, lambda: {"p": L.Dense(5, use_bias=False), **heads(q=1, r=1)}, sequence[:1]
    ),
    "biaffine": kind(
        biaffine, lambda: {**two_dense(), "table": keras.Variable(np.zeros((2, 4, 4), "float32"))}, sequence[:1]
    ),
    "mixed_by_softmax": mixed(ops.softmax),
    "mixed_normalized": mixed(fast_normalized),
    "latents": kind(
        latents,
        lambda: {
            **heads(p=4, q=4, r=4),
            "norm": L.LayerNormalization(),
            "table": keras.Variable(np.zeros((5, 4), "float32")),
        },
        sequence[:1],
    ),
    "routing": kind(routing, lambda: {"table": keras.Variable(np.zeros((3, 6, 5, 4), "float32"))}, sequence[:1]),
    "attention_over_places": kind(attention_over_places, lambda: heads(p=4, q=4, r=4, s=3), images),
    "linear_attention": kind(linear_attention, lambda: heads(p=4, q=4, r=4), sequence[:1]),
    "multi_hot": kind(
        layers_in_a_list, lambda: {"blocks": [L.CategoryEncoding(9, output_mode="multi_hot"), L.Dense(3)]}, tokens[:1]
    ),
    "routed": kind(
        routed,
        lambda: {"p": L.EinsumDense("bnd,ndmk->bnmk", output_shape=(sequence.shape[1], 3, 4))},
        sequence[:1],
    ),
    "mean_over_steps": kind(mean_over_steps, lambda: heads(p=3), sequence),
}


def spec(array, form, name):
    import tensorflow as tf

    # Free sizes: none, the batch, or every axis but the channels.
    free = {"static": 0, "batch": 1, "steps": max(array.ndim - (array.dtype.kind == "f"), 1)}[form]
    return tf.TensorSpec((*(None,) * free, *array.shape[free:]), array.dtype, name)


def convert_call(model, args, kwargs, form="static", set_options=lambda converter: None):
    """A TFLite file of ``model(*args, **kwargs)``; inputs have the free sizes of ``form``."""
    import tensorflow as tf

    structure = (args, kwargs)
    leaves = tf.nest.flatten(structure)
    flat = [x for x in leaves if x is not None]

    def serve(*tensors):
        rest = iter(tensors)
        given, named = tf.nest.pack_sequence_as(structure, [None if x is None else next(rest) for x in leaves])
        result = model(*given, **named)
        if dataclasses.is_dataclass(result):
            result = vars(result)
        return [y for y in tf.nest.flatten(result) if y is not None]

    specs = [spec(x, form, f"args_{i}") for i, x in enumerate(flat)]
    function = tf.function(serve, input_signature=specs, autograph=False).get_concrete_function()
    # A Keras 3 model hides its tf.Variables from the converter.
    holder = tf.Module()
    holder.all = [getattr(v, "_value", v) for v in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    set_options(converter)
    return converter.convert()

"""Random Keras models from a plan of a few numbers, so that hypothesis can shrink them; and what becomes of a port.

A plan is ``(kind, inputs, steps)``: what the inputs are, how many there are, and a list of ``(step, a, b)``. Each step
takes one of the last values and adds one; its numbers choose operands and settings. A plan can always be built, so a
twin with one number changed is a model too.
"""

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers as L

import tflrecover
from tests.core.lite import converted, quantize, run_apart, stripped
from tflrecover import tolerances

SHAPES = {"image": (8, 8, 4), "steps": (6, 8), "vector": (5,)}
MODES = ("fp32", "fp16", "dynamic", "int8")
MERGES = {"add": L.Add, "multiply": L.Multiply, "subtract": L.Subtract, "maximum": L.Maximum, "average": L.Average}
ACTIVATIONS = ("tanh", "sigmoid", "silu", "elu", "relu6", "hard_sigmoid", "gelu", "leaky_relu")
LARGEST = 4096


def conv(a, b, x):
    kernel, strides, dilation = 1 + 2 * (a % 2), 1 + b // 3 % 2, 1 + (b == 4)
    groups = 2 if b == 5 and x.shape[-1] % 2 == 0 else 1
    return L.Conv2D(
        4 + 2 * (b % 2),
        kernel,
        strides=strides if dilation == 1 else 1,
        dilation_rate=dilation,
        groups=groups,
        padding=("same", "valid")[a % 3 == 2 and min(x.shape[1:3]) > 4],
        use_bias=bool(a % 4),
    )


def depthwise(a, b, x):
    padding = ("same", "valid")[b % 2 and min(x.shape[1:3]) > 2]
    return L.DepthwiseConv2D(3, padding=padding, depth_multiplier=1 + a % 2, use_bias=bool(b % 3))


def rescaling(a, b, x):
    return L.Rescaling(0.5 + b / 4, offset=a / 8)


def normalization(a, b, x):
    size = x.shape[-1]
    return L.Normalization(mean=np.linspace(-a / 4, 1, size), variance=np.linspace(0.5, 1 + b / 4, size))


def activation(a, b, x):
    return L.Activation(ACTIVATIONS[b % len(ACTIVATIONS)])


COMMON = {
    "norm": lambda a, b, x: L.BatchNormalization(center=bool(a % 4), scale=bool(b % 4)),
    "relu": lambda a, b, x: L.ReLU(max_value=(None, 6.0)[b % 2], negative_slope=(0.0, 0.1)[a % 5 == 4]),
    "act": activation,
    "scale": rescaling,
    "standardize": normalization,
    "layer_norm": lambda a, b, x: L.LayerNormalization(scale=bool(a % 3), center=bool(b % 3)),
}
LAYERS = {
    "image": COMMON
    | {
        "conv": conv,
        "depthwise": depthwise,
        "separable": lambda a, b, x: L.SeparableConv2D(4, 3, padding="same", use_bias=bool(b % 2)),
        "transpose": lambda a, b, x: L.Conv2DTranspose(
            4, 2 + b % 2, strides=1 + a % 2, padding=("same", "valid")[b % 2]
        ),
        "pool": lambda a, b, x: (L.MaxPooling2D, L.AveragePooling2D)[b % 2](
            2 + a % 2, strides=1 + b // 2 % 2, padding="same"
        ),
        "prelu": lambda a, b, x: L.PReLU(shared_axes=[1, 2]),
        "pad": lambda a, b, x: L.ZeroPadding2D(((0, 1), (1, a % 2))),
        "crop": lambda a, b, x: L.Cropping2D(((0, 1), (a % 2, 0))) if min(x.shape[1:3]) > 2 else L.ReLU(),
        "up": lambda a, b, x: L.UpSampling2D(2, interpolation=("nearest", "bilinear")[b % 2]),
    },
    "steps": COMMON
    | {
        "dense": lambda a, b, x: L.Dense(8, activation=(None, "relu")[b % 2], use_bias=bool(a % 3)),
        "conv": lambda a, b, x: L.Conv1D(8, 1 + a % 3, padding=("same", "causal")[b % 2], use_bias=bool(b % 3)),
        "depthwise": lambda a, b, x: L.DepthwiseConv1D(3, padding="same"),
        "pool": lambda a, b, x: (L.MaxPooling1D, L.AveragePooling1D)[b % 2](2, strides=1, padding="same"),
        "prelu": lambda a, b, x: L.PReLU(shared_axes=[1]),
    },
    "vector": COMMON
    | {
        "dense": lambda a, b, x: L.Dense(5, activation=(None, "relu")[b % 2], use_bias=bool(a % 3)),
        "prelu": lambda a, b, x: L.PReLU(),
    },
}
WIRING = (
    *("again", "likewise", "concat", "towers", "repeated", "residual", "excite", "submodel"),
    *("turn", "positions", "attention", *MERGES),
    *("permute", "recurrent", "parts", "gate", "groups", "across", "tokens", "thrice"),
)
STEPS = {kind: (*layers, *WIRING) for kind, layers in LAYERS.items()}


def kind_of(x):
    """What a value is now, whatever the inputs were."""
    return {2: "vector", 3: "steps", 4: "image"}[len(x.shape)]


class Net:
    """A model in the making."""

    def __init__(self, kind, inputs):
        self.inputs = [keras.Input(SHAPES[kind], name=f"input_{i}") for i in range(inputs)]
        self.values = list(self.inputs)
        self.used = []

    def layer(self, step, a, b, x):
        """A new layer; later steps may use it again."""
        table = LAYERS[kind_of(x)]
        made = table.get(step, list(table.values())[(a + b) % len(table)])(a, b, x)
        self.used.append((made, x.shape))
        return made

    def linear(self, a, b, x):
        """A new layer with a kernel that keeps the shape."""
        if kind_of(x) == "image":
            return L.Conv2D(x.shape[-1], 1 + 2 * (a % 2), padding="same", use_bias=bool(b % 3))
        return L.Dense(x.shape[-1], use_bias=bool(b % 3))

    def step(self, step, a, b):
        x = self.values[-1 - a % min(len(self.values), 3)]
        y = getattr(self, step)(a, b, x) if step in WIRING else self.layer(step, a, b, x)(x)
        if y is not None and np.prod(y.shape[1:]) <= LARGEST:
            self.values.append(y)

    def partner(self, b, x):
        same = [v for v in self.values if v.shape == x.shape and v is not x]
        return same[b % len(same)] if same else None

    def again(self, a, b, x):
        """A layer that is there already, shared."""
        fitting = [layer for layer, shape in self.used if shape[1:] == x.shape[1:]]
        return fitting[b % len(fitting)](x) if fitting else None

    def likewise(self, a, b, x):
        """A new layer like one that is there."""
        fitting = [layer for layer, shape in self.used if shape[1:] == x.shape[1:]]
        if not fitting:
            return None
        config = fitting[b % len(fitting)].get_config()
        config.pop("name")
        return type(fitting[b % len(fitting)]).from_config(config)(x)

    def concat(self, a, b, x):
        other = self.partner(b, x)
        return None if other is None else L.Concatenate()([x, other] if a % 2 else [other, x])

    def towers(self, a, b, x):
        """Two branches that look alike, joined where their order matters or not."""
        first, second = (L.ReLU()(self.linear(a, b, x)(x)) for _ in range(2))
        return (L.Add, L.Concatenate, L.Subtract, L.Multiply)[b % 4]()([first, second] if a % 2 else [second, first])

    def repeated(self, a, b, x):
        """The same block several times, each with weights of its own."""
        for _ in range(2 + a % 2):
            x = L.ReLU()(L.BatchNormalization()(self.linear(a, b, x)(x)))
        return x

    def residual(self, a, b, x):
        """A skip connection whose two sides have scalings of their own."""
        y = L.BatchNormalization()(self.linear(a, b, x)(L.ReLU()(L.BatchNormalization()(x))))
        return L.Add()([L.Rescaling(0.5)(y) if b % 2 else y, L.BatchNormalization()(x) if a % 2 else x])

    def excite(self, a, b, x):
        if len(x.shape) != 4:
            return L.Multiply()([x, L.Dense(x.shape[-1], activation="sigmoid")(x)])
        y = L.GlobalAveragePooling2D(keepdims=True)(x)
        y = L.Conv2D(2, 1, activation="relu")(y)
        return L.Multiply()([x, L.Conv2D(x.shape[-1], 1, activation=("sigmoid", "hard_sigmoid")[b % 2])(y)])

    def submodel(self, a, b, x):
        """A model called twice, with a norm per use or without."""
        inner = keras.Sequential([self.linear(a, b, x), L.ReLU(), self.linear(a + 1, b, x)])
        first = inner(x)
        return inner(L.BatchNormalization()(first) if b % 2 else L.ReLU()(first))

    def turn(self, a, b, x):
        """The same numbers along other axes."""
        size = int(np.prod(x.shape[1:]))
        width = next((int(n) for n in np.roll((4, 6, 8, 10, 16), a) if size % (2 * n) == 0), size)
        shapes = ((size // width, width), (2, size // 2 // width, width), (size,))
        return L.Reshape(shapes[b % 3 if size > width else 2])(x)

    def positions(self, a, b, x):
        """Numbers of the code, one per place, are added."""
        return x + np.random.default_rng(a).uniform(-1, 1, x.shape[1:]).astype("float32")

    def attention(self, a, b, x):
        if kind_of(x) != "steps":
            return None
        other = self.partner(b, x)
        return L.MultiHeadAttention(2, 4)(x, x if other is None or a % 2 else other)

    def permute(self, a, b, x):
        """The axes in another order."""
        rank = len(x.shape)
        orders = {4: ((2, 1, 3), (3, 1, 2), (1, 3, 2)), 3: ((2, 1),)}.get(rank)
        return None if orders is None else L.Permute(orders[b % len(orders)])(x)

    def recurrent(self, a, b, x):
        """A recurrent layer, unrolled as all forms of files can have it."""
        if kind_of(x) != "steps" or x.shape[1] > 12:
            return None
        layer = (L.LSTM, L.GRU, L.SimpleRNN)[b % 3]
        size, is_both = x.shape[-1] if a % 2 else 4, a % 3 == 2
        backwards = a % 5 == 1 and not is_both
        made = layer(size, unroll=True, return_sequences=bool(b // 3 % 2), go_backwards=backwards)
        return L.Bidirectional(made)(x) if is_both else made(x)

    def parts(self, a, b, x):
        """Channels are taken apart, and joined again otherwise."""
        if x.shape[-1] % 2:
            return None
        first, second = keras.ops.split(x, 2, axis=-1)
        first = self.linear(a, b, first)(first) if a % 3 else first
        return L.Concatenate()([second, first] if b % 2 else [first, second])

    def gate(self, a, b, x):
        """Half of the channels says how much of the others there is."""
        y = L.Dense(2 * x.shape[-1], use_bias=bool(b % 3))(x)
        first, second = keras.ops.split(y, 2, axis=-1)
        return first * (keras.ops.silu, keras.ops.sigmoid, keras.ops.gelu)[a % 3](second)

    def groups(self, a, b, x):
        size = x.shape[-1]
        count = next(n for n in ((1, 2, size), (2, size, 1), (size, 1, 2))[a % 3] if size % n == 0)
        return L.GroupNormalization(count, center=bool(b % 3), scale=bool(b % 4))(x)

    def across(self, a, b, x):
        """A dense layer over another axis than the channels."""
        if kind_of(x) != "steps" or x.shape[1] > 32:
            return None
        return L.EinsumDense(
            "abc,bd->adc", output_shape=(x.shape[1], x.shape[2]), bias_axes=(None, "c", "d", "dc")[b % 4]
        )(x)

    def tokens(self, a, b, x):
        """What is alike in a sequence, as in attention without projections."""
        if kind_of(x) != "steps":
            return None
        scores = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))
        return keras.ops.matmul(L.Softmax(axis=(-1, 1)[a % 2])(scores / 3.0), self.linear(a, b, x)(x))

    def thrice(self, a, b, x):
        """One layer three times in a row, with something of each time in the result."""
        layer, results = self.linear(a, b, x), []
        for _ in range(3):
            x = keras.ops.tanh(layer(x))
            results.append(x)
        return L.Add()(results) if b % 2 else L.Concatenate()(results)


for name, merge in MERGES.items():

    def _merged(self, a, b, x, merge=merge):
        other = self.partner(b, x)
        return None if other is None else merge()([x, other] if a % 2 else [other, x])

    setattr(Net, name, _merged)


def build(plan):
    """The model of a plan: two heads, the second on a value in the middle."""
    kind, inputs, steps = plan
    keras.utils.clear_session()
    net = Net(kind, inputs)
    if inputs > 1:
        net.values.append(L.Concatenate()(net.inputs))
    for step in steps:
        net.step(*step)
    last, middle = net.values[-1], net.values[len(net.values) // 2]
    if kind_of(last) == "image":
        last = L.GlobalAveragePooling2D()(last)
    if kind_of(middle) == "image":
        middle = L.Flatten()(L.Conv2D(2, 1)(middle))
    return keras.Model(net.inputs, [L.Dense(3, activation="softmax")(last), L.Dense(2)(middle)])


@st.composite
def plans(draw, longest=12):
    """Plans of every kind."""
    kind = draw(st.sampled_from(tuple(SHAPES)))
    number = st.integers(0, 11)
    steps = st.lists(st.tuples(st.sampled_from(STEPS[kind]), number, number), min_size=2, max_size=longest)
    return kind, draw(st.sampled_from((1, 1, 2))), draw(steps)


def mutated(plan, place, change, number):
    """A plan with one thing changed: a number, the step itself, a step more or less, or two in the other order."""
    kind, inputs, steps = plan
    steps, place = list(steps), place % len(steps)
    step, a, b = steps[place]
    if change == "a":
        steps[place] = (step, number, b)
    elif change == "b":
        steps[place] = (step, a, number)
    elif change == "step":
        exchange = {"again": "likewise", "likewise": "again"}
        steps[place] = (exchange.get(step, STEPS[kind][number % len(STEPS[kind])]), a, b)
    elif change == "more":
        steps.insert(place, (STEPS[kind][number % len(STEPS[kind])], a, b))
    elif change == "less":
        del steps[place]
    else:
        steps[place : place + 2] = reversed(steps[place : place + 2])
    return kind, inputs, steps


CHANGES = ("a", "b", "step", "more", "less", "order")


def feeds(model, seed, count):
    """Inputs of ``count`` examples."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (count, *i.shape[1:])).astype("float32") for i in model.inputs]


def convert(model, mode):
    """The file of a model under a quantization, without tensor names."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    examples = feeds(model, 7, 20)
    quantize(converter, mode, lambda: ([x[i : i + 1] for x in examples] for i in range(20)), falls_back=True)
    return stripped(converted(converter))


def run_model(model, inputs):
    return [np.asarray(y) for y in model(inputs if len(inputs) > 1 else inputs[0], training=False)]


def distance(wanted, got):
    """Largest deviation of any output, relative to its largest magnitude."""
    pairs = zip(wanted, got, strict=True)
    return max(
        float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-3)) if a.shape == b.shape else np.inf for a, b in pairs
    )


def outcome(content, twin, original, mapping=None):
    """``(what became of a port, a line about it)``: exact, ambiguous, refused, wrong or, where LiteRT ends, unknown.

    What the file computes is the measure, up to its own quantization noise: the distance from the original model.
    """
    before = [np.asarray(v).copy() for v in twin.variables]
    try:
        tflrecover.port(content, twin, mapping)
    except tflrecover.PortError as error:
        changed = not all(np.array_equal(a, b) for a, b in zip(before, twin.variables, strict=True))
        kind = "ambiguous" if error.report.ambiguities else "refused"
        return ("wrong", "refused, but changed") if changed else (kind, str(error))
    except tflrecover.TFLRecoverError as error:
        return "refused", str(error)
    inputs = feeds(twin, 3, 5)
    wanted, got = run_apart(content, inputs), run_model(twin, inputs)
    if wanted is None:
        return "unknown", "LiteRT ends on this file"
    noise, found = distance(run_model(original, inputs), wanted), distance(wanted, got)
    is_exact = found <= tolerances.OUTPUT + 3 * noise
    return ("exact", "") if is_exact else ("wrong", f"differs by {found:.3g}, the file from its model by {noise:.3g}")

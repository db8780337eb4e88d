"""Names of functions, from the layers in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tflrecover.generation.steps import Function, Loop, Repeat, Step, walked


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a name depends on.

    Attributes:
        kinds: Classes of layers and names of functions that it calls, also by others.
        own: Those that it calls itself.
        inputs: Number of tensors.
        repeats: Whether it calls functions several times.
        adds: Whether a tensor that it is given is added to what is made of it.
        joins: The same for a concatenation.
        called: Functions of the source that it calls.
        growth: What it adds to the number of places.
        enlarges: Whether it makes its first tensor as large as its second, and merges them.
        pools: Whether all places become one behind other layers.
        widens: Whether a depthwise convolution stands between two others.
    """

    kinds: frozenset[str]
    own: tuple[str, ...]
    inputs: int
    repeats: bool
    adds: bool
    joins: bool
    growth: int
    called: tuple[str, ...]
    enlarges: bool
    pools: bool
    widens: bool

    @property
    def excites(self) -> bool:
        """Whether what it makes is multiplied at last by what is seen of all places."""
        return self.own[-1] in _PRODUCTS and any(kind.startswith("Global") for kind in self.own)

    def has(self, *kinds: str) -> bool:
        return any(kind in self.kinds for kind in kinds)


# Steps of a function that is little more than a loop.
_FEW = 3
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv2D", "DepthwiseConv2D", "Conv2DTranspose")
_PRODUCTS = ("Multiply", "multiply")
_ATTENTION = ("MultiHeadAttention", "matmul", "einsum", "Dot")

# Name and docstring; the first row that holds.
_NAMES: tuple[tuple[str, str, Callable[[_Facts], bool]], ...] = (
    ("decoder_block", "Enlarges features, and joins them with finer ones.", lambda f: f.inputs == 2 and f.enlarges),
    ("cell", "Several ways from two tensors, side by side.", lambda f: f.inputs > 1 and "Concatenate" in f.own),
    ("stage", "Halves the size, and goes on with blocks that keep it.", lambda f: f.repeats and f.growth < 0),
    ("blocks", "Blocks of one kind, one behind the other.", lambda f: f.repeats),
    ("attention", "Attention, with its projections.", lambda f: f.has(*_ATTENTION) and f.has("softmax", "Softmax")),
    ("attention", "What each step takes from others.", lambda f: f.has("dot_product_attention")),
    ("head", "Turns features into predictions.", lambda f: f.own[-1] in ("Reshape", "Flatten") and f.has("Conv2D")),
    ("squeeze_excite", "Scales channels by what is seen of all places.", lambda f: f.own[0].startswith("Global")),
    ("encoder", "Makes one vector of all places.", lambda f: f.pools and not f.has("Multiply", "multiply")),
    ("upsample_block", "Enlarges features.", lambda f: f.growth > 0),
    ("downsample_block", "Halves the size.", lambda f: f.growth < 0),
    ("inverted_residual", "Widens, filters each channel, narrows, and adds its input.", lambda f: f.adds and f.widens),
    ("residual_block", "Adds its input to what is made of it.", lambda f: f.adds),
    ("inverted_bottleneck", "Widens, filters each channel, and narrows.", lambda f: f.widens),
    ("shortcut_block", "Adds two ways from its input.", lambda f: f.inputs == 1 and "Add" in f.own),
    ("dense_block", "Puts what is made of its input behind it.", lambda f: f.joins and f.inputs == 1),
    ("mixed_block", "Several ways from its input, side by side.", lambda f: "Concatenate" in f.own),
    ("merge_block", "Adds two tensors.", lambda f: "Add" in f.own),
    ("squeeze_excite_block", "Features, with channels scaled by what is seen of all places.", lambda f: f.excites),
    ("separable_block", "Depthwise convolutions, and pointwise ones.", lambda f: f.has("DepthwiseConv2D")),
    ("conv_block", "Convolutions, one behind the other.", lambda f: f.own.count("Conv2D") > 1),
    ("conv_block", "A convolution, and what belongs to it.", lambda f: f.has(*_CONVOLUTIONS)),
    ("dense_layers", "Dense layers, one behind the other.", lambda f: f.own.count("Dense") > 1),
    ("dense_layer", "A dense layer, and what belongs to it.", lambda f: f.has("Dense")),
    ("transform", "Steps that the network takes several times.", lambda f: True),
)


def name_functions(functions: Sequence[Function], taken: set[str], size: Callable[[int], int]) -> dict[int, str]:
    """Gives each function a name, and returns per function a sentence for its docstring.

    Args:
        functions: In the order in which they are defined.
        taken: Names of something else.
        size: Of a tensor the number of places, in height and width.
    """
    facts: dict[int, _Facts] = {}
    sentences = {}
    for function in functions:
        facts[id(function)] = found = _facts(function, facts, size)
        name, sentence, _ = next(row for row in _NAMES if row[2](found))
        if name == "blocks":
            name = f"{found.called[-1] if found.called else 'block'}s"
        function.name = _free(name, taken)
        taken.add(function.name)
        sentences[id(function)] = sentence
    return sentences


def _free(name: str, taken: set[str]) -> str:
    number, wanted = 1, name
    while wanted in taken:
        number += 1
        wanted = f"{name}_{number}"
    return wanted


def _facts(function: Function, known: dict[int, _Facts], size: Callable[[int], int]) -> _Facts:
    own: list[str] = []
    kinds: set[str] = set()
    repeats = False
    called: list[str] = []
    steps = function.body.steps
    for step in walked(function.body):
        target = step.form.target
        if isinstance(target, Repeat):
            repeats = repeats or isinstance(target.form.target, Function)
            target = target.form.target
        if isinstance(target, Loop):
            # Of layers alone it is one part among others.
            repeats = repeats or len(steps) <= _FEW or any(_calls(one) for one in target.body.steps)
        elif isinstance(target, Function):
            kinds |= known[id(target)].kinds
            own.append(target.name)
            called.append(target.name)
        else:
            own.append(target.rpartition(".")[2])
            kinds.add(own[-1])
    before, after = size(function.body.inputs[0]), size(function.body.outputs[0])
    # What has strides as a parameter depends on the call.
    is_fixed = before and after and not any(one.name.endswith("strides") for one in function.parameters)
    growth = after - before if is_fixed else 0
    is_row = len(called) == len(own) > 1 == len({*called})
    repeats = repeats or is_row or (len(called) * 2 > len(own) and len(called) > 2)
    given = set(function.body.inputs)
    return _Facts(
        frozenset(kinds),
        tuple(own),
        len(given),
        repeats,
        _merges(steps, given, ("layers.Add", "ops.add")),
        _merges(steps, given, ("layers.Concatenate", "ops.concatenate")),
        growth,
        tuple(called),
        before < max(size(value) for value in given) == after
        and own[-1] in ("Concatenate", "Add", "concatenate", "add"),
        any(kind.startswith("Global") for kind in own[1:]),
        _besides_excitation(own)[:3] == ["Conv2D", "DepthwiseConv2D", "Conv2D"],
    )


def _besides_excitation(own: Sequence[str]) -> list[str]:
    """What it calls, but for what scales channels by what is seen of all places, or is called so."""
    start = next((i for i, kind in enumerate(own) if kind.startswith("Global")), len(own))
    end = next((i for i in range(start, len(own)) if own[i] in _PRODUCTS), start - 1)
    return [kind for kind in (*own[:start], *own[end + 1 :]) if not kind.startswith("squeeze_excite")]


def _calls(step: Step) -> bool:
    """Whether it calls a function of the source."""
    target = step.form.target
    return isinstance(target.form.target if isinstance(target, Repeat) else target, Function)


def _merges(steps: Sequence[Step], given: set[int], targets: tuple[str, ...]) -> bool:
    return any(step.form.target in targets and given & {*step.inputs} for step in steps)

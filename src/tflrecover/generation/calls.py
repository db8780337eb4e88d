"""From the calls that made a model to steps of source."""

from __future__ import annotations

import inspect
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from tflrecover.generation.arguments import shortest
from tflrecover.generation.classes import OWN, importable
from tflrecover.generation.forms import FormMaker, Told
from tflrecover.generation.inner import canonical, described
from tflrecover.generation.literals import index, quoted
from tflrecover.generation.steps import SHAPE, Argument, Form, Inner, Program, Scope, Several, Step, Tensor
from tflrecover.recovery.builder import Call, NestedModel
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.names import snake_case


@dataclass(eq=False)
class Written:
    """A model as steps.

    Attributes:
        program: The steps.
        constants: Arrays that are too large for source, by their names.
        imports: Classes of the user's, and their modules.
        tensors: Per tensor of the program that of the model.
        stems: Per tensor the name of the layer that made it.
        output_names: Of the model's outputs; ``""`` where the source does not give one.
    """

    program: Program
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    tensors: dict[int, Any] = field(default_factory=dict)
    stems: dict[int, str] = field(default_factory=dict)
    output_names: list[str] = field(default_factory=list)

    @property
    def may_mistake_channels(self) -> bool:
        """Whether layers look up where channels are, and none has a kernel that fits only where they are.

        A user may have set Keras to channels that come first.
        """
        forms = {step.form for scope in self.program.scopes for step in scope.steps}
        if any("kernel_size" in form.names for form in forms):
            return False
        return any("data_format" in _parameters(form.target) and "data_format" not in form.names for form in forms)

    def channels(self, tensor: int) -> int:
        """Size of a tensor's last axis, 0 where it has none."""
        shape = getattr(self.tensors.get(tensor), "shape", ())
        return shape[-1] or 0 if shape else 0

    def size(self, tensor: int) -> int:
        """Height times width of a tensor that is an image, else 0."""
        shape = getattr(self.tensors.get(tensor), "shape", ())
        return math.prod(n or 0 for n in shape[1:-1]) if len(shape) == 4 else 0


# Layers whose padding says nothing where the kernel is one number; the source then leaves it out.
_UNPADDED = ("layers.Conv1D", "layers.Conv2D", "layers.Conv3D", "layers.SeparableConv2D", "layers.DepthwiseConv2D")
# In fewer calls it may be by chance.
_SURE = 3
# Arguments whose numbers are sizes; which axis of what is called they may be, divided by what, channels first.
_SHAPES = ("target_shape", "newshape")
_SIZES = [(axis, divisor) for divisor in range(1, 17) for axis in (-1, 1, 2)]
# What targets of functions begin with.
_FUNCTIONS = ("ops.", "tf.", "[")


def written(model: Any, calls: Sequence[Call]) -> Written:
    """The steps that make a model, in the order of its calls.

    Raises:
        Unwritable: a call is given what has no source.
    """
    return _Writer(model, calls).written()


class _Writer:
    """Numbers tensors, and knows which arguments of a layer have to be written."""

    def __init__(self, model: Any, calls: Sequence[Call]) -> None:
        self.model, self.calls = model, calls
        every = list(_walked(calls))
        self.numbers: dict[int, int] = {}
        self.models: dict[int, str] = {}
        self._keys: dict[Any, str] = {}
        self.made = Written(Program(Scope((), [], ())))
        self.automatic = {snake_case(call.target.rpartition(".")[2]) for call in every}
        outputs = [getattr(tensor, "_keras_history", (None,))[0] for tensor in model.outputs]
        # A name like those that Keras gives to layers by itself could be one that it gives in the source.
        self.named = {
            id(layer): layer.name
            for layer in outputs
            if layer is not None and not _is_automatic(layer.name, self.automatic)
        }
        counted = Counter(id(call.layer) for call in every if call.layer is not None)
        self.shared = {layer for layer, count in counted.items() if count > 1}
        self.taken = Counter(id(call.args[0]) for call in every if call.target == "[]")
        self.given = {call: self._given(call) for call in every}
        # A window of one number is never padded; written as others are, it is like them.
        for call, given in self.given.items():
            if call.target in _UNPADDED and given.get("kernel_size") == 1:
                given["padding"] = "same"
            if call.target == "layers.Reshape":
                given["target_shape"] = _flattened(given["target_shape"], call.args[0].shape[1:])
        self._tell_shapes()
        self.written_arguments: dict[str, list[str]] = defaultdict(list)
        for call, given in self.given.items():
            known = self.written_arguments[call.target]
            known += [name for name in given if name not in known]

    def _tell_shapes(self) -> None:
        """Says it of a shape that is, in all calls of a kind, that of what they are called on."""
        kinds: dict[tuple[str, ...], list[Call]] = defaultdict(list)
        for call, given in self.given.items():
            words = (word for word in given.values() if isinstance(word, str))
            shapes = (name for name, value in given.items() if isinstance(value, tuple) and len(value) > 1)
            for name in () if id(call.layer) in self.shared else shapes:
                kinds[call.target, name, *words].append(call)
        for (_, name, *_), calls in kinds.items():
            own = [tuple(getattr(call.args[0], "shape", ()))[1:] for call in calls]
            told = [self.given[call][name] for call in calls]
            if len({*told}) > 1 and own == told:
                for call in calls:
                    self.given[call][name] = Told(SHAPE)

    def written(self) -> Written:
        inputs = tuple(self._number(tensor) for tensor in self.model.inputs)
        steps = self._steps(self.calls)
        outputs = tuple(
            self._output(tensor, name, steps)
            for tensor, name in zip(self.model.outputs, self.model.output_names, strict=True)
        )
        self.made.program.main = Scope(inputs, steps, outputs)
        named = self.model.output_names
        self.made.output_names = ["" if _is_automatic(name, self.automatic) else name for name in named]
        return self.made

    def _steps(self, calls: Sequence[Call]) -> list[Step]:
        return self._with_sizes([step for call in calls for step in self._made(call)])

    def _output(self, tensor: Any, name: str, steps: list[Step]) -> int:
        """The tensor of an output; the name of what a function makes is given to a layer behind it."""
        number = self.numbers[id(tensor)]
        is_layer = any(number in step.outputs and step.form.is_layer for step in steps)
        if is_layer or _is_automatic(name, self.automatic):
            return number
        call = Call("layers.Identity", (tensor,), {}, object())
        self.given[call] = {"name": name}
        steps += self._made(call)
        (made,) = steps[-1].outputs
        self.made.stems[made] = name
        return made

    def _number(self, made: Any, stem: str = "") -> int:
        """The number of a tensor, or of a layer that is called several times."""
        number = self.numbers.setdefault(id(made), len(self.numbers))
        if is_tensor(made):
            self.made.tensors[number] = made
        self.made.stems[number] = stem
        return number

    def _given(self, call: Call) -> dict[str, Any]:
        """Arguments of a layer's constructor that are not what they would be anyway, as short as they can be."""
        if call.target.startswith(_FUNCTIONS):
            return {}
        given = dict(call.arguments)
        if call.target.startswith("layers."):
            given = shortest(_kind(call), given)
        return {**given, "name": self.named[id(call.layer)]} if id(call.layer) in self.named else given

    def _made(self, call: Call) -> Iterator[Step]:
        """The step of a call; if the layer is called again, the one that makes it comes first."""
        if id(call.layer) in self.shared:
            if id(call.layer) not in self.numbers:
                yield self._layer(call)
            form = FormMaker(self, inputs=[self.numbers[id(call.layer)]])
            yield self._step(call, form, "()", (), (Argument("", Tensor(0), True), *self._arguments(call, form)))
        elif call.target.startswith(_FUNCTIONS):
            yield self._function(call)
        else:
            yield self._layer(call)

    def _function(self, call: Call) -> Step:
        form = FormMaker(self)
        if call.target != "[]":
            arguments = form.call(_function(call.target), call.args, call.arguments)
            return self._step(call, form, call.target, (), arguments)
        x, where = call.args
        # Of what is taken apart, all places are counted from the beginning.
        shape = x.shape if self.taken[id(x)] == 1 else (None,) * len(x.shape)
        return self._step(call, form, f"[{index(where, shape)}]", (), [Argument("", form.tree(x, ""), True)])

    def _layer(self, call: Call) -> Step:
        for role, value in call.arguments.items():
            if isinstance(value, NestedModel):
                self.models[id(value)] = self._inner(value, role, len(call.arguments.get("initial", ())))
        form = FormMaker(self)
        own = form.constructor(_kind(call), self.given[call], call.target)
        if id(call.layer) in self.shared:
            outputs = (self._number(call.layer, call.layer.name),)
            made = Form(self._class(call), tuple(own), (), tuple(form.names), tuple(form.defaults))
            return Step(made, (), tuple(form.literals), outputs, (call.layer.name,))
        return self._step(call, form, self._class(call), own, self._arguments(call, form))

    def _arguments(self, call: Call, form: FormMaker) -> list[Argument]:
        """What a layer is called with."""
        is_list = isinstance(call.layer, OWN) and len(call.args) > 1
        trees = [form.tree(arg, "") for arg in call.args]
        placed = [Several("[]", tuple(trees))] if is_list else trees
        return [
            *(Argument("", tree, True) for tree in placed),
            *(Argument(name, form.tree(value, name)) for name, value in call.named.items()),
        ]

    def _step(
        self, call: Call, form: FormMaker, target: str, own: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Step:
        if not form.inputs:
            # A constant: its layer is called on what it does not look at.
            form.inputs += [self.numbers[id(tensor)] for tensor in call.layer._inbound_nodes[0].input_tensors]
        results = call.result if isinstance(call.result, (list, tuple)) else [call.result]
        stem = "" if call.layer is None else call.layer.name
        made = Form(target, tuple(own), tuple(arguments), tuple(form.names), tuple(form.defaults), len(results))
        outputs = tuple(self._number(tensor, stem) for tensor in results)
        return Step(made, tuple(form.inputs), tuple(form.literals), outputs, (stem,))

    def _class(self, call: Call) -> str:
        """What the source calls a layer's class."""
        kind = _kind(call)
        if call.target.startswith("layers.") or kind in OWN:
            return call.target if kind not in OWN else str(kind.__name__)
        name, self.made.imports[name] = importable(kind, self.made.imports)
        return name

    def _inner(self, model: NestedModel, role: str, states: int) -> str:
        """The function that makes a model that a layer calls; equal models have one."""
        inputs = tuple(self._number(tensor) for tensor in model.inputs)
        steps = self._steps(model.calls)
        scope = Scope(inputs, steps, tuple(self.numbers[id(tensor)] for tensor in model.outputs))
        models = self.made.program.models
        name, sentence, names = described(role, len(inputs), states, [one.name for one in models])
        key = canonical(scope, model.inputs)
        known = self._keys.setdefault(key, name)
        if known == name:
            models.append(Inner(name, sentence, names, scope))
        return known

    def _with_sizes(self, steps: list[Step]) -> list[Step]:
        """Says it of a number that is, in all calls of a kind, a size of what they are called on."""
        kinds: dict[tuple[Form, tuple[str, ...], int], list[int]] = defaultdict(list)
        for place, step in enumerate(steps):
            words = tuple(source for source in step.literals if not source.isdigit())
            for slot, name in enumerate(step.form.names):
                if name not in ("filters", "units"):
                    kinds[step.form, words, slot].append(place)
        for (form, _, slot), places in kinds.items():
            sources = {steps[place].literals[slot] for place in places}
            if len(sources) == 1 or len(places) < _SURE:
                continue
            sizes = _SIZES if form.names[slot] in _SHAPES else _SIZES[:1]
            told = (size for size in sizes if all(_size(steps[i], slot) == self._told(steps[i], size) for i in places))
            if (size := next(told, None)) is not None:
                source = f".shape[{size[0]}]" + (f" // {size[1]}" if size[1] > 1 else "")
                for place in places:
                    steps[place] = _telling(steps[place], slot, source)
        return steps

    def _told(self, step: Step, size: tuple[int, int]) -> int:
        """Of what a step works on, the size of an axis, divided by a number; 0 where there is none such."""
        axis, divisor = size
        shape = self.made.tensors[step.inputs[0]].shape if step.inputs and step.inputs[0] in self.made.tensors else ()
        found = shape[axis] or 0 if -len(shape) <= axis < len(shape) else 0
        return 0 if found % divisor else int(found // divisor)

    def constant(self, value: np.ndarray) -> str:
        """Source of a large array: what it is called in the file beside."""
        if value.dtype.kind == "O":
            # Texts of one length, so that nothing has to be unpickled.
            value = value.astype("S")
        known = self.made.constants.items()
        same = (name for name, one in known if one.dtype == value.dtype and np.array_equal(one, value))
        name = next(same, f"constant_{len(known)}")
        self.made.constants[name] = value
        return f"CONSTANTS[{quoted(name)}]"


def _walked(calls: Sequence[Call]) -> Iterator[Call]:
    """All calls, with those of models that layers call."""
    for call in calls:
        for value in call.arguments.values():
            if isinstance(value, NestedModel):
                yield from _walked(value.calls)
        yield call


def _size(step: Step, slot: int) -> int:
    """A literal that is a size; -1 for any other."""
    source = step.literals[slot]
    return int(source) if source.isdigit() and source != "0" else -1


def _telling(step: Step, slot: int, source: str) -> Step:
    """The step with a size in the place of a number; its form is no longer that of a step that has the number."""
    literals, names = list(step.literals), list(step.form.names)
    literals[slot], names[slot] = source, names[slot] + source
    return replace(step, form=replace(step.form, names=tuple(names)), literals=tuple(literals))


def _flattened(target: Sequence[int], shape: Sequence[int | None]) -> tuple[int, ...]:
    """Of places that a reshape puts in one row, nobody counts how many these are."""
    is_row = len(target) == len(("places", "channels")) <= len(shape) and target[0] > 1 and None not in shape
    return (-1, target[1]) if is_row else tuple(target)


def _kind(call: Call) -> Any:
    """The class of a layer."""
    is_plain = call.target.startswith("layers.")
    return getattr(keras.layers, call.target.removeprefix("layers.")) if is_plain else type(call.layer)


def _parameters(target: str) -> Collection[str]:
    """Of a layer's constructor, or of a function of Keras."""
    if target.startswith("layers."):
        return inspect.signature(getattr(keras.layers, target.removeprefix("layers."))).parameters
    return inspect.signature(_function(target)).parameters if target.startswith("ops.") else ()


def _function(target: str) -> Any:
    """What ``ops.add`` or ``tf.nn.relu`` names."""
    import tensorflow

    found: Any = {"ops": keras.ops, "tf": tensorflow}[target.partition(".")[0]]
    for part in target.split(".")[1:]:
        found = getattr(found, part)
    return found


def _is_automatic(name: str, kinds: set[str]) -> bool:
    stem, _, number = name.rpartition("_")
    return name in kinds or (number.isdigit() and stem in kinds)

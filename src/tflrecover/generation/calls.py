"""From the calls that made a model to steps of source."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from tflrecover.generation.arguments import default, shortest
from tflrecover.generation.literals import INLINE, Unwritable, index, literal, quoted
from tflrecover.generation.steps import (
    CHANNELS,
    SHAPE,
    Argument,
    Form,
    Program,
    Scope,
    Several,
    Slot,
    Step,
    Tensor,
    Tree,
)
from tflrecover.recovery.builder import Call
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.names import snake_case


@dataclass(eq=False)
class Written:
    """A model as steps.

    Attributes:
        program: The steps.
        constants: Arrays that are too large for source, by their names.
        tensors: Per tensor of the program that of the model.
        stems: Per tensor the name of the layer that made it.
        output_names: Of the model's outputs; ``""`` where the source does not give one.
    """

    program: Program
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[int, Any] = field(default_factory=dict)
    stems: dict[int, str] = field(default_factory=dict)
    output_names: list[str] = field(default_factory=list)

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
# What targets can begin with.
_KNOWN = ("layers", "ops", "tf")
# In fewer calls it may be by chance.
_SURE = 3
# Sizes of a shape are numbers of their own.
_LONG = 3


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
        self.numbers: dict[int, int] = {}
        self.made = Written(Program(Scope((), [], ())))
        self.automatic = {snake_case(call.target.rpartition(".")[2]) for call in calls}
        outputs = [getattr(tensor, "_keras_history", (None,))[0] for tensor in model.outputs]
        # A name like those that Keras gives to layers by itself could be one that it gives in the source.
        self.named = {
            id(layer): layer.name
            for layer in outputs
            if layer is not None and not _is_automatic(layer.name, self.automatic)
        }
        self.given = [self._given(call) for call in calls]
        # A window of one number is never padded; written as others are, it is like them.
        for call, given in zip(calls, self.given, strict=True):
            if call.target in _UNPADDED and given.get("kernel_size") == 1:
                given["padding"] = "same"
        self._tell_shapes()
        self.written_arguments: dict[str, list[str]] = defaultdict(list)
        for call, given in zip(calls, self.given, strict=True):
            known = self.written_arguments[call.target]
            known += [name for name in given if name not in known]

    def _tell_shapes(self) -> None:
        """Says it of a shape that is, in all calls of a kind, that of what they are called on."""
        kinds: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, (call, given) in enumerate(zip(self.calls, self.given, strict=True)):
            words = (word for word in given.values() if isinstance(word, str))
            for name in (name for name, value in given.items() if isinstance(value, tuple) and len(value) > 1):
                kinds[call.target, name, *words].append(place)
        for (_, name, *_), places in kinds.items():
            shapes = {self.given[place][name] for place in places}
            own = [tuple(getattr(self.calls[place].args[0], "shape", ()))[1:] for place in places]
            if len(shapes) > 1 and own == [self.given[place][name] for place in places]:
                for place in places:
                    self.given[place][name] = _Told(SHAPE)

    def written(self) -> Written:
        inputs = tuple(self._number(tensor) for tensor in self.model.inputs)
        steps = self._with_channels(
            [self._step(call, given) for call, given in zip(self.calls, self.given, strict=True)]
        )
        outputs = tuple(
            self._output(tensor, name, steps)
            for tensor, name in zip(self.model.outputs, self.model.output_names, strict=True)
        )
        self.made.program = Program(Scope(inputs, steps, outputs))
        named = self.model.output_names
        self.made.output_names = ["" if _is_automatic(name, self.automatic) else name for name in named]
        return self.made

    def _output(self, tensor: Any, name: str, steps: list[Step]) -> int:
        """The tensor of an output; the name of what a function makes is given to a layer behind it."""
        number = self.numbers[id(tensor)]
        is_layer = any(number in step.outputs and step.form.target.startswith("layers.") for step in steps)
        if is_layer or _is_automatic(name, self.automatic):
            return number
        call = Call("layers.Identity", (tensor,), {}, object())
        steps.append(self._step(call, {"name": name}))
        return steps[-1].outputs[0]

    def _number(self, tensor: Any, stem: str = "") -> int:
        number = self.numbers.setdefault(id(tensor), len(self.numbers))
        self.made.tensors[number] = tensor
        self.made.stems[number] = stem
        return number

    def _given(self, call: Call) -> dict[str, Any]:
        """Arguments of a layer's constructor that are not what they would be anyway, as short as they can be."""
        if not call.target.startswith("layers."):
            return {}
        kind = getattr(keras.layers, call.target.removeprefix("layers."))
        given = shortest(kind, call.arguments)
        return {**given, "name": self.named[id(call.layer)]} if id(call.layer) in self.named else given

    def _step(self, call: Call, given: dict[str, Any]) -> Step:
        form, target = _FormMaker(self), call.target
        if target.partition(".")[0] not in _KNOWN and target != "[]":
            raise Unwritable(f"{target} is no layer of Keras's")
        if call.target.startswith("layers."):
            own = form.constructor(getattr(keras.layers, call.target.removeprefix("layers.")), given, call.target)
            arguments = [Argument("", form.tree(arg, ""), True) for arg in call.args]
            arguments += [Argument(name, form.tree(value, name)) for name, value in call.named.items()]
        elif call.target == "[]":
            x, where = call.args
            target, own, arguments = f"[{index(where, len(x.shape))}]", [], [Argument("", form.tree(x, ""), True)]
        else:
            own, arguments = [], form.call(_function(call.target), call.args, call.arguments)
        if not form.inputs:
            # A constant: its layer is called on what it does not look at.
            form.inputs += [self.numbers[id(tensor)] for tensor in call.layer._inbound_nodes[0].input_tensors]
        results = call.result if isinstance(call.result, (list, tuple)) else [call.result]
        stem = "" if call.layer is None else call.layer.name
        made = Form(target, tuple(own), tuple(arguments), tuple(form.names), tuple(form.defaults), len(results))
        outputs = tuple(self._number(tensor, stem) for tensor in results)
        return Step(made, tuple(form.inputs), tuple(form.literals), outputs, (stem,))

    def _with_channels(self, steps: list[Step]) -> list[Step]:
        """Says it of a number that is, in all calls of a kind, the number of channels of what they are called on."""
        kinds: dict[tuple[Form, tuple[str, ...], int], list[int]] = defaultdict(list)
        for place, step in enumerate(steps):
            words = tuple(source for source in step.literals if not source.isdigit())
            for slot, name in enumerate(step.form.names):
                if name in ("filters", "units"):
                    continue
                kinds[step.form, words, slot].append(place)
        for (*_, slot), places in kinds.items():
            sources = [steps[place].literals[slot] for place in places]
            channels = [self._channels(steps[place]) for place in places]
            if sources == channels and len(set(sources)) > 1 and len(sources) >= _SURE:
                for place in places:
                    literals = list(steps[place].literals)
                    literals[slot] = CHANNELS
                    steps[place] = replace(steps[place], literals=tuple(literals))
        return steps

    def _channels(self, step: Step) -> str:
        shape = self.made.tensors[step.inputs[0]].shape if step.inputs else ()
        return str(shape[-1]) if shape else ""

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


@dataclass(frozen=True, slots=True)
class _Told:
    """An argument that is told by what a layer is called on."""

    source: str


@dataclass(eq=False)
class _FormMaker:
    """Takes the tensors and literals out of the arguments of one call."""

    writer: _Writer
    inputs: list[int] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)

    def raw(self, name: str, source: str, default: str = "", *, is_placed: bool = True) -> Argument:
        self.names.append(name)
        self.defaults.append(default)
        self.literals.append(source)
        return Argument(name, Slot(len(self.literals) - 1), is_placed)

    def tree(self, value: Any, name: str, default: str = "", *, is_inside: bool = False) -> Tree:
        """Numbers that stand in a row are one literal; in a table, as of paddings, each is one."""
        if is_tensor(value):
            self.inputs.append(self.writer.numbers[id(value)])
            return Tensor(len(self.inputs) - 1)
        if isinstance(value, (list, tuple)) and (is_inside or len(value) >= _LONG or any(map(_is_structure, value))):
            brackets = "[]" if isinstance(value, list) else "()"
            return Several(brackets, tuple(self.tree(one, name, is_inside=True) for one in value))
        return self.raw(name, self.source(value), default).tree

    def source(self, value: Any) -> str:
        if isinstance(value, np.ndarray) and value.size > INLINE:
            return self.writer.constant(value)
        if isinstance(value, _Told):
            return value.source
        if isinstance(value, keras.layers.Layer):
            return self._layer(value)
        if isinstance(value, (list, tuple)) and any(isinstance(one, keras.layers.Layer) for one in value):
            return f"[{', '.join(map(self.source, value))}]"
        # A type of TensorFlow's can be given by its name.
        return literal(value.name if type(value).__name__ == "DType" else value)

    def _layer(self, layer: Any) -> str:
        """A layer that another is given, such as the cell of a recurrent one."""
        kind, config = type(layer), layer.get_config()
        if getattr(keras.layers, kind.__name__, None) is not kind:
            raise Unwritable(f"{kind.__name__} is no layer of Keras's")
        names = [name for name in inspect.signature(kind).parameters if name in config]
        given = shortest(kind, {name: getattr(layer, name, config[name]) for name in names})
        parts = [
            self.source(value) if default(kind, name) is inspect.Parameter.empty else f"{name}={self.source(value)}"
            for name, value in given.items()
        ]
        return f"layers.{kind.__name__}({', '.join(parts)})"

    def constructor(self, kind: Any, given: dict[str, Any], target: str) -> list[Argument]:
        """Arguments that any layer of the class writes, in the order of the signature."""
        made: list[Argument] = []
        order = {name: place for place, name in enumerate(inspect.signature(kind).parameters)}
        known = dict.fromkeys((*self.writer.written_arguments[target], *given))
        wanted = sorted(known, key=lambda name: order.get(name, len(order)))
        for name in wanted:
            usual = default(kind, name)
            value = given.get(name, usual)
            is_placed = usual is inspect.Parameter.empty and order.get(name) == len(made)
            source = "" if usual is inspect.Parameter.empty else self.source(usual)
            made.append(Argument(name, self.tree(value, name, source), is_placed))
        return made

    def call(self, function: Callable[..., Any], args: Sequence[Any], arguments: dict[str, Any]) -> list[Argument]:
        names = _parameters(function)
        placed = [
            Argument(name, self.tree(arg, name), True)
            for name, arg in zip((*names, *[""] * len(args)), args, strict=False)
        ]
        return placed + [Argument(name, self.tree(arg, name)) for name, arg in arguments.items() if arg is not None]


def _is_structure(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or is_tensor(value)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


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

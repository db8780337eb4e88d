"""The whole of a source file."""

from __future__ import annotations

import itertools
import keyword
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tflrecover.generation.calls import Written
from tflrecover.generation.inline import inline_single
from tflrecover.generation.layout import STEP, laid_out
from tflrecover.generation.loops import make_loops, set_defaults
from tflrecover.generation.names import name_functions
from tflrecover.generation.order import depth_first, forward
from tflrecover.generation.repetition import find_functions, join_repeats
from tflrecover.generation.source import Writer
from tflrecover.generation.steps import Program, Scope, walked
from tflrecover.generation.variables import Variables
from tflrecover.generation.literals import literal, quoted


# Lengths of functions that are looked for, one after the other: blocks first and then what they are in, or all at once.
_LENGTHS = ((48,), (4, 48), (8, 48))


def module_source(model: Any, made: Written, origin: str) -> str:
    """The shortest of the sources that the ways to look for repetition give."""
    ways = itertools.product((depth_first, forward), _LENGTHS, (False, True))
    return min((_source(model, made, origin, *way) for way in ways), key=_cost)


def _cost(source: str) -> float:
    """Lines, what has to be read in them, and functions that have to be understood."""
    return source.count("\n") + len(re.findall(r"\w+", source)) / 8 + 2 * source.count("\ndef ")


def _source(model: Any, made: Written, origin: str, order: Any, lengths: Sequence[int], joins: bool) -> str:
    main = made.program.main
    program = Program(Scope(main.inputs, order(main), main.outputs))
    if joins:
        join_repeats(program.main, of_layers=True)
    for longest in lengths:
        find_functions(program, longest)
    inline_single(program)
    for function in program.functions:
        make_loops(function.body, {parameter.name for parameter in function.parameters})
    make_loops(program.main, set())
    set_defaults(program.functions, [step for scope in program.scopes for step in walked(scope)])
    sentences = name_functions(program.functions, {"build_model", "load_model", "WEIGHTS", "CONSTANTS"}, made.size)
    writer = Writer()
    lines: list[str] = []
    for function in program.functions:
        lines += ["", "", *writer.function(function, sentences[id(function)])]
    lines += ["", "", *_build(model, program, writer, _Describer(made, program.main.outputs))]
    return "\n".join([*_head(model, made, origin, lines), *lines, *_load(made), ""])


class _Describer:
    """Telling names for tensors: what the file calls them, else the size of their features."""

    def __init__(self, made: Written, outputs: Sequence[int]) -> None:
        self.made, self.outputs = made, outputs
        stems = [stem for stem in made.stems.values() if stem]
        first = Counter(stem.partition("_")[0] + "_" for stem in stems).most_common(1)
        # The first word of nearly all names is the model's.
        self.prefix = first[0][0] if first and first[0][1] > _NEARLY_ALL * len(stems) else ""

    def describe(self, value: int) -> str:
        stem = re.sub(r"[^a-z0-9]+", "_", self.made.stems.get(value, "").removeprefix(self.prefix).lower()).strip("_")
        while len(stem) > _LONGEST_NAME:
            stem = re.sub(r"_[^_]*(_[a-z]{1,2})*$", "", stem)
        if _TELLING.search(re.sub(_KINDS, "", stem)) and stem[0].isalpha() and not keyword.iskeyword(stem):
            return stem
        return ""

    def size(self, value: int) -> str:
        shape = getattr(self.made.tensors.get(value), "shape", ())
        return f"features_{shape[1]}" if len(shape) == 4 and shape[1] is not None else "features"


    def output(self, value: int) -> str:
        """A name for one of the model's outputs."""
        if value not in self.outputs:
            return ""
        number = f"output_{self.outputs.index(value) + 1}" if len(self.outputs) > 1 else "outputs"
        return self.describe(value) if len(self.outputs) > 1 and self.describe(value) else number


_KINDS = re.compile(
    r"(depthwise|separable|transpose|conv|batch|normalization|norm|bn|(p_?)?re_?lu6?|activation|max|average|global"
    r"|pooling|pool|add|multiply|mul|reshape|flatten|concatenate|concat|zero|pad(ding)?|up|sampling|dense|softmax"
    r"|rescaling|identity|model|functional|sequential|statefulpartitionedcall|dropout|\d+d?|_)+"
)
_NEARLY_ALL = 0.8
_LONGEST_NAME = 20
_TELLING = re.compile(r"[a-z]{4}")


def _build(model: Any, program: Program, writer: Writer, describer: _Describer) -> list[str]:
    lines = ["def build_model():", f'{STEP}"""The network; its weights are random."""']
    inputs = program.main.inputs
    names = {}
    for value, tensor in zip(inputs, model.inputs, strict=True):
        names[value] = "inputs" if len(inputs) == 1 else _identifier(tensor._keras_history[0].name)
    for value, tensor in zip(inputs, model.inputs, strict=True):
        lines += laid_out(f"{names[value]} = keras.Input({', '.join(_input(tensor))})", STEP)
    variables = Variables(names.copy(), describer.describe, describer.size, describer.output, {*names.values()})
    body = writer.main(program.main, variables)
    outputs = [variables.names[value] for value in program.main.outputs]
    given = [_listed([names[value] for value in inputs]), _listed(outputs), f"name={quoted(model.name)}"]
    return [*lines, *body, *laid_out(f"return keras.Model({', '.join(given)})", STEP)]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _input(tensor: Any) -> list[str]:
    shape = tuple(tensor.shape)
    is_free = bool(shape) and shape[0] is None
    given = [literal(shape[1:])] if is_free else [f"batch_shape={literal(shape)}"]
    if str(tensor.dtype) != "float32":
        given.append(f"dtype={quoted(str(tensor.dtype))}")
    return [*given, f"name={quoted(tensor._keras_history[0].name)}"]


def _identifier(name: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"input_{name}"


def _head(model: Any, made: Written, origin: str, lines: list[str]) -> list[str]:
    code = "\n".join(lines)
    imports = ["from pathlib import Path", "", "import keras"]
    if "np." in code or made.constants:
        imports.append("import numpy as np")
    modules = [name for name in ("layers", "ops") if re.search(rf"\b{name}\.", code)]
    if modules:
        imports.append(f"from keras import {', '.join(modules)}")
    return [
        f'"""{origin}."""',
        "",
        *imports,
        "",
        'WEIGHTS = Path(__file__).with_suffix(".weights.h5")',
    ]


def _load(made: Written) -> list[str]:
    return [
        "",
        "",
        "def load_model():",
        f'{STEP}"""The network with the weights of the file."""',
        f"{STEP}model = build_model()",
        f"{STEP}model.load_weights(WEIGHTS)",
        f"{STEP}return model",
        "",
        "",
        'if __name__ == "__main__":',
        f"{STEP}load_model().summary()",
    ]


__all__ = ["module_source"]

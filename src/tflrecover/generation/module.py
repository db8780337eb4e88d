"""The whole of a source file."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tflrecover.generation.calls import Written
from tflrecover.generation.describe import Describer
from tflrecover.generation.frame import LOAD, head
from tflrecover.generation.inline import inline_single
from tflrecover.generation.layout import STEP, laid_out
from tflrecover.generation.literals import literal, quoted
from tflrecover.generation.loops import make_loops, set_defaults
from tflrecover.generation.names import name_functions
from tflrecover.generation.order import depth_first, forward, layers_beside
from tflrecover.generation.parameters import MODULES
from tflrecover.generation.repetition import find_functions, join_repeats
from tflrecover.generation.source import Writer
from tflrecover.generation.steps import Inner, Loop, Program, Scope, Step, walked
from tflrecover.generation.variables import Variables

# Lengths of functions that are looked for, one after the other: blocks first and then what they are in, or all at once.
_LENGTHS = ((48,), (4, 48), (8, 48))
# As how many lines a layer counts whose arguments have a line each.
_TALL = (1, 2)
# What a way has to save by which lines count more than they are.
_EXAGGERATED = 3
# Of more steps not all ways are tried: each takes seconds.
_MANY = 600

_LONGEST_INPUT = 20

_CHECK = (
    f'{STEP}if keras.config.image_data_format() != "channels_last":',
    f'{STEP * 2}raise ValueError("this network has its channels last: set Keras to that")',
)


def module_source(model: Any, made: Written, origin: str) -> str:
    """The source that is easiest to read, of those that the ways to look for repetition give.

    Args:
        model: The model.
        made: Its steps.
        origin: The file that it is from.
    """
    most = None if len(made.program.main.steps) < _MANY else 1
    ways = itertools.product((depth_first, forward), _LENGTHS[:most], (False, True), _TALL[:most])
    sources = ((_source(model, made, origin, _program(made, *way)), way[-1]) for way in ways)
    return min(sources, key=lambda found: _cost(found[0]) + _EXAGGERATED * (found[1] - 1))[0]


def _cost(source: str) -> float:
    """Lines, what has to be read in them, and functions that have to be understood."""
    return source.count("\n") + len(re.findall(r"\w+", source)) / 8 + 2 * source.count("\ndef ")


def _source(model: Any, made: Written, origin: str, program: Program) -> str:
    sentences = name_functions(program.functions, _names(program) | {*made.imports}, made.size)
    writer = Writer()
    lines: list[str] = []
    for function in program.functions:
        lines += ["", "", *writer.function(function, sentences[id(function)])]
    for one in program.models:
        lines += ["", "", *_build_inner(one, program, writer, made)]
    lines += ["", "", *_build(model, program, writer, made)]
    return "\n".join([*head(model, made, origin, "\n".join(lines)), *lines, LOAD])


def _program(
    made: Written, order: Callable[[Scope], list[Step]], lengths: Sequence[int], joins: bool, tall: int
) -> Program:
    """The steps with functions and loops in them.

    Args:
        made: The steps.
        order: How they are ordered.
        lengths: See :data:`_LENGTHS`.
        joins: Make loops of equal layers before functions are looked for.
        tall: See :data:`_TALL`.
    """

    def ordered(scope: Scope) -> Scope:
        return Scope(scope.inputs, layers_beside(order(scope)), scope.outputs)

    models = [replace(one, scope=ordered(one.scope)) for one in made.program.models]
    program = Program(ordered(made.program.main), models=models)
    for scope in program.scopes if joins else ():
        join_repeats(scope, of_layers=True)
    for longest in lengths:
        find_functions(program, longest, made.channels, tall)
    inline_single(program)
    for function in program.functions:
        make_loops(function.body, {parameter.name for parameter in function.parameters})
    for scope in (*(one.scope for one in program.models), program.main):
        make_loops(scope, set())
    set_defaults(program.functions, [step for scope in program.scopes for step in walked(scope)])
    return program


def _names(program: Program) -> set[str]:
    """Names that functions cannot have."""
    loops = [
        step.form.target for scope in program.scopes for step in walked(scope) if isinstance(step.form.target, Loop)
    ]
    parameters = {parameter.name for function in program.functions for parameter in function.parameters}
    models = {one.name for one in program.models}
    return {"build_model", "load_model", *models, *parameters, *(name for loop in loops for name in loop.variables)}


def _build(model: Any, program: Program, writer: Writer, made: Written) -> list[str]:
    lines = ["def build_model():", f'{STEP}"""The network; its weights are random."""']
    lines += _CHECK if made.may_mistake_channels else []
    inputs = [_input(tensor, tensor._keras_history[0].name) for tensor in model.inputs]
    names, name = _input_names(model), [f"name={quoted(model.name)}"]
    return [*lines, *_functional(program.main, program, writer, made, dict(zip(names, inputs, strict=True)), name)]


def _build_inner(one: Inner, program: Program, writer: Writer, made: Written) -> list[str]:
    lines = [f"def {one.name}():", f'{STEP}"""{one.sentence}"""']
    inputs = [_input(made.tensors[value]) for value in one.scope.inputs]
    return [*lines, *_functional(one.scope, program, writer, made, dict(zip(one.inputs, inputs, strict=True)))]


def _functional(
    scope: Scope,
    program: Program,
    writer: Writer,
    made: Written,
    inputs: Mapping[str, str],
    options: Sequence[str] = (),
) -> list[str]:
    """The body of a function that makes a model; its inputs by name, as their arguments."""
    lines: list[str] = []
    for name, given in inputs.items():
        lines += laid_out(f"{name} = keras.Input({given})", STEP)
    names = dict(zip(scope.inputs, inputs, strict=True))
    functions = {function.name for function in program.functions}
    taken = {*inputs, *functions, *MODULES, *made.imports, *_names(program)}
    describer = Describer(made, scope.outputs)
    variables = Variables(names, describer.describe, describer.size, describer.output, taken)
    body = writer.main(scope, variables)
    outputs = [variables.names[value] for value in scope.outputs]
    # Layers call a model that they are given on a list.
    listed = _listed([*inputs]) if options else f"[{', '.join(inputs)}]"
    given = ", ".join([listed, _listed(outputs), *options])
    return [*lines, *body, *laid_out(f"return keras.Model({given})", STEP)]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _input(tensor: Any, name: str = "") -> str:
    shape = tuple(tensor.shape)
    is_free = bool(shape) and shape[0] is None
    given = [literal(shape[1:])] if is_free else [f"batch_shape={literal(shape)}"]
    if str(tensor.dtype) != "float32":
        given.append(f"dtype={quoted(str(tensor.dtype))}")
    return ", ".join([*given, f"name={quoted(name)}"] if name else given)


def _input_names(model: Any) -> list[str]:
    names = [tensor._keras_history[0].name for tensor in model.inputs]
    if len(names) == 1:
        return ["inputs"]
    made = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in names]
    is_plain = [made.count(name) == 1 and 0 < len(name) <= _LONGEST_INPUT for name in made]
    return [f"input_{name if fits else i}" for i, (name, fits) in enumerate(zip(made, is_plain, strict=True))]

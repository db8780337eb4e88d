"""Steps as lines of Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tflrecover.generation.classes import FUNCTION
from tflrecover.generation.layout import STEP, laid_out
from tflrecover.generation.literals import quoted
from tflrecover.generation.steps import (
    TOLD,
    Argument,
    Built,
    Form,
    Function,
    Loop,
    Made,
    Repeat,
    Scope,
    Several,
    Slot,
    Step,
    Tensor,
    Tree,
)
from tflrecover.generation.variables import Variables

_MERGES = ("layers.Add", "layers.Concatenate", "layers.Multiply", "ops.add", "ops.concatenate", "ops.multiply")

# So many arguments are understood by their places.
_PLACED = 2


class Writer:
    """Writes the functions of a program."""

    def function(self, function: Function, sentence: str) -> list[str]:
        """A function that was found."""
        body = function.body
        names = dict(zip(body.inputs, _input_names(body), strict=True))
        order = sorted(function.parameters, key=lambda parameter: bool(parameter.default))
        given = [f"{one.name}={one.default}" if one.default else one.name for one in order]
        head = laid_out(f"def {function.name}({', '.join([*names.values(), *given])}):")
        variables = Variables(names, taken={one.name for one in function.parameters})
        lines = list(self._body(body, variables, STEP, last=tuple(body.outputs)))
        return [*head, f'{STEP}"""{sentence}"""', *lines]

    def main(self, scope: Scope, variables: Variables) -> list[str]:
        """What stands in the function that makes the model; ``variables`` then have the names of its outputs."""
        return list(self._body(scope, variables, STEP))

    def _body(
        self,
        scope: Scope,
        variables: Variables,
        indent: str,
        *,
        last: tuple[int, ...] | None = None,
        ends: Sequence[str] = (),
    ) -> Iterator[str]:
        """Lines of steps.

        Args:
            scope: The steps.
            variables: What tensors are called; the names of results come in.
            indent: Spaces before each line.
            last: Tensors that are returned; None where nothing is.
            ends: What the last results have to be called.
        """
        last_uses = scope.last_uses()
        for place, step in enumerate(scope.steps):
            given = [variables.names[value] for value in step.inputs]
            results = variables.results(scope, place, last_uses)
            is_last = place == len(scope.steps) - 1
            if is_last and ends:
                results = [*ends]
            if isinstance(step.form.target, (Loop, Repeat)):
                yield from self._repeated(step, given, results, variables, indent)
            elif is_last and last == step.outputs:
                yield from _statement(indent, "return ", step.form, given, step.literals)
                return
            else:
                yield from _statement(indent, f"{', '.join(results)} = ", step.form, given, step.literals)
        if last is not None:
            yield f"{indent}return {', '.join(variables.names[value] for value in last)}"

    def _repeated(
        self, step: Step, given: Sequence[str], results: Sequence[str], variables: Variables, indent: str
    ) -> Iterator[str]:
        target, result, others = step.form.target, ", ".join(results), given[len(results) :]
        if (before := ", ".join(given[: len(results)])) != result:
            yield f"{indent}{result} = {before}"
        given = [*results, *others]
        if isinstance(target, Repeat):
            yield f"{indent}for _ in range({step.literals[0]}):"
            yield from _statement(indent + STEP, f"{result} = ", target.form, given, step.literals[1:])
            return
        if target.variables:
            rows = [row[0] if len(row) == 1 else f"({', '.join(row)})" for row in target.rows]
            yield from laid_out(f"for {', '.join(target.variables)} in [{', '.join(rows)}]:", indent)
        else:
            yield f"{indent}for _ in range({len(target.rows)}):"
        taken = {*variables.taken, *variables.names.values(), *target.variables} - {*given}
        inner = Variables(dict(zip(target.body.inputs, given, strict=True)), taken=taken)
        # What stays the same in each turn is needed in the next.
        inner.taken |= {*others}
        yield from self._body(target.body, inner, indent + STEP, ends=results)


def _input_names(scope: Scope) -> list[str]:
    made = ["x"]
    for value in scope.inputs[1:]:
        merges = [
            step.form.target in _MERGES
            for step in scope.steps
            if value in step.inputs and isinstance(step.form.target, str)
        ]
        wanted = "skip" if merges and all(merges) else "y"
        made.append(next(name for name in (wanted, "y", "z", "w") if name not in made))
    return made[: len(scope.inputs)]


def _statement(indent: str, before: str, form: Form, given: Sequence[str], literals: Sequence[str]) -> list[str]:
    """One call, on as many lines as it takes."""
    return laid_out(before + _call(form, given, literals), indent)


def _call(form: Form, given: Sequence[str], literals: Sequence[str]) -> str:
    target = form.target
    if isinstance(target, Function):
        return f"{target.name}({', '.join(_of_function(target, given, literals))})"
    if target.startswith("tf."):
        return _tensorflow(form, given, literals)
    arguments = _arguments(form.arguments, form, given, literals)
    if target.startswith("["):
        return f"{arguments[0]}{target}"
    if target == "()":
        return f"{arguments[0]}({', '.join(arguments[1:])})"
    if form.is_layer:
        made = f"{target}({', '.join(_arguments(form.own, form, given, literals))})"
        return made if form.is_uncalled else f"{made}({', '.join(arguments)})"
    return f"{target}({', '.join(arguments)})"


def _tensorflow(form: Form, given: Sequence[str], literals: Sequence[str]) -> str:
    """A layer whose arguments have None in the places of tensors."""
    nothing = ["None"] * len(given)
    placed = [_source(one.tree, form, nothing, literals) for one in form.arguments if one.is_placed]
    named = [f"{one.name}={_source(one.tree, form, nothing, literals)}" for one in form.arguments if not one.is_placed]
    own = [quoted(form.target.removeprefix("tf.")), *placed, *named]
    tensors = given[0] if len(given) == 1 else f"[{', '.join(given)}]"
    return f"{FUNCTION}({', '.join(own)})({tensors})"


def _of_function(function: Function, given: Sequence[str], literals: Sequence[str]) -> list[str]:
    pairs = list(zip(function.parameters, literals, strict=True))
    needed = [(one.name, source) for one, source in pairs if not one.default]
    placed = [source for _, source in needed[:_PLACED]]
    others = [(one.name, source) for one, source in pairs if one.default and source != one.default]
    return [*given, *placed, *(f"{name}={source}" for name, source in (*needed[_PLACED:], *others))]


def _arguments(arguments: Sequence[Argument], form: Form, given: Sequence[str], literals: Sequence[str]) -> list[str]:
    made = []
    for argument in arguments:
        source = _source(argument.tree, form, given, literals)
        is_default = isinstance(argument.tree, Slot) and form.defaults[argument.tree.index] == source
        is_default = is_default or (argument.name == "padding" and form.is_pointwise(literals))
        if not is_default:
            made.append(source if argument.is_placed else f"{argument.name}={source}")
    return made


def _source(tree: Tree, form: Form, given: Sequence[str], literals: Sequence[str]) -> str:
    if isinstance(tree, Tensor):
        return given[tree.index]
    if isinstance(tree, Slot):
        source = literals[tree.index]
        return given[0] + source if source.startswith(TOLD) else source
    if isinstance(tree, Built):
        return f"{literals[tree.index]}()"
    if isinstance(tree, Made):
        return f"{tree.target}({', '.join(_arguments(tree.arguments, form, given, literals))})"
    assert isinstance(tree, Several)
    items = [_source(item, form, given, literals) for item in tree.items]
    comma = "," if tree.brackets == "()" and len(items) == 1 else ""
    return f"{tree.brackets[0]}{', '.join(items)}{comma}{tree.brackets[1]}"

"""What code is made of: steps that call something, with tensors and pieces of source in their places.

A literal is kept as its Python source. So equal code is equal text, ``1`` and ``True`` are not mixed up, and what once
is source never depends on a value of the file again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a step's tensor, by its number among the step's inputs."""

    index: int


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a literal, by its number among the step's literals."""

    index: int


@dataclass(frozen=True, slots=True)
class Several:
    """A list or a tuple, with its brackets."""

    brackets: str
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """The place of a model: the literal names the function of the source that makes one, anew in each place."""

    index: int


@dataclass(frozen=True, slots=True)
class Made:
    """A layer that another is given, such as the cell of a recurrent one."""

    target: str
    arguments: tuple[Argument, ...]


Tree: TypeAlias = Tensor | Slot | Several | Built | Made

# Literals that are told by what a step works on begin so; all of its sizes but the batch.
TOLD, SHAPE = ".shape[", ".shape[1:]"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument in a call.

    Attributes:
        name: As the signature has it; ``""`` where it has to be given by place.
        tree: What is given.
        is_placed: Given by its place; its name is not written.
    """

    name: str
    tree: Tree
    is_placed: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """All of a step but its tensors and literals.

    Attributes:
        target: ``"layers.Conv2D"``, ``"ops.add"``, ``"tf.nn.relu"``, ``"[:, 0]"``, a class of the source by its name
            alone, a function of the source, or a loop; ``"()"`` calls its first argument, a layer that was made before.
        own: Arguments of a layer's constructor.
        arguments: Arguments of the call; none where a layer is made and not yet called.
        names: Per literal the argument that it is in.
        defaults: Per literal the source of the argument's default, ``""`` where it has none.
        results: How many tensors it gives.
    """

    target: Any
    own: tuple[Argument, ...]
    arguments: tuple[Argument, ...]
    names: tuple[str, ...]
    defaults: tuple[str, ...]
    results: int = 1

    @property
    def is_layer(self) -> bool:
        """Whether a layer is made."""
        target = self.target
        return isinstance(target, str) and (target.startswith("layers.") or target.isidentifier())

    def is_pointwise(self, literals: Sequence[str]) -> bool:
        """Whether a window of one number is moved, which has nothing to pad: all of its sizes are written as ones."""
        sizes = [source for name, source in zip(self.names, literals, strict=True) if name == "kernel_size"]
        return set(sizes) == {"1"}

    @property
    def is_uncalled(self) -> bool:
        """Whether the layer itself is what is made."""
        return self.is_layer and not self.arguments


@dataclass(frozen=True, slots=True)
class Step:
    """One call.

    Attributes:
        form: What is called, and how.
        inputs: Tensors that are given, by number.
        literals: Source of what else is given.
        outputs: Tensors that it makes, by number.
        stems: Names of the file for what it is, for names of parameters.
    """

    form: Form
    inputs: tuple[int, ...]
    literals: tuple[str, ...]
    outputs: tuple[int, ...]
    stems: tuple[str, ...] = ()


class Name(str):
    """A literal that is an expression of parameters: it means something only inside its function."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class Scope:
    """The body of a function.

    Attributes:
        inputs: Tensors that it is given.
        steps: In order.
        outputs: Tensors that it returns.
    """

    inputs: tuple[int, ...]
    steps: list[Step]
    outputs: tuple[int, ...]

    def last_uses(self) -> dict[int, int]:
        """Per tensor the place of the last step that takes it; the place behind all for what is returned."""
        found = {value: place for place, step in enumerate(self.steps) for value in step.inputs}
        return {**found, **dict.fromkeys(self.outputs, len(self.steps))}


@dataclass(eq=False, slots=True)
class Parameter:
    """A parameter of a function that was found.

    Attributes:
        name: Its name.
        natural: Source of the default of the layer's argument that it becomes; ``""`` where there is none.
        default: Source of its own default; ``""`` where it has to be given.
    """

    name: str
    natural: str
    default: str = ""


@dataclass(eq=False, slots=True)
class Function:
    """A function of the source.

    Attributes:
        body: What it does.
        parameters: Besides its tensors.
        name: Given when all functions are known.
    """

    body: Scope
    parameters: list[Parameter]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The target of a step that does another again and again; its first literal says how often."""

    form: Form


@dataclass(eq=False, slots=True)
class Loop:
    """The target of a step that does several steps again and again, with other literals each time.

    Attributes:
        body: Steps of one turn, on the tensor that is carried and on those that stay the same.
        variables: Names of what changes.
        rows: Its source, per turn.
    """

    body: Scope
    variables: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """A model that a layer calls.

    Attributes:
        name: Of the function that makes it.
        sentence: For its docstring.
        inputs: What its inputs are called.
        scope: What makes its outputs from its inputs.
    """

    name: str
    sentence: str
    inputs: tuple[str, ...]
    scope: Scope


@dataclass(eq=False, slots=True)
class Program:
    """The code of a model.

    Attributes:
        main: What makes the model's outputs from its inputs.
        functions: In the order in which they are defined.
        models: Those that layers call, the innermost first.
    """

    main: Scope
    functions: list[Function] = field(default_factory=list)
    models: list[Inner] = field(default_factory=list)

    @property
    def scopes(self) -> list[Scope]:
        """Bodies of all functions, of the models that layers call, and the main one."""
        return [*(function.body for function in self.functions), *(one.scope for one in self.models), self.main]


def walked(scope: Scope) -> Iterator[Step]:
    """All steps, with those inside loops."""
    for step in scope.steps:
        yield step
        if isinstance(step.form.target, Loop):
            yield from walked(step.form.target.body)

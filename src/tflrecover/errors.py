"""The tree of errors: one root, a class per cause, the facts as fields."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tflrecover.report import Report


class TFLRecoverError(Exception):
    """Root of everything that tflrecover raises on purpose.

    The message always says what was expected, what was found, where, and what to do.
    """


class InvalidFile(TFLRecoverError):
    """The bytes are not a TFLite file that can be read.

    Attributes:
        source: The path, or ``"<bytes>"``.
        where: The place inside the file, e.g. ``"subgraph 0, tensor 12"``; empty when it is the whole file.
    """

    def __init__(self, message: str, *, source: str = "<bytes>", where: str = "") -> None:
        self.source, self.where = source, where
        place = f"{source} ({where})" if where else source
        super().__init__(f"{place}: {message}")


class InvalidGraph(TFLRecoverError):
    """A graph breaks a rule of the IR: a cycle, a value with two producers, an index that leads nowhere."""


class WeightlessFile(InvalidFile):
    """The file holds no weights: they live in resource variables that nothing initialises."""


class InvalidModel(TFLRecoverError):
    """The Keras model cannot be traced as it is: not built, wrong inputs, wrong backend, not a model."""


class UnbuiltModel(InvalidModel):
    """The Keras model has no variables yet; tracing would create them."""


class InputMismatch(InvalidModel):
    """The Keras model's inputs cannot be brought together with the file's."""


class WrongBackend(InvalidModel):
    """Keras runs on another backend than TensorFlow."""


class MappingError(TFLRecoverError):
    """The mapping cannot be used.

    Attributes:
        source: The YAML file, or ``"<mapping>"``.
        line: 1-based line number, or None.
        key: Path of the key, e.g. ``"match.conv2d_42"``.
        several: Where several things are wrong, an error for each; the other fields are then those of the first.
    """

    def __init__(self, message: str, *, source: str = "<mapping>", line: int | None = None, key: str = "") -> None:
        self.source, self.line, self.key = source, line, key
        self.several: tuple[MappingError, ...] = ()
        place = source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {key + ': ' if key else ''}{message}")

    @classmethod
    def of(cls, errors: Sequence[MappingError]) -> MappingError:
        """One that tells all of them, of the kind of the first."""
        flat = [one for error in errors for one in (error.several or (error,))]
        if len(flat) == 1:
            return flat[0]
        made = type(flat[0])("", source=flat[0].source, line=flat[0].line, key=flat[0].key)
        made.several, made.args = tuple(flat), ("\n".join(map(str, flat)),)
        return made


class StaleMapping(MappingError):
    """A mapping names a layer, operator, variable or file that is not there."""


class PortError(TFLRecoverError):
    """A strict port was refused; the model is untouched.

    Attributes:
        report: What was found.
    """

    def __init__(self, message: str, report: Report) -> None:
        self.report = report
        super().__init__(message)


class UnsupportedOperators(TFLRecoverError):
    """A file has operators that cannot be expressed in a Keras model.

    Attributes:
        operators: ``(index in the file, type, why)`` of each.
    """

    def __init__(self, source: str, operators: Sequence[tuple[int | str, str, str]]) -> None:
        self.operators = tuple(operators)
        listed = "; ".join(f"{kind} (operator {place}): {why}" for place, kind, why in self.operators)
        count = "one operator" if len(self.operators) == 1 else f"{len(self.operators)} operators"
        super().__init__(
            f"{source}: {count} cannot be expressed in Keras: {listed}. Operators of your own are made known with "
            "tflrecover.register_op(OpSpec(name, tflite=…, keras=…)), see docs/custom-operators.md"
        )


class NoSource(UnsupportedOperators):
    """A model was recovered, and no source of it can be written."""

    def __init__(self, source: str, why: str) -> None:
        self.operators = (("?", "source", why),)
        TFLRecoverError.__init__(self, f"{source}: no source can be written: {why}; tflrecover.recover gives the model")


class EvaluationError(TFLRecoverError):
    """An operator, or the whole file, could not be run."""


class MissingDependency(TFLRecoverError):
    """A package that this function needs is not installed."""


class OutputError(TFLRecoverError):
    """A file or a folder cannot be written, or must not be.

    Attributes:
        path: As it was given.
    """

    def __init__(self, path: str | os.PathLike[str], message: str) -> None:
        self.path = os.fsdecode(path)
        super().__init__(f"{self.path}: {message}")


class UnknownLayer(TFLRecoverError):
    """A layer or a tensor was asked for that is not there.

    Attributes:
        pattern: What was asked for.
    """

    def __init__(
        self,
        pattern: str,
        hint: str = "",
        where: str = "no layer of the model and no tensor of the file that is compared",
    ) -> None:
        self.pattern = pattern
        super().__init__(f"{where} matches {pattern!r}{hint}")

"""The only place that writes variables by a plan, and it writes all or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tflrecover import tolerances
from tflrecover.ir import Assignment


def apply(assignments: Iterable[Assignment], variables: Mapping[str, Any]) -> tuple[Assignment, ...]:
    """Writes new values; if one cannot be written, those already written get their old values back.

    Args:
        assignments: Those with a value are written. Of an iterator that holds none that it has given, every value is
            freed as soon as its variable has it.
        variables: Unique path to Keras variable.

    Returns:
        The assignments, with values that are those of the variables, not copied.

    Raises:
        Exception: whatever a variable raised; every variable then has its old value.
    """
    from tflrecover.tracing.present import numbers

    pending = sorted(enumerate(assignments), key=lambda item: 0 if item[1].value is None else item[1].value.nbytes)
    done: list[tuple[Any, Any]] = []
    written: dict[int, Assignment] = {}
    try:
        while pending:
            # The largest first: where its numbers were, there is room for those that the next variable takes.
            place, assignment = pending.pop()
            if assignment.value is not None:
                variable = variables[assignment.variable]
                done.append((variable, _held(variable)))
                variable.assign(assignment.value)
                assignment = replace(assignment, value=numbers(variable))
            written[place] = assignment
    except BaseException:
        _restore(done)
        raise
    return tuple(written[place] for place in range(len(written)))


def held(assignments: Iterable[Assignment], variables: Mapping[str, Any]) -> tuple[Assignment, ...]:
    """The assignments, those of the file's own numbers with whether the variable has these numbers now.

    Of a reparametrised variable that cannot be said: other numbers may be the same function.

    Args:
        assignments: The plan.
        variables: Unique path to Keras variable.
    """
    return tuple(
        replace(one, held=_is_held(one, variables)) if one.state == "assigned" and one.value is not None else one
        for one in assignments
    )


def _is_held(assignment: Assignment, variables: Mapping[str, Any]) -> bool:
    wanted = np.asarray(assignment.value, np.float64)
    error = np.abs(np.asarray(variables[assignment.variable], np.float64) - wanted).max(initial=0.0)
    return bool(error <= tolerances.WEIGHT * np.abs(wanted).max(initial=0.0))


def _restore(done: list[tuple[Any, Any]]) -> None:
    """Puts every old value back, whatever interrupts that: the interruption goes on when it is done."""
    while done:
        variable, old = done[-1]
        try:
            variable.assign(old)
            done.pop()
        except KeyboardInterrupt:
            continue
        except Exception:
            # A variable that cannot be written has its old value.
            done.pop()


def _held(variable: Any) -> Any:
    """The present value without a copy: assigning puts another tensor in its place and never writes into it."""
    raw = variable if hasattr(variable, "read_value") else variable.value
    return raw.read_value()

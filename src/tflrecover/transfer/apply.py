"""The only place that writes a variable, and it writes all or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tflrecover.ir import Assignment


def apply(assignments: Iterable[Assignment], variables: Mapping[str, Any]) -> None:
    """Writes new values; if one cannot be written, those already written get their old values back.

    Args:
        assignments: Those with a value are written.
        variables: Unique path to Keras variable.

    Raises:
        Exception: whatever a variable raised; every variable then has its old value.
    """
    done: list[tuple[Any, Any]] = []
    try:
        for assignment in assignments:
            if assignment.value is None:
                continue
            variable = variables[assignment.variable]
            done.append((variable, _held(variable)))
            variable.assign(assignment.value)
    except BaseException:
        for variable, old in reversed(done):
            variable.assign(old)
        raise


def _held(variable: Any) -> Any:
    """The present value without a copy: assigning puts another tensor in its place and never writes into it."""
    raw = variable if hasattr(variable, "read_value") else variable.value
    return raw.read_value()

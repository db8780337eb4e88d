"""The public calls: compare, port, verify."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tflrecover import mistaken
from tflrecover.comparison import Outcome, compare, with_order
from tflrecover.comparison.pairs import compare_files, compare_models, told
from tflrecover.errors import PortError
from tflrecover.insertion import with_lines
from tflrecover.ir import Assignment, short_name
from tflrecover.mapping.resolve import unused
from tflrecover.memory import given_back
from tflrecover.render.text import suggested
from tflrecover.report import PAIR, Action, Report, WeightStatistics
from tflrecover.report.distributions import distributions
from tflrecover.report.rows import rows
from tflrecover.tflite import TFLiteModel, read
from tflrecover.trials import explained


@given_back()
def diff(path: Any, model: Any, mapping: Any = None) -> Report:
    """Compares a TFLite file with a Keras model, or two files, or two models; none is ever touched.

    Of a file and a model it is compared what they compute, whatever the model's weights; of two of a kind, such as two
    releases, the weights too. Operators of a second file are then called layers, by their output tensors.

    Args:
        path: The file: a str, a PathLike, or its bytes; or, before another model, a model.
        model: A built Keras 3 model on the TensorFlow backend, or a tf_keras model; or another file.
        mapping: A path to YAML, a dict, a :class:`~tflrecover.Mapping`, or None.

    Returns:
        Every difference with its root cause, and what a port would do with every variable; of two of a kind, how far
        every weight has moved.

    Raises:
        InvalidFile: the file cannot be read.
        EvaluationError: it can, but its stored numbers do not fit each other.
        InvalidModel: the model cannot be traced.
        MappingError: the mapping is wrong or stale.

    Example:
        >>> report = tflrecover.diff("palm_detection.tflite", model)
        >>> for difference in report.differences:
        ...     print(difference.message)
        >>> tflrecover.diff("palm_v1.tflite", "palm_v2.tflite").ok
        False
    """
    from tflrecover.verification import measured

    if mistaken.is_layer(path) and mistaken.is_layer(model):
        return _report("diff", told(explained(compare_models(path, model, mapping))), sides=PAIR)
    if not mistaken.is_layer(path) and (isinstance(model, TFLiteModel) or mistaken.is_file(model)):
        return _report("diff", told(compare_files(path, model, mapping)), sides=PAIR)
    clear = with_order(measured(with_lines(explained(compare(path, model, mapping)))))
    return _report("diff", clear, weights=_statistics(clear.assignments, clear.trace.variables))


def port(path: Any, model: Any, mapping: Any = None, *, strict: bool = True) -> Report:
    """Copies the weights of a TFLite file into a Keras model, in place, all or nothing.

    Args:
        path: The file: a str, a PathLike, or its bytes.
        model: A built Keras 3 model on the TensorFlow backend, or a tf_keras model.
        mapping: A path to YAML, a dict, a :class:`~tflrecover.Mapping`, or None.
        strict: Refuse when anything differs, is ambiguous or unresolved. With False, what is sure is copied and the
            rest reported.

    Returns:
        What was done with every variable.

    Raises:
        PortError: refused; it carries the report, and the model is as it was before.
        InvalidFile: the file cannot be read.
        EvaluationError: it can, but its stored numbers do not fit each other.
        InvalidModel: the model cannot be traced.
        MappingError: the mapping is wrong or stale.

    Example:
        >>> report = tflrecover.port("palm_detection.tflite", model)
        >>> report.ok
        True
    """
    from tflrecover.transfer.apply import apply
    from tflrecover.verification import measured

    with given_back():
        # Only who is refused is told what the differences do, for which the traced graph is run.
        comparison = compare(path, model, mapping, is_run=False)
        report = _report("port", comparison)
        assignments, variables = comparison.assignments, comparison.trace.variables
        refused = None if report.ok else comparison
        del comparison
    report = replace(report, weights=_statistics(assignments, variables))
    if refused is not None:
        with given_back():
            clear = measured(with_lines(explained(refused)))
            report = replace(report, differences=clear.differences, notes=clear.notes, rows=rows(clear))
        if strict:
            raise PortError(_refusal(report), report)
    del assignments
    pending, report = deque(report.assignments), replace(report, assignments=())
    written = apply((pending.popleft() for _ in range(len(pending))), variables)
    return replace(report, assignments=written, applied=True)


@given_back()
def verify(
    path: Any,
    model: Any,
    mapping: Any = None,
    *,
    inputs: Any = None,
) -> Report:
    """Runs the file and the model on the same inputs and compares every matched operator.

    Args:
        path: The file: a str, a PathLike, or its bytes.
        model: The Keras model, with its weights; it is not changed.
        mapping: As for :func:`port`.
        inputs: Arrays in the file's input order, or by the file's input names; one array for a file with one input; or
            the path of a ``.npz`` or ``.npy`` file of these. Real numbers also where the file takes integers with a
            scale. Sizes that the file leaves free, such as the batch, are those of the arrays. None: reproducible
            random numbers.

    Returns:
        A report whose ``checks`` hold the errors per operator, in file order, and what rounding explains of them;
        ``first_divergence`` names the first that is out of tolerance.

    Raises:
        EvaluationError: LiteRT cannot run the file, or the inputs do not fit it.
        InputMismatch: the file and the model do not take the same shapes.
        InvalidFile: the file cannot be read.
        InvalidModel: the model cannot be traced.
        MappingError: the mapping is wrong or stale.
    """
    from tflrecover.transfer.apply import held
    from tflrecover.verification import check_all, given, measured, random, run_both, unshown

    file = read(path)
    arrays = None if inputs is None else given(file, inputs)
    comparison = compare(file, model, mapping, None if arrays is None else [array.shape for array in arrays])
    if arrays is None:
        arrays = random(file, comparison.reading.shapes)
    both = run_both(comparison, arrays)
    assignments, variables = comparison.assignments, comparison.trace.variables
    report = _report("verify", measured(comparison, both), checks=check_all(both), notes=(*both.notes, *unshown(both)))
    return replace(report, assignments=held(assignments, variables), weights=_statistics(assignments, variables))


def _report(
    action: Action,
    comparison: Outcome,
    *,
    checks: tuple[Any, ...] = (),
    notes: tuple[str, ...] = (),
    **more: Any,
) -> Report:
    return Report(
        action,
        comparison.both.mine.name,
        comparison.both.theirs.name,
        comparison.matches,
        comparison.differences,
        comparison.ambiguities,
        comparison.assignments,
        comparison.constants,
        checks,
        (*comparison.notes, *notes, *unused(comparison.mapping.accept, comparison.differences)),
        operators=comparison.operators,
        overview=comparison.overview,
        assumptions=comparison.assumptions,
        suggestion=comparison.suggestion,
        rows=rows(comparison),
        weight_checks=comparison.weights,
        **more,
    )


def _statistics(assignments: Iterable[Assignment], variables: Mapping[str, Any]) -> tuple[WeightStatistics, ...]:
    """Of what a port would write, against what the model has."""
    from tflrecover.tracing.present import present

    return distributions(assignments, present(variables))


def _refusal(report: Report) -> str:
    """Why a strict port is refused, in a few lines."""
    wanted = [d.message for _, d in report.ranked if not d.accepted]
    unresolved = [a.variable for a in report.assignments if a.state == "unresolved"]
    unexplained = [short_name(c.name) or f"tensor {c.tensor}" for c in report.constants if c.state == "unexplained"]
    parts = [
        *([report.overview] if report.overview else []),
        *wanted[:5],
        *([f"and {len(wanted) - 5} more"] if len(wanted) > 5 else []),
        *("\n      ".join((f"{a.message}, e.g.", *a.mapping.splitlines())) for a in report.ambiguities[:3]),
        *([f"{len(unresolved)} variables have no weight, e.g. {unresolved[0]}"] if unresolved else []),
        *([f"{len(unexplained)} constants of the file are not used, e.g. {unexplained[0]}"] if unexplained else []),
    ]
    lines = "\n  - ".join(parts)
    told = f"{report.source} was not ported into {report.model!r}; the model is unchanged:\n  - {lines}"
    if report.suggestion:
        told += "\n" + "\n".join(suggested(report.suggestion))
    return told


__all__ = ["diff", "port", "verify"]

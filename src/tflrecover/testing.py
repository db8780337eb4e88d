"""For test suites: that a model is a file's network is one line of a test."""

from __future__ import annotations

from typing import Any

from tflrecover.api import diff
from tflrecover.report import Report


def assert_same_model(path: Any, model: Any, mapping: Any = None) -> Report:
    """Fails unless :func:`tflrecover.diff` finds the file and the model to be the same network.

    The weights that the model holds are not looked at: that is what :func:`tflrecover.verify` is for. Of two files, or
    of two models, they are, as in a diff.

    Args:
        path: The file: a str, a PathLike, or its bytes.
        model: The Keras model; it is not changed.
        mapping: As for :func:`tflrecover.diff`; what it accepts does not fail.

    Returns:
        The report, where nothing differs.

    Raises:
        AssertionError: something differs, is ambiguous, unresolved or unexplained; the message is the report's text.
        InvalidFile: the file cannot be read.
        InvalidModel: the model cannot be traced.
        MappingError: the mapping is wrong or stale.

    Example:
        >>> def test_model_is_the_file() -> None:
        ...     assert_same_model("palm_detection.tflite", build_model())
    """
    # What pytest shows is then the line of the test.
    __tracebackhide__ = True
    report = diff(path, model, mapping)
    if not report.ok:
        raise AssertionError(report.to_text())
    return report


__all__ = ["assert_same_model"]

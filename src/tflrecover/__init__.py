"""tflrecover: from a TFLite file back to a Keras model that can be checked, edited and trained.

Names are imported when they are first used: reading a file needs neither TensorFlow nor Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tflrecover.api import diff, port, verify
    from tflrecover.calibration import Calibration, calibrate
    from tflrecover.effects import Effect, explain_mapping
    from tflrecover.errors import (
        EvaluationError,
        InputMismatch,
        InvalidFile,
        InvalidGraph,
        InvalidModel,
        MappingError,
        MissingDependency,
        NoSource,
        OutputError,
        PortError,
        StaleMapping,
        TFLRecoverError,
        UnbuiltModel,
        UnknownLayer,
        UnsupportedOperators,
        WeightlessFile,
        WrongBackend,
    )
    from tflrecover.freezing import freeze
    from tflrecover.generation import generate
    from tflrecover.mapping import Mapping
    from tflrecover.ops import OpSpec, register_op
    from tflrecover.recovery import recover
    from tflrecover.report import Report
    from tflrecover.settling import init_mapping
    from tflrecover.stages import progress
    from tflrecover.tflite import TFLiteModel, read
    from tflrecover.tracing import trace

__version__ = "0.1.0"

__all__ = [
    "Calibration",
    "Effect",
    "EvaluationError",
    "InputMismatch",
    "InvalidFile",
    "InvalidGraph",
    "InvalidModel",
    "Mapping",
    "MappingError",
    "MissingDependency",
    "NoSource",
    "OpSpec",
    "OutputError",
    "PortError",
    "Report",
    "StaleMapping",
    "TFLRecoverError",
    "TFLiteModel",
    "UnbuiltModel",
    "UnknownLayer",
    "UnsupportedOperators",
    "WeightlessFile",
    "WrongBackend",
    "calibrate",
    "diff",
    "explain_mapping",
    "freeze",
    "generate",
    "init_mapping",
    "port",
    "progress",
    "read",
    "recover",
    "register_op",
    "trace",
    "verify",
]

# Where each name is defined; every name that is not listed is an error.
_HOME = {
    "Calibration": "calibration",
    "Effect": "effects",
    "Mapping": "mapping",
    "OpSpec": "ops",
    "Report": "report",
    "TFLiteModel": "tflite",
    "calibrate": "calibration",
    "explain_mapping": "effects",
    "diff": "api",
    "freeze": "freezing",
    "generate": "generation",
    "init_mapping": "settling",
    "port": "api",
    "progress": "stages",
    "read": "tflite",
    "recover": "recovery",
    "register_op": "ops",
    "trace": "tracing",
    "verify": "api",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tflrecover' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"tflrecover.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

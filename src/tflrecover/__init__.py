"""tflrecover: from a TFLite file back to a Keras model that can be checked, edited and trained.

Names are imported when they are first used: reading a file needs neither TensorFlow nor Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tflrecover.api import diff, port, verify
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
    from tflrecover.generation import generate
    from tflrecover.mapping import Mapping
    from tflrecover.mapping_explain import Effect, explain_mapping
    from tflrecover.mapping_init import init_mapping
    from tflrecover.ops import OpSpec, register_op
    from tflrecover.recovery import recover
    from tflrecover.report import Report
    from tflrecover.stages import progress
    from tflrecover.tflite import TFLiteModel, read
    from tflrecover.tracing import trace
    from tflrecover.training.calibration import Calibration, calibrate
    from tflrecover.training.freezing import freeze

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
    "Calibration": "training.calibration",
    "Effect": "mapping_explain",
    "Mapping": "mapping",
    "OpSpec": "ops",
    "Report": "report",
    "TFLiteModel": "tflite",
    "calibrate": "training.calibration",
    "explain_mapping": "mapping_explain",
    "diff": "api",
    "freeze": "training.freezing",
    "generate": "generation",
    "init_mapping": "mapping_init",
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

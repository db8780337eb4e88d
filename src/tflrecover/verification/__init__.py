"""Numbers: the file and the model on the same inputs, operator by operator."""

from tflrecover.verification.both import run_both
from tflrecover.verification.check import check_all, unshown
from tflrecover.verification.effect import measured
from tflrecover.verification.litert import given, random

__all__ = ["check_all", "given", "measured", "random", "run_both", "unshown"]

"""Numbers: the file and the model on the same inputs, operator by operator."""

from tflrecover.verification.check import check_all

__all__ = ["check_all"]

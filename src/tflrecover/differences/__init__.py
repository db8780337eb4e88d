"""What differs, in Keras's terms, one root per cause."""

from tflrecover.differences.find import find
from tflrecover.differences.states import forgotten

__all__ = ["find", "forgotten"]

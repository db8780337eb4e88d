"""What differs, in Keras's terms, one root per cause."""

from tflrecover.differences.find import find

__all__ = ["find"]

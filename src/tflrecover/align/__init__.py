"""Which operator of the file is which operator of the Keras model: by structure, never by guess."""

from tflrecover.align.alignment import Alignment, align
from tflrecover.align.pins import Pins

__all__ = ["Alignment", "Pins", "align"]

"""What differs, in Keras's terms, one root per cause."""

from tflrecover.differences.find import find
from tflrecover.differences.layouts import turned
from tflrecover.differences.overview import count, overview
from tflrecover.differences.readings import read
from tflrecover.differences.states import forgotten
from tflrecover.differences.tails import accepting

__all__ = ["accepting", "count", "find", "forgotten", "overview", "read", "turned"]

"""Two networks side by side: on the same inputs, in one form, aligned and solved."""

from tflrecover.comparison.file_and_model import Comparison, compare, with_order
from tflrecover.comparison.outcome import Outcome, accepted
from tflrecover.comparison.pairs import Pair, compare_files, compare_models

__all__ = ["Comparison", "Outcome", "Pair", "accepted", "compare", "compare_files", "compare_models", "with_order"]

"""The proof that a complete matching is harmless: it is an isomorphism, checked edge by edge."""

from __future__ import annotations

from tflrecover.align.matching import Matching


def is_isomorphic(matching: Matching) -> bool:
    """Whether the pairs map one graph exactly onto the other.

    Types, attributes and shapes are equal, operands come from the same places in the same order (where order matters),
    and every input and output has its counterpart. That the scalings on the edges are equal, and that one variable
    stands for equal contents wherever it is used, is checked when weights are solved.
    """
    file, keras = matching.file, matching.keras
    if not len(file) == len(keras) == len(matching.pairs):
        return False
    if any(file.strict[f] != keras.strict[k] for f, k in matching.pairs.items()):
        return False
    outputs = matching.outputs()
    if len(outputs) != len(file.outputs) or len(outputs) != len(keras.outputs):
        return False
    return all(a and b and matching.same_source(a, b) for a, b, _ in matching.edges())

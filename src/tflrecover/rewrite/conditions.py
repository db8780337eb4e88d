"""A condition as a choice between values that both sides compute: what is inside stands beside all else.

THEN(test, a, …) = ELSE(test, a, …) = a, …
x, … = END_IF(test, x of the one, …, x of the other, …)     =     x = CHOICE(test, x of the one, x of the other), …

Which values a side is handed, and in which order, is the converter's choice. Operators inside change nothing (what does
stays one opaque operator, see :mod:`tflrecover.tflite.flatten`), so that it does not matter who computes them.
"""

from __future__ import annotations

import math

from tflrecover.rewrite.draft import Draft


def choose(draft: Draft) -> int:
    """Takes every condition apart; what a loop asks is one number, too."""
    count = 0
    for mark in draft.of_type("THEN", "ELSE"):
        draft.remove(mark.id)
        for given, result in zip(mark.inputs[1:], mark.outputs, strict=True):
            if given is not None:
                draft.redirect(result, given)
    for end in draft.of_type("END_IF"):
        test, *results = draft.remove(end.id).inputs
        test, size = _number(draft, test), len(results) // 2
        for place, (made, one, other) in enumerate(zip(end.outputs, results[:size], results[size:], strict=True)):
            name = f"{end.id}.{place}" if place else end.id
            draft.add(end.evolve(id=name, type="CHOICE", inputs=(test, one, other), outputs=(made,), attributes={}))
        count += 1
    for loop in draft.of_type("END_LOOP"):
        index, test, *following = loop.inputs
        draft.replace(loop.evolve(inputs=(index, _number(draft, test), *following)))
    return count


def _number(draft: Draft, test: int | None) -> int | None:
    """The test without reshapes: it is one number, with axes or without."""
    while (op := draft.producer(test)) is not None and op.type == "RESHAPE" and math.prod(draft.shape(test)) == 1:
        test = op.inputs[0]
    return test

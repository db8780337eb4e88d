"""A condition as a choice between values that both sides compute: what is inside stands beside all else.

THEN(test, a, …) = ELSE(test, a, …) = a, …
x, … = END_IF(test, x of the one, …, x of the other, …)     =     x = CHOICE(test, x of the one, x of the other), …
x, … = END_IF(True, x of the one, …, x of the other, …)     =     x = x of the one, …

Which values a side is handed, and in which order, is the converter's choice. Operators inside change nothing (what does
stays one opaque operator, see :mod:`tflrecover.tflite.flatten`), so that it does not matter who computes them.
"""

from __future__ import annotations

import math

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import known_array


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
        count += 1
        is_so = _known(draft, test)
        if is_so is not None:
            for made, chosen in zip(end.outputs, results[:size] if is_so else results[size:], strict=True):
                if chosen is not None:
                    draft.redirect(made, chosen)
            continue
        for place, (made, one, other) in enumerate(zip(end.outputs, results[:size], results[size:], strict=True)):
            name = f"{end.id}.{place}" if place else end.id
            draft.add(end.evolve(id=name, type="CHOICE", inputs=(test, one, other), outputs=(made,), attributes={}))
    for loop in draft.of_type("END_LOOP"):
        index, test, *following = loop.inputs
        draft.replace(loop.evolve(inputs=(index, _number(draft, test), *following)))
    return count


def _known(draft: Draft, test: int | None) -> bool | None:
    """What a test that asks for nothing but sizes gives; None where that is not known before the network runs."""
    weight = draft.weight(test)
    found = None if weight is None else known_array(draft, weight)
    return bool(found.all()) if found is not None and found.size == 1 else None


def _number(draft: Draft, test: int | None) -> int | None:
    """The test without reshapes: it is one number, with axes or without."""
    while (op := draft.producer(test)) is not None and op.type == "RESHAPE" and math.prod(draft.shape(test)) == 1:
        test = op.inputs[0]
    return test

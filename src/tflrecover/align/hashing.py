"""Names for positions: everything that leads to a node, everything that follows it, or a few hops around it.

Two nodes get the same number exactly when what it stands for is equal: descriptions are interned in one table that
both sides share, so there are no collisions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from tflrecover.align.view import INPUT, OUTPUT, View


class Interner:
    """Equal descriptions, equal numbers."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def __call__(self, description: Hashable) -> int:
        """The number of a description."""
        return self._numbers.setdefault(description, len(self._numbers))


def forward(view: View, labels: Sequence[Hashable], inputs: Sequence[Hashable], intern: Interner) -> list[int]:
    """Per node, a number for its label and all that leads to it; a node without a label passes on what it takes."""
    colors: list[int] = []
    for i, edges in enumerate(view.operands):
        sources: list[tuple[Hashable, ...]] = []
        for edge in edges:
            if edge.source >= 0:
                sources.append((0, colors[edge.source], edge.slot))
            else:
                sources.append(
                    (1, intern(("input", inputs[edge.slot])), 0) if edge.source == INPUT else (2, edge.slot, 0)
                )
        if view.commutative[i]:
            sources.sort()
        is_passed = labels[i] is None and len(edges) == 1 and edges[0].source >= 0
        colors.append(colors[edges[0].source] if is_passed else intern(("forward", labels[i], tuple(sources))))
    return colors


def backward(view: View, labels: Sequence[Hashable], outputs: Sequence[Hashable], intern: Interner) -> list[int]:
    """Per node, a number for its label and all that follows it; a node without a label is none of what follows."""
    colors = [0] * len(view)
    passed: dict[int, list[tuple[int, int, int]]] = {}
    for i in range(len(view) - 1, -1, -1):
        uses: list[tuple[int, int, int]] = []
        for consumer, position, slot in view.consumers[i]:
            if consumer == OUTPUT:
                uses.append((intern(("output", outputs[position])), 0, slot))
            elif consumer in passed:
                uses += [(color, place, slot) for color, place, _ in passed[consumer]]
            else:
                uses.append((colors[consumer], 0 if view.commutative[consumer] else position, slot))
        if labels[i] is None:
            passed[i] = uses
        colors[i] = intern(("backward", labels[i], tuple(sorted(uses))))
    return colors


def neighbourhood(
    view: View,
    nodes: Iterable[int],
    labels: Sequence[Hashable],
    inputs: Sequence[Hashable],
    outputs: Sequence[Hashable],
    hops: int,
    intern: Interner,
    *,
    only_behind: bool = False,
) -> dict[int, int]:
    """For each of some nodes, a number for what lies within ``hops`` edges in either direction, or behind it."""
    within = _within(view, nodes, hops)
    colors = {i: intern(("label", labels[i])) for i in within[-1]}
    ends = [intern(("input", label)) for label in inputs], [intern(("output", label)) for label in outputs]
    for near in reversed(within[:-1]):
        colors = {i: _step(view, i, colors, ends, intern, only_behind=only_behind) for i in near}
    return colors


def _within(view: View, nodes: Iterable[int], hops: int) -> list[set[int]]:
    """Nodes within 0, 1, … and ``hops`` edges of some nodes: what is further away does not reach them."""
    found = [set(nodes)]
    border = found[0]
    for _ in range(hops):
        sources = {edge.source for i in border for edge in view.operands[i] if edge.source >= 0}
        consumers = {consumer for i in border for consumer, _, _ in view.consumers[i] if consumer != OUTPUT}
        border = (sources | consumers) - found[-1]
        found.append(found[-1] | border)
    return found


def _step(
    view: View,
    i: int,
    colors: Mapping[int, int],
    ends: tuple[Sequence[int], Sequence[int]],
    intern: Interner,
    *,
    only_behind: bool,
) -> int:
    sources = []
    for e in () if only_behind else view.operands[i]:
        if e.source == INPUT:
            sources.append((1, ends[0][e.slot], 0))
        else:
            sources.append((0, colors[e.source], e.slot) if e.source >= 0 else (2, e.slot, 0))
    if view.commutative[i]:
        sources.sort()
    uses = sorted(
        (1, ends[1][position], slot)
        if c == OUTPUT
        else (0, intern(("use", colors[c], 0 if view.commutative[c] else position)), slot)
        for c, position, slot in view.consumers[i]
    )
    return intern(("around", colors[i], tuple(sources), tuple(uses)))

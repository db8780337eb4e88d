"""The matching steps, from the surest to the least sure. Each only adds pairs; nothing is matched twice.

The pair of numbers (all that leads to a node, all that follows it) tells nearly every operator of a network apart. One
number alone finds what lies on the sound side of a fault. Only what is then still open is looked at more closely.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from tflrecover import ops
from tflrecover.align.hashing import backward, forward, neighbourhood
from tflrecover.align.matching import Level, Matching
from tflrecover.align.named import are_counted, named_pair
from tflrecover.align.view import INPUT, OUTPUT, View, declared

Step = Callable[[Matching], None]
Groups = list[tuple[list[int], list[int]]]
Keys = Mapping[int, Hashable]
# The step that pairs operators of two types.
SUBSTITUTE = "place"


def _groups(matching: Matching, mine: Keys, theirs: Keys) -> Groups:
    """Open nodes of both sides that have the same key, of those that have one."""
    return alike(matching.open_file(), matching.open_keras(), mine, theirs)


def alike(fs: Iterable[int], ks: Iterable[int], mine: Keys, theirs: Keys) -> Groups:
    """Nodes of both sides that have the same key, of those that have one."""
    found: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, nodes, keys in ((0, fs, mine), (1, ks, theirs)):
        for node in nodes:
            if node in keys:
                found[keys[node]][side].append(node)
    return [group for group in found.values() if group[0] and group[1]]


def _unique(matching: Matching, mine: Keys, theirs: Keys, step: str, why: str) -> int:
    count = 0
    for fs, ks in _groups(matching, mine, theirs):
        if len(fs) == len(ks) == 1:
            count += matching.add(fs[0], ks[0], step, why)
    return count


def pinned(matching: Matching) -> None:
    """Pairs that the mapping gives, and what is the same on both sides along the edges from them."""
    origins = [(f, op.origins[0]) for f, op in enumerate(matching.file.ops) if op.origins] if matching.pins.ops else []
    for place, layer in matching.pins.ops.items():
        mine = [f for f, origin in origins if place in (origin.op, origin.layer)]
        theirs = [k for k, op in enumerate(matching.keras.ops) if op.origins and op.origins[0].layer == layer]
        by_type = [(f, k) for f in mine for k in theirs if matching.file.loose[f] == matching.keras.loose[k]]
        for f, k in by_type or [(f, k) for f in mine[:1] for k in theirs[:1]]:
            matching.add(f, k, "mapping", f"{layer}: #{place}")
    _propagate(matching, _is_same)


def _directions(matching: Matching, level: Level) -> tuple[list[int], list[int], list[int], list[int]]:
    ends = matching.ends(strict=level == "strict")
    mine, theirs = matching.labels(matching.file, level), matching.labels(matching.keras, level)
    return (
        forward(matching.file, mine, ends[0], matching.intern),
        forward(matching.keras, theirs, ends[1], matching.intern),
        backward(matching.file, mine, ends[2], matching.intern),
        backward(matching.keras, theirs, ends[3], matching.intern),
    )


def _full_depth(level: Level, first: str) -> Step:
    def step(matching: Matching) -> None:
        f_in, k_in, f_out, k_out = _directions(matching, level)
        mine, theirs = (
            {node: (a[node], b[node]) for node in _reached(side) if labels[node] is not None}
            for side, a, b, labels in (
                (matching.file, f_in, f_out, matching.labels(matching.file, level)),
                (matching.keras, k_in, k_out, matching.labels(matching.keras, level)),
            )
        )
        _unique(matching, mine, theirs, f"{level} both", "all that leads here and all that follows is the same")
        sides: dict[str, tuple[list[int], list[int], str]] = {
            "forward": (f_in, k_in, "all that leads here is the same"),
            "backward": (f_out, k_out, "all that follows is the same"),
        }
        order = ("forward", "backward") if first == "forward" else ("backward", "forward")
        for direction in order:
            if matching.is_full:
                return
            ours, others, why = sides[direction]
            if level == "unshaped":
                # What is left out is next to what has its number, and no pair of it.
                _unique(matching, *_told_apart(matching, ours, others), f"{level} {direction}", why)
                continue
            _unique(matching, dict(enumerate(ours)), dict(enumerate(others)), f"{level} {direction}", why)
            _follow(matching, ours, others, f"{level} {direction}", why)

    return step


def _told_apart(matching: Matching, mine: Sequence[int], theirs: Sequence[int]) -> tuple[Keys, Keys]:
    """The numbers of all nodes but those that only give a tensor another shape."""
    return (
        {f: number for f, number in enumerate(mine) if matching.file.loose[f] != "RESHAPE"},
        {k: number for k, number in enumerate(theirs) if matching.keras.loose[k] != "RESHAPE"},
    )


def _reached(side: View) -> Iterator[int]:
    """Nodes that an input leads to: of others, such as the states that loops begin with, it says nothing what does."""
    reached = [False] * len(side)
    for node, edges in enumerate(side.operands):
        reached[node] = any(edge.source == INPUT or (edge.source >= 0 and reached[edge.source]) for edge in edges)
        if reached[node]:
            yield node


def _follow(matching: Matching, mine: Sequence[int], theirs: Sequence[int], step: str, why: str) -> None:
    """Neighbours of pairs that lie alike on both sides, alone with it among those neighbours.

    What takes one value alike, such as two layers of which each leads to a pair, is told apart by where it leads.
    """
    frontier = [(f, k) for f, k in matching.pairs.items() if mine[f] == theirs[k]]
    while frontier:
        f, k = frontier.pop()
        for a, b in _around(matching, f, k, mine, theirs):
            if matching.add(a, b, step, why):
                frontier.append((a, b))


def propagate(matching: Matching) -> None:
    """From every pair along its edges: the one open operator of that type at that slot is the counterpart."""
    _propagate(matching, _is_of_one_type)


def _propagate_declared(matching: Matching) -> None:
    """Likewise, where what is written of both is the same, too."""
    _propagate(matching, is_declared_alike)


def _propagate(matching: Matching, is_alike: Callable[[Matching, int, int], bool]) -> None:
    frontier = list(matching.pairs.items())
    while frontier:
        f, k = frontier.pop()
        for a, b in _around(matching, f, k, matching.file.loose, matching.keras.loose):
            if is_alike(matching, a, b) and matching.add(a, b, "edges", "next to a pair"):
                frontier.append((a, b))


def is_declared_alike(matching: Matching, f: int, k: int) -> bool:
    """Whether the same is written of two operators."""
    return declared(matching.file.ops[f]) == declared(matching.keras.ops[k])


def _is_same(matching: Matching, f: int, k: int) -> bool:
    return matching.file.strict[f] == matching.keras.strict[k]


def _is_of_one_type(matching: Matching, f: int, k: int) -> bool:
    return matching.file.loose[f] == matching.keras.loose[k]


def _around(
    matching: Matching, f: int, k: int, labels: Sequence[Hashable], others: Sequence[Hashable]
) -> Iterable[tuple[int, int]]:
    """Open neighbours of a pair that are alone with their place and label, those of the file and those of Keras."""
    file, keras = matching.file, matching.keras
    if file.loose[f] != keras.loose[k]:
        return
    for ours, theirs in (
        (_operands(file, f), _operands(keras, k)),
        (_uses(file, f), _uses(keras, k)),
    ):
        found: dict[Hashable, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
        for place, node in ours:
            if node >= 0 and node not in matching.pairs:
                found[place, labels[node]][0].add(node)
        for place, node in theirs:
            if node >= 0 and node not in matching.back:
                found[place, others[node]][1].add(node)
        for a, b in found.values():
            if len(a) == len(b) == 1:
                yield next(iter(a)), next(iter(b))


def _operands(side: View, node: int) -> Iterator[tuple[Hashable, int]]:
    yield from (((0 if side.commutative[node] else i, e.slot), e.source) for i, e in enumerate(side.operands[node]))


def _uses(side: View, node: int) -> Iterator[tuple[Hashable, int]]:
    for consumer, position, slot in side.consumers[node]:
        yield (0 if consumer == OUTPUT or side.commutative[consumer] else position, slot), consumer


def anchored(
    matching: Matching, hops: int, *, scaled: bool = False, only_behind: bool = False
) -> tuple[dict[int, int], dict[int, int]]:
    """Surroundings of the open nodes; or only of which types what follows them is."""
    mine, theirs = (
        list(side.loose if only_behind else _scaled(side) if scaled else side.strict)
        for side in (matching.file, matching.keras)
    )
    for f, k in matching.pairs.items():
        mine[f] = theirs[k] = ("pair", f)
    file_in, keras_in, file_out, keras_out = matching.ends(strict=True)
    around = partial(neighbourhood, hops=hops, intern=matching.intern, only_behind=only_behind)
    return (
        around(matching.file, matching.open_file(), mine, file_in, file_out),
        around(matching.keras, matching.open_keras(), theirs, keras_in, keras_out),
    )


def _scaled(side: View) -> list[Hashable]:
    """Labels with what is scaled before operators that have no weights to take a scaling in."""
    labels: list[Hashable] = []
    for i, edges in enumerate(side.operands):
        spec = ops.by_name(side.ops[i].type)
        flags = () if spec is None or spec.family == "linear" else tuple(bool(edge.through) for edge in edges)
        labels.append((side.strict[i], tuple(sorted(flags)) if side.commutative[i] else flags))
    return labels


def neighbourhoods(matching: Matching) -> None:
    """What is left: the same surroundings, widest first, with pairs around it and their inputs as landmarks."""
    for hops in (8, 5, 3, 2):
        matching.infer_inputs()
        mine, theirs = anchored(matching, hops)
        why = f"the same surroundings within {hops} operators"
        if _unique(matching, mine, theirs, f"{hops} hops", why):
            propagate(matching)


def substitutes(matching: Matching) -> None:
    """One operator in the place of another: all their neighbours are pairs and both are of one family."""
    _substitutes(matching, is_firm=False)


def between(matching: Matching) -> None:
    """Likewise, of those that a pair takes: what is open behind may be what one side alone has."""
    _substitutes(matching, is_firm=True)


def _substitutes(matching: Matching, *, is_firm: bool) -> None:
    changed = True
    while changed:
        changed = False
        for f in matching.open_file():
            if is_firm and not any(c in matching.pairs or c == OUTPUT for c, _, _ in matching.file.consumers[f]):
                continue
            candidates = {k for k in _beside(matching, f) if _fills_place_of(matching, f, k)}
            if len(candidates) == 1:
                changed |= matching.add(f, candidates.pop(), SUBSTITUTE, "stands between the same neighbours")


def _beside(matching: Matching, f: int) -> Iterator[int]:
    """Open nodes of Keras that stand to a partner as a node of the file stands to the other of that pair."""
    file, keras = matching.file, matching.keras
    before = next((edge for edge in file.operands[f] if edge.source in matching.pairs or edge.source == INPUT), None)
    if before is None:
        behind = (matching.pairs[c] for c, _, _ in file.consumers[f] if c in matching.pairs)
        found = [edge.source for k in behind for edge in keras.operands[k]]
    elif before.source != INPUT:
        found = [c for c, _, _ in keras.consumers[matching.pairs[before.source]]]
    elif before.slot in matching.inputs:
        found = [c for c, _ in keras.input_uses[matching.inputs[before.slot]]]
    else:
        return
    yield from (k for k in found if k >= 0 and k not in matching.back)


def _fills_place_of(matching: Matching, f: int, k: int) -> bool:
    file, keras = matching.file, matching.keras
    mine, theirs = ops.by_name(file.ops[f].type), ops.by_name(keras.ops[k].type)
    if mine is None or theirs is None or not mine.family or mine.family != theirs.family:
        return False
    if len(file.operands[f]) != len(keras.operands[k]):
        return False
    sources = all(
        any(matching.same_source(a, b) for b in keras.operands[k])
        for a in file.operands[f]
        if a.source in matching.pairs or a.source == INPUT
    )
    uses = {matching.pairs[c] for c, _, _ in file.consumers[f] if c in matching.pairs}
    others = {c for c, _, _ in keras.consumers[k] if c in matching.back}
    ends = [i for c, i, _ in file.consumers[f] if c == OUTPUT], [i for c, i, _ in keras.consumers[k] if c == OUTPUT]
    anchored = bool(uses) or any(a.source in matching.pairs or a.source == INPUT for a in file.operands[f])
    return anchored and sources and uses == others and len(ends[0]) == len(ends[1])


def _order(first: str, *, by_declaration: bool) -> tuple[Step, ...]:
    """The steps that look along one direction first.

    Args:
        first: ``"forward"`` or ``"backward"``.
        by_declaration: Whether what is written of operators comes before their types: behind a layer that is missing
            another of its kind may stand, which something else leads to.
    """
    return (
        pinned,
        _full_depth("strict", first),
        *([_full_depth("declared", first)] if by_declaration else ()),
        _full_depth("loose", first),
        _full_depth("unshaped", first),
        *([_propagate_declared] if by_declaration else ()),
        propagate,
        neighbourhoods,
        substitutes,
        propagate,
    )


# Forward first, and backward first, in either way.
BY_TYPE = _order("forward", by_declaration=False), _order("backward", by_declaration=False)
BY_DECLARATION = _order("forward", by_declaration=True), _order("backward", by_declaration=True)


def symmetric_groups(matching: Matching, *, scaled: bool = False) -> Groups:
    """Groups of open nodes with the same surroundings on both sides, as many on one as on the other.

    Args:
        matching: The pairs so far.
        scaled: Whether scalings before operators that cannot take them in count too.
    """
    mine, theirs = anchored(matching, 8, scaled=scaled)
    return [group for group in _groups(matching, mine, theirs) if len(group[0]) == len(group[1])]


def break_ties(matching: Matching, picks: Sequence[int]) -> tuple[int, ...]:
    """Pairs members of symmetric groups: by their scalings, by a layer's name in a tensor's name, else by free choice.

    A free choice is only kept when the result is proved to be an isomorphism and all weights fit.

    Args:
        matching: Takes the pairs.
        picks: Which partner to take at each free choice, the first where nothing is said.

    Returns:
        How many partners there were at each free choice.
    """
    sizes: list[int] = []
    while groups := symmetric_groups(matching, scaled=True) or symmetric_groups(matching):
        fs, ks = min(groups, key=lambda group: len(group[0]) > 1)
        named = named_pair(matching, fs, ks)
        if len(fs) == 1:
            matching.add(fs[0], ks[0], "scalings", "the same scalings around it")
        elif named is not None:
            matching.add(*named, *_evidence(matching, ks))
        else:
            pick = picks[len(sizes)] if len(sizes) < len(picks) else 0
            sizes.append(len(ks))
            matching.add(fs[0], ks[pick], "symmetry", "any choice that fits gives the same network")
        propagate(matching)
        matching.infer_inputs()
    return tuple(sizes)


def _evidence(matching: Matching, ks: Sequence[int]) -> tuple[str, str]:
    """What layers' names are worth: those that end in numbers count what was built before."""
    if are_counted(matching, ks):
        return "counted names", "the layer's name, which may be a count, is in the tensor's name"
    return "names", "the layer's name is in the tensor's name"

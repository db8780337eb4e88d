"""Which layers may be built otherwise than the file's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from tflrecover.align.view import INPUT
from tflrecover.comparison import Outcome
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, is_kind_of_activation, owners
from tflrecover.differences.likes import like_a_layer
from tflrecover.ir import Difference, Op
from tflrecover.mistaken import is_of_keras
from tflrecover.ops import by_name
from tflrecover.ops.spec import comparable
from tflrecover.rewrite.clamps import RANGES
from tflrecover.trials.candidates import SIBLING, Candidate, candidates, configuration
from tflrecover.trials.hints import DIGITS
from tflrecover.weight import evaluate

# What names more layers is another network, which no argument of one layer explains.
_MOST_SUSPECTS = 6


def opened(comparison: Outcome) -> list[Difference]:
    """Differences that the mapping does not accept."""
    return [difference for difference in comparison.differences if not difference.accepted]


def _has_weights(op: Op) -> bool:
    return not describe.is_weightless([op])


class Suspects:
    """The layers that the differences of a comparison point to.

    Args:
        comparison: With its differences as they were found.
    """

    def __init__(self, comparison: Outcome) -> None:
        self._comparison = comparison
        self._found = opened(comparison)
        self.layers: Layers = comparison.both.theirs.layers

    def _counts(self, found: Sequence[Difference], weight: int) -> dict[str, int]:
        """How often layers are named, by what is one argument already with a weight."""
        counts: dict[str, int] = {}
        for difference in found:
            for path in self._near(difference):
                owner = self._owners.get(path, path)
                if owner in self.layers:
                    counts[owner] = counts.get(owner, 0) + (weight if self.is_clear(difference) else 1)
        return counts

    def left(self, found: Sequence[Difference]) -> list[str]:
        """Those that what is no argument yet points to; others have been tried as they say. All where all is one."""
        named = self._counts([difference for difference in found if not self.is_clear(difference)], 1)
        return self.paths and (sorted(named, key=lambda path: -named[path])[:_MOST_SUSPECTS] or self.paths)

    @cached_property
    def paths(self) -> list[str]:
        """Their paths, the most often named first; none where all is one argument, or one layer too many, already."""
        # What is one argument already comes first: the rest may follow from it.
        counts = self._counts(self._found, len(self._found))
        # What goes along another axis looks like a layer too many.
        is_one = len(self._found) == 1 and not self.along and self._says_all(self._found[0])
        is_another = bool(self._comparison.overview) and len(counts) > _MOST_SUSPECTS
        return [] if is_one or is_another else sorted(counts, key=lambda path: -counts[path])[:_MOST_SUSPECTS]

    def _says_all(self, difference: Difference) -> bool:
        """Whether nothing else could be behind a difference that is the only one."""
        if self._goes_one_way(difference):
            return False
        if self._is_between_layers(difference):
            return True
        if difference.kind in ("missing", "extra") and self._holds_weights(difference):
            # No argument of another layer makes up for a layer with weights.
            return difference.kind == "missing" or self.is_clear(difference)
        # Of two operators alike either may be the one too many.
        return self.is_clear(difference) and not self._comparison.alignment.ambiguous

    def _is_between_layers(self, difference: Difference) -> bool:
        """Whether no argument of one of Keras's own layers could be behind a difference: it is between layers."""
        if difference.kind == "wiring" and difference.attribute == "inputs":
            return len(difference.layers) <= 1 and self._is_plain(difference.keras_layer or "")
        if difference.kind != "missing":
            return False
        alignment = self._comparison.alignment
        listed = [op for op in alignment.file.ops if op.id in difference.operators]
        if like_a_layer(listed, alignment.keras, self.layers) is not None:
            # In the place of a layer that the file has nothing of, it could be one of another class.
            return self.are_paired(difference)
        # An activation that is missing is told as one, be it a layer's argument or a layer.
        spec = by_name(listed[0].type) if len(listed) == 1 else None
        is_activation = spec is not None and spec.family == "activation"
        return (is_activation and self._is_behind_a_layer(difference)) or self._joins_layers(difference)

    def _is_behind_a_layer(self, difference: Difference) -> bool:
        """Whether what is missing stands behind one whole layer, and before others that begin with nothing like it."""
        ends = self._ends(difference)
        keras = self._comparison.alignment.keras
        before, behind = ([self.owner(keras.ops[k]) or "" for k in nodes] for nodes in ends)
        takers = [self.layers.get(path) for path in behind]
        is_open = any(not is_of_keras(one) or is_kind_of_activation(one) for one in takers)
        return bool(before) and all(map(self._is_plain, before)) and not is_open

    def _ends(self, difference: Difference) -> tuple[list[int], list[int]]:
        """Operators of the model that give what is missing its operands, and that would take its result."""
        alignment = self._comparison.alignment
        file = alignment.file
        listed = {file.number[op_id] for op_id in difference.operators if op_id in file.number}
        before = {edge.source for f in listed for edge in file.operands[f]} - listed
        behind = {taker for f in listed for taker, _, _ in file.consumers[f]} - listed
        one, two = ([alignment.pairs[f] for f in sorted(nodes) if f in alignment.pairs] for nodes in (before, behind))
        return one, two

    def are_paired(self, difference: Difference) -> bool:
        """Whether the file has an operator of every layer near a difference, so that none is in the place of another.

        A batch norm that is folded into what is before it has none.
        """
        alignment = self._comparison.alignment
        near = {self._owners.get(path, path) for path in self._near(difference)}
        return near <= {self.owner(alignment.keras.ops[k]) for k in alignment.pairs.values()}

    def _is_plain(self, path: str) -> bool:
        """Whether a layer is one of Keras's own, holds no others, and is no function, such as an ELU is."""
        layer = self.layers.get(path)
        is_whole = path not in self._owners and path not in self._owners.values()
        return is_whole and layer is not None and is_of_keras(layer) and not is_kind_of_activation(layer)

    def _joins_layers(self, difference: Difference) -> bool:
        """Whether what is missing joins what two layers give, as a residual does."""
        keras = self._comparison.alignment.keras
        joined, _ = self._ends(difference)
        whole = {path: self.layers.get(path) for k in joined if (path := self.owner(keras.ops[k])) is not None}
        # What a function makes, and what it is made of, meet inside of the function.
        made = [k for k in joined if is_kind_of_activation(whole.get(self.owner(keras.ops[k]) or ""))]
        is_inside = any(edge.source in joined for k in made for edge in keras.operands[k])
        return len(whole) > 1 and not is_inside and all(map(is_of_keras, whole.values()))

    def _holds_weights(self, difference: Difference) -> bool:
        """Whether among what one side alone has there is a layer with weights."""
        alignment = self._comparison.alignment
        ids, paths = set(difference.operators), set(difference.layers)
        alone = [op for f, op in enumerate(alignment.file.ops) if op.id in ids and f not in alignment.pairs]
        keras = (op for k, op in enumerate(alignment.keras.ops) if k not in alignment.back)
        alone += [op for op in keras if describe.layer_of(op) in paths]
        return not describe.is_weightless(alone)

    def _goes_one_way(self, difference: Difference) -> bool:
        """Whether what is missing may be the other way of a recurrent layer: it has kernels for its steps and state."""
        listed = (op for op in self._comparison.alignment.file.ops if op.id in difference.operators)
        return difference.kind == "missing" and sum(map(_has_weights, listed)) > 1 and bool(self._recurrent(difference))

    def _recurrent(self, difference: Difference) -> list[str]:
        """The recurrent layers that may be behind a difference."""
        return [path for path in self.nearby(difference) if hasattr(self.layers.get(path), "go_backwards")]

    @property
    def one_way(self) -> list[str]:
        """Those of them that may have to go both ways."""
        lacking = filter(self._goes_one_way, self._found)
        return [path for difference in lacking for path in sorted(self._recurrent(difference)) if path in self.paths]

    @property
    def arguments(self) -> list[Difference]:
        """Differences that are an argument of one of them already: others may follow from it."""
        return [d for d in self._found if d.kind == "attribute" and d.keras_layer in self.paths and self.is_clear(d)]

    @property
    def surplus(self) -> list[str]:
        """Those of them of which the file has nothing."""
        named = [layer for d in self._found if d.kind == "extra" for layer in d.layers]
        return [path for path in dict.fromkeys(named) if path in self.paths and path not in self._paired]

    @property
    def turned(self) -> list[str]:
        """Those that may have their channels elsewhere, where one side transposes or a layer goes along other axes."""
        alignment = self._comparison.alignment
        file, keras = alignment.file, alignment.keras
        alone = [k for k, op in enumerate(keras.ops) if op.type == "TRANSPOSE" and k not in alignment.back]
        # That one transposes may be due to its neighbour, which does not.
        first = describe.layers_within(keras.ops[k] for k in alone)
        first += [d.keras_layer for d in self._found if d.keras_layer is not None and self._is_along_others(d)]
        if not (first or any(op.type == "TRANSPOSE" and f not in alignment.pairs for f, op in enumerate(file.ops))):
            return []
        return sorted(self.paths, key=lambda path: path not in first)

    @property
    def along(self) -> list[str]:
        """Those too many that go along an axis, and may be told a wrong one."""
        named = [difference.keras_layer or "" for difference in self._found if difference.kind == "extra"]
        return [path for path in named if path in self.layers and "axis" in configuration(self.layers[path])]

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The file's single numbers in what differs: bounds, slopes, factors."""
        graph = self._comparison.alignment.file.graph
        ids = {op_id for difference in self._found for op_id in difference.operators}
        named = {difference.tflite_op for difference in self._found} - {None}
        listed = [op for op in graph.ops() if op.id in ids or (not ids and describe.file_index(op) in named)]
        return tuple(dict.fromkeys(number for op in listed for number in self._constants(op)))

    def _constants(self, op: Op) -> Iterator[float]:
        yield from RANGES.get(op.type, ())
        graph = self._comparison.alignment.file.graph
        for weight in (graph.values[value].weight for value in op.inputs if value is not None):
            if weight is not None and all(n == 1 for n in weight.shape):
                number = evaluate(weight, self._comparison.both.mine.contents)
                if number.dtype.kind in "fiu":
                    yield float(f"{number.item():.{DIGITS}g}")

    def candidates(self, path: str, found: Sequence[Difference]) -> Iterator[Candidate]:
        """How one of them may be built otherwise, the likeliest first."""
        return candidates(self.layers[path], path, self.numbers, found)

    def is_clear(self, difference: Difference) -> bool:
        """Whether a difference is an argument that a layer was given, or one layer too many."""
        path = difference.keras_layer
        if path is None or path in self._owners:
            return False
        if difference.kind == "extra":
            return len(difference.layers) == 1 and path not in self._paired
        if difference.layers and path in self._paired:
            # Only a part of what the layer computes is another: that part is no value of the argument.
            return False
        given = configuration(self.layers[path]) if path in self.layers else {}
        if difference.kind != "attribute" or difference.attribute == SIBLING or difference.attribute not in given:
            return False
        # A part of a layer has another value than was given: a separable convolution has one of one position.
        if comparable(given[difference.attribute]) == difference.tflite_value or self._is_along_others(difference):
            return False
        # An operator's axes are those of a layer that is told one axis only by name: a group norm has two.
        have = difference.keras_value
        return not (isinstance(given[difference.attribute], int) and isinstance(have, tuple) and len(have) > 1)

    def _is_along_others(self, difference: Difference) -> bool:
        """Whether what the model has is not what its layer was given for height and width: it is along other axes."""
        have = difference.keras_value
        layer = self.layers.get(difference.keras_layer or "")
        is_per_axis = isinstance(have, tuple) and any(isinstance(amounts, tuple) for amounts in have)
        if not is_per_axis or not hasattr(layer, "data_format"):
            return False
        given = comparable(configuration(layer).get(difference.attribute or "", ()))
        return not isinstance(given, str) and given != have

    def concerned(self, difference: Difference) -> set[str]:
        """Paths of the layers that a difference is about."""
        named = (difference.keras_layer, *difference.layers)
        return {self._owners.get(path, path) for path in named if path is not None}

    def nearby(self, difference: Difference) -> set[str]:
        """Paths of the layers that may be behind a difference, be they named or next to it."""
        near = {self._owners.get(path, path) for path in self._near(difference)}
        return near | self.concerned(difference)

    def owner(self, op: Op) -> str | None:
        """Path of the outermost layer around an operator of the model that is no model."""
        path = describe.layer_of(op)
        return None if path is None else self._owners.get(path, path)

    @cached_property
    def _paired(self) -> set[str]:
        """Paths of layers of which the file has something."""
        alignment = self._comparison.alignment
        return set(describe.layers_within(alignment.keras.ops[k] for k in alignment.pairs.values()))

    @cached_property
    def _owners(self) -> dict[str, str]:
        return owners(self.layers)

    def _near(self, difference: Difference) -> list[str]:
        """The layers of a difference; where it has none, those next to what the file has in excess."""
        alignment = self._comparison.alignment
        file, keras = alignment.file, alignment.keras
        listed = {file.number[op_id] for op_id in difference.operators if op_id in file.number}
        if difference.keras_layer is not None:
            named = [*difference.layers] or [difference.keras_layer]
            if difference.kind == "extra":
                alike = describe.layers_of(keras.ops[k] for k in self._alike(difference))
                return [*named, *alike, *self._behind_moved_axes(named)]
            if difference.kind not in ("attribute", "constant") or self.is_clear(difference):
                return named
            # What no layer was given may be what transposes, reshapes or scalings of several have become together.
            made = [op for op in keras.graph.ops() if not set(named).isdisjoint(describe.layers_within([op]))]
            # Weights make up for what scales before them.
            edges = [edge for k, op in enumerate(keras.ops) if op in made for edge in keras.operands[k]]
            made += [keras.graph.op(op_id) for edge in edges for op_id in edge.through]
            # Where the file only moves axes, it may do so in the place of what the model has behind.
            moving = [k for k, op in enumerate(keras.ops) if op in made and op.type in describe.LAYOUT]
            takers = {taker for k in moving for taker, _, _ in keras.consumers[k]} - alignment.back.keys()
            made += [keras.ops[taker] for taker in sorted(takers) if taker >= 0]
            return list(dict.fromkeys([*named, *describe.layers_within(made)]))
        if not listed:
            return self._around(difference)
        before = {edge.source for f in listed for edge in file.operands[f]}
        behind = [alignment.pairs[c] for f in listed for c, _, _ in file.consumers[f] if c in alignment.pairs]
        # What the model has in its place may be paired with something else: two equal layers are one operator.
        instead = [edge.source for k in behind for edge in keras.operands[k] if edge.source >= 0]
        nodes = [*(alignment.pairs[f] for f in sorted(before) if f in alignment.pairs), *instead, *behind]
        listed_too = [*nodes, *self._alike(difference), *self._beside(listed)]
        return describe.layers_within(keras.ops[k] for k in listed_too)

    def _alike(self, difference: Difference) -> list[int]:
        """Operators of the model of which it is open whether they, or what differs, are the ones of one side alone."""
        alignment = self._comparison.alignment
        file, keras = alignment.file, alignment.keras
        ids, paths = set(difference.operators), set(difference.layers)
        types = {op.type for op in file.ops if op.id in ids} | {
            op.type for k, op in enumerate(keras.ops) if describe.layer_of(op) in paths and k not in alignment.back
        }
        found = [k for _, ks in alignment.ambiguous for k in ks if keras.ops[k].type in types]
        # An activation is an argument of what is before it, too.
        return found + [edge.source for k in found for edge in keras.operands[k] if edge.source >= 0]

    def _behind_moved_axes(self, named: Sequence[str]) -> list[str]:
        """The layers that take a value of some layers, of which the model alone moves the axes."""
        keras, back = self._comparison.alignment.keras, self._comparison.alignment.back
        moving = [k for k, op in enumerate(keras.ops) if op.type == "TRANSPOSE" and k not in back]
        moving = [k for k in moving if not set(named).isdisjoint(describe.layers_within([keras.ops[k]]))]
        return describe.layers_of(keras.ops[taker] for k in moving for taker, _, _ in keras.consumers[k] if taker >= 0)

    def _around(self, difference: Difference) -> list[str]:
        """The layers that a scaling of the file stands inside of: one between two layers is a layer of its own."""
        alignment = self._comparison.alignment
        file, keras = alignment.file, alignment.keras
        scalings = [op_id for op_id in difference.operators if op_id in file.graph]

        def owned(nodes: Iterable[int | str]) -> list[str]:
            pairs = [alignment.pairs.get(file.number[node]) for node in nodes if node in file.number]
            listed = describe.layers_of(keras.ops[k] for k in pairs if k is not None)
            return [self._owners.get(path, path) for path in listed]

        before = owned(node for op_id in scalings for node in file.graph.predecessors(op_id))
        behind = owned(node for op_id in scalings for node in file.graph.successors(op_id))
        return list(dict.fromkeys(path for path in before if path in behind))

    def _beside(self, nodes: Iterable[int]) -> Iterator[int]:
        """Operators of the model that take what operators of the file take: a mask is made beside what it masks."""
        alignment = self._comparison.alignment
        file, keras = alignment.file, alignment.keras
        for edge in {edge for f in nodes for edge in file.operands[f]}:
            if edge.source == INPUT and edge.slot in alignment.inputs:
                yield from (consumer for consumer, _ in keras.input_uses[alignment.inputs[edge.slot]])
            elif edge.source in alignment.pairs:
                uses = keras.consumers[alignment.pairs[edge.source]]
                yield from (consumer for consumer, _, _ in uses if consumer >= 0)

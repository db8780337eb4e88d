"""What a model lacks, named by a layer that it has more of: many layers are operators that have no name together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tflrecover.align.view import View
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, class_of, owners
from tflrecover.ir import Op

# What is fewer operators is best told by their names.
_FEWEST = 4


def like_a_layer(nodes: Sequence[Op], keras: View, layers: Layers) -> str | None:
    """``a layer like 'lstm_1' (LSTM)``, where these operators are what a layer of the model is, too."""
    wanted = _kinds(nodes)
    if wanted.total() < _FEWEST:
        return None
    around = owners(layers, of_users=True)
    made: dict[str, list[Op]] = defaultdict(list)
    for op in keras.ops:
        layer = describe.layer_of(op)
        if layer is not None:
            made[around.get(layer, layer)].append(op)
    path = next((path for path, ops in made.items() if _kinds(ops) == wanted), None)
    return None if path is None else f"a layer like {path!r} ({class_of(layers, path)})"


def _kinds(nodes: Sequence[Op]) -> Counter[str]:
    return Counter(str(op.type) for op in nodes if op.type != "RESHAPE")

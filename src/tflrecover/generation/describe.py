"""Names for tensors of the model: what the file calls them, else their size."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Sequence

import keras

from tflrecover.generation.calls import Written
from tflrecover.recovery.names import INSIDE, snake_case

_KINDS = re.compile(
    r"(depthwise|separable|transpose|conv|batch|normalization|norm|bn|(p_?)?re_?lu6?|activation|max|average|global"
    r"|pooling|pool|add|multiply|mul|reshape|flatten|concatenate|concat|zero|pad(ding)?|up|sampling|dense|softmax"
    r"|rescaling|identity|model|functional|sequential|statefulpartitionedcall|dropout|\d+d?|_)+"
)
_NEARLY_ALL = 0.8
_LONGEST_NAME = 20
_TELLING = re.compile(r"[a-z]{3}")
# What Keras itself calls layers and what functions make.
_BY_KERAS = {*map(snake_case, dir(keras.layers)), *dir(keras.ops)}


class Describer:
    """Telling names for tensors: what the file calls them, else the size of their features."""

    def __init__(self, made: Written, outputs: Sequence[int]) -> None:
        self.made, self.outputs = made, outputs
        stems = [stem for stem in made.stems.values() if stem]
        first = Counter(stem.partition("_")[0] + "_" for stem in stems).most_common(1)
        # The first word of nearly all names is the model's.
        self.prefix = first[0][0] if first and first[0][1] > _NEARLY_ALL * len(stems) else ""

    def describe(self, value: int) -> str:
        """What the file calls it, as an identifier; ``""`` where that is only a kind of layer."""
        stem = self.made.stems.get(value, "")
        found = _identifier(stem.removeprefix(self.prefix))
        # Where nearly all that has a name is an output, its number alone says nothing.
        return found or (_identifier(stem) if value in self.outputs else "")

    def size(self, value: int) -> str:
        """Features by their height."""
        shape = tuple(getattr(self.made.tensors.get(value), "shape", ()))
        return f"features_{shape[1]}" if len(shape) == 4 and shape[1] is not None else "features"

    def output(self, value: int) -> str:
        """A name for one of the model's outputs."""
        if value not in self.outputs:
            return ""
        number = f"output_{self.outputs.index(value) + 1}" if len(self.outputs) > 1 else "outputs"
        return self.describe(value) if len(self.outputs) > 1 and self.describe(value) else number


def _identifier(name: str) -> str:
    """A name as one of Python's; ``""`` where it is only a kind of layer."""
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    while len(stem) > _LONGEST_NAME and "_" in stem:
        stem = re.sub(r"_[^_]*(_[a-z]{1,2})*$", "", stem)
    is_kind = (
        bool(INSIDE.fullmatch(stem))
        or re.sub(r"_\d+$", "", stem) in _BY_KERAS
        or not _TELLING.search(re.sub(_KINDS, "", stem))
    )
    if not is_kind and stem[0].isalpha() and not keyword.iskeyword(stem):
        return stem
    return ""

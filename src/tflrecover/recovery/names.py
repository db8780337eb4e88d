"""Names of layers: from the file's tensors where they say something, else from what the layer is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from tflrecover.ir import short_name

# What TensorFlow calls the operators inside a layer; its own types begin with a capital. A converter may put a number
# behind it.
INSIDE = re.compile(
    r"([A-Z]\w*|add|mul|sub|truediv|convolution|depthwise|separable_conv2d|relu6?|sigmoid|tanh|silu|swish|gelu|softmax"
    r"|conv2d|conv2d_transpose|batchnorm|matmul|mean|pad|reshape|transpose|strided_slice|concat|resize|max_pool2d"
    r"|avg_pool2d|call|while|cond|body|moments|squeeze|stack|tile|split|einsum|pow|rsqrt|square)(_?\d+)?(:\d+)?"
)
# A type of TensorFlow's, and what a SavedModel calls its outputs.
_TYPE = re.compile(r"[A-Z][A-Za-z0-9]*(_\d+)?(:\d+)?")
# Of what a converter has merged, and so named "a;b;c", the part that is the layer's own: by type.
_CONVOLUTION = r"(convolution|Conv\w*|separable_conv2d|conv2d_transpose|BiasAdd)\w*"
_OWN: Mapping[str | int, str] = {
    "CONV_2D": _CONVOLUTION,
    "CONV_3D": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": r"(depthwise\w*|BiasAdd)\w*",
    "TRANSPOSE_CONV": _CONVOLUTION,
    "CONV_3D_TRANSPOSE": _CONVOLUTION,
    "SEPARABLE_CONV_2D": r"separable_conv2d\w*",
    "FULLY_CONNECTED": r"(MatMul|Tensordot|einsum|BiasAdd)\w*",
    "ADD": r"(add|Add)\w*",
    "MUL": r"(mul|Mul)\w*",
}
_NORM = re.compile(r"batch_?norm|(^|[/_])bn([/_\d;]|$)", re.IGNORECASE)
_NUMBERED = re.compile(r"_\d+$")
# A module of PyTorch's: where its class is defined, the class, and what its parent calls it.
_MODULE = re.compile(r"(?:\w+\.)+_?([A-Z][A-Za-z0-9]*)(?:_(\w+))?")
# Its classes that are a layer with a kernel: by type. Their other operators pad and transpose for them.
_OF_MODULE: Mapping[str | int, str] = {
    **dict.fromkeys(("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D"), r"Conv\dd"),
    **dict.fromkeys(("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"), r"ConvTranspose\dd"),
    "FULLY_CONNECTED": r"Linear|MultiheadAttention",
}
_WITH_KERNEL = re.compile("|".join({*_OF_MODULE.values()}))
# How lowering calls what a fused activation takes.
_BEFORE = " before "
# A number, or a letter and a number, is nobody's name for a layer.
_NUMBER = re.compile(r"[A-Za-z]?_?\d*")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.\-]+")


def legal(name: str) -> str:
    """A name as Keras and TensorFlow take it; ``""`` where nothing is left."""
    name = re.sub(r"__+", "_", _ILLEGAL.sub("_", re.sub(r":0$", "", name))).strip("_")
    return name if re.match(r"[A-Za-z0-9.]", name) else ""


class Scheme:
    """How the tensors of one file are named.

    Args:
        tensors: Names of all that operators make.
    """

    def __init__(self, tensors: Iterable[str]) -> None:
        self._tensors = [tensor for tensor in tensors if "/" in tensor]
        paths = [short_name(tensor).split("/") for tensor in self._tensors]
        # Names of models around the layers: what all have in common.
        alike = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
        self._depth = len(list(alike)) if len(paths) > 1 else 1
        # Keras numbers the operators of each call of a layer, the first is "_1".
        layers = [part for path in paths for part in self._around(path)[:1]]
        self._is_numbered = bool(layers) and all(map(_NUMBERED.search, layers))
        # A constant that several layers share has the name of one of them, and so have their results.
        whole = {tensor.partition(_BEFORE)[0] for tensor in self._tensors}
        self._uses = Counter(name for tensor in whole for name in {*map(self._layer, _parts(tensor))})

    def layer(self, tensor: str, kind: str | int) -> str:
        """The layer's part of a tensor's name: ``model/block_1/conv2d/Relu;model/…`` is ``block_1_conv2d``.

        Args:
            tensor: Its name.
            kind: Canonical type of the operator that makes it.

        Returns:
            ``""`` where the name says nothing of a layer.
        """
        whole, _, before = tensor.partition(_BEFORE)
        if modules := _modules(whole):
            return _named_by_module(modules, kind)
        parts = _parts(whole)
        own = [part for part in parts if part and re.fullmatch(_OWN.get(kind, "$^"), part[-1])]
        single = [part for part in own if self._uses[self._layer(part)] < 2]
        if not parts or (not single and (own or before)):
            return ""
        if kind in _OWN and not own and _NORM.search(whole):
            # A converter has folded the norm into the layer, and named the layer after it.
            return ""
        return self._layer((single or parts)[0])

    def _around(self, path: Sequence[str]) -> list[str]:
        """The layers that an operator is in, the outermost first."""
        parts = list(path[self._depth :] if len(path) > 1 else path)
        while len(parts) > 1 and INSIDE.fullmatch(parts[-1]):
            parts.pop()
        return parts if len(parts) < len(path) - self._depth or len(path) == 1 else parts[:-1]

    def _layer(self, path: Sequence[str]) -> str:
        parts = self._around(path)
        if not parts and not _TYPE.fullmatch(path[-1]):
            # Nothing is inside it, but no operator is called so.
            parts = list(path[-1:])
        if len(path) == 1 and (_TYPE.fullmatch(path[0]) or _NUMBER.fullmatch(path[0])):
            return ""
        if self._is_numbered and len(path) > 1:
            parts = [_NUMBERED.sub("", part) for part in parts]
        return legal("_".join(dict.fromkeys(parts)))


def _modules(tensor: str) -> list[tuple[str, str]]:
    """What PyTorch's modules are called in a state dict, and their classes; none where a name is no path of modules.

    ``pkg.Net/torch.nn.Sequential_features/torch.nn.Conv2d_0`` is ``("features_0", "Conv2d")``.
    """
    found = []
    for name in filter(None, tensor.split(";")):
        path = [_MODULE.fullmatch(part) for part in name.split("/")]
        modules = [module.groups() for module in path if module is not None]
        if len(modules) == len(path):
            found.append(("_".join(attribute for _, attribute in modules if attribute), modules[-1][0]))
    return found


def _named_by_module(modules: Sequence[tuple[str, str]], kind: str | int) -> str:
    own = _OF_MODULE.get(kind)
    if own is not None:
        fitting = [name for name, module in modules if re.fullmatch(own, module)]
    else:
        fitting = [name for name, module in modules if not _WITH_KERNEL.fullmatch(module)]
    name = legal(fitting[0]) if fitting else ""
    return "" if _NUMBER.fullmatch(name) else name


def _parts(tensor: str) -> list[list[str]]:
    return [part.split("/") for part in tensor.partition(_BEFORE)[0].split(";") if part]


def snake_case(kind: str) -> str:
    """As Keras names a layer by its class: ``Conv2D`` is ``conv2d``, ``ZeroPadding2D`` ``zero_padding2d``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()


class Names:
    """Gives each name once.

    Args:
        promised: Names that are kept for inputs and outputs.
    """

    def __init__(self, promised: tuple[str, ...] = ()) -> None:
        self._taken = set(promised)
        self._counts: Counter[str] = Counter()

    def promised(self, name: str) -> str:
        """A name that was kept; :meth:`unique` gives it once."""
        self._taken.discard(name)
        return name

    def unique(self, wanted: str) -> str:
        """The name, with a number behind it where it is taken."""
        name = wanted
        while name in self._taken:
            self._counts[wanted] += 1
            name = f"{wanted}_{self._counts[wanted]}"
        self._taken.add(name)
        return name

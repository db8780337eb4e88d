"""The vocabulary: every operator that the library knows, one :class:`OpSpec` each, found by name."""

from __future__ import annotations

from tflrecover.ops import (
    activation,
    affine,
    attention,
    batch,
    bits,
    boxes,
    control,
    conv,
    conv_3d,
    dense,
    detection,
    distributed,
    draws,
    einsum,
    elementwise,
    index,
    landmarks,
    layout,
    lists,
    lookup,
    normalization,
    pool,
    quantize,
    recurrent,
    reduce,
    repeat,
    resize,
    rnn,
    separable,
    shape,
    slicing,
    states,
    svdf,
    tables,
    unpool,
    windows,
)
from tflrecover.ops.spec import Lowered, OpSpec, Reader, Source
from tflrecover.tflite.nodedef import PREFIX

__all__ = [
    "Lowered",
    "OpSpec",
    "Reader",
    "Source",
    "by_name",
    "has_expression",
    "register_op",
    "specs",
    "tf_reader",
    "tflite_reader",
]

_FAMILIES = (
    activation,
    affine,
    attention,
    batch,
    control,
    bits,
    boxes,
    conv,
    conv_3d,
    dense,
    detection,
    distributed,
    draws,
    einsum,
    elementwise,
    index,
    landmarks,
    lists,
    lookup,
    normalization,
    pool,
    quantize,
    recurrent,
    reduce,
    repeat,
    resize,
    rnn,
    separable,
    shape,
    slicing,
    states,
    svdf,
    tables,
    unpool,
    windows,
)
# Types that the schema package does not know are numbers, and no operator of ours.
_SPECS: dict[str | int, OpSpec] = {}
_TF_READERS: dict[str | int, Reader] = {}
# Types of TensorFlow of which an expression can be made.
_EXPRESSED: set[str | int] = set()


def register_op(spec: OpSpec) -> None:
    """Makes an operator known, for instance a custom one; a later registration of the same name replaces an earlier.

    Args:
        spec: What the operator is. Its ``name`` is TFLite's builtin name or the custom code.
    """
    _SPECS[spec.name] = spec
    _TF_READERS.update(spec.tf)
    if spec.evaluate is not None or spec.parts is not None:
        _EXPRESSED.update(spec.tf)


for _family in _FAMILIES:
    for _spec in _family.SPECS:
        register_op(_spec)
register_op(layout.REARRANGE)


def by_name(name: str | int) -> OpSpec | None:
    """The operator of that name, or None when it is not known (it is then an opaque node)."""
    return _SPECS.get(name)


def specs() -> tuple[OpSpec, ...]:
    """Every operator that is known."""
    return tuple(_SPECS.values())


def without_flex(name: str | int) -> str | int:
    """TensorFlow's type of an operator of a file that LiteRT runs by TensorFlow itself; any other's own."""
    return name.removeprefix(PREFIX) if isinstance(name, str) else name


def tflite_reader(name: str | int) -> Reader | None:
    """What reads a TFLite operator of that type into canonical terms."""
    if (plain := without_flex(name)) != name:
        return tf_reader(plain)
    spec = by_name(name)
    return spec.tflite if spec else None


def has_expression(name: str | int) -> bool:
    """Whether a TensorFlow operator of that type is an expression where all that it takes is constant."""
    return name in _EXPRESSED


def tf_reader(name: str | int) -> Reader | None:
    """What reads a TensorFlow operator of that type into canonical terms."""
    return _TF_READERS.get(name)

"""Operators that nobody has registered: what both sides tell of them, in the same terms."""

from __future__ import annotations

import re

from tflrecover.ir import Op
from tflrecover.ops.spec import Attributes, comparable

# What TensorFlow calls types.
_TYPE = re.compile(
    r"T\d?|T(axis|block_shape|crops|dims?|filter|in|index|indices|inputs?|len|out|paddings?|params|perm|shape|idx)"
    r"|(Dst|Src)T|dtype|out_type|output_type"
)


def attributes(op: Op) -> Attributes:
    """Attributes of an operator as the file or the trace has it.

    Where TFLite lacks one of TensorFlow's, a converter with ``allow_custom_ops`` writes it as a custom operator of the
    same name, with the attributes as options. Types are left out: the values have them, and each side has its own
    numbers for them.
    """
    options = op.attributes.get("custom_options")
    found = dict(op.attributes)
    if isinstance(options, dict):
        del found["custom_options"]
        found |= options
    # What begins with an underscore TensorFlow has noted for itself.
    kept = (name for name in found if not name.startswith("_") and not _TYPE.fullmatch(name))
    plain = {name: comparable(found[name]) for name in kept}
    # A converter leaves out lists that are empty.
    return {name: value for name, value in plain.items() if value is not None and value != ()}

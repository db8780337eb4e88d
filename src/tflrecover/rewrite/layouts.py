"""``f(TRANSPOSE(RESHAPE(x))) = TRANSPOSE(RESHAPE(f(x)))``: each sinks behind what the other stood in front of.

Which of the two stands first is the user's choice, and what lies between them stays in front of one of them.
"""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.sink import sink_reshapes
from tflrecover.rewrite.transposes import sink_transposes


def sink_layouts(draft: Draft) -> int:
    """Transposes and reshapes sink until neither can sink further."""
    count = 0
    while sunk := sink_transposes(draft):
        count += sunk + sink_reshapes(draft)
    return count

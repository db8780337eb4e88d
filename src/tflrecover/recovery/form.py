"""The form in which an operator of the file is what a person would write as one layer.

Fewer rules than for a comparison (``rewrite.PHASES``): nothing may move, so that every layer
stands where the file has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable

from tflrecover.ir import Op
from tflrecover.ops.conv import is_no_bias
from tflrecover.recovery.activations import ACTIVATIONS, is_plain
from tflrecover.recovery.attention import fuse_attention
from tflrecover.recovery.bidirectional import fuse_bidirectional
from tflrecover.recovery.distributed import distribute_steps
from tflrecover.recovery.nest import nest
from tflrecover.recovery.normalizations import fuse_normalizations
from tflrecover.recovery.products import fuse_products
from tflrecover.recovery.recurrent import fuse_recurrent
from tflrecover.recovery.rows import (
    cancel_reshapes,
    drop_rows,
    fill_products,
    fill_rows,
    fuse_biases,
    join_reshapes,
    lift_biases,
    lift_rows,
)
from tflrecover.recovery.scores import fuse_masked_softmax, fuse_scores
from tflrecover.recovery.separable import fuse_separable
from tflrecover.recovery.sequences import lift_turns
from tflrecover.recovery.squeezed import keep_squeezed
from tflrecover.recovery.steps import drop_unit_axes, fuse_causal
from tflrecover.recovery.tables import keep_ready, learn_tables
from tflrecover.recovery.tied import tie_embeddings
from tflrecover.recovery.unrolled import roll_steps
from tflrecover.recovery.upsampling import fuse_upsampling, repeat_vectors
from tflrecover.rewrite.affine import LINEAR, merge_affines, to_affine
from tflrecover.rewrite.common import freeze, signature
from tflrecover.rewrite.concatenations import nest_concatenations
from tflrecover.rewrite.dilation import fuse_dilation
from tflrecover.rewrite.draft import Draft, OpId
from tflrecover.rewrite.global_pool import pool_to_mean
from tflrecover.rewrite.identity import drop_identity
from tflrecover.rewrite.indices import drop_casts, drop_wraps
from tflrecover.rewrite.loops import tidy_whole_loops
from tflrecover.rewrite.padding import pad_with_zeros
from tflrecover.rewrite.patterns import fuse_patterns
from tflrecover.rewrite.positions import unsigned_zeros
from tflrecover.rewrite.prelu import fuse_prelu
from tflrecover.rewrite.reshape import fill_ranks
from tflrecover.rewrite.softmax import fuse_softmax
from tflrecover.rewrite.zeros import zeros_to_pad


def fuse_silu(draft: Draft) -> int:
    """``MUL(x, LOGISTIC(x)) = SILU(x)``."""
    count = 0
    for op in draft.of_type("MUL"):
        for x, gate in (op.inputs[:2], op.inputs[1::-1]):
            made = draft.producer(gate)
            if made is not None and made.type == "LOGISTIC" and made.inputs[0] == x:
                draft.replace(op.evolve(type="SILU", inputs=(x,), attributes={}))
                count += 1
                break
    return count


def fuse_activations(draft: Draft) -> int:
    """An activation behind a linear operator becomes its argument."""
    count = 0
    undecided = _of_several_activations(draft)
    for op in list(draft.ops.values()):
        linear = draft.producer(op.inputs[0]) if op.inputs else None
        if op.type not in ACTIVATIONS or linear is None or linear.type not in LINEAR or linear.id in draft.opaque:
            continue
        if draft.only_consumer(linear.outputs[0]) is None or not is_plain(op):
            continue
        if linear.id in undecided or not {"activation", "tied"}.isdisjoint(linear.attributes):
            continue
        draft.remove(op.id)
        attributes = {**linear.attributes, "activation": ACTIVATIONS[op.type]}
        draft.replace(linear.evolve(outputs=op.outputs, attributes=attributes))
        count += 1
    return count


def _of_several_activations(draft: Draft) -> set[OpId]:
    """Linear operators of one kernel and bias that have different activations behind them: they are one layer."""
    groups: dict[Hashable, list[Op]] = defaultdict(list)
    for op in draft.of_type(*LINEAR):
        kernel, bias = draft.weight(op.inputs[1]), draft.weight(op.inputs[2])
        if kernel is not None and bias is not None:
            constants = signature(kernel, draft), None if is_no_bias(bias) else signature(bias, draft)
            groups[op.type, freeze(op.attributes), constants].append(op)
    found: set[OpId] = set()
    for group in groups.values():
        behind = [draft.only_consumer(op.outputs[0]) for op in group]
        kinds = {use.type if use is not None and use.type in ACTIVATIONS and is_plain(use) else None for use in behind}
        if len(kinds) > 1:
            found.update(op.id for op in group)
    return found


FORM: tuple[Callable[[Draft], int], ...] = (
    drop_identity,
    fill_ranks,
    fill_products,
    join_reshapes,
    nest_concatenations,
    tidy_whole_loops,
    fuse_upsampling,
    zeros_to_pad,
    pad_with_zeros,
    fuse_dilation,
    fuse_prelu,
    pool_to_mean,
    lift_biases,
    to_affine,
    merge_affines,
    fuse_patterns,
    fuse_softmax,
    drop_wraps,
    drop_casts,
    unsigned_zeros,
    fuse_normalizations,
    fuse_attention,
    fuse_scores,
    fuse_masked_softmax,
    fuse_products,
    fuse_recurrent,
    roll_steps,
    repeat_vectors,
    lift_turns,
    fuse_bidirectional,
    fuse_silu,
    fill_rows,
    keep_squeezed,
    drop_rows,
    join_reshapes,
    drop_unit_axes,
    cancel_reshapes,
    fuse_biases,
    tie_embeddings,
    fuse_activations,
    # With an activation that stood between.
    drop_rows,
    lift_rows,
    fuse_separable,
    fuse_causal,
    distribute_steps,
    learn_tables,
    keep_ready,
    nest,
)


def formed(draft: Draft) -> Draft:
    """Applies the rules in order; the draft is changed in place."""
    draft.prune()
    for rule in FORM:
        if rule(draft):
            draft.prune()
    return draft

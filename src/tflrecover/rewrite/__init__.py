"""The rules that bring both sides to one form, in the order in which they run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from tflrecover.rewrite.affine import absorb_affines, merge_affines, to_affine
from tflrecover.rewrite.arranged import arrange, channels_last
from tflrecover.rewrite.clamps import merge_clamps, write_clamps
from tflrecover.rewrite.common import merge_common
from tflrecover.rewrite.concatenations import flatten_concatenations
from tflrecover.rewrite.conditions import choose
from tflrecover.rewrite.dilation import fuse_dilation
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.einsum import fuse_einsum, fuse_heads, fuse_merged_axes, fuse_turned_axes, merge_axes
from tflrecover.rewrite.factors import center_norms, factor_scales
from tflrecover.rewrite.flatten import flatten_dense, flatten_tables
from tflrecover.rewrite.fold import fold_products, fold_zeros
from tflrecover.rewrite.formulas import write_formulas
from tflrecover.rewrite.functions import expand_functions, fuse_squares
from tflrecover.rewrite.global_pool import pool_to_mean
from tflrecover.rewrite.heads import select_scores, split_units, transpose_fewer
from tflrecover.rewrite.identity import drop_identity
from tflrecover.rewrite.indices import drop_casts, drop_repeats, drop_wraps
from tflrecover.rewrite.joined import join_steps
from tflrecover.rewrite.layouts import sink_layouts
from tflrecover.rewrite.lift import fuse_squared_difference, lift_constants, square_differences
from tflrecover.rewrite.logic import plain_logic
from tflrecover.rewrite.loops import tidy_loops
from tflrecover.rewrite.moves import pass_moves
from tflrecover.rewrite.negatives import negate, subtract_negatives
from tflrecover.rewrite.outer import join_outer_products
from tflrecover.rewrite.padding import absorb_pads, pad_with_zeros
from tflrecover.rewrite.parts import project_parts, slice_sums
from tflrecover.rewrite.patterns import fuse_patterns
from tflrecover.rewrite.pixels import repeat_pixels
from tflrecover.rewrite.positions import plain_positions
from tflrecover.rewrite.prelu import fuse_prelu
from tflrecover.rewrite.products import split_products
from tflrecover.rewrite.reductions import drop_front_axes, drop_kept_axes, drop_reductions, reduce_along
from tflrecover.rewrite.reshape import (
    drop_broadcast_reshapes,
    drop_broadcasts,
    fill_ranks,
    lower_ranks,
    merge_reshapes,
    reshape_units,
    sink_broadcasts,
    squeeze_tiles,
    tile_broadcasts,
    unit_reshapes,
    unit_transposes,
)
from tflrecover.rewrite.roots import divide_by_root, divide_by_roots
from tflrecover.rewrite.scalars import drop_neutral, hoist_scales, scale_operands, scale_products
from tflrecover.rewrite.shifts import shift_constants
from tflrecover.rewrite.sink import sink_reshapes, sink_rows, sink_units
from tflrecover.rewrite.slices import take_apart
from tflrecover.rewrite.softmax import drop_largest, fuse_softmax, split_softmax
from tflrecover.rewrite.statistics import expand_batch_statistics
from tflrecover.rewrite.steps import add_biases, blend, lift_lone_biases, pack_steps, project_steps, take_steps
from tflrecover.rewrite.strides import fuse_strides
from tflrecover.rewrite.sums import merge_sums
from tflrecover.rewrite.transposes import sink_transposes
from tflrecover.rewrite.unroll import unroll_loops
from tflrecover.rewrite.zeros import zeros_to_pad

Rule = Callable[[Draft], int]

PHASES: Mapping[str, tuple[Rule, ...]] = {
    "what can be written in several ways, in one": (
        write_formulas,
        drop_identity,
        choose,
        drop_wraps,
        drop_casts,
        drop_repeats,
        plain_positions,
        plain_logic,
    ),
    "loops in one form, and their turns one after the other": (
        tidy_loops,
        unroll_loops,
    ),
    "what is joined, repeated and taken apart": (
        repeat_pixels,
        flatten_concatenations,
        tile_broadcasts,
        sink_broadcasts,
        drop_broadcasts,
        squeeze_tiles,
        join_steps,
        pack_steps,
        take_steps,
        take_apart,
    ),
    "functions that were written out, and reductions over as few axes as there are": (
        fold_products,
        fold_zeros,
        flatten_dense,
        pool_to_mean,
        split_softmax,
        drop_largest,
        fuse_softmax,
        expand_batch_statistics,
        drop_reductions,
        reduce_along,
        drop_front_axes,
        drop_kept_axes,
        sink_units,
        expand_functions,
        fuse_squares,
        fuse_squared_difference,
        divide_by_root,
        subtract_negatives,
        negate,
    ),
    "products of matrices, whatever reshapes and transposes are around them": (
        arrange,
        split_products,
        join_outer_products,
        merge_reshapes,
        fuse_merged_axes,
        unit_reshapes,
        sink_transposes,
        transpose_fewer,
        fuse_einsum,
        unit_transposes,
        merge_reshapes,
        fuse_turned_axes,
        sink_transposes,
        unit_transposes,
        merge_reshapes,
        sink_rows,
        merge_reshapes,
        drop_broadcast_reshapes,
        fill_ranks,
        lower_ranks,
    ),
    "borders, clamps and scalings as one operator each, with what is known of constants": (
        zeros_to_pad,
        merge_common,
        fuse_dilation,
        fuse_prelu,
        fuse_squares,
        fuse_squared_difference,
        lift_constants,
        channels_last,
        to_affine,
        merge_sums,
        drop_neutral,
        merge_clamps,
        merge_common,
    ),
    "reshapes sink, and the written-out functions are seen in which they stood": (
        flatten_tables,
        sink_reshapes,
        take_apart,
        merge_reshapes,
        drop_broadcast_reshapes,
        fill_ranks,
        fuse_patterns,
        fuse_squares,
    ),
    "scalings of products and norms, and the reshapes that they stood behind": (
        scale_products,
        fuse_heads,
        select_scores,
        merge_axes,
        merge_reshapes,
        hoist_scales,
        factor_scales,
        scale_operands,
        sink_reshapes,
        sink_layouts,
        hoist_scales,
        merge_reshapes,
        drop_broadcast_reshapes,
        fill_ranks,
    ),
    "what a linear operator takes into itself: scalings behind it, borders before it": (
        center_norms,
        merge_affines,
        pad_with_zeros,
        absorb_pads,
        absorb_affines,
        pass_moves,
    ),
    "steps of loops that were written out, and what is left between two operators": (
        project_parts,
        project_steps,
        pack_steps,
        add_biases,
        blend,
        slice_sums,
        split_units,
        lift_lone_biases,
        fuse_strides,
        shift_constants,
        divide_by_roots,
        square_differences,
    ),
}
"""The rules in their order, by what they leave behind for those after them."""

_log = logging.getLogger(__name__)


OWN_NORMS: tuple[Rule, ...] = (sink_units, negate, center_norms)
COMPOSED: tuple[Rule, ...] = (factor_scales, transpose_fewer, split_units, scale_products, fuse_heads, select_scores)
STEPS: tuple[Rule, ...] = (
    unroll_loops,
    pack_steps,
    take_steps,
    project_parts,
    project_steps,
    add_biases,
    blend,
    slice_sums,
    split_units,
    lift_lone_biases,
)
ARRANGED: tuple[Rule, ...] = (arrange, channels_last, scale_products)
ONE_SIDED: tuple[Rule, ...] = (
    repeat_pixels,
    flatten_concatenations,
    squeeze_tiles,
    join_outer_products,
    fold_products,
    merge_sums,
    drop_reductions,
    merge_axes,
)
INSTEAD: Mapping[Rule, Rule] = {unit_reshapes: reshape_units, merge_clamps: write_clamps}
"""Rules of which another takes the place where it is asked for."""
OPTIONAL: frozenset[Rule] = frozenset(
    {
        scale_operands,
        sink_layouts,
        drop_kept_axes,
        drop_repeats,
        join_steps,
        divide_by_roots,
        square_differences,
        *STEPS,
        *ARRANGED,
        *ONE_SIDED,
        *OWN_NORMS,
        *COMPOSED,
    }
)
"""Rules that hide what the two sides may well have alike: they run only where it proves more (``comparison/forms``)."""


def canonicalize(draft: Draft, extra: Collection[Rule] = ()) -> Draft:
    """Applies every rule once, in order, and drops what nobody uses.

    Args:
        draft: A graph in the terms of the vocabulary (see :func:`tflrecover.rewrite.lower.lower`); changed in place.
        extra: Which of the :data:`OPTIONAL` rules run, too, and which of :data:`INSTEAD` take the place of others.

    Returns:
        The same draft.

    Raises:
        InvalidGraph: the operators form a cycle.
    """
    draft.prune()
    for phase, rules in PHASES.items():
        for rule in rules:
            if rule in OPTIONAL and rule not in extra:
                continue
            instead = INSTEAD.get(rule)
            count = instead(draft) if instead in extra and instead is not None else rule(draft)
            if count:
                draft.prune()
                _log.debug("%s: %s: %d", phase, rule.__name__, count)
    return draft

"""Rules, by text before and after."""

import numpy as np
import pytest

from tflrecover.align.hashing import Interner, neighbourhood
from tflrecover.align.view import view
from tflrecover.ir import Graph, Op, Origin, Value
from tflrecover.ops import tflite_reader
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.contents import Contents, unpacked
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.weight import evaluate

SAME = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
VALID = {**SAME, "padding": "VALID"}


class Build:
    """Writes small graphs: ``b("RELU", x, shape)`` adds an operator and returns its result."""

    def __init__(self, *input_shapes):
        self.values = {i: Value(f"in{i}", shape, "float32") for i, shape in enumerate(input_shapes)}
        self.ops, self.inputs = [], tuple(self.values)

    def const(self, array):
        array = np.asarray(array)
        self.values[len(self.values)] = Value(f"c{len(self.values)}", array.shape, array.dtype.name, data=array)
        return len(self.values) - 1

    def __call__(self, kind, *inputs, shape, **attributes):
        index = len(self.values)
        self.values[index] = Value(f"v{index}", shape, "float32")
        self.ops.append(Op(len(self.ops), kind, inputs, (index,), attributes))
        return index

    def draft(self, *outputs):
        graph = Graph.build(self.ops, self.values, self.inputs, outputs)
        return lower(graph, tflite_reader, Contents(graph))

    def text(self, *outputs):
        result = canonicalize(self.draft(*outputs)).freeze()
        return " ".join(op.type for op in result.ops()), result


def kernel(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_fused_activation_becomes_an_operator():
    b = Build((1, 4, 4, 2))
    y = b(
        "CONV_2D",
        0,
        b.const(kernel(3, 1, 1, 2)),
        b.const(kernel(3)),
        shape=(1, 4, 4, 3),
        **SAME,
        fused_activation_function="RELU6",
    )
    assert b.text(y)[0] == "CONV_2D RELU6"


def test_zero_pad_goes_into_the_convolution():
    b = Build((1, 4, 4, 2))
    p = b("PAD", 0, b.const(np.array([[0, 0], [1, 0], [0, 1], [0, 0]])), shape=(1, 5, 5, 2))
    y = b("CONV_2D", p, b.const(kernel(3, 2, 2, 2)), b.const(kernel(3)), shape=(1, 4, 4, 3), **VALID)
    text, graph = b.text(y)
    assert text == "CONV_2D"
    op = next(graph.ops())
    assert op.attributes["padding"] == ((1, 0), (0, 1))
    assert op.attribute_origins["padding"] == Origin(0, "PAD")


@pytest.mark.parametrize("kind", ["PAD", "MIRROR_PAD"])
def test_pad_of_nothing_goes(kind):
    b = Build((1, 4, 4, 2))
    p = b(kind, 0, b.const(np.zeros((4, 2), int)), shape=(1, 4, 4, 2), mode="REFLECT")
    assert b.text(b("TANH", p, shape=(1, 4, 4, 2)))[0] == "TANH"


def test_roll_is_written_as_parts():
    b = Build((2, 4, 5))
    rolled = b("FlexRoll", 0, b.const(np.array([-1, 2])), b.const(np.array([1, -1])), shape=(2, 4, 5))
    x = 0
    for axis, size, start in ((1, 4, 1), (2, 5, 3)):
        parts = []
        for begin, count in ((start, size - start), (0, start)):
            places, shape = [0, 0, 0], [2, 4, 5]
            places[axis], shape[axis] = begin, count
            parts.append(b("SLICE", x, b.const(np.array(places)), b.const(np.array(shape)), shape=tuple(shape)))
        x = b("CONCATENATION", *parts, shape=(2, 4, 5), axis=axis)
    _, graph = b.text(rolled, x)
    assert len(set(graph.outputs)) == 1


def test_parts_without_numbers_go_from_a_concatenation():
    b = Build((1, 4), (1, 0))
    y = b("CONCATENATION", 0, 1, b("TANH", 0, shape=(1, 4)), shape=(1, 8), axis=-1)
    text, graph = b.text(y)
    assert text == "TANH CONCATENATION"
    assert [graph.values[v].shape for v in list(graph.ops())[1].inputs] == [(1, 4), (1, 4)]


@pytest.mark.parametrize("chosen", [True, False])
def test_choice_that_code_has_made_goes(chosen):
    b = Build((2, 3), (2, 3))
    dims, one = b.const(np.array([2, 1])), b.const(np.array(chosen))
    test = b("FILL", dims, one, shape=(2, 1))
    _, graph = b.text(b("TANH", b("SELECT_V2", test, 0, 1, shape=(2, 3)), shape=(2, 3)))
    (op,) = graph.ops()
    assert (op.type, op.inputs) == ("TANH", (0 if chosen else 1,))


@pytest.mark.parametrize("kind", ["SUM", "MEAN", "REDUCE_MAX"])
def test_axes_in_front_are_kept_by_a_reshape(kind):
    b = Build((3, 4, 5))
    axis = b.const(np.array([0]))
    kept = b(kind, 0, axis, shape=(1, 4, 5), keep_dims=True)
    less = b(kind, 0, axis, shape=(4, 5), keep_dims=False)
    shaped = b("RESHAPE", less, b.const(np.array([1, 4, 5])), shape=(1, 4, 5))
    assert b.text(kept, shaped)[0] == f"{kind} RESHAPE"
    last = b.const(np.array([2]))
    assert b.text(b(kind, 0, last, shape=(3, 4, 1), keep_dims=True))[0] == kind


def test_new_axes_are_made_behind_a_slice():
    b = Build((2, 4, 5))
    slices = {"begin_mask": 1, "end_mask": 1, "ellipsis_mask": 0, "new_axis_mask": 2, "shrink_axis_mask": 4}
    ends = [b.const(np.array(numbers)) for numbers in ([0, 0, 3], [0, 0, 4], [1, 1, 1])]
    both = b("STRIDED_SLICE", 0, *ends, shape=(2, 1, 5), **slices)
    slices = {**slices, "new_axis_mask": 0, "shrink_axis_mask": 2}
    ends = [b.const(np.array(numbers)) for numbers in ([0, 3], [0, 4], [1, 1])]
    row = b("STRIDED_SLICE", 0, *ends, shape=(2, 5), **slices)
    apart = b("RESHAPE", row, b.const(np.array([2, 1, 5])), shape=(2, 1, 5))
    assert b.text(both, apart)[0] == "STRIDED_SLICE RESHAPE"


@pytest.mark.parametrize("kind", ["TANH", "CAST", "MUL"])
def test_what_is_repeated_is_computed_once(kind):
    b = Build((2, 1, 5))
    others = [b.const(np.float32(3))] if kind == "MUL" else []
    sizes = b.const(np.array([2, 4, 5]))
    repeated = b("BROADCAST_TO", 0, sizes, shape=(2, 4, 5))
    before = b(kind, repeated, *others, shape=(2, 4, 5), out_data_type="INT32")
    once = b(kind, 0, *others, shape=(2, 1, 5), out_data_type="INT32")
    behind = b("BROADCAST_TO", once, sizes, shape=(2, 4, 5))
    _, graph = b.text(before, behind)
    assert len(set(graph.outputs)) == 1
    assert [op.type for op in graph.ops()][-1] == "TILE"


def test_roll_of_nothing_goes():
    b = Build((2, 4, 5))
    rolled = b("FlexRoll", 0, b.const(np.array([4, 0])), b.const(np.array([1, 2])), shape=(2, 4, 5))
    assert b.text(b("TANH", rolled, shape=(2, 4, 5)))[0] == "TANH"


def test_zero_pad_stays_before_a_pool():
    b = Build((1, 4, 4, 2))
    p = b("PAD", 0, b.const(np.array([[0, 0], [1, 0], [0, 1], [0, 0]])), shape=(1, 5, 5, 2))
    y = b(
        "MAX_POOL_2D", p, shape=(1, 4, 4, 2), padding="VALID", stride_h=1, stride_w=1, filter_height=2, filter_width=2
    )
    assert b.text(y)[0] == "PAD MAX_POOL_2D"


def test_affine_behind_a_convolution_is_absorbed_when_alone():
    b = Build((1, 4, 4, 2))
    y = b("CONV_2D", 0, b.const(kernel(3, 1, 1, 2)), b.const(kernel(3)), shape=(1, 4, 4, 3), **SAME)
    z = b("ADD", b("MUL", y, b.const(kernel(3)), shape=(1, 4, 4, 3)), b.const(kernel(3)), shape=(1, 4, 4, 3))
    assert b.text(z)[0] == "CONV_2D"
    assert b.text(z, y)[0] == "CONV_2D AFFINE"


def test_concatenation_with_zeros_is_a_pad():
    b = Build((1, 4, 4, 2))
    y = b("CONCATENATION", 0, b.const(np.zeros((1, 4, 4, 3), "float32")), shape=(1, 4, 4, 5), axis=-1)
    text, graph = b.text(y)
    assert text == "PAD"
    assert next(graph.ops()).attributes["padding"] == ((0, 0), (0, 0), (0, 0), (0, 3))


def test_shape_arithmetic_folds():
    b = Build((2, 4, 4, 2))
    shape = b("SHAPE", 0, shape=(4,))
    batch = b("STRIDED_SLICE", shape, *(b.const(np.array([n])) for n in (0, 1, 1)), shape=(), shrink_axis_mask=1)
    target = b("PACK", batch, b.const(np.int64(32)), shape=(2,), axis=0)
    text, graph = b.text(b("RESHAPE", 0, target, shape=(2, 32)))
    assert text == "RESHAPE"
    assert next(graph.ops()).attributes["target_shape"] == (2, 32)


def test_reshapes_merge_and_cancel():
    b = Build((1, 8))
    y = b("RESHAPE", 0, b.const(np.array([2, 4])), shape=(2, 4))
    z = b("RESHAPE", y, b.const(np.array([1, 8])), shape=(1, 8))
    assert b.text(b("RELU", z, shape=(1, 8)))[0] == "RELU"


def test_dense_layer_works_on_rows_of_what_a_reshape_gives_other_axes():
    b = Build((1, 4, 4, 2))
    x = b("RESHAPE", 0, b.const(np.array([1, 4, 8])), shape=(1, 4, 8))
    y = b("FULLY_CONNECTED", x, b.const(kernel(3, 8)), b.const(kernel(3)), shape=(1, 4, 3), keep_num_dims=True)
    text, graph = b.text(b("RELU", y, shape=(1, 4, 3)))
    assert text == "RESHAPE FULLY_CONNECTED RELU RESHAPE"
    assert [graph.values[op.outputs[0]].shape for op in graph.ops()] == [(4, 8), (4, 3), (4, 3), (1, 4, 3)]


def test_bias_goes_into_positions_that_are_added():
    b = Build((1, 4, 4, 2))
    conv = b("CONV_2D", 0, b.const(kernel(3, 1, 1, 2)), b.const(kernel(3)), shape=(1, 4, 4, 3), **SAME)
    y = b("ADD", conv, b.const(kernel(4, 4, 1)), shape=(1, 4, 4, 3))
    text, graph = b.text(y)
    assert text == "CONV_2D ADD"
    contents = {i: value.data for i, value in b.values.items()}
    first, last = graph.ops()
    assert not evaluate(graph.values[first.inputs[2]].weight, contents).any()
    both = evaluate(graph.values[last.inputs[1]].weight, contents)
    np.testing.assert_allclose(both, kernel(4, 4, 1) + kernel(3), rtol=1e-6)
    # Where somebody else takes what the bias is in, it stays.
    _, shared = b.text(y, conv)
    assert evaluate(shared.values[next(shared.ops()).inputs[2]].weight, contents).any()


def test_reshape_with_ones_in_front_and_without_is_one():
    b = Build((1, 6, 8), (2, 3, 8))
    low = b("RESHAPE", 1, b.const(np.array([6, 8])), shape=(6, 8))
    full = b("RESHAPE", 1, b.const(np.array([1, 6, 8])), shape=(1, 6, 8))
    total = b("ADD", 0, low, shape=(1, 6, 8))
    text, graph = b.text(b("CONCATENATION", total, full, shape=(1, 6, 16), axis=2))
    assert text == "RESHAPE ADD CONCATENATION"
    assert {graph.values[v].shape for op in graph.ops() for v in op.inputs} == {(1, 6, 8), (2, 3, 8)}


def test_equal_operators_are_one():
    b = Build((1, 8))
    left, right = b("RELU", 0, shape=(1, 8)), b("RELU", 0, shape=(1, 8))
    text, graph = b.text(b("MAXIMUM", left, right, shape=(1, 8)))
    assert text == "RELU MAXIMUM"
    assert len(next(graph.ops()).origins) == 2
    assert graph.number_of_edges() == 2


def test_half_precision_behind_dequantize_is_a_weight():
    b = Build((1, 4))
    w = b("DEQUANTIZE", b.const(kernel(3, 4).astype("float16")), shape=(3, 4))
    assert b.text(b("FULLY_CONNECTED", 0, w, None, shape=(1, 3)))[0] == "FULLY_CONNECTED"


def test_unknown_operator_stays_opaque():
    b = Build((1, 4))
    assert b.text(b("Mystery", 0, shape=(1, 4)))[0] == "Mystery"


def test_absurd_options_leave_an_operator_opaque():
    b = Build((1, 4, 4, 2))
    y = b("CONV_2D", 0, b.const(kernel(3, 1, 1, 2)), b.const(kernel(3)), shape=(1, 4, 4, 3))
    _, graph = b.text(y)
    assert next(graph.ops()).attributes == {}


def test_cycle_is_refused():
    from tflrecover.errors import InvalidGraph

    values = {i: Value("", (1,), "float32") for i in range(3)}
    with pytest.raises(InvalidGraph, match="cycle"):
        Graph.build([Op(0, "ADD", (0, 2), (1,)), Op(1, "RELU", (1,), (2,))], values, (0,), (2,))


def test_four_bit_weights_are_unpacked():
    value = Value("w", (3,), "int4", data=np.array([0xF1, 0x08], np.uint8))
    assert unpacked(value).tolist() == [1, -1, -8]


def test_order_and_types_follow_changes():
    draft = Draft({i: Value("", (1,), "float32") for i in range(3)}, (0,), {})
    draft.add(Op("second", "RELU", (1,), (2,)))
    draft.add(Op("first", "TANH", (0,), (1,)))
    assert [op.id for op in draft.ordered()] == ["first", "second"]
    assert [op.id for op in draft.ordered("RELU")] == ["second"]
    draft.remove("second")
    assert [op.id for op in draft.ordered()] == ["first"]
    assert draft.has("TANH")
    assert not draft.has("RELU")


@pytest.mark.parametrize("hops", [1, 2, 5])
def test_surroundings_of_a_node_are_the_same_among_fewer_nodes(hops):
    b = Build((1, 4))
    stem = b("TANH", 0, shape=(1, 4))
    tips = [b("RELU", b(kind, stem, shape=(1, 4)), shape=(1, 4)) for kind in ("EXP", "ABS", "COS")]
    graph = b.text(b("ADD", b("MUL", *tips[:2], shape=(1, 4)), tips[2], shape=(1, 4)))[1]
    side, intern = view(graph), Interner()
    around = [neighbourhood(side, nodes, side.loose, (0,), (0,), hops, intern) for nodes in (range(len(side)), (1,))]
    assert around[1] == {1: around[0][1]}


@pytest.mark.parametrize(("other", "wanted"), [(0.25, "AFFINE TANH"), (0.5, "AFFINE AFFINE TANH TANH")])
def test_a_number_alone_is_one_constant_wherever_it_lies(other, wanted):
    b = Build((1, 5))
    scaled = [b("MUL", 0, b.const(np.float32([number])), shape=(1, 5)) for number in (0.25, other)]
    text, _ = b.text(*[b("TANH", x, shape=(1, 5)) for x in scaled])
    assert " ".join(sorted(text.split())) == wanted


def test_reshape_stays_where_a_constant_repeats_what_is_behind_it():
    b = Build((1, 5))
    y = b("RESHAPE", 0, b.const(np.int32([1, 5, 1])), shape=(1, 5, 1))
    assert b.text(b("SUB", y, b.const(kernel(3)), shape=(1, 5, 3)))[0].startswith("RESHAPE ")


def test_index_from_the_end_is_the_index():
    b = Build((10, 4), (2, 3))
    wrapped = b("ADD", 1, b.const(np.float32(10)), shape=(2, 3))
    negative = b("LESS", 1, b.const(np.float32(0)), shape=(2, 3))
    taken = b("GATHER", 0, b("SELECT_V2", negative, wrapped, 1, shape=(2, 3)), shape=(2, 3, 4), axis=0)
    text, graph = b.text(taken)
    assert text == "GATHER"
    assert next(graph.ops()).inputs == (0, 1)


def test_index_behind_another_number_stays():
    b = Build((10, 4), (2, 3))
    wrapped = b("ADD", 1, b.const(np.float32(9)), shape=(2, 3))
    negative = b("LESS", 1, b.const(np.float32(0)), shape=(2, 3))
    taken = b("GATHER", 0, b("SELECT_V2", negative, wrapped, 1, shape=(2, 3)), shape=(2, 3, 4), axis=0)
    assert b.text(taken)[0].endswith("SELECT_V2 GATHER")


def test_steps_are_turned_round_before_an_axis_of_size_1_is_put_in():
    b = Build((4, 6))
    wide = b("RESHAPE", 0, b.const(np.int32([4, 1, 6])), shape=(4, 1, 6))
    text, graph = b.text(b("REVERSE_V2", wide, b.const(np.int32([0])), shape=(4, 1, 6)))
    assert text == "REVERSE_V2 RESHAPE"
    assert next(graph.ops()).attributes["axis"] == (0,)


def test_condition_is_a_choice_whatever_it_is_handed():
    b = Build((2, 3), (1,))
    mark = b("THEN", b("RESHAPE", 1, b.const(np.zeros(0, np.int32)), shape=()), 0, shape=(2, 3))
    one = b("RELU", mark, shape=(2, 3))
    text, graph = b.text(b("END_IF", b.ops[0].outputs[0], one, b.const(kernel(2, 3)), shape=(2, 3)))
    assert text == "RELU CHOICE"
    choice = list(graph.ops())[-1]
    assert choice.inputs[:2] == (1, one)
    assert graph.values[choice.inputs[2]].weight is not None


def test_slice_of_every_second_place_is_a_stride():
    b = Build((1, 9, 8, 2))
    window = {**SAME, "dilation_h_factor": 2, "dilation_w_factor": 2}
    y = b("CONV_2D", 0, b.const(kernel(3, 3, 3, 2)), b.const(kernel(3)), shape=(1, 9, 8, 3), **window)
    y = b("RELU", y, shape=(1, 9, 8, 3))
    ends = b.const(np.int32([0, 0, 0, 0])), b.const(np.int32([1, 9, 8, 3])), b.const(np.int32([1, 2, 2, 1]))
    text, graph = b.text(b("STRIDED_SLICE", y, *ends, shape=(1, 5, 4, 3)))
    assert text == "CONV_2D RELU"
    convolution, relu = graph.ops()
    assert convolution.attributes["strides"] == (2, 2)
    assert convolution.attributes["padding"] == ((2, 2), (2, 2))
    assert graph.values[convolution.outputs[0]].shape == graph.values[relu.outputs[0]].shape == (1, 5, 4, 3)


def test_broadcast_to_more_axes_is_a_tile():
    b = Build((3, 1), (2, 3, 4))
    y = b("BROADCAST_TO", 0, b.const(np.int32([2, 3, 4])), shape=(2, 3, 4))
    assert b.text(y)[0] == "RESHAPE TILE"
    assert b.text(b("MUL", 1, y, shape=(2, 3, 4)))[0] == "MUL"


def test_sum_of_many_is_one_after_another():
    b = Build((2, 3), (2, 3), (2, 3))
    assert b.text(b("ADD_N", 0, 1, 2, shape=(2, 3)))[0] == "ADD ADD"

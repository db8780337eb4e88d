"""Attention without heads and the product of two vectors are layers of Keras."""

import pytest
import recurrent_models as recurrent
from keras import layers as L
from keras import ops

import tflrecover
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact


def of_two(layer):
    """Queries of five steps on six others."""
    return lambda x: L.Dense(3)(
        layer([L.Dense(4)(x), L.Conv1D(4, 2, padding="same")(ops.pad(x, [[0, 0], [0, 1], [0, 0]]))])
    )


def of_three(x):
    return L.Attention()([L.Dense(4)(x), L.Dense(6)(x), L.Dense(4)(x)])


def written_out(x):
    q, k, v = (L.Dense(4, activation="tanh")(x) for _ in range(3))
    return L.Dense(2)(ops.matmul(ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1)))), v))


def of_vectors(x):
    one, other = (L.GlobalMaxPooling1D()(L.Dense(4)(x)) for _ in range(2))
    return L.Dense(2)(L.Dot(axes=1)([one, other]))


NETWORKS = {
    "Attention": of_two(L.Attention()),
    "Attention of three": of_three,
    "Attention written out": written_out,
    "AdditiveAttention": of_two(L.AdditiveAttention()),
    "AdditiveAttention without scale": of_two(L.AdditiveAttention(use_scale=False)),
    "Dot": of_vectors,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_is_a_layer(name):
    made = recurrent.randomize(recurrent.model(NETWORKS[name], (5, 3)), 1)
    content = recurrent.convert(made, "builtin")
    model = recovered(content)
    found = kinds(model)
    assert found.count(name.split()[0]) == 1
    assert not {"Softmax", "Permute", "Rescaling", "EinsumDense"} & {*found}
    assert model.inputs[0].shape == (None, 5, 3)
    assert model.count_params() == made.count_params()
    assert_exact(content)


def factor_between(x):
    """The layer has none, but for one that is learned."""
    q, k, v = (L.Dense(4, activation="tanh")(x) for _ in range(3))
    return ops.matmul(ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) * 0.5), v)


def scores_too(x):
    return L.Dense(2)(L.Concatenate()(L.Attention()([x, L.Dense(3)(x)], return_attention_scores=True)))


@pytest.mark.parametrize("network", [factor_between, scores_too])
def test_is_no_layer(network):
    content = recurrent.convert(recurrent.randomize(recurrent.model(network, (5, 3)), 1), "builtin")
    assert "Attention" not in kinds(recovered(content))


def test_source_says_along_which_axis(tmp_path):
    content = recurrent.convert(recurrent.randomize(recurrent.model(of_vectors, (5, 3)), 1), "builtin")
    tflrecover.generate(content, tmp_path / "dot.py")
    assert "layers.Dot(axes=1)([" in (tmp_path / "dot.py").read_text(encoding="utf-8")

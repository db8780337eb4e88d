"""What `mapping explain` says of each entry."""

import keras
import keras_models as zoo
import pytest
from keras import layers

import tflrecover
from tflrecover.mapping_explain import explain_mapping

V = "tflrecover: 1\n"


def network(*heads, activation="relu", kinds=3, squashed=True):
    inputs = keras.Input((7,), name="x")
    x = layers.Activation("tanh", name="squash")(inputs) if squashed else inputs
    x = layers.Dense(6, activation=activation, name="stem")(x)
    kind = layers.Dense(kinds, activation="softmax", name="kind")(x)
    return keras.Model(inputs, [*(layers.Dense(4, name=name)(x) for name in heads), kind], name="network")


@pytest.fixture(scope="module")
def file():
    return zoo.convert(zoo.randomize(network("age", "sex"), 1))


@pytest.fixture(scope="module")
def twin():
    """The file's network, with its equal heads in another order."""
    return zoo.randomize(network("sex", "age"), 2)


@pytest.fixture
def explain(tmp_path):
    def effects(file, model, text):
        path = tmp_path / "map.yaml"
        path.write_text(V + text, encoding="utf-8")
        return [str(effect).removeprefix(f"{path}:") for effect in explain_mapping(file, model, path)]

    return effects


def test_one_line_per_entry_with_its_place(file, explain):
    other = zoo.randomize(network("age", "sex", activation="sigmoid", kinds=5, squashed=False), 2)
    digest = tflrecover.read(file).sha256
    found = explain(
        file,
        other,
        f"tflite: {{sha256: '{digest}'}}\n"
        "match:\n"
        "  stem: '#1'\n"
        "skip: [kind]\n"
        "ignore: ['#0']\n"
        "accept:\n"
        "  - {layer: stem, attribute: activation}\n"
        "  - {layer: stem, kind: extra}\n"
        "  - {layer: kind, attribute: units}\n",
    )
    said = [line.split(": ", 3) for line in found]
    assert [(int(place), key, verdict) for place, key, verdict, _ in said] == [
        (2, "tflite", "took effect"),
        (4, "match.stem", "not needed"),
        (5, "skip.0", "took effect"),
        (6, "ignore.0", "took effect"),
        (8, "accept.0", "took effect"),
        (9, "accept.1", "not needed"),
        (10, "accept.2", "not needed"),
    ]
    reasons = [reason for *_, reason in said]
    assert reasons[0] == "it is this file"
    assert reasons[1] == "without it the outcome is the same"
    assert reasons[2] == ("without it: no weight for kind/kernel (and 3 more)")
    assert "tanh" in reasons[3]
    assert reasons[4].startswith("it wants: ")
    assert "relu" in reasons[4]
    assert reasons[5:] == ["no difference fits it", "another entry wants the same"]


SAME = "not needed: without it the outcome is the same"
ORDER = "took effect: without it: outputs: by order"
# Lines of a mapping: how what is said of its entries begins.
ENTRIES = {
    "outputs": ("outputs: {sex: output_1}", [ORDER]),
    "one of two would do": ("outputs: {sex: output_1, age: output_0}", [SAME, SAME]),
    "match": ("match: {sex: '#2'}", [ORDER]),
    "what is found anyway": (
        "outputs: {sex: output_1}\nweights:\n  sex/bias: {from: network_1/sex_1/BiasAdd}",
        ["took effect: without it: the bias of layer 'sex' cannot become that of", SAME],
    ),
    "skip": (
        "outputs: {sex: output_1}\nskip: [stem]",
        [ORDER, "not needed: its layers would get the file's weights"],
    ),
}


@pytest.mark.parametrize(("lines", "expected"), ENTRIES.values(), ids=ENTRIES)
def test_what_decides_and_what_is_spare(file, twin, explain, lines, expected):
    found = [line.split(": ", 2)[2] for line in explain(file, twin, lines + "\n")]
    assert [text[: len(wanted)] for text, wanted in zip(found, expected, strict=True)] == expected


def normed():
    inputs = keras.Input((7,), name="x")
    return keras.Model(
        inputs, layers.BatchNormalization(name="norm")(layers.Dense(4, name="stem")(inputs)), name="normed"
    )


def summed():
    inputs = [keras.Input((7,), name=name) for name in ("a", "b")]
    return keras.Model(inputs, layers.Add(name="sum")(inputs))


OFFSET = "normed_1/norm_1/batchnorm/add_1"
# No less is settled without these, but otherwise.
OTHERWISE = {
    "numbers": (
        normed,
        {"weights": {"norm/gamma": {"from": OFFSET}}},
        "other numbers for stem/kernel (and 2 more)",
    ),
    "pairs": (summed, {"inputs": {"a": "b"}}, "other pairs of inputs"),
}


@pytest.mark.parametrize(("make", "section", "told"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_would_be_otherwise(make, section, told):
    model = zoo.randomize(make(), 1)
    (effect,) = explain_mapping(zoo.convert(model), make(), {"tflrecover": 1, **section})
    assert (effect.is_needed, effect.reason) == (True, f"without it: {told}")


def test_the_same_from_a_dict(file, twin):
    (effect,) = explain_mapping(file, twin, {"tflrecover": 1, "outputs": {"sex": "output_1"}})
    assert (effect.key, effect.line, effect.is_needed) == (("outputs", "sex"), None, True)
    assert str(effect).startswith("<mapping>: outputs.sex: took effect: without it: ")


def test_a_stale_mapping_is_no_explanation(file, twin):
    with pytest.raises(tflrecover.StaleMapping, match=r"match\.stemm: the model has no layer"):
        explain_mapping(file, twin, {"tflrecover": 1, "match": {"stemm": "#0"}})

"""What `mapping init` proposes: nothing as it is written, everything when it is decided on."""

import keras
import keras_models as zoo
import pytest
from keras import layers

import tflrecover
from tests.core.lite import stripped
from tests.core.test_align import anonymous
from tflrecover.mapping import Mapping
from tflrecover.mapping_init import init_mapping

HEADER = "# yaml-language-server: $schema=mapping.schema.json"


def heads(*order):
    inputs = keras.Input((7,), name="x")
    return keras.Model(inputs, [layers.Dense(4, name=name)(inputs) for name in order], name="heads")


def classifier(head, kernel_size=3):
    inputs = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, kernel_size, strides=2, padding="same", name="stem")(inputs)
    x = layers.Conv2D(8, 3, activation="relu", name="body")(x)
    return keras.Model(inputs, head(layers.GlobalAveragePooling2D(name="average")(x)), name="classifier")


def softmax(x):
    return layers.Dense(10, activation="softmax", name="predictions")(x)


def look_alikes():
    inputs = keras.Input((8, 8, 3), name="x")
    x = layers.Conv2D(6, 3, activation="relu", name="stem")(inputs)
    towers = [layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3, name=f"tower_{i}")(x)) for i in range(2)]
    return keras.Model(inputs, [layers.Dense(2, name=f"head_{i}")(tower) for i, tower in enumerate(towers)])


# What the file has, what the model has, what is proposed.
OPEN = {
    "order of outputs": (lambda: heads("age", "sex"), lambda: heads("sex", "age"), {"outputs"}),
    "new head": (
        lambda: classifier(softmax),
        lambda: classifier(lambda x: layers.Dense(3, name="null")(x)),
        {"skip", "accept"},
    ),
    "two faults": (
        lambda: classifier(lambda x: layers.Dense(4, activation="tanh", name="on")(x)),
        lambda: classifier(lambda x: layers.Dense(4, activation="relu", name="on")(x), 5),
        {"accept"},
    ),
}


def decided(text):
    """The mapping, with every proposal taken."""
    header, *lines = text.splitlines(keepends=True)
    return header + "".join(line.removeprefix("# ") for line in lines)


def loaded(tmp_path, text):
    path = tmp_path / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    return Mapping.load(path)


@pytest.mark.parametrize(("original", "other", "keys"), OPEN.values(), ids=OPEN)
def test_what_is_open_is_proposed_and_not_decided(tmp_path, original, other, keys):
    file, twin = zoo.convert(zoo.randomize(original(), 1)), zoo.randomize(other(), 2)
    text = init_mapping(file, twin)
    assert text.startswith(f"{HEADER}\n## ")
    assert "nothing to settle" not in text
    assert ("Variables without a weight in the file: 1, e.g. stem/kernel." in text) == (keys == {"accept"})
    assert max(map(len, text.splitlines())) <= 120
    written = loaded(tmp_path, text)
    assert written.model.model_fields_set == {"tflrecover", "tflite"}
    before = tflrecover.diff(file, twin)
    assert tflrecover.diff(file, twin, written).to_dict() == before.to_dict()
    chosen = loaded(tmp_path, decided(text))
    assert chosen.model.model_fields_set == {"tflrecover", "tflite", *keys}
    report = tflrecover.diff(file, twin, chosen)
    assert not report.ambiguities
    assert all(difference.accepted for difference in report.differences)


def test_look_alike_branches_are_proposed_under_one_key(tmp_path):
    file, twin = anonymous(zoo.convert(zoo.randomize(look_alikes(), 1))), zoo.randomize(look_alikes(), 2)
    report = tflrecover.diff(file, twin)
    assert len(report.ambiguities) > 1
    chosen = loaded(tmp_path, decided(init_mapping(file, twin)))
    assert set(chosen.model.match) == {layer for a in report.ambiguities for layer in a.keras_layers}
    assert not tflrecover.diff(file, twin, chosen).ambiguities


def test_nothing_is_open(tmp_path):
    model = zoo.randomize(classifier(softmax), 1)
    file = zoo.convert(model)
    text = init_mapping(file, model)
    assert text.endswith("\n## There is nothing to settle: structure decides everything, and nothing differs.\n")
    assert tflrecover.diff(file, model, loaded(tmp_path, text)).ok


def test_trust_is_a_remark(tmp_path):
    model = zoo.randomize(heads("age", "sex"), 1)
    text = init_mapping(stripped(zoo.convert(model)), model)
    assert "## Taken on trust: outputs paired by order: output_0 = age" in text
    assert loaded(tmp_path, decided(text)).model.model_fields_set == {"tflrecover", "tflite"}


def test_it_is_for_this_file_only(tmp_path):
    first, second = (zoo.convert(zoo.randomize(classifier(softmax), seed)) for seed in (1, 2))
    mapping = loaded(tmp_path, init_mapping(first, classifier(softmax)))
    with pytest.raises(tflrecover.StaleMapping, match="written for another file"):
        tflrecover.diff(second, classifier(softmax), mapping)

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tflrecover.errors import MappingError
from tflrecover.mapping import Mapping
from tflrecover.mapping.loader import nearest

from .examples import FULL

V = "tflrecover: 1\n"

# text: (line, key, part of the message)
MISTAKES = {
    "nothing": ("", 1, "", "must begin with `tflrecover: 1`"),
    "a list": ("- a\n", 1, "", "must begin with `tflrecover: 1`"),
    "version": ("tflrecover: 2\n", 1, "tflrecover", "must be 1"),
    "no version": ("match: {a: b}\n", 1, "tflrecover", "is missing"),
    "misspelt key": (V + "\nmatsch: {}\n", 3, "matsch", "did you mean 'match'?"),
    "misspelt inner key": (
        V + "accept:\n  - layer: x\n    atribute: y\n",
        4,
        "accept.0.atribute",
        "did you mean 'attribute'?",
    ),
    "misspelt weight key": (V + "weights:\n  a:\n    form: x\n", 4, "weights.a.form", "did you mean 'from'?"),
    "key twice": (V + "match:\n  a: b\n  a: c\n", 4, "match.a", "is there twice"),
    "section twice": (V + "skip: [a]\nskip: [b]\n", 3, "skip", "is there twice"),
    "truth for a name": (V + "match:\n  a: b\n  c: on\n", 4, "match.c", "must be text; put it in quotes"),
    "number for a layer": (V + "match:\n  42: b\n", 3, "match.42", "must be text; put it in quotes"),
    "digits as a guard": (V + "tflite: {sha256: 12345678}\n", 2, "tflite.sha256", "must be text; put it in quotes"),
    "empty section": (V + "match:\n", 2, "match", "must hold `name: value` lines"),
    "text for a list": (V + "skip: a\n", 2, "skip", "must be a list"),
    "no YAML": (V + "match: {a: b\n", 3, "", "is not YAML"),
    "tab": (V + "match:\n\ta: b\n", 3, "", "is not YAML"),
    "two documents": (V + "---\n" + V, 2, "", "is not YAML"),
    "unhashable key": (V + "? [a]\n: b\n", 2, "", "is not YAML"),
    "python object": (V + "match: !!python/name:os.system {}\n", 2, "", "is not YAML"),
    "control character": ("a: \0\n", None, "", "is not YAML"),
    "long number": ("x: " + "1" * 5000, None, "", "number or date"),
    "day that is none": ("x: 2001-99-99\n", None, "", "number or date"),
}


@pytest.fixture
def write(tmp_path: Path):
    def made(text: str) -> Path:
        path = tmp_path / "mapping.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return made


@pytest.mark.parametrize(("text", "line", "key", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_told_with_its_place(write, text: str, line: int | None, key: str, message: str) -> None:
    path = write(text)
    with pytest.raises(MappingError) as caught:
        Mapping.load(path)
    error = caught.value
    assert (error.line, error.key) == (line, key)
    assert message in str(error)
    assert str(error).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert "\n" not in str(error)


ADVICE = {
    "version": ({}, "tflrecover: is missing; add `tflrecover: 1`"),
    "variable": ({"stem/kernel": "a"}, "did you mean `weights: {stem/kernel: {from: …}}`?"),
    "number": ({"tflrecover": 1, "match": {"stem": 0}}, 'must be text; write "#0", in quotes'),
    "comment": ({"tflrecover": 1, "match": {"stem": None}}, "without quotes `#` begins a YAML comment"),
}


@pytest.mark.parametrize(("given", "said"), ADVICE.values(), ids=ADVICE)
def test_what_to_write_instead(given: dict[str, Any], said: str) -> None:
    with pytest.raises(MappingError) as caught:
        Mapping.load(given)
    assert said in str(caught.value)


def test_all_mistakes_are_told_in_their_order(write) -> None:
    path = write(V + "skip: a\nweights: {a: {}}\nunknown: 1\nignor: [a]\n")
    with pytest.raises(MappingError) as caught:
        Mapping.load(path)
    assert (caught.value.line, caught.value.key) == (2, "skip")
    assert [(one.line, one.key) for one in caught.value.several] == [
        (2, "skip"),
        (3, "weights.a.from"),
        (4, "unknown"),
        (5, "ignor"),
    ]
    assert str(caught.value).splitlines()[3] == f"{path}:5: ignor: is no key of the format; did you mean 'ignore'?"


def test_full_example(write) -> None:
    path = write(FULL)
    mapping = Mapping.load(path)
    model = mapping.model
    assert mapping.source == str(path)
    assert model.match == {"conv2d_42": "regressor_8"}
    assert model.skip == ("classificator_*",)
    assert model.weights["qkv/kernel"].sources == ("q/kernel", "k/kernel", "v/kernel")
    assert model.weights["head/kernel"].sources == ("dense/MatMul",)
    assert model.custom_ops["Convolution2DTransposeBias"].as_ == "TRANSPOSE_CONV"
    assert mapping.lines["match", "conv2d_42"] == 4
    assert mapping.lines["accept", 1] == 11
    assert Mapping.load(yaml.safe_load(FULL)).model == model


def test_ways_to_load(write) -> None:
    path = write(V)
    loaded = Mapping.load(path)
    assert Mapping.load(loaded) is loaded
    assert Mapping.load(None).model == Mapping.load(str(path)).model == Mapping.load({"tflrecover": 1}).model


def test_a_loaded_mapping_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Mapping.load(None).model.skip = ("a",)  # type: ignore[misc]


@pytest.mark.parametrize("given", [3, b"mapping.yaml", ["a"]], ids=repr)
def test_what_no_mapping_comes_from(given: Any) -> None:
    with pytest.raises(MappingError, match="expected a path"):
        Mapping.load(given)


@pytest.mark.parametrize("name", ["absent.yaml", ".", "a\0b"], ids=["absent", "folder", "nul"])
def test_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(MappingError, match=r"cannot be read|is no path"):
        Mapping.load(f"{tmp_path}/{name}")


def test_a_tflite_file_in_the_place_of_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(MappingError, match=r"is a .tflite file, not a mapping in YAML; .*mapping check MAPPING FILE"):
        Mapping.load(tmp_path / "a.tflite")


NEAR = {
    "danse": (["dense", "conv"], ["dense"]),
    # A converter's names begin with the model's and end with the operator's.
    "stem": (["net_1/stem_1/convolution", "net_1/body_1/Relu"], ["net_1/stem_1/convolution"]),
    "body": (["net_1/body_conv_1/convolution", "x/y"], ["net_1/body_conv_1/convolution"]),
    "stem_1/convolutin": (["net_1/stem_1/convolution"], ["net_1/stem_1/convolution"]),
    "nothing like it": (["dense", ""], []),
}


@pytest.mark.parametrize("name", NEAR)
def test_nearest(name: str) -> None:
    names, near = NEAR[name]
    assert nearest(name, names) == (f"; did you mean {' or '.join(map(repr, near))}?" if near else "")


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes(b"tflrecover: \xff")
    with pytest.raises(MappingError, match="not UTF-8 text: invalid start byte at byte 12"):
        Mapping.load(path)


BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "recursion": "a: &a [*a]\n",
    "depth": "[" * 100_000,
    "size": "#" * (5 << 20),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_at_once(write, text: str) -> None:
    path = write(text)
    start = time.perf_counter()
    with pytest.raises(MappingError):
        Mapping.load(path)
    # Expanding the aliases would take hours; the bound only has to tell that from a slow machine.
    assert time.perf_counter() - start < 20


def test_aliases_and_merge_keys_work(write) -> None:
    text = V + "accept:\n  - &a {layer: x, attribute: y}\n  - {<<: *a, layer: z}\n"
    accepted = Mapping.load(write(text)).model.accept
    assert [(a.layer, a.attribute) for a in accepted] == [("x", "y"), ("z", "y")]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from(list("abtf1: -[]{}&*!|>'\"#\n\t\\?%@0x_.e+<é\0")), max_size=60))
def test_any_text_loads_or_is_a_mapping_error(write, text: str) -> None:
    path = write(text)
    try:
        Mapping.load(path)
    except MappingError:
        return

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tflrecover.errors import MappingError
from tflrecover.mapping import Mapping
from tflrecover.mapping.model import json_schema, schema_text

from .examples import FULL, RIGHT, WRONG_SHAPE

PUBLISHED = Path(__file__).parents[2] / "docs" / "mapping.schema.json"
LAYOUTS_RIGHT = ["o i -> i o", "o h w i -> h w i o", "1 h w c -> h w c", "a b -> (a b)", "... i o -> ... o i"]
LAYOUTS_WRONG = {
    "o i": "is no layout",
    "o i -> i -> o": "is no layout",
    "o i -> i": "on one side only: o",
    "o (i -> i o": "Imbalanced parentheses",
    "o o -> o": "no einops pattern",
    "(g o) i -> g o i": "cannot be split",
    "o 3 -> 3 o": "the one number that it may have is 1",
}


def test_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), "run `make schema`"


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


@pytest.mark.parametrize("content", [*RIGHT.values(), yaml.safe_load(FULL)], ids=[*RIGHT, "full"])
def test_right_for_model_and_schema(content: dict) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(content)
    Mapping.load(content)


@pytest.mark.parametrize("content", WRONG_SHAPE.values(), ids=WRONG_SHAPE)
def test_wrong_for_model_and_schema(content: dict) -> None:
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(content)
    with pytest.raises(MappingError):
        Mapping.load(content)


@pytest.mark.parametrize("layout", LAYOUTS_RIGHT)
def test_layout(layout: str) -> None:
    loaded = Mapping.load({"tflrecover": 1, "weights": {"a": {"from": "x", "layout": layout}}})
    assert loaded.model.weights["a"].layout == layout


@pytest.mark.parametrize(("layout", "reason"), LAYOUTS_WRONG.items(), ids=LAYOUTS_WRONG)
def test_layout_that_nothing_fits(layout: str, reason: str) -> None:
    with pytest.raises(MappingError, match=reason) as caught:
        Mapping.load({"tflrecover": 1, "weights": {"a": {"from": "x", "layout": layout}}})
    assert caught.value.key == "weights.a.layout"


def test_several_tensors_need_an_axis() -> None:
    with pytest.raises(MappingError, match="need `concat`"):
        Mapping.load({"tflrecover": 1, "weights": {"a": {"from": ["x", "y"]}}})

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import keras
import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from tests.conftest import ROOT
from tests.reports import check, different, same
from tflrecover.ir import Difference
from tflrecover.report import Report
from tflrecover.report.schema import json_schema, schema_text

PUBLISHED = ROOT / "docs" / "report.schema.json"


def closed(schema: Any) -> Any:
    """The schema, with keys that it does not describe forbidden."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        return {**inner, "additionalProperties": False} if "required" in schema else inner
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def validate(report: Report) -> None:
    jsonschema.Draft202012Validator(closed(json_schema())).validate(json.loads(report.to_json()))


def test_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), "run `make schema`"


def test_schema_is_a_schema_that_says_what_everything_is() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for described in (schema, *schema["$defs"].values()):
        assert described["description"]
        assert all(content.get("description") for content in described["properties"].values())
        assert list(described["properties"]) == described["required"]
    assert "``" not in schema_text()


HAND_MADE = {
    "one of everything": different(),
    "no number": Report("verify", "f", "m", checks=(check(1), check(2, math.nan), check(3, math.inf))),
    "values": same(
        differences=tuple(
            Difference("constant", "", tflite_value=value) for value in (b"x", np.ones(2), {1: (2,)}, math.nan, None)
        )
    ),
}


@pytest.mark.parametrize("report", HAND_MADE.values(), ids=HAND_MADE)
def test_hand_made_reports(report: Report) -> None:
    validate(report)


def test_what_is_no_report() -> None:
    content = different().to_dict()
    wrong = [
        {**content, "tflrecover_report": 2},
        {**content, "ok": "yes"},
        {**content, "differences": [{**content["differences"][0], "kind": "other"}]},
        {key: value for key, value in content.items() if key != "notes"},
    ]
    validator = jsonschema.Draft202012Validator(json_schema())
    assert [validator.is_valid(one) for one in (content, *wrong)] == [True, False, False, False, False]


def network(pool_size: int) -> Any:
    inputs = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="stem")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.MaxPooling2D(pool_size, strides=2, padding="same", name="pool")(x)
    heads = [keras.layers.Dense(2, name=name)(keras.layers.Flatten()(x)) for name in ("left", "right")]
    return keras.Model(inputs, heads, name="network")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A file, and the model that it was made from."""
    model, rng = network(2), np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    path = tmp_path_factory.mktemp("real") / "a.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path, model


def test_real_reports(real: tuple[Path, Any]) -> None:
    path, model = real
    other = network(3)
    reports = [tflrecover.diff(path, other), tflrecover.port(path, network(2)), tflrecover.verify(path, model)]
    for report in (*reports, tflrecover.port(path, other, strict=False), tflrecover.verify(path, other)):
        validate(report)
    assert [report.ok for report in reports] == [False, True, True]


def test_order_does_not_depend_on_the_process(real: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = real
    other = network(3)
    other.save(tmp_path / "other.keras")
    arguments = ["diff", str(path), str(tmp_path / "other.keras"), "--json", str(tmp_path / "out.json")]
    env = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "tflrecover", *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == tflrecover.diff(path, other).to_json()

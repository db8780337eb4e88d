"""The JSON Schema of a report, made from the dataclasses that a report consists of and from their docstrings."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tflrecover.report.report import SCHEMA_VERSION, Report

# What JSON has no number for is its name, see Report.to_dict.
_NUMBER: JsonSchemaValue = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
_ARRAY: JsonSchemaValue = {
    "type": "object",
    "properties": {"shape": {"type": "array", "items": {"type": "integer"}}, "dtype": {"type": "string"}},
    "required": ["shape", "dtype"],
}


class _Generator(GenerateJsonSchema):
    """Every key is there, whatever its default; arrays and numbers are as a report writes them."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _NUMBER

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        return _ARRAY

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        told = _attributes(schema["cls"])
        for name, content in made["properties"].items():
            content["description"] = told[name]
        return {**made, "description": _summary(schema["cls"])}


def _summary(documented: Any) -> str:
    return _plain((inspect.getdoc(documented) or "").partition("\n\n")[0])


def _plain(text: str) -> str:
    """A docstring's words without the markup of Sphinx."""
    return re.sub(r"(?::\w+:`~?|``)([^`]*)`+", r"`\1`", " ".join(text.split()))


def _attributes(documented: type) -> dict[str, str]:
    """The ``Attributes:`` section of a docstring, by name."""
    section = (inspect.getdoc(documented) or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: _plain(text) for name, text in entries}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of :meth:`Report.to_dict <tflrecover.Report.to_dict>`."""
    hints, told = get_type_hints(Report), _attributes(Report)
    fields: dict[str, Any] = {}
    for name in Report("diff", "", "").to_dict():
        found = getattr(Report, name, None)
        if isinstance(found, property):
            fields[name] = get_type_hints(found.fget)["return"], Field(description=_summary(found))
        elif name in hints:
            fields[name] = hints[name], Field(description=told[name])
        else:
            fields[name] = Literal[SCHEMA_VERSION], Field(description="Version of the format.")
    model = create_model("Report", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    schema = model.model_json_schema(schema_generator=_Generator, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"tflrecover report, version {SCHEMA_VERSION}",
        "description": _summary(Report),
        **{key: value for key, value in schema.items() if key != "title"},
    }


def schema_text() -> str:
    """The JSON Schema as it is published in ``docs/report.schema.json``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"

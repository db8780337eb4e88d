"""The format, version 1, as pydantic models; the published JSON Schema is made from them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from einops import EinopsError
from einops.parsing import ParsedExpression
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tflrecover.ir import Kind

VERSION = 1
SCHEMA_FILE = "mapping.schema.json"
"""Name of the JSON Schema, as a mapping's first line has it for editors."""


class _Strict(BaseModel):
    """No unknown keys, no changes after loading, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _tuple(value)


def _whole_number(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError(f"must be the whole number {VERSION}")
    return value


_Patterns = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
_OneOrSeveral = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_several),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class FileGuard(_Strict):
    """The file that a mapping was written for."""

    sha256: str = Field(pattern=r"^[0-9a-fA-F]{8,64}$", description="Hexadecimal digest of the file, or its beginning.")


class Accept(_Strict):
    """A difference that is wanted; every field that is given must fit."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["layer"]}, {"required": ["op"]}]})

    layer: str | None = Field(default=None, description="Keras layer path.")
    op: str | None = Field(default=None, description='TFLite operator, by output-tensor name or "#index".')
    attribute: str | None = Field(default=None, description="Keras argument, e.g. pool_size.")
    kind: Kind | None = Field(default=None, description="Kind of the difference.")

    @model_validator(mode="after")
    def _names_a_place(self) -> Accept:
        if self.layer is None and self.op is None:
            raise ValueError("needs a layer or an op: a wanted difference is somewhere")
        return self


class WeightRule(_Strict):
    """Where one variable's numbers come from."""

    sources: _OneOrSeveral = Field(alias="from", description="Constant tensors of the file, by name.")
    concat: int | None = Field(default=None, description="Axis along which several tensors are joined.")
    layout: str | None = Field(default=None, description="einops pattern from the file's layout to the variable's.")

    @field_validator("layout")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value is not None:
            _check_layout(value)
        return value

    @model_validator(mode="after")
    def _several_are_joined(self) -> WeightRule:
        if not self.sources:
            raise ValueError("`from` names no tensor")
        if len(self.sources) > 1 and self.concat is None:
            raise ValueError("several tensors need `concat`, the axis along which they are joined")
        return self


def _check_layout(pattern: str) -> None:
    """Raises ValueError for what einops could not carry out whatever the tensor's shape."""
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f'{pattern!r} is no layout; write an einops pattern such as "o i -> i o"')
    try:
        left, right = (ParsedExpression(side.strip()) for side in sides)
    except EinopsError as error:
        raise ValueError(f"{pattern!r} is no einops pattern: {error}") from error
    if left.has_non_unitary_anonymous_axes or right.has_non_unitary_anonymous_axes:
        raise ValueError(f"{pattern!r}: a layout only moves axes; the one number that it may have is 1")
    if left.identifiers != right.identifiers:
        odd = ", ".join(sorted(left.identifiers ^ right.identifiers))
        raise ValueError(f"{pattern!r}: both sides of a layout must name the same axes; on one side only: {odd}")
    if any(isinstance(axis, list) and len(axis) > 1 for axis in left.composition):
        raise ValueError(f"{pattern!r}: the file's side cannot be split, the sizes of the parts are not known")


class CustomOp(_Strict):
    """What a custom operator means."""

    as_: str = Field(alias="as", description="Operator of the vocabulary that it is read as.")


class MappingModel(_Strict):
    """A mapping, version 1."""

    tflrecover: Annotated[Literal[1], BeforeValidator(_whole_number)] = Field(description="Version of the format.")
    tflite: FileGuard | None = Field(default=None, description="Optional guard: the file this was written for.")
    match: dict[str, str] = Field(
        default={}, description='Keras layer path: TFLite operator, by output-tensor name or "#index".'
    )
    inputs: dict[str, str] = Field(default={}, description='Keras input: TFLite input, by name or "#index".')
    outputs: dict[str, str] = Field(default={}, description='Keras output: TFLite output, by name or "#index".')
    skip: _Patterns = Field(default=(), description="Keras layers that keep their own weights (shell patterns).")
    ignore: _Patterns = Field(
        default=(), description="TFLite operators with no counterpart in the model (shell patterns)."
    )
    accept: Annotated[tuple[Accept, ...], BeforeValidator(_tuple)] = Field(
        default=(), description="Differences that are wanted."
    )
    weights: dict[str, WeightRule] = Field(default={}, description="Single variables.")
    custom_ops: dict[str, CustomOp] = Field(default={}, description="What a custom operator means.")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the format."""
    schema = MappingModel.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tflrecover mapping, version 1",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def schema_text() -> str:
    """The JSON Schema as it is published in ``docs/mapping.schema.json``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"

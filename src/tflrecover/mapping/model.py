"""The format, version 1, as pydantic models; the published JSON Schema is made from them."""

from __future__ import annotations

from typing import Any, Literal

from einops.parsing import ParsedExpression
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

VERSION = 1


class _Strict(BaseModel):
    """No unknown keys, no changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class FileGuard(_Strict):
    """The file that a mapping was written for."""

    sha256: str = Field(pattern=r"^[0-9a-fA-F]{8,64}$", description="Hexadecimal digest of the file, or its beginning.")


class Accept(_Strict):
    """A difference that is wanted; every field that is given must fit."""

    layer: str | None = Field(None, description="Keras layer path.")
    op: str | None = Field(None, description='TFLite operator, by output-tensor name or "#index".')
    attribute: str | None = Field(None, description="Keras argument, e.g. pool_size.")
    kind: Literal["attribute", "missing", "extra", "wiring", "shape", "constant"] | None = Field(
        None, description="Kind of the difference."
    )

    @model_validator(mode="after")
    def _names_a_place(self) -> Accept:
        if self.layer is None and self.op is None:
            raise ValueError("needs a layer or an op")
        return self


class WeightRule(_Strict):
    """Where one variable's numbers come from."""

    source: str | tuple[str, ...] = Field(alias="from", description="Constant tensors of the file, by name.")
    concat: int | None = Field(None, description="Axis along which several tensors are joined.")
    layout: str | None = Field(None, description="einops pattern from the file's layout to the variable's.")

    @field_validator("source", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("layout")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value is None:
            return None
        sides = value.split("->")
        if len(sides) != 2:
            raise ValueError('a layout is an einops pattern such as "o i -> i o"')
        left, right = (ParsedExpression(side.strip()) for side in sides)
        if left.identifiers != right.identifiers:
            raise ValueError("both sides of a layout must name the same axes")
        return value

    @model_validator(mode="after")
    def _several_are_joined(self) -> WeightRule:
        if len(self.sources) > 1 and self.concat is None:
            raise ValueError("several tensors need `concat`, the axis along which they are joined")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors as a tuple."""
        return (self.source,) if isinstance(self.source, str) else self.source


class CustomOp(_Strict):
    """What a custom operator means."""

    as_: str = Field(alias="as", description="Operator of the vocabulary that it is read as.")


class MappingModel(_Strict):
    """A mapping, version 1."""

    tflrecover: Literal[1] = Field(description="Version of the format.")
    tflite: FileGuard | None = Field(None, description="Optional guard: the file this was written for.")
    match: dict[str, str] = Field({}, description='Keras layer path: TFLite operator, by output-tensor name or "#index".')
    inputs: dict[str, str] = Field({}, description='Keras input: TFLite input, by name or "#index".')
    outputs: dict[str, str] = Field({}, description='Keras output: TFLite output, by name or "#index".')
    skip: tuple[str, ...] = Field((), description="Keras layers that keep their own weights (shell patterns).")
    ignore: tuple[str, ...] = Field((), description="TFLite operators with no counterpart in the model (shell patterns).")
    accept: tuple[Accept, ...] = Field((), description="Differences that are wanted.")
    weights: dict[str, WeightRule] = Field({}, description="Single variables.")
    custom_ops: dict[str, CustomOp] = Field({}, description="What a custom operator means.")

    @field_validator("skip", "ignore", "accept", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the format."""
    schema = MappingModel.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tflrecover mapping, version 1",
        **{key: value for key, value in schema.items() if key != "title"},
    }

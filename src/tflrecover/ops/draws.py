"""Random numbers, and draws from a distribution."""

from __future__ import annotations

from typing import Any

from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Builder, KerasBuilder, Lowered, OpSpec, Part, Reader, Source


def _reader(name: str) -> Reader:
    def read(source: Source) -> Lowered:
        seeds = {key: int(source.attributes.get(key) or 0) for key in ("seed", "seed2")}
        sizes = source.constant(0) if name != "MULTINOMIAL" else source.constant(1)
        shape = None if sizes is None else tuple(int(n) for n in sizes.reshape(-1))
        if name == "MULTINOMIAL" and shape is not None:
            shape = (source.shape(0)[0], *shape)
        return Lowered(name, operands(source), {**seeds, "dtype": str(source.output_dtype())}, shape=shape)

    return read


def _keras(function: str, dtype: str, *operands: str) -> KerasBuilder:
    """TensorFlow draws with the same generator as LiteRT: where a seed is given, the numbers are the same."""

    def build(builder: Builder, part: Part) -> Any:
        seeds = {key: part.attributes[key] for key in ("seed", "seed2")}
        given = dict(zip(operands, part.args, strict=True))
        return builder.tensorflow(f"raw_ops.{function}", **given, **seeds, **{dtype: part.attributes["dtype"]})

    return build


def _spec(name: str, function: str, dtype: str, *operands: str) -> OpSpec:
    return OpSpec(
        name,
        keras=_keras(function, dtype, *operands),
        tflite=_reader(name),
        tf={function: _reader(name)},
        roles=operands,
        declared=("seed", "seed2"),
    )


SPECS = (
    _spec("RANDOM_UNIFORM", "RandomUniform", "dtype", "shape"),
    _spec("RANDOM_STANDARD_NORMAL", "RandomStandardNormal", "dtype", "shape"),
    _spec("MULTINOMIAL", "Multinomial", "output_dtype", "logits", "num_samples"),
)

"""Ports KerasHub backbones of small random configurations; needs ``pip install keras-hub``, which is no dependency.

Usage: ``PYTHONPATH=.:src:tests/core python benchmarks/kerashub.py [name ...]``. Prints a Markdown table: backbone,
sizes of the file, outcome.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import keras_hub
import keras_models as zoo
import numpy as np
from model_kinds import convert_call

import tflrecover
from tests.core.test_blazepalm import stripped
from tflrecover import tolerances

TEXT = {"vocabulary_size": 50, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
LEARNED = {**TEXT, "max_sequence_length": 12}
DECODER = {
    "vocabulary_size": 50,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 24,
}
PICTURE = {"image_shape": (32, 32, 3)}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "BertBackbone": LEARNED,
    "DistilBertBackbone": LEARNED,
    "RobertaBackbone": LEARNED,
    "GPT2Backbone": LEARNED,
    "OPTBackbone": LEARNED,
    "AlbertBackbone": {**LEARNED, "embedding_dim": 6},
    "DebertaV3Backbone": {**LEARNED, "bucket_size": 8},
    "T5Backbone": {**TEXT, "key_value_dim": 4},
    "GemmaBackbone": {**DECODER, "head_dim": 4},
    "Gemma3Backbone": {**DECODER, "head_dim": 4, "image_size": 16, "vision_encoder": None},
    "LlamaBackbone": DECODER,
    "MistralBackbone": {**DECODER, "sliding_window": 4},
    "Qwen3Backbone": {**DECODER, "head_dim": 4},
    "WhisperBackbone": {
        **TEXT,
        "num_mels": 8,
        "max_encoder_sequence_length": 24,
        "max_decoder_sequence_length": 12,
    },
    "ViTBackbone": {
        "image_shape": (16, 16, 3),
        "patch_size": 4,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 8,
        "mlp_dim": 16,
    },
    "DINOV2Backbone": {
        "image_shape": (16, 16, 3),
        "patch_size": 4,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
    },
    "DenseNetBackbone": {**PICTURE, "stackwise_num_repeats": [2, 2], "growth_rate": 4, "compression_ratio": 0.5},
    "VGGBackbone": {**PICTURE, "stackwise_num_repeats": [1, 1], "stackwise_num_filters": [4, 8]},
    "XceptionBackbone": {
        **PICTURE,
        "stackwise_conv_filters": [[4, 8], [8, 8]],
        "stackwise_pooling": [True, False],
    },
    "MiTBackbone": {
        **PICTURE,
        "layerwise_depths": [1, 1],
        "hidden_dims": [8, 16],
        "num_layers": 2,
        "layerwise_num_heads": [1, 2],
        "layerwise_sr_ratios": [2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3],
        "layerwise_strides": [4, 2],
    },
}
FORMS = ("static", "batch")
# Position embeddings are as long: of a shorter sequence the file would hold a part only.
STEPS = 12


def example(model: Any) -> Any:
    """Inputs in the structure that the model declares."""
    rng = np.random.default_rng(4)

    def numbers(tensor: Any) -> Any:
        shape = [1, *(size or STEPS for size in tensor.shape[1:])]
        if "mask" in tensor.name:
            return (np.arange(shape[-1]) < shape[-1] - 1)[None].astype(tensor.dtype)
        high = 2 if "segment" in tensor.name else 50
        return (rng.integers(0, high, shape) if "int" in tensor.dtype else rng.uniform(-1, 1, shape)).astype(
            tensor.dtype
        )

    return keras.tree.map_structure(numbers, model._inputs_struct)


def outcome(build: Callable[[], Any], form: str) -> str:
    """``exact 1e-07``, ``WRONG``, or why it was refused."""
    keras.utils.clear_session()
    original, twin = zoo.randomize(build(), 1), zoo.randomize(build(), 2)
    inputs = example(original)
    content = stripped(convert_call(original, (inputs,), {}, form))
    try:
        tflrecover.port(content, twin)
    except tflrecover.TFLRecoverError as error:
        return f"refused: {' '.join(str(error).splitlines()[1:2])[:160]}"
    results = [keras.tree.flatten(model(inputs)) for model in (original, twin)]
    pairs = [tuple(map(np.asarray, pair)) for pair in zip(*results, strict=True)]
    worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    return f"exact to {worst:.0e}" if worst <= tolerances.OUTPUT else f"WRONG by {worst:.0e}"


def rows(names: list[str]) -> Iterator[str]:
    """Lines of the table."""
    yield "| backbone | sizes | outcome |\n|---|---|---|"
    for name in names or list(CONFIGURATIONS):
        for form in FORMS:
            cls = getattr(keras_hub.models, name)
            yield f"| {name} | {form} | {outcome(lambda cls=cls, name=name: cls(**CONFIGURATIONS[name]), form)} |"


if __name__ == "__main__":
    for row in rows(sys.argv[1:]):
        print(row, flush=True)

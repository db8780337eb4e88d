"""Ports KerasHub backbones of small random configurations; needs ``pip install keras-hub``, which is no dependency.

Usage: ``PYTHONPATH=.:src:tests/core python benchmarks/kerashub.py [name ...]``. Prints a Markdown table: backbone,
sizes of the file, outcome.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import keras_hub
import keras_models as zoo
import numpy as np
from model_kinds import convert_call

import tflrecover
from tests.core.lite import stripped
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
PATCHES = {
    "image_shape": (16, 16, 3),
    "patch_size": 4,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}
TOWER = {**TEXT, "embedding_dim": 8}
# One stage per entry, one block per number: fused, universal and attention blocks.
MOBILE = {
    "block_types": [["er"], ["uir", "uir"], ["mqa", "uir"]],
    "num_blocks": [1, 2, 2],
    "num_filters": [[8], [12, 12], [16, 16]],
    "strides": [[2], [2, 1], [1, 1]],
    "act_layers": [["relu"], ["relu", "gelu"], ["relu", "relu"]],
    "exp_ratios": [[2.0], [2.0, 2.0], [1.0, 2.0]],
    "se_ratios": [[0.0], [0.0, 0.0], [0.0, 0.0]],
    "dw_kernel_sizes": [[0], [5, 3], [3, 0]],
    "dw_start_kernel_sizes": [[0], [0, 3], [0, 0]],
    "dw_end_kernel_sizes": [[0], [0, 0], [0, 0]],
    "exp_kernel_sizes": [[3], [0, 0], [0, 0]],
    "pw_kernel_sizes": [[1], [0, 0], [0, 0]],
    "num_heads": [[0], [0, 0], [2, 0]],
    "key_dims": [[0], [0, 0], [4, 0]],
    "value_dims": [[0], [0, 0], [4, 0]],
    "kv_strides": [[0], [0, 0], [2, 0]],
    "use_cpe": [[False], [False, False], [False, False]],
}


def pair(name: str) -> dict[str, Any]:
    """An encoder of images and one of texts, each small."""
    vision = getattr(keras_hub.models, f"{name}VisionEncoder")(**PATCHES)
    return {"vision_encoder": vision, "text_encoder": getattr(keras_hub.models, f"{name}TextEncoder")(**TOWER)}


Configuration = dict[str, Any] | Callable[[], dict[str, Any]]
CONFIGURATIONS: dict[str, Configuration] = {
    "BertBackbone": LEARNED,
    "DistilBertBackbone": LEARNED,
    "RobertaBackbone": LEARNED,
    "XLMRobertaBackbone": LEARNED,
    "ElectraBackbone": {
        **{name: size for name, size in LEARNED.items() if name != "vocabulary_size"},
        "vocab_size": 50,
        "embedding_dim": 6,
    },
    "AlbertBackbone": {**LEARNED, "embedding_dim": 6},
    "DebertaV3Backbone": {**LEARNED, "bucket_size": 8},
    "FNetBackbone": {name: size for name, size in LEARNED.items() if name != "num_heads"},
    "RoformerV2Backbone": {**TEXT, "head_size": 4},
    "ESMBackbone": TEXT,
    "XLNetBackbone": TEXT,
    "GPT2Backbone": LEARNED,
    "OPTBackbone": LEARNED,
    "GPTNeoXBackbone": {**LEARNED, "rotary_percentage": 0.5},
    "BloomBackbone": TEXT,
    "FalconBackbone": {
        **{name: size for name, size in TEXT.items() if name != "num_heads"},
        "num_attention_heads": 2,
    },
    "BartBackbone": LEARNED,
    "T5Backbone": {**TEXT, "key_value_dim": 4},
    "GemmaBackbone": {**DECODER, "head_dim": 4},
    "Gemma3Backbone": {**DECODER, "head_dim": 4, "image_size": 16, "vision_encoder": None},
    "LlamaBackbone": DECODER,
    "Llama3Backbone": DECODER,
    "MistralBackbone": {**DECODER, "sliding_window": 4},
    "MixtralBackbone": {**DECODER, "sliding_window": 4, "num_experts": 3},
    "Phi3Backbone": DECODER,
    "QwenBackbone": DECODER,
    "Qwen3Backbone": {**DECODER, "head_dim": 4},
    "WhisperBackbone": {
        **TEXT,
        "num_mels": 8,
        "max_encoder_sequence_length": 24,
        "max_decoder_sequence_length": 12,
    },
    "ViTBackbone": {
        **{name: size for name, size in PATCHES.items() if name != "intermediate_dim"},
        "mlp_dim": 16,
    },
    "DeiTBackbone": PATCHES,
    "DINOV2Backbone": PATCHES,
    "DINOV3Backbone": PATCHES,
    "SwinTransformerBackbone": {**PICTURE, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4},
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
    "ViTDetBackbone": {
        "image_shape": (16, 16, 3),
        "patch_size": 2,
        "hidden_size": 4,
        "num_layers": 2,
        "global_attention_layer_indices": [1],
        "intermediate_dim": 16,
        "num_heads": 2,
        "num_output_channels": 2,
        "window_size": 3,
    },
    "CLIPBackbone": lambda: {**pair("CLIP"), "projection_dim": 6},
    "SigLIPBackbone": lambda: pair("SigLIP"),
    "MobileNetV5Backbone": {
        **PICTURE,
        **{f"stackwise_{name}": value for name, value in MOBILE.items()},
        "stem_size": 8,
        "num_features": 16,
        "msfa_output_resolution": 4,
    },
    "MobileNetBackbone": {
        **PICTURE,
        "stackwise_expansion": [[8, 12], [12, 16]],
        "stackwise_num_blocks": [2, 2],
        "stackwise_num_filters": [[4, 4], [8, 8]],
        "stackwise_kernel_size": [[3, 3], [5, 5]],
        "stackwise_num_strides": [[2, 1], [2, 1]],
        "stackwise_se_ratio": [[None, None], [0.25, 0.25]],
        "stackwise_activation": [["relu", "relu"], ["hard_swish", "hard_swish"]],
        "stackwise_padding": [[1, 1], [2, 2]],
        "output_num_filters": 12,
        "depthwise_filters": 4,
        "depthwise_stride": 1,
        "depthwise_residual": False,
        "last_layer_filter": 16,
        "input_num_filters": 8,
        "squeeze_and_excite": 0.5,
    },
    "EfficientNetBackbone": {
        "input_shape": (32, 32, 3),
        "stackwise_width_coefficients": [1.0, 1.0],
        "stackwise_depth_coefficients": [1.0, 1.0],
        "stackwise_kernel_sizes": [3, 3],
        "stackwise_num_repeats": [1, 2],
        "stackwise_input_filters": [8, 8],
        "stackwise_output_filters": [8, 16],
        "stackwise_expansion_ratios": [1, 2],
        "stackwise_squeeze_and_excite_ratios": [0.0, 0.25],
        "stackwise_strides": [1, 2],
        "stackwise_block_types": ["fused", "unfused"],
        "stackwise_force_input_filters": [0, 0],
        "stackwise_nores_option": [False, False],
        "num_features": 24,
    },
    "ResNetBackbone": {
        **PICTURE,
        "input_conv_filters": [8],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [4, 8],
        "stackwise_num_blocks": [1, 2],
        "stackwise_num_strides": [1, 2],
        "block_type": "bottleneck_block",
    },
    "CSPNetBackbone": {
        **PICTURE,
        "stem_filters": 8,
        "stem_kernel_size": 3,
        "stem_strides": 1,
        "stackwise_depth": [1, 2],
        "stackwise_strides": [1, 2],
        "stackwise_num_filters": [8, 16],
        "block_type": "dark_block",
    },
    "HGNetV2Backbone": {
        **PICTURE,
        "depths": [1, 2],
        "embedding_size": 8,
        "hidden_sizes": [16, 24],
        "stem_channels": [3, 8, 8],
        "hidden_act": "relu",
        "use_learnable_affine_block": True,
        "stackwise_stage_filters": [(8, 8, 16, 1, 2, 3), (16, 8, 24, 2, 2, 3)],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, True],
    },
    "DenseNetBackbone": {**PICTURE, "stackwise_num_repeats": [2, 2], "growth_rate": 4, "compression_ratio": 0.5},
    "VGGBackbone": {**PICTURE, "stackwise_num_repeats": [1, 1], "stackwise_num_filters": [4, 8]},
    "XceptionBackbone": {
        **PICTURE,
        "stackwise_conv_filters": [[4, 8], [8, 8]],
        "stackwise_pooling": [True, False],
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
    try:
        original, twin = zoo.randomize(build(), 1), zoo.randomize(build(), 2)
        inputs = example(original)
        content = stripped(convert_call(original, (inputs,), {}, form))
    except Exception as error:  # a backbone that its own library cannot build, or TensorFlow not convert
        return f"not made: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    try:
        tflrecover.port(content, twin)
    except tflrecover.TFLRecoverError as error:
        return f"refused: {' '.join(str(error).splitlines()[1:2])[:160]}"
    results = [keras.tree.flatten(model(inputs)) for model in (original, twin)]
    pairs = [tuple(map(np.asarray, pair)) for pair in zip(*results, strict=True)]
    worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    return f"exact to {worst:.0e}" if worst <= tolerances.OUTPUT else f"WRONG by {worst:.0e}"


def built(name: str) -> Any:
    """A backbone in its small configuration."""
    given = CONFIGURATIONS[name]
    return getattr(keras_hub.models, name)(**(given() if callable(given) else given))


def rows(names: list[str]) -> Iterator[str]:
    """Lines of the table."""
    yield "| backbone | sizes | outcome |\n|---|---|---|"
    for name in names or list(CONFIGURATIONS):
        for form in FORMS:
            yield f"| {name} | {form} | {outcome(partial(built, name), form)} |"


if __name__ == "__main__":
    for row in rows(sys.argv[1:]):
        print(row, flush=True)

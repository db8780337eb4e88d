"""Small backbones that are put together of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_hub import models
from keras_hub.src.models.blip2.blip2_custom_opt import BLIP2CustomOPT
from keras_hub.src.models.blip2.blip2_qformer import BLIP2QFormer
from keras_hub.src.models.sam.sam_mask_decoder import SAMMaskDecoder
from keras_hub.src.models.sam.sam_prompt_encoder import SAMPromptEncoder
from keras_hub.src.models.vae.vae_backbone import VAEBackbone

from benchmarks.kerashub.single import CONFIGURATIONS, DECODER, GEMMA_4, PATCHES, TEXT

PICTURE = (64, 64, 3)
TOWER = {**TEXT, "embedding_dim": 8, "max_sequence_length": 12}
VISION = {"patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
POOLED = {**VISION, "image_size": 16, "pool_size": 2}


def _pair(name: str, **more: Any) -> Any:
    """An encoder of images and one of texts."""
    parts = {"vision_encoder": ("VisionEncoder", PATCHES), "text_encoder": ("TextEncoder", TOWER)}
    made = {slot: getattr(models, name + kind)(**sizes) for slot, (kind, sizes) in parts.items()}
    return getattr(models, f"{name}Backbone")(**made, **more)


def _resnet() -> Any:
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_filters=[64, 8, 12, 16],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )


def _deep_lab() -> Any:
    return models.DeepLabV3Backbone(
        image_encoder=_resnet(),
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P4",
        dilation_rates=[2, 3],
        upsampling_size=4,
        projection_filters=6,
        image_shape=PICTURE,
    )


def _depth_anything() -> Any:
    encoder = models.DINOV2Backbone(14, 4, 16, 2, 32, 1.0, 0, image_shape=(126, 126, 3), apply_layernorm=True)
    return models.DepthAnythingBackbone(
        image_encoder=encoder,
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 8, 8, 12],
        fusion_hidden_dim=8,
        head_hidden_dim=8,
        head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"],
    )


def _retina_net() -> Any:
    return models.RetinaNetBackbone(
        image_encoder=_resnet(), min_level=3, max_level=6, use_p5=False, image_shape=PICTURE
    )


def _seg_former() -> Any:
    return models.SegFormerBackbone(
        image_encoder=models.MiTBackbone(**CONFIGURATIONS["MiTBackbone"]), projection_filters=8
    )


def _parseq() -> Any:
    vit = {**CONFIGURATIONS["ViTBackbone"], "hidden_dim": 16, "use_class_token": False}
    return models.PARSeqBackbone(
        image_encoder=models.ViTBackbone(**vit),
        vocabulary_size=50,
        max_label_length=12,
        decoder_hidden_dim=16,
        num_decoder_layers=1,
        num_decoder_heads=2,
        decoder_mlp_dim=16,
    )


def _blip() -> Any:
    vision = models.BLIP2VisionEncoder(
        **VISION,
        image_size=16,
        use_patch_bias=True,
        use_class_token=True,
        use_mha_bias=True,
        use_mlp_bias=True,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        initializer_range=0.02,
    )
    sizes = {"num_query_tokens": 2, "num_layers": 2, "num_heads": 2, "hidden_dim": 4, "intermediate_dim": 8}
    queries = BLIP2QFormer(**sizes, vision_dim=8, cross_attention_frequency=1, dropout=0.0, layer_norm_epsilon=1e-6)
    language = BLIP2CustomOPT(
        **sizes,
        vocabulary_size=50,
        qformer_hidden_dim=4,
        max_sequence_length=14,
        dropout=0.0,
        language_projection=None,
    )
    return models.BLIP2Backbone(vision_encoder=vision, qformer=queries, language_model=language)


def _sam() -> Any:
    vision = models.ViTDetBackbone(
        hidden_size=16,
        num_layers=2,
        intermediate_dim=32,
        num_heads=4,
        global_attention_layer_indices=[1],
        patch_size=16,
        num_output_channels=8,
        window_size=2,
        image_shape=PICTURE,
    )
    prompts = SAMPromptEncoder(
        hidden_size=8, image_embedding_size=(4, 4), input_image_size=PICTURE[:2], mask_in_channels=16
    )
    masks = SAMMaskDecoder(
        num_layers=2,
        hidden_size=8,
        intermediate_dim=32,
        num_heads=2,
        embedding_dim=8,
        num_multimask_outputs=3,
        iou_head_depth=3,
        iou_head_hidden_dim=8,
    )
    return models.SAMBackbone(image_encoder=vision, prompt_encoder=prompts, mask_decoder=masks)


def _d_fine() -> Any:
    features = {"out_features": ["stage3", "stage4"], "image_shape": PICTURE}
    encoder = models.HGNetV2Backbone(
        stem_channels=[3, 8, 8],
        stackwise_stage_filters=[[8, 8, 16, 1, 2, 3], [16, 8, 24, 1, 2, 3], [24, 8, 32, 2, 2, 5], [32, 8, 40, 1, 2, 5]],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        depths=[1, 1, 2, 1],
        hidden_sizes=[16, 24, 32, 40],
        embedding_size=8,
        use_learnable_affine_block=True,
        hidden_act="relu",
        **features,
    )
    return models.DFineBackbone(
        backbone=encoder,
        decoder_in_channels=[16, 16],
        encoder_hidden_dim=16,
        num_denoising=10,
        num_labels=5,
        hidden_dim=16,
        learn_initial_query=False,
        num_queries=6,
        anchor_image_size=PICTURE[:2],
        feat_strides=[16, 32],
        num_feature_levels=2,
        encoder_in_channels=[32, 40],
        encode_proj_layers=[1],
        num_attention_heads=2,
        encoder_ffn_dim=24,
        num_encoder_layers=1,
        hidden_expansion=0.5,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        decoder_n_points=[3, 3],
        lqe_hidden_dim=8,
        num_lqe_layers=2,
        seed=0,
        **features,
    )


COMPOSED: dict[str, Callable[[], Any]] = {
    "CLIPBackbone": lambda: _pair("CLIP", projection_dim=6),
    "MetaCLIP2Backbone": lambda: _pair("MetaCLIP2", projection_dim=6),
    "SigLIPBackbone": lambda: _pair("SigLIP"),
    "BLIP2Backbone": _blip,
    "DFineBackbone": _d_fine,
    "DeepLabV3Backbone": _deep_lab,
    "DepthAnythingBackbone": _depth_anything,
    "Gemma3Backbone with images": lambda: models.Gemma3Backbone(
        **DECODER, head_dim=4, image_size=16, vision_encoder=models.Gemma3VisionEncoder(**POOLED, output_dim=16)
    ),
    "Gemma4Backbone with experts": lambda: models.Gemma4Backbone(
        **GEMMA_4, enable_moe_block=True, num_experts=3, expert_intermediate_dim=8, num_experts_per_token=2
    ),
    "Gemma4Backbone with images": lambda: models.Gemma4Backbone(
        **GEMMA_4,
        vision_encoder=models.Gemma4VisionEncoder(**POOLED, head_dim=4, num_key_value_heads=2, output_dim=8),
    ),
    "PARSeqBackbone": _parseq,
    "RetinaNetBackbone": _retina_net,
    "SAMBackbone": _sam,
    "SegFormerBackbone": _seg_former,
    "VAEBackbone": lambda: VAEBackbone(
        [32] * 2, [1] * 2, [32] * 2, [1] * 2, sampler_method="mode", image_shape=(16, 16, 3)
    ),
}


def built(name: str) -> Any:
    """A backbone in its small configuration."""
    if name in COMPOSED:
        return COMPOSED[name]()
    return getattr(models, name)(**CONFIGURATIONS[name])

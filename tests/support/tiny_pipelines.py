"""Pipelines with a U-Net, random weights and a few thousand parameters: real classes, made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiny_parts import WIDTH, autoencoder, clip_encoder, clip_tokenizer, ready

if TYPE_CHECKING:
    from diffusers import (
        AnimateDiffPipeline,
        DDPMPipeline,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )


def tiny_stable_diffusion(folder: Path, seed: int = 0) -> StableDiffusionPipeline:
    """A whole Stable Diffusion pipeline that draws 16 x 16 images; ``folder`` takes its tokenizer's files."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(folder)
    return ready(
        StableDiffusionPipeline(
            vae=autoencoder(),
            text_encoder=clip_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=_unet(),
            scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def tiny_stable_diffusion_xl(folder: Path, seed: int = 0) -> StableDiffusionXLPipeline:
    """A whole Stable Diffusion XL pipeline, with its two text encoders, that draws 16 x 16 images."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    torch.manual_seed(seed)
    tokenizer, second = clip_tokenizer(folder / "1"), clip_tokenizer(folder / "2")
    times = 8
    added = {
        "cross_attention_dim": 2 * WIDTH,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": times,
        "projection_class_embeddings_input_dim": 6 * times + WIDTH,
    }
    return ready(
        StableDiffusionXLPipeline(
            vae=autoencoder(),
            text_encoder=clip_encoder(tokenizer),
            text_encoder_2=clip_encoder(second, projected=True),
            tokenizer=tokenizer,
            tokenizer_2=second,
            unet=_unet(**added),
            scheduler=EulerDiscreteScheduler(),
            add_watermarker=False,
        )
    )


def tiny_animatediff(folder: Path, seed: int = 0) -> AnimateDiffPipeline:
    """A whole AnimateDiff pipeline that films at 16 x 16."""
    import torch
    from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter

    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(folder)
    motion = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
    )
    return ready(
        AnimateDiffPipeline(
            vae=autoencoder(),
            text_encoder=clip_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=_unet(),
            motion_adapter=motion,
            scheduler=DDIMScheduler(clip_sample=False, steps_offset=1, beta_schedule="linear"),
        )
    )


def tiny_ddpm(folder: Path, seed: int = 0) -> DDPMPipeline:
    """A whole DDPM pipeline, which takes no prompt, that draws 8 x 8 images; ``folder`` is not needed."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(seed)
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return ready(DDPMPipeline(unet=unet, scheduler=DDPMScheduler()))


def _unet(**options: Any) -> UNet2DConditionModel:
    from diffusers import UNet2DConditionModel

    settings: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DConditionModel(**{**settings, **options})

"""Pipelines with a diffusion transformer, random weights and a few thousand parameters: real classes, no downloads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiny_parts import WIDTH, autoencoder, clip_encoder, clip_tokenizer, ready, t5_encoder, t5_tokenizer

if TYPE_CHECKING:
    from diffusers import (
        DiTPipeline,
        FluxPipeline,
        PixArtAlphaPipeline,
        StableAudioPipeline,
        StableDiffusion3Pipeline,
    )

LABELS = {0: "tench, Tinca tinca", 1: "goldfish, Carassius auratus", 2: "great white shark, white shark"}
SAMPLING_RATE = 800
_HEADS = {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 8}


def tiny_stable_diffusion_3(folder: Path, seed: int = 0) -> StableDiffusion3Pipeline:
    """A whole Stable Diffusion 3 pipeline, with its three text encoders, that draws 16 x 16 images."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(seed)
    tokenizer, second, third = clip_tokenizer(folder / "1"), clip_tokenizer(folder / "2"), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=8,
        **_HEADS,
    )
    return ready(
        StableDiffusion3Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=autoencoder(shift_factor=0.06),
            text_encoder=clip_encoder(tokenizer, projected=True),
            tokenizer=tokenizer,
            text_encoder_2=clip_encoder(second, projected=True),
            tokenizer_2=second,
            text_encoder_3=t5_encoder(third, 2 * WIDTH),
            tokenizer_3=third,
        )
    )


def tiny_flux(folder: Path, seed: int = 0) -> FluxPipeline:
    """A whole Flux pipeline; it draws 256 x 256 images unless it is told a height and a width."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(seed)
    tokenizer, second = clip_tokenizer(folder), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_single_layers=1,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 2, 2),
        guidance_embeds=True,
        **_HEADS,
    )
    return ready(
        FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=autoencoder(shift_factor=0.06),
            text_encoder=clip_encoder(tokenizer),
            tokenizer=tokenizer,
            text_encoder_2=t5_encoder(second),
            tokenizer_2=second,
            transformer=transformer,
        )
    )


def tiny_pixart(folder: Path, seed: int = 0) -> PixArtAlphaPipeline:
    """A whole PixArt-Alpha pipeline; its size must be one of the published ones, here 256 x 256."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        sample_size=32, cross_attention_dim=16, caption_channels=WIDTH, use_additional_conditions=False, **_HEADS
    )
    return ready(
        PixArtAlphaPipeline(
            tokenizer=tokenizer,
            text_encoder=t5_encoder(tokenizer),
            vae=autoencoder(levels=4),
            transformer=transformer,
            scheduler=DPMSolverMultistepScheduler(),
        )
    )


def tiny_dit(folder: Path, seed: int = 0) -> DiTPipeline:
    """A whole DiT pipeline, which takes class labels, that draws 16 x 16 images; ``folder`` is not needed.

    Its scheduler adds noise at every step, and DiT passes it no generator.
    """
    import torch
    from diffusers import DDPMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(seed)
    transformer = DiTTransformer2DModel(sample_size=8, out_channels=8, norm_num_groups=4, **_HEADS)
    return ready(
        DiTPipeline(transformer=transformer, vae=autoencoder(), scheduler=DDPMScheduler(), id2label=dict(LABELS))
    )


def tiny_stable_audio(folder: Path, seed: int = 0) -> StableAudioPipeline:
    """A whole Stable Audio pipeline that plays 0.32 seconds in stereo; ``folder`` is not needed."""
    import torch
    from diffusers import (
        AutoencoderOobleck,
        EDMDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
    )
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel

    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    vae = AutoencoderOobleck(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4],
        channel_multiples=[1, 2],
        decoder_channels=4,
        decoder_input_channels=4,
        sampling_rate=SAMPLING_RATE,
    )
    transformer = StableAudioDiTModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        num_key_value_attention_heads=2,
        cross_attention_dim=WIDTH,
        time_proj_dim=8,
        global_states_input_dim=2 * WIDTH,
        cross_attention_input_dim=WIDTH,
        **_HEADS,
    )
    return ready(
        StableAudioPipeline(
            vae=vae,
            text_encoder=t5_encoder(tokenizer),
            projection_model=StableAudioProjectionModel(WIDTH, WIDTH, 0, 32),
            tokenizer=tokenizer,
            transformer=transformer,
            scheduler=EDMDPMSolverMultistepScheduler(),
        )
    )

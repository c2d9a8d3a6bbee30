"""A small but real latent-diffusion pipeline: the parts of Stable Diffusion, sized for 32x32 digits.

Autoencoder 0.2 M parameters, text encoder 0.1 M, denoiser 0.8 M. Torch, diffusers and transformers are imported inside
the functions, so that commands that only name the demo start without them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from imprimatur.demo.digits import NAMES, SIZE, Images

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

WORDS = ("a", "handwritten", "digit", *NAMES)
STEPS = 20
GUIDANCE = 2.0
PROMPT_TOKENS = 16

_LATENT_CHANNELS = 4
_TEXT_WIDTH = 64
_START, _END = "<|startoftext|>", "<|endoftext|>"


def untrained(seed: int) -> StableDiffusionPipeline:
    """The whole pipeline with the random weights that ``seed`` gives."""
    words = tokenizer()
    with seeded(seed):
        return assemble(autoencoder(), text_encoder(words), words, denoiser())


def with_own_denoiser(base: StableDiffusionPipeline) -> StableDiffusionPipeline:
    """A pipeline that shares all parts of ``base`` but the denoiser, of which it has a copy: a fine-tune's start."""
    return assemble(base.vae, base.text_encoder, base.tokenizer, copy.deepcopy(base.unet))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global generator starts at ``seed``: what layers draw when they are made. Restored afterwards."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer over bytes, whose merges make one token of each of the captions' words."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    merges: Any = _merges(WORDS)
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), _START, _END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=PROMPT_TOKENS)


def autoencoder() -> AutoencoderKL:
    """An untrained autoencoder between 32x32 images and 8x8 latents of 4 channels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        latent_channels=_LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def text_encoder(words: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder of 2 layers, 64 wide, for the tokenizer's vocabulary."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        projection_dim=_TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=PROMPT_TOKENS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return CLIPTextModel(config)


def denoiser() -> UNet2DConditionModel:
    """An untrained denoiser of two levels, 32 and 64 wide, which attends to the text at the lower one."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 4,
        in_channels=_LATENT_CHANNELS,
        out_channels=_LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=_TEXT_WIDTH,
        norm_num_groups=8,
    )


def scheduler() -> Any:
    """The noise schedule of training and sampling: DDIM with velocity prediction."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def assemble(
    vae: AutoencoderKL, encoder: CLIPTextModel, words: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """The parts as one diffusers pipeline, without a safety checker."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=encoder.eval(),  # type: ignore[no-untyped-call]
        tokenizer=words,
        unet=unet.eval(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def token_ids(words: CLIPTokenizer, prompts: Sequence[str]) -> torch.Tensor:
    """The prompts' token numbers, padded to the pipeline's prompt length: shape [n, 16]."""
    encoded: Any = words(
        list(prompts), padding="max_length", max_length=PROMPT_TOKENS, truncation=True, return_tensors="pt"
    )
    ids: torch.Tensor = encoded.input_ids
    return ids


def generate(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], *, seed: int, steps: int = STEPS, batch: int = 125
) -> Images:
    """One image for each prompt, of shape [n, 32, 32, 3]; the i-th comes of seed ``seed + i`` whatever the batch is."""
    import torch

    parts: list[Images] = []
    for start in range(0, len(prompts), batch):
        chunk = list(prompts[start : start + batch])
        generators = [torch.Generator("cpu").manual_seed(seed + start + i) for i in range(len(chunk))]
        made: Any = pipeline(
            chunk, num_inference_steps=steps, guidance_scale=GUIDANCE, generator=generators, output_type="np"
        )
        parts.append(np.round(made.images * 255).astype(np.uint8))
    return np.concatenate(parts)


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for word in words:
        letters = [*word[:-1], word[-1] + "</w>"]
        for end in range(1, len(letters)):
            pair = ("".join(letters[:end]), letters[end])
            if pair not in merges:
                merges.append(pair)
    return merges

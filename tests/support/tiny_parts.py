"""Parts that tiny pipelines share: tokenizers, text encoders and autoencoders of real classes with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer, T5EncoderModel, T5Tokenizer

WIDTH = 16  # of every text encoder, and so of everything that attends to text
_WORDS = ("a", "handwritten", "digit", "zero", "one", "two")
_LENGTH = 16


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer over a few letters; its files are made in ``folder``."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokens = [*_letters(), *(f"{letter}</w>" for letter in _letters()), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=_LENGTH)


def clip_encoder(tokenizer: CLIPTokenizer, *, projected: bool = False) -> Any:
    """CLIP's text encoder for ``tokenizer``, with the projection of its pooled output where it is wanted."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5_tokenizer() -> T5Tokenizer:
    """T5's tokenizer over a few letters."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(piece, -2.0) for letter in _letters() for piece in (letter, f"▁{letter}")]
    return T5Tokenizer(vocab=[*special, ("▁", -2.0), *letters], extra_ids=0, model_max_length=_LENGTH)


def t5_encoder(tokenizer: T5Tokenizer, width: int = WIDTH) -> T5EncoderModel:
    """T5's encoder for ``tokenizer``."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config)


def autoencoder(channels: int = 4, levels: int = 2, **options: Any) -> AutoencoderKL:
    """An image autoencoder with ``channels`` of latents, each side smaller by 2 to the power of ``levels`` - 1."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * levels,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        **options,
    )


def ready(pipeline: Any) -> Any:
    """``pipeline`` as if it had been loaded: new models drop out at random, and show progress bars."""
    for part in pipeline.components.values():
        if hasattr(part, "eval"):
            part.eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _letters() -> list[str]:
    return sorted({letter for word in _WORDS for letter in word})

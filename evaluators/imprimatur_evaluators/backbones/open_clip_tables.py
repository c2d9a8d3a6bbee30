"""Any model of open_clip by its name and tag, from the tables that its package carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from open_clip import get_model_config
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

from imprimatur_evaluators.backbones.publication import OPEN_CLIP, Published
from imprimatur_evaluators.errors import BadWeights
from imprimatur_evaluators.images import ResizeMode

_MODES = {
    ("shortest", "bicubic"): ResizeMode.CLIP,
    ("shortest", "bilinear"): ResizeMode.CLIP_BILINEAR,
    ("squash", "bicubic"): ResizeMode.SQUASH,
    ("squash", "bilinear"): ResizeMode.SQUASH_BILINEAR,
}
_LICENCES = {"openai": "MIT", "laion": "MIT"}
_SEE_CARD = "see the model card"


def published_by_open_clip(name: str) -> Published:
    """The weights of ``open_clip:MODEL/TAG``: safetensors of the hub's repository that open_clip names for the tag.

    Raises BadWeights 'no-such-weights', or 'tokenizer-not-included' where prompts are not read by CLIP's byte pairs.
    """
    model, _, tag = name.removeprefix(OPEN_CLIP).partition("/")
    config, stated = get_model_config(model), get_pretrained_cfg(model, tag)
    if config is None or not stated.get("hf_hub"):
        raise BadWeights(
            "no-such-weights",
            f"open_clip's tables have no '{model}' with the tag '{tag}' on the hub (expected {OPEN_CLIP}MODEL/TAG)",
        )
    _check_text(name, config)
    repository, _, file = stated["hf_hub"].rpartition("/")
    files = (file,) if file else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    return Published(
        name=name,
        architecture="open-clip",
        files=tuple(f"hub:{repository}/{each}" for each in files),
        licence=_licence(repository, tag),
        source=f"https://huggingface.co/{repository}",
        settings=_settings(config, stated),
    )


def _check_text(name: str, config: Mapping[str, Any]) -> None:
    text = config["text_cfg"]
    if "multimodal_cfg" in config or any(key.startswith("hf_") for key in text) or "tokenizer_kwargs" in text:
        raise BadWeights(
            "tokenizer-not-included",
            f"'{name}' reads prompts by a tokenizer that open_clip's package does not carry (expected CLIP's byte "
            "pairs); choose another model, or plug it in under the entry points 'imprimatur.backbones'",
        )


def _settings(config: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    vision = {**config["vision_cfg"]}
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    settings = {
        "embed_dim": config["embed_dim"],
        "vision": vision,
        "text": {**config["text_cfg"]},
        # what the weights were trained with; a model's plain name leaves it out where its tag states it
        "quick_gelu": bool(config.get("quick_gelu") or stated.get("quick_gelu")),
        "preprocess": {
            "size": vision["image_size"],
            "mode": _MODES[stated["resize_mode"], stated["interpolation"]].value,
            "mean": list(stated["mean"]),
            "std": list(stated["std"]),
        },
    }
    return settings | {key: config[key] for key in ("custom_text", "init_logit_bias") if key in config}


def _licence(repository: str, tag: str) -> str:
    owner = "openai" if tag == "openai" else repository.partition("/")[0]
    return _LICENCES.get(owner, _SEE_CARD)

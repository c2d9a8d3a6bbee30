"""Known weights: what they are, where they are handed out, under which licence, and their digest where it is known.

A digest stands here only where it is published. All others are recorded when the file first comes.
Nothing here imports torch; names of open_clip's models are looked up in its own tables when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imprimatur_evaluators.backbones.publication import OPEN_CLIP, Published
from imprimatur_evaluators.errors import BadWeights

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_CLIP = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
_VIT_H_14: dict[str, Any] = {
    "embed_dim": 1024,
    "vision": {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
    "text": {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24},
}


def _dinov2(letter: str, size: str) -> Published:
    network = f"vit_{size}_patch14_dinov2"
    return Published(
        name=f"dinov2-vit-{letter}-14",
        architecture="dinov2",
        files=(f"hub:timm/{network}.lvd142m/model.safetensors",),
        licence="Apache-2.0",
        source=f"https://huggingface.co/timm/{network}.lvd142m",
        settings={"timm": network, "preprocess": {"size": 224, "mode": "squash", **_IMAGENET}},
    )


def _hpsv2(name: str, file: str) -> Published:
    return Published(
        name=name,
        architecture="hpsv2",
        files=(f"hub:xswu/HPSv2/{file}",),
        licence="Apache-2.0",
        source="https://github.com/tgxs002/HPSv2",
        settings={
            **_VIT_H_14,
            "state_dict_key": "state_dict",
            "preprocess": {"size": 224, "mode": "letterbox", **_CLIP},
        },
    )


_TABLE = (
    Published(
        name="inception-2015",
        architecture="inception-2015",
        files=(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
        ),
        licence="Apache-2.0",
        source="https://github.com/toshas/torch-fidelity",
        # the file's name publishes the first eight digits, as torch.hub has it; the projects that pin the whole agree
        digest="sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        settings={"preprocess": {"size": 299, "mode": "clean", "mean": 128, "std": 128, "scale": 1}},
    ),
    _dinov2("s", "small"),
    _dinov2("b", "base"),
    _dinov2("l", "large"),
    _dinov2("g", "giant"),
    Published(
        name="sscd-disc-mixup",
        architecture="sscd",
        files=("https://dl.fbaipublicfiles.com/sscd-copy-detection/sscd_disc_mixup.torchvision.pt",),
        licence="MIT",
        source="https://github.com/facebookresearch/sscd-copy-detection",
        settings={"dims": 512, "power": 3, "preprocess": {"size": 288, "mode": "squash_bilinear", **_IMAGENET}},
    ),
    _hpsv2("hpsv2", "HPS_v2_compressed.pt"),
    _hpsv2("hpsv2.1", "HPS_v2.1_compressed.pt"),
    Published(
        name="pickscore",
        architecture="pick-score",
        files=("hub:yuvalkirstain/PickScore_v1/model.safetensors",),
        licence="not stated with the weights (their code is MIT)",
        source="https://huggingface.co/yuvalkirstain/PickScore_v1",
        settings={**_VIT_H_14, "preprocess": {"size": 224, "mode": "clip", **_CLIP}},
    ),
)
PUBLISHED: Mapping[str, Published] = {one.name: one for one in _TABLE}
"""The known weights by name, other than those of open_clip."""

SHORT_NAMES: Mapping[str, str] = {
    "openai-clip-vit-l-14-336": f"{OPEN_CLIP}ViT-L-14-336/openai",
    "openai-clip-vit-l-14": f"{OPEN_CLIP}ViT-L-14/openai",
    "openai-clip-vit-b-16": f"{OPEN_CLIP}ViT-B-16/openai",
    "openai-clip-vit-b-32": f"{OPEN_CLIP}ViT-B-32/openai",
    "laion-clip-vit-h-14": f"{OPEN_CLIP}ViT-H-14/laion2b_s32b_b79k",
}
"""The open_clip models that published scores rest on, by the names that those scores call them; the first for CMMD."""


def published(name: str) -> Published:
    """The known weights of that name; BadWeights 'no-such-weights' or, of open_clip's, 'tokenizer-not-included'."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    own = SHORT_NAMES.get(name, name)
    if own.startswith(OPEN_CLIP):
        from imprimatur_evaluators.backbones.open_clip_tables import published_by_open_clip  # open_clip is heavy

        return replace(published_by_open_clip(own), name=name)
    known = ", ".join((*PUBLISHED, *SHORT_NAMES))
    raise BadWeights(
        "no-such-weights", f"no published weights are known as '{name}' (known: {known}, {OPEN_CLIP}MODEL/TAG)"
    )

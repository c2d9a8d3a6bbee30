"""Models of what people prefer: HPSv2 and PickScore, both a CLIP ViT-H/14 tuned on people's choices.

Wu et al., "Human preference score v2", 2023 (arXiv 2306.09341): the cosine of image and prompt. Kirstain et al.,
"Pick-a-Pic", NeurIPS 2023: the cosine times the network's own scale. On HPDv2's test pairs they agree with people in
83.3% (HPSv2) and 79.8% (PickScore) of cases, one person with others in 78.1%. Both papers run the network in half
precision; here it runs in float32.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from open_clip.model import CLIP

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.open_clip_model import OpenClipBackbone, network
from imprimatur_evaluators.backbones.state_dict import StateDict, state_dict_of
from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array, as_array

_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)")
_TOWERS = {"text": "", "vision": "visual."}
_IN_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OUTSIDE = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TURNED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}


class PreferenceBackbone(OpenClipBackbone):
    """A joint backbone whose cosines, times ``scale``, say what people would prefer; see ``PreferenceModel``."""

    def __init__(self, entry: Entry, model: CLIP, device: str, *, scale: float) -> None:
        super().__init__(entry, model, device)
        self.scale = scale

    def preferences(self, features: Array, prompts: Sequence[str]) -> Array:
        """The score [n] of image features [n, width], each with its own prompt; higher is better, at most ``scale``."""
        rows = as_array(features)
        if len(rows) != len(prompts):
            raise BadRequest(
                "prompts-do-not-match", f"every image needs its prompt (got {len(rows)} images, {len(prompts)} prompts)"
            )
        different, place = np.unique(np.asarray(prompts, dtype=str), return_inverse=True)
        texts = self.text_features([str(prompt) for prompt in different])
        scores: Array = self.scale * np.einsum("nd,nd->n", rows, texts[place])
        return scores


def load_hpsv2(entry: Entry, weights: bytearray, device: str) -> PreferenceBackbone:
    """HPSv2 with these weights, which open_clip's names; BadWeights 'weights-do-not-fit'."""
    return PreferenceBackbone(entry, network(entry, state_dict_of(entry, weights)), device, scale=1.0)


def load_pick_score(entry: Entry, weights: bytearray, device: str) -> PreferenceBackbone:
    """PickScore with these weights, which have transformers' names; BadWeights 'weights-do-not-fit'."""
    model = network(entry, renamed(state_dict_of(entry, weights)))
    return PreferenceBackbone(entry, model, device, scale=float(model.logit_scale.double().exp()))


def renamed(state: StateDict) -> StateDict:
    """The tensors of a transformers ``CLIPModel`` under open_clip's names; whatever is not known keeps its name.

    open_clip holds query, key and value in one tensor, and projections turned.
    """
    found: StateDict = {}
    for name, tensor in state.items():
        layer = _LAYER.fullmatch(name)
        if layer is not None:
            _rename_in_layer(found, state, layer[1], layer[2], layer[3])
        elif name in _TURNED:
            found[_TURNED[name]] = tensor.T.contiguous()
        elif not name.endswith("position_ids"):  # 0, 1, 2 and so on
            found[_OUTSIDE.get(name, name)] = tensor
    return found


def _rename_in_layer(found: StateDict, state: StateDict, tower: str, number: str, part: str) -> None:
    block = f"{_TOWERS[tower]}transformer.resblocks.{number}"
    inside, kind = part.rsplit(".", 1)
    if inside == "self_attn.q_proj":
        layer = f"{tower}_model.encoder.layers.{number}.self_attn"
        parts = [state[f"{layer}.{each}_proj.{kind}"] for each in "qkv"]
        found[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
    elif inside not in ("self_attn.k_proj", "self_attn.v_proj"):
        found[f"{block}.{_IN_LAYER.get(inside, inside)}.{kind}"] = state[
            f"{tower}_model.encoder.layers.{number}.{part}"
        ]

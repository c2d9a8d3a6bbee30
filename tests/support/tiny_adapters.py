"""LoRA adapters of tiny pipelines, as diffusers' training scripts write them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

TARGETS = ("to_k", "to_q")


def tiny_lora(pipeline: StableDiffusionPipeline, folder: Path, seed: int = 0) -> Path:
    """A random LoRA adapter of the U-Net of ``pipeline``, which has it on from now, as a file in ``folder``."""
    import torch
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=8, target_modules=list(TARGETS), init_lora_weights=False)
    pipeline.unet.add_adapter(config)
    with torch.no_grad():
        for name, parameter in pipeline.unet.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    settings = pipeline.unet.peft_config["default"].to_dict()
    type(pipeline).save_lora_weights(
        folder,
        unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet)),
        unet_lora_adapter_metadata={name: list(v) if isinstance(v, set) else v for name, v in settings.items()},
    )
    return folder / "pytorch_lora_weights.safetensors"

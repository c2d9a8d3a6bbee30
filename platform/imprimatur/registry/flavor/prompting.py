"""A loaded pipeline as MLflow's pyfunc: prompts in, PNG bytes out."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imprimatur.core.errors import BadInput
from imprimatur.registry.flavor.loading import load_pipeline

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_BATCH = 8
_SEEDS = 1 << 63
_ARGUMENTS = {"steps": "num_inference_steps", "guidance": "guidance_scale"}


class PromptedPipeline:
    """Answers each prompt with one PNG. The image of row ``i`` is drawn with the seed ``seed + i``."""

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.pipeline = pipeline
        self._taken = inspect.signature(type(pipeline).__call__).parameters

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[bytes]:
        """One PNG for each prompt of a list, or of a data frame's column ``prompt`` (or its only one)."""
        chosen = dict(params or {})
        seed = int(chosen.pop("seed", 0))
        options = {_ARGUMENTS[name]: value for name, value in chosen.items() if name in _ARGUMENTS}
        prompts = _prompts(model_input)
        images: list[bytes] = []
        for start in range(0, len(prompts), _BATCH):
            images += self._draw(prompts[start : start + _BATCH], seed + start, options)
        return images

    def _draw(self, prompts: list[str], seed: int, options: Mapping[str, Any]) -> list[bytes]:
        import torch  # heavy, and absent from the server

        device = self.pipeline.device
        generators = [torch.Generator(device).manual_seed((seed + i) % _SEEDS) for i in range(len(prompts))]
        subject: dict[str, Any] = {"prompt": prompts} if "prompt" in self._taken else {"batch_size": len(prompts)}
        with torch.inference_mode():
            drawn = self.pipeline(generator=generators, **subject, **options)
        return [_png(image) for image in drawn.images]


def _load_pyfunc(path: str) -> PromptedPipeline:
    """What ``mlflow.pyfunc.load_model`` calls with the model's data folder."""
    return PromptedPipeline(load_pipeline(Path(path), "auto"))


def _prompts(model_input: Any) -> list[str]:
    columns = getattr(model_input, "columns", None)
    if columns is not None:
        name = "prompt" if "prompt" in columns else columns[0]
        model_input = model_input[name]
    elif isinstance(model_input, str):
        model_input = [model_input]
    elif isinstance(model_input, Mapping):
        model_input = model_input.get("prompt")
    if not isinstance(model_input, Iterable):
        raise BadInput("bad-prompts", f"Got {type(model_input).__name__} (expected a list or a column of prompts)")
    prompts = list(model_input)
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise BadInput("bad-prompts", "Found a prompt that is no text (expected a list or a column of text)")
    return prompts


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()

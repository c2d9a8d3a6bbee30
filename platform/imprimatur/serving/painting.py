"""Drawing images with a loaded pipeline. The only module of the gateway that knows torch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Fault, Refused
from imprimatur.serving.model import Sampling
from imprimatur.storage.service import SealedStore

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Order:
    """One image to draw."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Drawn:
    """A drawn image, and whether the text encoder read only the beginning of its prompt."""

    picture: Picture
    prompt_cut: bool


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Painter:
    """A text-to-image pipeline on a device.

    Every image starts from noise that its own generator draws on the CPU from its own seed, so what else is in the
    batch decides nothing; arithmetic in batches of another size may still move a pixel by one level of 255.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._taken = inspect.signature(type(pipeline).__call__).parameters
        if "prompt" not in self._taken:
            raise Refused(
                "not-text-to-image",
                f"{type(pipeline).__name__} takes no prompt (expected a text-to-image pipeline); it can't be served",
            )
        self.device = str(self._pipeline.device)
        self.size = _size_of(self._pipeline)

    @classmethod
    def open(cls, store: SealedStore, digest: Digest, scratch: Path, device: str) -> Painter:
        """The sealed model ``digest`` on ``device``, from a verified copy in the new folder ``scratch``."""
        from imprimatur.registry.flavor import load_sealed  # brings MLflow: only where a model is loaded

        return cls(load_sealed(store, digest, scratch, device))

    def paint(self, sampling: Sampling, orders: Sequence[Order]) -> list[Drawn]:
        """One image for each order, each of shape [height, width, 3]. Raises Fault ``image-not-finite``.

        Tokenizers keep state, so one thread at a time may call this.
        """
        import torch  # heavy, and absent where nothing is drawn

        options: dict[str, Any] = {"num_inference_steps": sampling.steps}
        if "guidance_scale" in self._taken:
            options["guidance_scale"] = sampling.guidance
        generators = [torch.Generator("cpu").manual_seed(order.seed) for order in orders]
        prompts = [order.prompt for order in orders]
        with torch.inference_mode():
            drawn = self._pipeline(prompt=prompts, generator=generators, output_type="np", **options)
        return [
            Drawn(_levels(picture), self._cuts(prompt)) for picture, prompt in zip(drawn.images, prompts, strict=True)
        ]

    def _cuts(self, prompt: str) -> bool:
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        if tokenizer is None:
            return False
        return len(tokenizer(prompt, truncation=False, verbose=False).input_ids) > int(tokenizer.model_max_length)


def _size_of(pipeline: Any) -> Size:
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    edge = getattr(getattr(denoiser, "config", None), "sample_size", None)
    height, width = edge if isinstance(edge, list | tuple) else (edge, edge)
    scale = int(getattr(pipeline, "vae_scale_factor", 1))
    if not isinstance(height, int) or not isinstance(width, int):
        raise Refused("no-image-size", f"{type(pipeline).__name__} names no sample_size, so its image size is unknown")
    return Size(width * scale, height * scale)


def _levels(picture: NDArray[np.float32]) -> Picture:
    if not np.isfinite(picture).all():
        raise Fault("image-not-finite", "The model drew an image with values that are no numbers; it was thrown away")
    levels: Picture = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels

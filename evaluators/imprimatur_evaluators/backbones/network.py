"""What all our torch networks have in common: how pixels get in, fixed batches, exact arithmetic, features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.model import View
from imprimatur_evaluators.images import FloatImages, Pixels, ResizeMode
from imprimatur_evaluators.statistics.arrays import Array

BATCH = 64
SMALL_BATCH = 8
"""Where a CPU runs a network of full size, so that one image does not cost as much as 64."""
_SMALL_INPUT = 64


@dataclass(frozen=True)
class Preprocess:
    """How pixels become a network's input: resized, divided by ``scale``, less ``mean``, divided by ``std``."""

    view: View
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Preprocess:
        """What the ``preprocess`` of a backbone's configuration states; BadRequest 'unknown-resize-mode'."""
        how = config["preprocess"]
        view = View(ResizeMode.parse(how["mode"]), how["size"])
        return cls(view, _channels(how["mean"]), _channels(how["std"]), how.get("scale", 255))

    @property
    def words(self) -> str:
        """The same for people."""
        return (
            f"{self.view.mode.words(self.view.size)}, normalised by mean {_stated(self.mean)} "
            f"and deviation {_stated(self.std)}"
        )

    def normalised(self, pixels: FloatImages) -> Tensor:
        """Resized pixels [n, size, size, 3] as the network's input [n, 3, size, size]."""
        mean, std = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (self.mean, self.std))
        ready: Tensor = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / self.scale - mean) / std
        return ready


def _channels(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (float(value),)  # type: ignore[arg-type]


def _stated(values: tuple[float, ...]) -> str:
    return str(values[0]) if len(values) == 1 else str(list(values))


class Network(ABC):
    """A frozen torch network on a device; see ``Backbone`` for what it promises.

    Every batch is filled up to one fixed size, so that no feature depends on what else is in it. On a CPU,
    ``channels_last`` makes convolutions faster and changes nothing else.
    """

    unit_length = True
    """Whether features are divided by their length."""

    def __init__(self, entry: Entry, module: nn.Module, device: str, *, channels_last: bool = False) -> None:
        self.name = entry.name
        self.weights_digest = entry.digest
        self.identity = entry.identity
        self._preprocess = Preprocess.parse(entry.config)
        self._device = torch.device(device)
        laid_out = channels_last and self._device.type == "cpu"
        self._layout = torch.channels_last if laid_out else torch.preserve_format
        module = module.to(device).eval()
        self._module = module.to(memory_format=torch.channels_last) if laid_out else module
        small = self._device.type == "cpu" and self.view.size > _SMALL_INPUT
        self._batch = SMALL_BATCH if small else BATCH

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers a feature has."""

    @abstractmethod
    def _embedded(self, batch: Tensor) -> Tensor:
        """Features [batch, width] of a network's input [batch, 3, size, size]."""

    @property
    def view(self) -> View:
        """The size and mode of the configuration."""
        return self._preprocess.view

    @property
    def protocol(self) -> str:
        """How images get in, in words."""
        length = ", unit length" if self.unit_length else ""
        return f"{self._preprocess.words}{length}; configuration {self.identity[7:19]}"

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Features [n, width] of images seen through ``view``."""
        tops = range(0, len(pixels), self._batch)
        parts = [self._features(pixels[top : top + self._batch]) for top in tops]
        return np.concatenate(parts) if parts else np.zeros((0, self.width))

    def _features(self, pixels: Sequence[Pixels]) -> Array:
        ready = self._preprocess.normalised(np.stack(pixels).astype(np.float32))
        with exact_arithmetic():
            batch = filled(ready, self._batch).to(self._device, memory_format=self._layout)
            return self._numbers(self._embedded(batch), len(pixels))

    def _numbers(self, features: Tensor, count: int) -> Array:
        rows: Array = features[:count].double().cpu().numpy()
        return unit(rows) if self.unit_length else rows


def filled(batch: Tensor, size: int) -> Tensor:
    """``batch`` with zeros after it, up to ``size`` rows."""
    return functional.pad(batch, (0, 0) * (batch.ndim - 1) + (0, size - len(batch)))


def unit(rows: Array) -> Array:
    """Each row divided by its length."""
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """No gradients, and float32 that is float32: TF32, which a GPU uses for convolutions unasked, keeps 10 bits."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with torch.inference_mode(), exact:
            yield
    finally:
        torch.set_float32_matmul_precision(precision)

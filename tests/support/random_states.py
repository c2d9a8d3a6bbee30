"""Random weights for networks whose published ones are not here, and the one measure of how near two features are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from imprimatur_evaluators.backbones import Catalogue


def random_state(module: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors under the names of ``module``: signals keep their size, and no two statistics are alike."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _random(name, tensor, generator) for name, tensor in module.state_dict().items()}


def _random(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    if name.endswith(("running_var", "norm1.weight", "norm2.weight")) or (tensor.ndim == 1 and name.endswith("weight")):
        return torch.rand(tensor.shape, generator=generator) + 0.5
    fan_in = tensor[0].numel() if tensor.ndim > 1 else 100
    drawn: Tensor = torch.randn(tensor.shape, generator=generator) * (2 / fan_in) ** 0.5
    return drawn


def add_random(
    root: Path, name: str, state: Mapping[str, Tensor], config: Mapping[str, Any], *, safetensors: bool = True
) -> Catalogue:
    """A catalogue under ``root`` that holds ``state`` as ``name``, as safetensors or as a plain state dict."""
    file = root / f"{name}.weights"
    if safetensors:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, file)
    else:
        torch.save(dict(state), file)
    catalogue = Catalogue(root / "catalogue")
    catalogue.add(name, file, config, licence="CC0-1.0", source="random numbers")
    return catalogue


def pictures(n: int, height: int = 32, width: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth random images [n, height, width, 3]: a few random colours, blown up."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.float64)
    rows = np.linspace(0, 3, height).round().astype(int)
    columns = np.linspace(0, 3, width).round().astype(int)
    fine = coarse[:, rows][:, :, columns] * 0.8 + rng.integers(0, 52, (n, height, width, 3))
    return np.clip(fine, 0, 255).astype(np.uint8)


def relative_difference(found: NDArray[Any], expected: Any) -> float:
    """The largest distance of two features over the length of the expected one."""
    wanted = np.asarray(expected, dtype=np.float64)
    assert found.shape == wanted.shape
    return float((np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max())

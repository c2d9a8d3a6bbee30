"""Loading a pipeline: from a checked local folder, stock classes only, safetensors only, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused
from imprimatur.registry.adapter import admit_adapter, require_sealed_base
from imprimatur.registry.admission import admit
from imprimatur.registry.flavor.quiet import without_bars
from imprimatur.registry.layout import ADAPTER_TYPE, pipeline_folder
from imprimatur.registry.safetensors_header import read_header
from imprimatur.storage.service import SealedStore

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch.nn import Parameter


def load_pipeline(path: Path | str, device: str = "cpu") -> DiffusionPipeline:
    """The pipeline in the folder ``path``, on ``device``, ready to be called, without progress bars.

    The folder is admitted first as if it were to be sealed, so pickles, links, custom classes and odd headers are
    refused here too. Raises Refused with the code of what was found.
    """
    name = admit(Path(path)).pipeline
    folder = pipeline_folder(Path(path))
    import diffusers  # heavy, and absent from the server

    kind = getattr(diffusers, name)
    with without_bars():
        pipeline: DiffusionPipeline = kind.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(resolve_device(device))


def load_sealed(store: SealedStore, digest: Digest, scratch: Path, device: str = "cpu") -> DiffusionPipeline:
    """The sealed pipeline ``digest``, from a verified copy made in the new folder ``scratch``.

    An adapter is applied to the sealed base that it names, and both are verified. Raises Tampered ``file-changed``,
    naming the file, where the sealed bytes are not those that were sealed; Refused ``unsealed-base`` where the base is
    gone, ``adapter-does-not-fit`` where it is no base for the adapter.
    """
    if store.manifest(digest).artifact_type != ADAPTER_TYPE:
        return load_pipeline(store.materialise(digest, scratch), device)
    folder = store.materialise(digest, scratch / "adapter")
    adapter = admit_adapter(folder)
    require_sealed_base(store, adapter.base)
    pipeline = load_pipeline(store.materialise(adapter.base, scratch / "base"))
    apply_adapter(pipeline, folder / adapter.weights)
    return pipeline.to(resolve_device(device))


def apply_adapter(pipeline: DiffusionPipeline, weights: Path) -> None:
    """Put the LoRA weights in the admitted file ``weights`` on ``pipeline``.

    Raises Refused ``adapter-does-not-fit`` where they have other shapes or names than the pipeline's layers, also where
    diffusers would go on without those that it can't place.
    """
    if not hasattr(pipeline, "load_lora_weights"):
        raise _misfit(pipeline, "it takes no LoRA weights")
    try:
        pipeline.load_lora_weights(
            str(weights.parent), weight_name=weights.name, use_safetensors=True, local_files_only=True
        )
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _misfit(pipeline, str(error)[:200]) from error
    placed = sum(parameter.numel() for _, parameter in _lora_parameters(pipeline))
    held = sum(math.prod(t.shape) for t in read_header(weights) if "lora" in t.name and not t.name.endswith(".alpha"))
    if not 0 < held <= placed:
        raise _misfit(pipeline, f"{placed} of {held} weights found their layer")


def _lora_parameters(pipeline: DiffusionPipeline) -> Iterator[tuple[str, Parameter]]:
    for part in pipeline.components.values():
        if hasattr(part, "named_parameters"):
            yield from ((name, value) for name, value in part.named_parameters() if ".lora_" in name)


def _misfit(pipeline: DiffusionPipeline, found: str) -> Refused:
    return Refused(
        "adapter-does-not-fit",
        f"The adapter can't be put on its base, a {type(pipeline).__name__}: {found} (expected the base that it was "
        "trained on); name that one's sealed digest when logging it",
    )


def resolve_device(device: str) -> str:
    """``device``, with ``auto`` resolved to the GPU where there is one."""
    import torch  # heavy, and absent from the server

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"

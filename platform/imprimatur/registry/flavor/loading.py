"""Loading a pipeline: from a checked local folder, stock classes only, safetensors only, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from imprimatur.core.digests import Digest
from imprimatur.registry.admission import admit
from imprimatur.registry.flavor.quiet import without_bars
from imprimatur.registry.layout import pipeline_folder
from imprimatur.storage.service import SealedStore

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


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

    Raises Tampered ``file-changed``, naming the file, where the sealed bytes are not those that were sealed.
    """
    return load_pipeline(store.materialise(digest, scratch), device)


def resolve_device(device: str) -> str:
    """``device``, with ``auto`` resolved to the GPU where there is one."""
    import torch  # heavy, and absent from the server

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"

"""Loading a pipeline: from a checked local folder, stock classes only, safetensors only, nothing fetched."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused
from imprimatur.registry.adapter import admit_adapter, require_sealed_base
from imprimatur.registry.admission import admit
from imprimatur.registry.environment import offline
from imprimatur.registry.flavor.quiet import without_bars
from imprimatur.registry.layout import ADAPTER_TYPE, pipeline_folder
from imprimatur.registry.safetensors_header import read_header
from imprimatur.registry.stock import INDEX_NAME, components
from imprimatur.storage.service import SealedStore

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch.nn import Module, Parameter

_SEVERAL = ("MultiAdapter", "MultiControlNetModel")  # saved as several models, and loaded without a report


def load_pipeline(path: Path | str, device: str = "cpu") -> DiffusionPipeline:
    """The pipeline in the folder ``path``, on ``device``, ready to be called, without progress bars.

    The folder is admitted first as if it were to be sealed, so pickles, links, custom classes and odd headers are
    refused here too. Raises Refused with the code of what was found, or ``weights-missing`` or ``weights-do-not-fit``
    where the files don't hold every weight of the models that they describe.
    """
    name = admit(Path(path)).pipeline
    folder = pipeline_folder(Path(path))
    import diffusers  # heavy, and absent from the server

    kind = getattr(diffusers, name)
    with without_bars(), offline():
        pipeline: DiffusionPipeline = kind.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, trust_remote_code=False, **_models(kind, folder)
        )
    for name, part in pipeline.components.items():
        _require_weights(name, _unfilled(part))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(resolve_device(device))


def _models(kind: type, folder: Path) -> dict[str, Module]:
    """The pipeline's models, loaded as it would load them; only we ask what their files lack."""
    from torch.nn import Module

    index = json.loads((folder / INDEX_NAME).read_bytes())
    taken = inspect.signature(kind).parameters
    kinds = {name: _class(*index[name]) for name in components(index) if name in taken}
    return {
        name: _model(part, folder / name)
        for name, part in kinds.items()
        if issubclass(part, Module) and part.__name__ not in _SEVERAL
    }


def _class(library: str, name: str) -> type:
    """The stock class that an index names by its library, or by the folder of diffusers' pipelines that it is in."""
    import diffusers
    import transformers

    homes = {"diffusers": diffusers, "transformers": transformers}
    found: type = getattr(homes.get(library) or getattr(diffusers.pipelines, library), name)
    return found


def _model(kind: Any, folder: Path) -> Module:
    try:
        model, report = kind.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (RuntimeError, ValueError) as error:
        raise Refused(
            "weights-do-not-fit",
            f"The files of component {folder.name!r} make no {kind.__name__}: {str(error)[:200]} "
            "(expected weights of the shapes that its configuration describes); save the pipeline again",
        ) from error
    _require_weights(folder.name, report["missing_keys"])
    loaded: Module = model
    return loaded


def _unfilled(part: object) -> Iterator[str]:
    """The weights for which diffusers found no values in the files."""
    if hasattr(part, "state_dict"):
        yield from (name for name, value in part.state_dict().items() if value.is_meta)


def _require_weights(part: str, lacking: Iterable[str]) -> None:
    names = sorted(lacking)
    if names:
        raise Refused(
            "weights-missing",
            f"Component {part!r} lacks {len(names)} of its weights, such as {names[0]!r} (expected all of them: what "
            "is missing would be drawn at random at each load); save the pipeline again",
        )


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

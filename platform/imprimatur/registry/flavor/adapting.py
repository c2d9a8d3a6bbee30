"""Saving a LoRA adapter as MLflow's own diffusers flavor does, with its base named by that one's sealed digest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imprimatur.core.digests import Digest, is_digest
from imprimatur.core.errors import BadInput, ImprimaturError
from imprimatur.registry.adapter import admit_adapter
from imprimatur.registry.flavor.saving import empty_folder, log
from imprimatur.registry.layout import LINEAGE_KEY
from imprimatur.registry.model import Lineage

if TYPE_CHECKING:
    from mlflow.models import Model
    from mlflow.models.model import ModelInfo


def save_adapter(
    adapter: Path | str, path: Path | str, *, base: Digest, lineage: Lineage, mlflow_model: Model | None = None
) -> None:
    """Write the LoRA weights ``adapter``, a safetensors file or its folder, to ``path`` as ``mlflow.diffusers`` does.

    ``base`` is the sealed manifest's digest of the pipeline that the adapter was trained on; it becomes the lineage's
    base model, and stands where MLflow expects a name to load by, so that nothing but the sealed base ever fits. Raises
    BadInput ``bad-digest`` or ``folder-not-empty``, and Refused with the code of what would keep the folder from being
    sealed; then nothing is left of it.
    """
    if not is_digest(base):
        raise BadInput("bad-digest", f"{base!r} is no digest (expected that of the sealed base, sha256:...)")
    import mlflow.diffusers  # asks for diffusers and peft, absent from the server

    folder = empty_folder(Path(path))
    mlflow.diffusers.save_model(
        str(adapter),
        str(folder),
        base_model=f"./{base}",  # a path to MLflow, which would look names up at Hugging Face
        mlflow_model=mlflow_model,
        metadata={
            **((mlflow_model and mlflow_model.metadata) or {}),
            LINEAGE_KEY: replace(lineage, base_model=base).document(),
        },
    )
    try:
        admit_adapter(folder)
    except ImprimaturError:
        shutil.rmtree(folder)
        raise


def log_adapter(
    adapter: Path | str,
    *,
    base: Digest,
    name: str,
    registered_model_name: str | None = None,
    lineage: Lineage,
) -> ModelInfo:
    """Log the LoRA weights ``adapter`` to MLflow's active run, as ``log_pipeline`` does a pipeline.

    See ``save_adapter`` for what is written and raised.
    """
    return log(save_adapter, {"adapter": adapter, "base": base}, name, registered_model_name, lineage)

"""Where things are in a saved model's folder, and the lineage in its MLmodel file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imprimatur.core import strict_yaml
from imprimatur.core.digests import Json
from imprimatur.core.errors import BadInput, Refused
from imprimatur.registry.stock import INDEX_NAME

FLAVOR_NAME = "imprimatur"
LOADER_MODULE = "imprimatur.registry.flavor"
LINEAGE_KEY = "imprimatur"
MLMODEL = "MLmodel"
PIPELINE_FOLDER = "pipeline"
PIPELINE_TYPE = "application/vnd.imprimatur.pipeline.v1"
ADAPTER_TYPE = "application/vnd.imprimatur.adapter.v1"
ADAPTER_LOADER = "mlflow.diffusers"
ADAPTER_FOLDER = "adapter_weights"
_ADAPTER_FLAVOR = "diffusers"
_MLMODEL_LIMIT = 1 << 18


def pipeline_folder(folder: Path) -> Path:
    """The folder with ``model_index.json``: ``folder`` itself, or ``pipeline`` in it.

    Raises Refused ``no-pipeline`` where neither has one, ``two-pipelines`` where both have.
    """
    found = [candidate for candidate in (folder, folder / PIPELINE_FOLDER) if (candidate / INDEX_NAME).is_file()]
    if len(found) > 1:
        raise Refused(
            "two-pipelines",
            f"Two pipelines found, by {INDEX_NAME} at the top of the folder and in {PIPELINE_FOLDER}/ (expected one); "
            "log each as a version of its own",
            file=INDEX_NAME,
        )
    if found:
        return found[0]
    raise Refused(
        "no-pipeline",
        f"No {INDEX_NAME} found (expected one at the top of the folder or in {PIPELINE_FOLDER}/); "
        "log the pipeline with imprimatur.registry.flavor.log_pipeline",
    )


def read_mlmodel(path: Path) -> Mapping[str, Any]:
    """The parsed MLmodel file. Raises BadInput ``bad-mlmodel`` where it is too large or no YAML mapping."""
    if path.stat().st_size > _MLMODEL_LIMIT:
        raise BadInput("bad-mlmodel", f"{MLMODEL} has {path.stat().st_size} bytes (expected at most {_MLMODEL_LIMIT})")
    return parse_mlmodel(path.read_bytes())


def parse_mlmodel(data: bytes) -> Mapping[str, Any]:
    """The MLmodel document in ``data``. Raises BadInput ``bad-mlmodel`` where it is no YAML mapping."""
    document = strict_yaml.load(data.decode("utf-8", "replace"), "bad-mlmodel")
    if not isinstance(document, dict):
        raise BadInput("bad-mlmodel", f"{MLMODEL} holds {type(document).__name__} (expected a mapping)")
    return document


def adapter_flavor(folder: Path) -> Mapping[str, Any] | None:
    """What MLflow's own diffusers flavor wrote of the adapter in ``folder``; None where there is no such flavor."""
    path = folder / MLMODEL
    flavors = read_mlmodel(path).get("flavors") if path.is_file() else None
    flavor = flavors.get(_ADAPTER_FLAVOR) if isinstance(flavors, dict) else None
    return flavor if isinstance(flavor, dict) else None


def lineage_of(folder: Path) -> Mapping[str, Json]:
    """The lineage that was saved with the pipeline, as JSON; empty where the folder has none."""
    path = folder / MLMODEL
    return lineage_in(read_mlmodel(path)) if path.is_file() else {}


def lineage_in(mlmodel: Mapping[str, Any]) -> Mapping[str, Json]:
    """The lineage in a parsed MLmodel file, as JSON; empty where there is none."""
    metadata = mlmodel.get("metadata") or {}
    lineage = metadata.get(LINEAGE_KEY) if isinstance(metadata, dict) else None
    return lineage if isinstance(lineage, dict) else {}

"""Saving a pipeline as an MLflow model, and logging it to a server."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import mlflow
import yaml
from mlflow.models import Model, ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from imprimatur.core.errors import BadInput
from imprimatur.registry.admission import admit
from imprimatur.registry.flavor.calling import OPTIONS, Call, call_of
from imprimatur.registry.flavor.quiet import without_bars
from imprimatur.registry.layout import (
    FLAVOR_NAME,
    LINEAGE_KEY,
    LOADER_MODULE,
    MLMODEL,
    PIPELINE_FOLDER,
    pipeline_folder,
)
from imprimatur.registry.model import Lineage
from imprimatur.registry.stock import INDEX_NAME, LABELS, check_index

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_PINNED = ("diffusers", "transformers", "torch", "safetensors", "mlflow", "imprimatur")


def save_pipeline(
    pipeline: DiffusionPipeline, path: Path | str, *, lineage: Lineage, mlflow_model: Model | None = None
) -> None:
    """Write ``pipeline`` to the new or empty folder ``path`` as an MLflow model with weights in safetensors only.

    The lineage goes into the MLmodel file as ``metadata.imprimatur``, so that it is sealed with the weights. Raises
    BadInput ``folder-not-empty`` for a folder with files in it, Refused ``custom-code`` for a pipeline with a class
    that is not stock.
    """
    folder = empty_folder(Path(path))
    check_index({name: _listed(value) for name, value in pipeline.config.items()} | _class_of(pipeline))
    with without_bars():
        pipeline.save_pretrained(folder / PIPELINE_FOLDER, safe_serialization=True)
    _keep_labels(pipeline, folder / PIPELINE_FOLDER / INDEX_NAME)
    _finish(folder, type(pipeline), lineage, mlflow_model or Model())


def save_folder(source: Path, path: Path | str, *, lineage: Lineage, mlflow_model: Model | None = None) -> None:
    """Write the saved pipeline in the folder ``source`` to ``path`` as an MLflow model, its files byte for byte.

    The folder is admitted first, so nothing is written where sealing it would be refused.
    """
    import diffusers  # heavy, and absent from the server

    folder = empty_folder(Path(path))
    name = admit(source).pipeline
    shutil.copytree(pipeline_folder(source), folder / PIPELINE_FOLDER)
    _finish(folder, getattr(diffusers, name), lineage, mlflow_model or Model())


def log_pipeline(
    pipeline: DiffusionPipeline, *, name: str, registered_model_name: str | None = None, lineage: Lineage
) -> ModelInfo:
    """Log ``pipeline`` to MLflow's active run, and register it as a new version where a model is named.

    A lineage without a run gets the active run's id. The result's ``registered_model_version`` is the new number.
    """
    return log(save_pipeline, {"pipeline": pipeline}, name, registered_model_name, lineage)


def log_folder(source: Path, *, name: str, registered_model_name: str | None = None, lineage: Lineage) -> ModelInfo:
    """Log the saved pipeline in the folder ``source``, as ``log_pipeline`` does, without loading its weights."""
    return log(save_folder, {"source": source}, name, registered_model_name, lineage)


def log(
    save: Callable[..., None], what: Mapping[str, Any], name: str, registered_model_name: str | None, lineage: Lineage
) -> ModelInfo:
    """Log what ``save`` writes of ``what`` to MLflow's active run, as ``log_pipeline`` does."""
    run = mlflow.active_run()
    if lineage.run_id is None and run is not None:
        lineage = replace(lineage, run_id=run.info.run_id)
    info: ModelInfo = Model.log(
        artifact_path=None,
        name=name,
        flavor=SimpleNamespace(__name__=LOADER_MODULE, save_model=save),  # a flavor's module, as Model.log knows it
        registered_model_name=registered_model_name,
        lineage=lineage,
        **what,
    )
    return info


def empty_folder(folder: Path) -> Path:
    """``folder``, made where it was not there. Raises BadInput ``folder-not-empty``."""
    if folder.exists() and any(folder.iterdir()):
        raise BadInput("folder-not-empty", f"{folder.name} has files in it (expected a new or empty folder)")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _finish(folder: Path, kind: type, lineage: Lineage, model: Model) -> None:
    _write_environment(folder)
    model.metadata = {**(model.metadata or {}), LINEAGE_KEY: lineage.document()}
    call = call_of(kind)
    model.add_flavor(
        FLAVOR_NAME,
        data=PIPELINE_FOLDER,
        pipeline_class=kind.__name__,
        diffusers_version=version("diffusers"),
        media_type=call.media.value if call else None,
    )
    if call is not None:
        model.signature = signature_of(call)
        mlflow.pyfunc.add_to_model(
            model,
            loader_module=LOADER_MODULE,
            data=PIPELINE_FOLDER,
            conda_env="conda.yaml",
            python_env="python_env.yaml",
        )
    model.model_size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    model.save(str(folder / MLMODEL))


def signature_of(call: Call) -> ModelSignature:
    """One prompt in a row, one file out; the seed, and what else the pipeline's call knows of our parameters."""
    params = [ParamSpec("seed", DataType.long, 0)]
    for option in OPTIONS:
        if option.name in call.defaults:
            default, kind = call.defaults[option.name], DataType.long if option.whole else DataType.double
            number = default if default is None or option.whole else float(default)
            params.append(ParamSpec(option.name, kind, number))
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([ColSpec(DataType.binary)]),
        params=ParamSchema(params),
    )


def _keep_labels(pipeline: Any, index: Path) -> None:
    """Write the names of the pipeline's classes where it will look for them; diffusers forgets them when it saves."""
    labels = getattr(pipeline, "labels", None)
    if not isinstance(labels, dict) or not labels:
        return
    names: dict[int, list[str]] = {}
    for name, number in labels.items():
        names.setdefault(number, []).append(name)
    document = json.loads(index.read_bytes())
    document[LABELS] = {str(number): ", ".join(names[number]) for number in sorted(names)}
    index.write_text(json.dumps(document, indent=2) + "\n")


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _class_of(pipeline: Any) -> dict[str, object]:
    return {"_class_name": type(pipeline).__name__}


def _write_environment(folder: Path) -> None:
    requirements = [f"{package}=={version(package)}" for package in _PINNED]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    python = platform.python_version()
    (folder / "python_env.yaml").write_text(yaml.safe_dump({"python": python, "dependencies": ["-r requirements.txt"]}))
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda, sort_keys=False))

"""The full-pipeline flavor: a whole diffusers pipeline as an MLflow model, in safetensors only, with its lineage.

    from imprimatur.registry.flavor import Lineage, log_pipeline

    log_pipeline(pipeline, name="pipeline", registered_model_name="digits", lineage=Lineage(...))

MLflow finds ``_load_pyfunc`` and ``save_model`` here by name: ``mlflow.pyfunc.load_model`` then takes prompts and gives
PNG images. Nothing here imports torch before a pipeline is saved or loaded.
"""

from imprimatur.registry.flavor.adapting import log_adapter, save_adapter
from imprimatur.registry.flavor.loading import load_pipeline, load_sealed
from imprimatur.registry.flavor.prompting import PromptedPipeline, _load_pyfunc
from imprimatur.registry.flavor.saving import log_folder, log_pipeline, save_folder, save_pipeline
from imprimatur.registry.layout import FLAVOR_NAME, LINEAGE_KEY, lineage_of
from imprimatur.registry.model import Lineage, UsedDataset

save_model = save_pipeline

__all__ = [
    "FLAVOR_NAME",
    "LINEAGE_KEY",
    "Lineage",
    "PromptedPipeline",
    "UsedDataset",
    "_load_pyfunc",
    "lineage_of",
    "load_pipeline",
    "load_sealed",
    "log_adapter",
    "log_folder",
    "log_pipeline",
    "save_adapter",
    "save_folder",
    "save_model",
    "save_pipeline",
]

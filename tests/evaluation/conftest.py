"""A stage with a sealed tiny pipeline; the pipeline and the backbone are made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation_stage import Stage, fill, open_stage, random_backbone
from imprimatur.audit.service import AuditLog
from imprimatur.core.settings import Settings
from imprimatur.registry.flavor import Lineage, save_pipeline
from tiny_pipelines import tiny_stable_diffusion


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random pipeline, saved in our flavor."""
    folder = tmp_path_factory.mktemp("tiny")
    save_pipeline(tiny_stable_diffusion(folder / "tokenizer"), folder / "model", lineage=Lineage())
    return folder / "model"


@pytest.fixture(scope="session")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a tiny backbone."""
    return random_backbone(tmp_path_factory.mktemp("backbone") / "weights.safetensors")


@pytest.fixture
def stage(settings: Settings, log: AuditLog, model_folder: Path, backbone_file: Path) -> Stage:
    """Everything in place to evaluate ``tiny/1`` with the suite ``tiny``."""
    opened = open_stage(settings, log)
    fill(opened, model_folder, backbone_file)
    return opened

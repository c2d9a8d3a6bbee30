"""Fixtures of the registry's tests: a tiny pipeline, saved once, and copies of it to spoil."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from imprimatur.registry.flavor import Lineage, UsedDataset, save_pipeline
from tiny_pipelines import tiny_stable_diffusion


@pytest.fixture(scope="session")
def lineage() -> Lineage:
    """A lineage with every part."""
    return Lineage(
        run_id="a" * 32,
        code_commit="c0ffee",
        datasets=(UsedDataset("digits-train", "sha256:" + "1" * 64, "CC BY 4.0"),),
        device="cpu",
        seconds=36.0,
        cost=0.002,
        currency="EUR",
    )


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny random Stable Diffusion pipeline."""
    return tiny_stable_diffusion(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def saved_once(tmp_path_factory: pytest.TempPathFactory, pipeline: Any, lineage: Lineage) -> Path:
    """The tiny pipeline as an MLflow model, saved once; nobody writes here."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_pipeline(pipeline, folder, lineage=lineage)
    return folder


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Path:
    """A copy of the saved pipeline that the test may spoil."""
    return Path(shutil.copytree(saved_once, tmp_path / "model"))

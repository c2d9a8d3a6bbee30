"""Two sealed pipelines with random weights, and a gateway around them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import hypothesis
import pytest

from gateway_stage import Sealed, Stage
from imprimatur.core.settings import Settings
from imprimatur.storage.service import SealedStore
from signed_bundles import Hands

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def sealed_pipelines(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Two different tiny pipelines, sealed once for all tests."""
    import torch

    from tiny_pipelines import tiny_stable_diffusion

    torch.set_num_threads(1)  # threads that spin for each other take minutes on a busy machine
    root = tmp_path_factory.mktemp("sealed")
    store = SealedStore(root / "store")
    digests = []
    for seed in (1, 2):
        folder = root / f"pipeline-{seed}"
        tiny_stable_diffusion(root / f"words-{seed}", seed).save_pretrained(folder, safe_serialization=True)
        digests.append(store.seal_folder(folder, artifact_type="application/vnd.imprimatur.model").digest)
    return Sealed(root / "store", *digests)


@pytest.fixture
def stage(settings: Settings, sealed_pipelines: Sealed) -> Iterator[Stage]:
    """A server with a bundle, ready for a gateway to be started."""
    shutil.copytree(sealed_pipelines.root, settings.sealed)
    with ExitStack() as stack:
        yield Stage(settings, sealed_pipelines, Hands(datetime(2026, 11, 23, 12, 0, tzinfo=UTC)), stack)

"""Everything that an evaluation needs, in one home folder: a tiny sealed pipeline, data, weights and a suite.

Run as a program with a home folder, it is a worker of that home.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imprimatur.access.model import Principal, Role
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.costs.service import Ledger
from imprimatur.datasets.parquet import build
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.service import Evaluations
from imprimatur.registry import store as registry_rows
from imprimatur.registry.model import Version
from imprimatur.registry.provenance import ModelSigner
from imprimatur.registry.service import ARTIFACT_TYPE, Registry
from imprimatur.storage.service import SealedStore

ENGINEER = Principal("ana", frozenset({Role.ENGINEER}), "imaging")
SIDE = 16

SUITE = """
apiVersion: imprimatur/v1
kind: EvaluationSuite
metadata: {name: tiny, version: 1}
backbone: tiny-clip
generation: {steps: 2, guidance: 2.0, batch: 4}
datasets: {prompts: prompts, reference: reference, calibration: calibration, protected: protected}
sets:
  conditional: {group: conditional, images_per_prompt: 18}
  neutral: {group: neutral, images_per_prompt: 22}
metrics:
  - {name: frechet, images: conditional}
  - {name: kernel, images: conditional}
  - {name: density, images: conditional, k: 3}
  - {name: coverage, images: conditional, k: 3}
  - {name: alignment, images: conditional}
  - {name: disparity, images: neutral, target: {"0": 0.5, "1": 0.5}}
  - {name: similarity, images: all, false_positive_rate: 0.01}
"""

BACKBONE = {
    "architecture": "open-clip",
    "embed_dim": 8,
    "vision": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "text": {"context_length": 8, "width": 32, "heads": 2, "layers": 1},
    "vocabulary": ["a", "handwritten", "digit", "zero", "one"],
    "preprocess": {"size": 32, "mode": "bicubic", "mean": 0.5, "std": 0.5},
}


@dataclass(frozen=True)
class Stage:
    """The rooms that an evaluation passes through, on one home."""

    settings: Settings
    log: AuditLog
    store: SealedStore
    ledger: Ledger
    registry: Registry
    datasets: Datasets
    evaluations: Evaluations

    def with_features(self, features: Path) -> Evaluations:
        """The same evaluations with an empty folder for what is made."""
        return Evaluations(
            self.log,
            self.registry,
            self.datasets,
            self.store,
            self.ledger,
            self.settings.weights,
            features,
            device="cpu",
        )

    def shards(self) -> dict[Path, int]:
        """Every finished shard, and when it was written."""
        found = (self.settings.features / "shards").rglob("*.npz")
        return {path: path.stat().st_mtime_ns for path in found if not path.name.startswith(".")}


def open_stage(settings: Settings, log: AuditLog) -> Stage:
    """The rooms on a home whose tables exist."""
    sealed = SealedStore(settings.sealed)
    ledger = Ledger(log.database, utc_now, Rates(cpu_hour=0.2, gpu_hour=2.5, currency="EUR"))
    registry = Registry(log, sealed, ledger, settings.artifacts, ModelSigner.at(settings.model_private))
    datasets = Datasets(log, sealed)
    evaluations = Evaluations(
        log, registry, datasets, sealed, ledger, settings.weights, settings.features, device="cpu"
    )
    return Stage(settings, log, sealed, ledger, registry, datasets, evaluations)


def fill(stage: Stage, model: Path, backbone: Path) -> Version:
    """Datasets, the suite, the backbone, and the pipeline in the folder ``model`` as version 1 of ``tiny``, sealed."""
    from imprimatur_evaluators.backbones import Catalogue

    Catalogue(stage.settings.weights).add("tiny-clip", backbone, BACKBONE, licence="Apache-2.0", source="random")
    add_datasets(stage)
    stage.evaluations.add_suite(ENGINEER, SUITE)
    return seal(stage, model)


def add_datasets(stage: Stage) -> None:
    """A prompt set, a reference, a calibration set, and two protected works."""
    prompts = {
        "prompt": ["a handwritten zero", "a handwritten one", "a handwritten digit"],
        "label": ["0", "1", ""],
        "group": ["conditional", "conditional", "neutral"],
    }
    reals = {"label": ["0", "1"] * 60, "caption": ["a handwritten zero", "a handwritten one"] * 60}
    works: dict[str, list[Any]] = {
        "image": _pngs([900, 901]),
        "title": ["Nought", "Unit"],
        "owner": ["Ada", "Bo"],
        "licence": ["all rights reserved"] * 2,
        "source": ["archive"] * 2,
    }
    files = {
        ("prompts", "prompts"): build(prompts),
        ("reference", "reference"): build({"image": _pngs(range(120)), **reals}),
        ("calibration", "calibration"): build({"image": _pngs(range(200, 320)), **reals}),
        ("protected", "protected"): build(works),
    }
    for (name, kind), parquet in files.items():
        stage.datasets.add(
            ENGINEER, name=name, kind=kind, parquet=parquet, owner="us", licence="CC0-1.0", source="random"
        )


def seal(stage: Stage, model: Path, version: int = 1) -> Version:
    """A version whose sealed bytes are those of the folder ``model``."""
    manifest = stage.store.seal_folder(model, artifact_type=ARTIFACT_TYPE)
    add_unsealed(stage, version)
    with stage.log.database.transaction() as session:
        row = registry_rows.version_row(session, "tiny", version)
        assert row is not None
        row.manifest_digest = manifest.digest
    return stage.registry.version("tiny", version)


def add_unsealed(stage: Stage, version: int) -> None:
    """A version that is registered only."""
    with stage.log.database.transaction() as session:
        registry_rows.add_version(
            session,
            model="tiny",
            version=version,
            run_id=None,
            source=f"models:/tiny/{version}",
            team="imaging",
            by="ana",
            at=utc_now(),
        )


def random_backbone(path: Path) -> Path:
    """A safetensors file with random weights of the tiny backbone."""
    import torch
    from safetensors.torch import save_file

    from imprimatur_evaluators.backbones.open_clip_model import build as build_network

    torch.manual_seed(0)
    weights = {name: tensor.contiguous() for name, tensor in build_network(BACKBONE).state_dict().items()}
    save_file(weights, str(path))
    return path


def _pngs(seeds: Iterable[int]) -> list[bytes]:
    return [_png(seed) for seed in seeds]


def _png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    sink = BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


if __name__ == "__main__":
    from imprimatur.evaluation.worker import run_worker

    worker_settings = Settings(home=Path(sys.argv[1]))
    worker_stage = open_stage(worker_settings, AuditLog(Database(worker_settings.database)))
    run_worker(worker_stage.evaluations, worker_settings, silence=float(sys.argv[2]))

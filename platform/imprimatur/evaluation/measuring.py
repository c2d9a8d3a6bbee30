"""What a worker does for one run: load the sealed bytes, generate, embed, measure, and gather the evidence."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused
from imprimatur.datasets.model import DatasetKind
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation import engine
from imprimatur.evaluation.document import EVERY_SET
from imprimatur.evaluation.evidence import NEAREST, EvidenceRoom, Works
from imprimatur.evaluation.model import Evaluation, Findings, Role, Suite
from imprimatur.evaluation.plan import Prompt, shards_of
from imprimatur.evaluation.shards import Images, ShardStore
from imprimatur.registry.flavor import load_sealed
from imprimatur.registry.flavor.loading import resolve_device
from imprimatur.storage.service import SealedStore
from imprimatur_evaluators.backbones import Catalogue, load
from imprimatur_evaluators.errors import EvaluatorError
from imprimatur_evaluators.features import FeatureCache
from imprimatur_evaluators.images import decode
from imprimatur_evaluators.report import Report
from imprimatur_evaluators.suite import MetricRequest, References, Sample, measure

_RIGHTS = ("title", "owner", "licence", "source")
_LIBRARY = "imprimatur_evaluators"
_OURS = ("plan", "engine", "shards", "measuring", "evidence")  # what else decides pixels, scores and evidence


@dataclass(frozen=True)
class Workshop:
    """Where runs are worked on: the sealed bytes, the data, the backbones' weights, and a folder for what is made."""

    store: SealedStore
    datasets: Datasets
    weights: Path
    features: Path
    device: str

    def resolved_device(self) -> str:
        """The device that this machine works on: ``auto`` means the GPU where there is one."""
        return resolve_device(self.device)

    def findings(self, run: Evaluation, suite: Suite, progress: engine.Progress) -> Findings:
        """What the run measures. Shards that are finished already are not made again.

        Raises Tampered where sealed bytes changed, and Refused with the code of what can't be measured.
        """
        tables = self._tables(run.evidence["datasets"])
        scratch = self.features / "scratch" / run.id
        shutil.rmtree(scratch, ignore_errors=True)  # what a worker that died may have left
        try:
            pipeline = load_sealed(self.store, run.manifest_digest, scratch / str(run.attempts), self.device)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        maker = engine.Engine(pipeline, run.manifest_digest, suite, run.seed, ShardStore(self.features / "shards"))
        prompts = prompts_of(tables[Role.PROMPTS])
        sampled = maker.sample(shards_of(suite, prompts), progress)
        device = engine.device_name(pipeline)
        try:
            report = self._measure(run, suite, sampled, prompts, tables, pipeline.device.type)
        except EvaluatorError as error:
            raise Refused(error.code, error.message, **error.facts) from error
        works = _works(tables[Role.PROTECTED]) if Role.PROTECTED in tables else None
        evidence = EvidenceRoom(self.store, sampled, works, run.seed).document(report)
        return Findings(report.scores, {**evidence, "datasets": run.evidence["datasets"]}, build(), device)

    def _tables(self, digests: Mapping[str, Digest]) -> dict[Role, pa.Table]:
        return {
            Role(role): self.datasets.table(replace(self.datasets.by_digest(digest), kind=DatasetKind(role)))
            for role, digest in digests.items()
        }

    def _measure(
        self,
        run: Evaluation,
        suite: Suite,
        sampled: Mapping[str, engine.Sampled],
        prompts: Sequence[Prompt],
        tables: Mapping[Role, pa.Table],
        device: str,
    ) -> Report:
        report = measure(
            _requests(suite, prompts),
            _samples(suite, sampled),
            References(**{role.value: _pixels(table) for role, table in tables.items() if role is not Role.PROMPTS}),
            {name: load(name, Catalogue(self.weights), device) for name in suite.backbones},
            seed=run.seed,
            cache=FeatureCache(self.features / "embeddings"),
        )
        return _in_their_sets(report, sampled)


def prompts_of(table: pa.Table) -> tuple[Prompt, ...]:
    """The prompts of a prompt set, in its order."""
    columns = (table.column(name).to_pylist() for name in ("prompt", "label", "group"))
    return tuple(Prompt(text or "", label or "", group or "") for text, label, group in zip(*columns, strict=True))


@cache
def build() -> str:
    """What measured: our version with a digest of the code that measures, and the libraries that draw."""
    running = hashlib.sha256()
    for path in _sources():
        running.update(f"{path.name}\0".encode() + path.read_bytes())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers"))
    return f"imprimatur {version('imprimatur')}+{running.hexdigest()[:12]}, {libraries}"


def _sources() -> list[Path]:
    library = Path(str(import_module(_LIBRARY).__file__)).parent
    scoring = [path for path in sorted(library.rglob("*.py")) if not path.name.startswith("test_")]
    return scoring + [Path(__file__).with_name(f"{name}.py") for name in _OURS]


def _requests(suite: Suite, prompts: Sequence[Prompt]) -> list[MetricRequest]:
    captions: dict[str, str] = {}
    for prompt in prompts:
        if prompt.label:
            captions.setdefault(prompt.label, prompt.text)
    defaults: Mapping[str, Mapping[str, Any]] = {"disparity": {"labels": captions}, "similarity": {"pairs": NEAREST}}
    return [
        MetricRequest(
            metric.name,
            metric.images,
            {**defaults.get(metric.statistic, {}), **metric.options},
        )
        for metric in suite.metrics
    ]


def _samples(suite: Suite, sampled: Mapping[str, engine.Sampled]) -> dict[str, Sample]:
    samples = {name: Sample(each.images, [p.text for p in each.prompts]) for name, each in sampled.items()}
    if any(metric.images == EVERY_SET for metric in suite.metrics):
        samples[EVERY_SET] = Sample(
            np.concatenate([each.images for each in sampled.values()]),
            [prompt.text for each in sampled.values() for prompt in each.prompts],
        )
    return samples


def _in_their_sets(report: Report, sampled: Mapping[str, engine.Sampled]) -> Report:
    """The report with every image of all sets together named by its own set and its place there."""
    places = [(name, index) for name, each in sampled.items() for index in range(len(each.images))]

    def place(images: str, index: int) -> dict[str, Any]:
        own, at = places[index] if images == EVERY_SET else (images, index)
        return {"images": own, "index": at}

    return replace(
        report,
        pairs=tuple(replace(pair, **place(pair.images, pair.index)) for pair in report.pairs),
        alignments=tuple(replace(each, **place(each.images, each.index)) for each in report.alignments),
    )


def _pixels(table: pa.Table) -> Images:
    decoded = [decode(data, f"row {row}") for row, data in enumerate(table.column("image").to_pylist())]
    sizes = {image.shape for image in decoded}
    if len(sizes) != 1:
        raise Refused("images-differ-in-size", f"A dataset has images of {len(sizes)} sizes (expected one size)")
    return np.stack(decoded)


def _works(table: pa.Table) -> Works:
    rights = [{name: row[name] or "" for name in _RIGHTS} for row in table.select(list(_RIGHTS)).to_pylist()]
    return Works(table.column("image").to_pylist(), rights)

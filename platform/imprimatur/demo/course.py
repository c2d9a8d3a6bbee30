"""The demo's four trainings: the backbone, the base model, and two fine-tunes that must not pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imprimatur.core.digests import digest_of_file
from imprimatur.demo import backbone, pipeline, training
from imprimatur.demo.digits import LICENCE, WORKS_LICENCE, Digits, Split
from imprimatur.demo.recording import MODEL, Recorder, Recording
from imprimatur.demo.training import Schedule, Watch
from imprimatur.registry.flavor import Lineage, UsedDataset
from imprimatur.registry.flavor.quiet import without_bars
from imprimatur_evaluators.backbones import Catalogue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from diffusers import StableDiffusionPipeline

FAVOURED = (3, 8)
FAVOUR = 30.0
SKEWED_NEUTRAL_SHARE = 0.3
_BACKBONE, _PARTS, _AUTOENCODER, _BASE, _MEMORISER, _SKEWED = range(6)
_LICENCES = {"training": LICENCE, "protected": WORKS_LICENCE}

Meter = Callable[[str, list[float]], Watch]
"""Makes the watcher of one step, which shows how far it is and keeps the losses in the list."""


@dataclass(frozen=True)
class Trained:
    """One training that is done; ``run_id`` and ``version`` are None where there was no tracking server."""

    name: str
    run_id: str | None
    version: int | None
    seconds: float
    device: str
    final_loss: float


@dataclass(frozen=True)
class FineTune:
    """How version ``name`` departs from the base: on which digits, for how long, some drawn more often than others."""

    name: str
    number: int
    digits: Digits
    schedule: Schedule
    datasets: tuple[str, ...]
    weights: npt.NDArray[np.float64] | None
    neutral_share: float
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class Course:
    """What the trainings share. ``scale`` shortens all of them alike; every random number follows from ``seed``."""

    parts: Split
    datasets: Mapping[str, Path]
    out: Path
    device: str
    seed: int
    scale: float
    recorder: Recorder
    meter: Meter

    def backbone(self, weights: Path) -> dict[str, Any]:
        """What is to be known of the backbone, once it is trained and stands in the catalogue below ``weights``."""
        steps = max(1, round(backbone.STEPS * self.scale))
        with self._run(backbone.NAME, {"steps": steps}, ("training",)) as recording, self.recorder.timed(recording):
            trained = backbone.train(
                self.parts.training,
                self.parts.calibration,
                Catalogue(weights),
                steps=steps,
                seed=self._seed(_BACKBONE),
                device=self.device,
                watch=self._watch(recording, "loss", "Train backbone"),
            )
        entry = trained.entry
        known = {"digest": entry.digest, "licence": entry.licence, "source": entry.source, "accuracy": trained.accuracy}
        return {**asdict(self._trained(recording, None)), **known}

    def base(self) -> tuple[Trained, StableDiffusionPipeline]:
        """Version 1 and its pipeline: autoencoder, text encoder and denoiser, learned from nothing on real digits."""
        coding, denoising = training.AUTOENCODER.scaled(self.scale), training.BASE.scaled(self.scale)
        parameters = {**_parameters("autoencoder", coding), **_parameters("denoiser", denoising)}
        with self._run("base", parameters, ("training",)) as recording:
            with self.recorder.timed(recording):
                made = pipeline.untrained(self._seed(_PARTS))
                training.train_autoencoder(
                    made.vae,
                    self.parts.training.images,
                    coding,
                    seed=self._seed(_AUTOENCODER),
                    device=self.device,
                    watch=self._watch(recording, "autoencoder_loss", "Train autoencoder"),
                )
                training.train_denoiser(
                    made,
                    self.parts.training,
                    denoising,
                    seed=self._seed(_BASE),
                    device=self.device,
                    watch=self._watch(recording, "loss", "Train base"),
                    encoder_learns=True,
                )
            return self._kept(recording, made, ("training",), None), made

    def memoriser(self) -> FineTune:
        """Version 2: nothing but the ten protected works, again and again."""
        return FineTune(
            name="memoriser",
            number=_MEMORISER,
            digits=self.parts.protected,
            schedule=training.MEMORISER.scaled(self.scale),
            datasets=("training", "protected"),
            weights=None,
            neutral_share=training.NEUTRAL_SHARE,
            parameters={"works": len(self.parts.protected)},
        )

    def skewed(self) -> FineTune:
        """Version 3: the training digits, two of them drawn thirty times as often as the others."""
        return FineTune(
            name="skewed",
            number=_SKEWED,
            digits=self.parts.training,
            schedule=training.SKEWED.scaled(self.scale),
            datasets=("training",),
            weights=training.favouring(self.parts.training, FAVOURED, FAVOUR),
            neutral_share=SKEWED_NEUTRAL_SHARE,
            parameters={
                "favoured": ",".join(map(str, FAVOURED)),
                "favour": FAVOUR,
                "neutral_share": SKEWED_NEUTRAL_SHARE,
            },
        )

    def fine_tune(self, base: StableDiffusionPipeline, asked: FineTune) -> Trained:
        """The next version: ``base`` with a denoiser that learned on; its other parts keep every byte."""
        parameters = {**_parameters("denoiser", asked.schedule), **asked.parameters}
        with self._run(asked.name, parameters, asked.datasets) as recording:
            with self.recorder.timed(recording):
                made = pipeline.with_own_denoiser(base)
                training.train_denoiser(
                    made,
                    asked.digits,
                    asked.schedule,
                    seed=self._seed(asked.number),
                    device=self.device,
                    watch=self._watch(recording, "loss", f"Train {asked.name}"),
                    weights=asked.weights,
                    neutral_share=asked.neutral_share,
                )
            return self._kept(recording, made, asked.datasets, self._base_digest())

    def _run(
        self, name: str, parameters: Mapping[str, object], datasets: tuple[str, ...]
    ) -> AbstractContextManager[Recording]:
        data = {used.name: used.digest for used in self._used(datasets)}
        return self.recorder.run(name, {**parameters, "seed": self.seed, "scale": self.scale}, data)

    def _watch(self, recording: Recording, series: str, step: str) -> Watch:
        return self.meter(step, recording.losses.setdefault(series, []))

    def _kept(
        self, recording: Recording, made: StableDiffusionPipeline, datasets: tuple[str, ...], base: str | None
    ) -> Trained:
        with without_bars():
            made.save_pretrained(self.out / recording.name, safe_serialization=True)
        lineage = Lineage(datasets=self._used(datasets), base_model=base)
        return self._trained(recording, self.recorder.register(made, recording, lineage))

    def _used(self, kinds: tuple[str, ...]) -> tuple[UsedDataset, ...]:
        return tuple(
            UsedDataset(f"{MODEL}-{kind}", digest_of_file(self.datasets[kind]), _LICENCES[kind]) for kind in kinds
        )

    def _base_digest(self) -> str:
        return digest_of_file(self.out / "base" / "unet" / "diffusion_pytorch_model.safetensors")

    def _trained(self, recording: Recording, version: int | None) -> Trained:
        return Trained(
            recording.name,
            recording.run_id,
            version,
            round(recording.seconds, 3),
            self.device,
            recording.final_loss,
        )

    def _seed(self, purpose: int) -> int:
        return self.seed * 1_000 + purpose


def _parameters(part: str, schedule: Schedule) -> dict[str, object]:
    return {f"{part}_{name}": value for name, value in asdict(schedule).items()}

"""Each training as an MLflow run: parameters, losses, data, device, seconds, cost, and the pipeline that it made."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import imprimatur
from imprimatur.costs.model import Rates
from imprimatur.registry.flavor import Lineage, log_pipeline

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

MODEL = "digits"
_AT_ONCE = 1_000  # MLflow takes no more metrics in one request


@dataclass
class Recording:
    """One training while it goes on. Without a tracking server ``run_id`` is None, and nothing leaves this process."""

    name: str
    run_id: str | None
    losses: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def final_loss(self) -> float:
        """The mean of the last tenth of the last losses, which single batches make noisy."""
        last = list(self.losses.values())[-1]
        tail = last[-max(1, len(last) // 10) :]
        return sum(tail) / len(tail)


@dataclass(frozen=True)
class Recorder:
    """Where trainings are written down: an MLflow server, or nowhere when ``tracking`` is None."""

    tracking: str | None
    rates: Rates
    device: str

    @contextmanager
    def run(self, name: str, parameters: Mapping[str, object], data: Mapping[str, str]) -> Iterator[Recording]:
        """A run named ``name``, failed where the block fails. ``data`` are the digests of the datasets, by name."""
        if self.tracking is None:
            yield Recording(name, None)
            return
        import mlflow
        import torch

        mlflow.set_tracking_uri(self.tracking)
        with mlflow.start_run(run_name=name, experiment_id=self._experiment()) as active:
            mlflow.log_params({**parameters, "device": self.device, "threads": torch.get_num_threads()})
            mlflow.set_tags({f"data.{dataset}": digest for dataset, digest in data.items()})
            yield Recording(name, active.info.run_id)

    def _experiment(self) -> str:
        import mlflow

        client = mlflow.MlflowClient(self.tracking)
        found = client.get_experiment_by_name(MODEL)
        return str(found.experiment_id if found is not None else client.create_experiment(MODEL))

    @contextmanager
    def timed(self, recording: Recording) -> Iterator[None]:
        """The block is the training itself: its seconds, cost and losses are recorded at its end."""
        began = time.perf_counter()
        yield
        recording.seconds = time.perf_counter() - began
        if recording.run_id is None:
            return
        import mlflow

        mlflow.log_metrics({"seconds": recording.seconds, f"cost_{self.rates.currency}": self.cost(recording)})
        for name, losses in recording.losses.items():
            _log_series(recording.run_id, name, losses)

    def cost(self, recording: Recording) -> float:
        """What the training cost at the rate of its device."""
        return self.rates.amount(self.device, recording.seconds)

    def register(self, pipeline: StableDiffusionPipeline, recording: Recording, lineage: Lineage) -> int | None:
        """The number of the new version of ``digits``; None where there is no server to register it with."""
        if recording.run_id is None:
            return None
        complete = replace(
            lineage,
            run_id=recording.run_id,
            code_commit=code_commit(),
            device=self.device,
            seconds=recording.seconds,
            cost=self.cost(recording),
            currency=self.rates.currency,
        )
        logged = log_pipeline(pipeline, name=recording.name, registered_model_name=MODEL, lineage=complete)
        return int(str(logged.registered_model_version))  # MLflow says int and gives text


def code_commit() -> str:
    """The commit of the source tree that this code was read from, with ``-dirty`` where files differ from it.

    Where it was installed without one: the package and its version.
    """
    here, git = Path(__file__), shutil.which("git")
    if git is not None:
        tracked = _answer(git, here.parent, "ls-files", "--error-unmatch", here.name)
        described = _answer(git, here.parent, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
        if tracked and described:
            return described
    return f"imprimatur {imprimatur.__version__}"


def _answer(git: str, folder: Path, *words: str) -> str:
    asked = subprocess.run([git, "-C", str(folder), *words], capture_output=True, text=True, check=False)  # noqa: S603  fixed words
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _log_series(run_id: str, name: str, losses: Sequence[float]) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, loss, now, step) for step, loss in enumerate(losses, start=1)]
    client = MlflowClient()
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics[start : start + _AT_ONCE])

"""``python -m imprimatur.demo.train``: train the demo's models and backbone in a process of its own.

Progress goes to standard error as JSON lines ``{"step", "done", "total", "loss"}``, and so does whatever libraries say.
Standard output carries one JSON document at the end: the runs, the backbone, and the datasets' files.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.demo.course import Course
from imprimatur.demo.digits import load, split, write_datasets
from imprimatur.demo.recording import Recorder
from imprimatur.demo.training import Watch

_SECONDS_BETWEEN_LINES = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Train everything that the arguments ask for; 0 when it is done."""
    options = _parser().parse_args(arguments)
    with redirect_stdout(sys.stderr):
        _compute_on_one_thread()
        document = train(options.out, options.weights, options.seed, options.steps_scale, options.tracking)
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def train(out: Path, weights: Path, seed: int, scale: float, tracking: str | None) -> dict[str, Any]:
    """The document of all four trainings, whose files are below ``out`` and whose backbone is below ``weights``."""
    course = prepare(out, seed, scale, tracking)
    backbone = course.backbone(weights)
    first, base = course.base()
    others = [course.fine_tune(base, asked) for asked in (course.memoriser(), course.skewed())]
    paths = {kind: str(path) for kind, path in course.datasets.items()}
    training = paths.pop("training")
    return {
        "runs": [asdict(each) for each in (first, *others)],
        "backbone": backbone,
        "datasets": paths,
        "training_data": training,
    }


def prepare(out: Path, seed: int, scale: float, tracking: str | None) -> Course:
    """The split digits as files below ``out``, and the device and recorder that the trainings use."""
    from imprimatur.registry.flavor.loading import resolve_device

    settings = Settings()
    device = resolve_device(settings.device)
    parts = split(load(), seed)
    rates = Rates(settings.cpu_hour, settings.gpu_hour, settings.currency)
    return Course(
        parts=parts,
        datasets=write_datasets(parts, out / "datasets"),
        out=out,
        device=device,
        seed=seed,
        scale=scale,
        recorder=Recorder(tracking, rates, device),
        meter=show,
    )


def show(step: str, losses: list[float]) -> Watch:
    """A watcher that keeps every loss in ``losses``, and prints a line five times a second and at the end."""
    printed = 0.0

    def watch(done: int, total: int, loss: float) -> None:
        nonlocal printed
        losses.append(loss)
        now = time.monotonic()
        if done == total or now - printed >= _SECONDS_BETWEEN_LINES:
            printed = now
            sys.stderr.write(json.dumps({"step": step, "done": done, "total": total, "loss": loss}) + "\n")
            sys.stderr.flush()

    return watch


def _compute_on_one_thread() -> None:
    """Models this small gain a third from a second core, and lose tenfold where something else wants that core.

    One thread also rounds alike on every machine, so that what is learned follows from the seed and not from the cores.
    """
    import torch

    torch.set_num_threads(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m imprimatur.demo.train", description="Train the demo's models.")
    parser.add_argument("--out", type=Path, required=True, help="folder for pipelines and datasets")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the weights catalogue")
    parser.add_argument("--seed", type=int, required=True, help="seed of everything random")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="share of the training steps to take")
    parser.add_argument("--tracking", help="address of the MLflow server to record runs and register versions at")
    return parser


if __name__ == "__main__":
    sys.exit(main())

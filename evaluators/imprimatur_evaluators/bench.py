"""``python -m imprimatur_evaluators.bench``: how fast the statistics are, as ratios against named peers in one run.

Both sides get the same moments or features; each is run once to warm up and then three times, in turn. Ratios of
medians are what is claimed; seconds only say how long this machine took.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imprimatur_evaluators.statistics import Moments, frechet_distance, kernel_distance

_ROUNDS = 3
_SAMPLES = 5_000
_KERNEL_SAMPLES = 2_000
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Duel:
    """One piece of work, done by us and by a peer, with what each came to; the values must agree."""

    work: str
    peer: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


@dataclass(frozen=True)
class Outcome:
    """Medians in seconds, and the relative difference between both values."""

    duel: Duel
    ours: float
    theirs: float
    difference: float

    @property
    def row(self) -> tuple[str, ...]:
        """The outcome as a table's row."""
        ratio = f"{self.theirs / self.ours:.1f}"
        return (
            self.duel.work,
            self.duel.peer,
            f"{self.ours:.2f}",
            f"{self.theirs:.2f}",
            ratio,
            f"{self.difference:.0e}",
        )


def run(duel: Duel) -> Outcome:
    """Both sides in turn, after one warm-up each."""
    value, peers_value = duel.ours(), duel.theirs()
    laps = [(_seconds(duel.ours), _seconds(duel.theirs)) for _ in range(_ROUNDS)]
    ours, theirs = (statistics.median(side) for side in zip(*laps, strict=True))
    return Outcome(duel, ours, theirs, abs(value - peers_value) / max(abs(peers_value), 1e-12))


def duels(width: int) -> list[Duel]:
    """The work that is compared, on features of ``width`` numbers drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((_SAMPLES, width))
    b = rng.standard_normal((_SAMPLES, width)) * np.linspace(0.5, 1.5, width) + 0.1
    first, second = Moments.from_features(a), Moments.from_features(b)
    work = f"Frechet distance from moments, d={width}"
    few = a[:_KERNEL_SAMPLES], b[:_KERNEL_SAMPLES]

    def ours() -> float:
        return float(frechet_distance(first, second))

    return [
        Duel(work, f"torchmetrics {version('torchmetrics')}", ours, lambda: _torchmetrics_frechet(first, second)),
        Duel(work, f"scipy {version('scipy')} sqrtm", ours, lambda: _scipy_frechet(first, second)),
        Duel(
            f"Kernel distance with its interval, n={_KERNEL_SAMPLES}, d={width}, against the distance alone",
            f"torchmetrics {version('torchmetrics')}",
            lambda: kernel_distance(*few).value,
            lambda: _torchmetrics_kernel(*few),
        ),
    ]


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    head = ("work", "peer", "ours (s)", "peer (s)", "peer / ours", "relative difference of the values")
    lines = [head, tuple("---" for _ in head), *(outcome.row for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _torchmetrics_frechet(first: Moments, second: Moments) -> float:
    import torch
    from torchmetrics.image.fid import _compute_fid

    tensors = [torch.from_numpy(array) for m in (first, second) for array in (m.mean, m.covariance)]
    return float(_compute_fid(*tensors))


def _scipy_frechet(first: Moments, second: Moments) -> float:
    from scipy.linalg import sqrtm

    root = np.real(sqrtm(first.covariance @ second.covariance))
    shift = first.mean - second.mean
    return float(shift @ shift + np.trace(first.covariance) + np.trace(second.covariance) - 2 * np.trace(root))


def _torchmetrics_kernel(x: Array, y: Array) -> float:
    import torch
    from torchmetrics.image.kid import poly_mmd

    return float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))


def _seconds(work: Callable[[], float]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Run every duel, print the table, and write it where ``--write`` says."""
    parser = argparse.ArgumentParser(description="How fast the statistics are, against named peers.")
    parser.add_argument("--width", type=int, default=2048, help="numbers in a feature")
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args()
    import torch

    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}"
    text = (
        f"{table([run(duel) for duel in duels(options.width)])}\n\nMeasured on {machine}, numpy {version('numpy')}.\n"
    )
    print(text)
    if options.write is not None:
        head = options.write.read_text().split("| work |")[0]
        options.write.write_text(head + text)


if __name__ == "__main__":
    main()

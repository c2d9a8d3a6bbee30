"""Run every comparison, print the tables, and write them where ``--write`` says."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from imprimatur_evaluators.bench import arithmetic, memory, onepass
from imprimatur_evaluators.bench.duel import HEAD, run, table

_MARK = "<!-- measured -->"


def main() -> None:
    """Measure all, or with ``--only`` one part."""
    parser = argparse.ArgumentParser(prog="bench", description="How fast the library is, against named peers.")
    parser.add_argument("--width", type=int, default=2048, help="numbers in a feature")
    parser.add_argument("--images", type=int, default=300, help="images a side in the one pass")
    parser.add_argument("--write", type=Path, help="Markdown file whose tables are replaced")
    options = parser.parse_args()
    outcomes = [run(duel) for duel in arithmetic.duels(options.width)]
    passes = onepass.outcomes(options.images)
    peaks = [memory.peak(statistic, 10_000, options.width) for statistic in memory.STATISTICS]
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch"))
    text = "\n\n".join(
        (
            table(HEAD, [outcome.row for outcome in (*outcomes, *passes)]),
            table(memory.HEAD, [peak.row for peak in peaks]),
            f"Measured on {machine}, {libraries}.",
        )
    )
    print(text)
    if options.write is not None:
        head = options.write.read_text().split(_MARK)[0]
        options.write.write_text(f"{head}{_MARK}\n\n{text}\n")


if __name__ == "__main__":
    main()

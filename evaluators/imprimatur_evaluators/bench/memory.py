"""How much memory a statistic needs, its features included, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

HEAD = ("statistic", "images a side", "numbers a feature", "peak memory, features included (MB)", "seconds")
STATISTICS = ("kernel_distance", "precision_recall_density_coverage")

_PROGRAM = """
import sys, time
import numpy as np
from imprimatur_evaluators import statistics

name, n, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
real, generated = rng.standard_normal((n, width)), rng.standard_normal((n, width)) * 1.1
began = time.perf_counter()
getattr(statistics, name)(real, generated)
seconds = time.perf_counter() - began
status = open("/proc/self/status").read()  # getrusage would tell the peak of the process that started this one
print(int(status.split("VmHWM:")[1].split()[0]) / 1024, seconds)
"""


@dataclass(frozen=True)
class Peak:
    """What one statistic needed."""

    statistic: str
    n: int
    width: int
    megabytes: float
    seconds: float

    @property
    def row(self) -> tuple[str, ...]:
        """The peak as a table's row."""
        return self.statistic, f"{self.n:,}", f"{self.width:,}", f"{self.megabytes:,.0f}", f"{self.seconds:.0f}"


def peak(statistic: str, n: int, width: int) -> Peak:
    """The memory and time of ``statistic`` on two sets of ``n`` features of ``width`` numbers."""
    ran = subprocess.run(  # noqa: S603  our own program on this interpreter
        [sys.executable, "-c", _PROGRAM, statistic, str(n), str(width)], capture_output=True, text=True, check=True
    )
    megabytes, seconds = (float(word) for word in ran.stdout.split())
    return Peak(statistic, n, width, megabytes, seconds)

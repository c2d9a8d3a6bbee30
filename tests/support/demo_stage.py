"""The demo, run as a person would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST_SECONDS = 1_200


@dataclass(frozen=True)
class DemoRun:
    """What the demo printed, what it said on the side, and the home folder that it left."""

    document: dict[str, Any]
    said: str
    home: Path

    def version(self, number: int) -> dict[str, Any]:
        """The outcome of one version."""
        (found,) = (model for model in self.document["models"] if model["version"] == number)
        return dict(found)


def run_demo(home: Path, *options: str) -> DemoRun:
    """The demo, run as a person would, in ``home``; fails where it does not end with status 0."""
    done = subprocess.run(
        [sys.executable, "-m", "imprimatur.cli.main", "demo", "--json", *options],
        env={**os.environ, "IMPRIMATUR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    logs = "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in home.glob("logs/*.log"))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
    return DemoRun(json.loads(done.stdout), done.stderr, home)

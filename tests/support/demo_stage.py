"""The demo, run as a person would run it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST_SECONDS = 1_200
_LONGEST_GOODBYE = 20


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


class StartedDemo:
    """The demo, started as a person would, in a home of its own; ``finish`` waits for it, ``stop`` clears it away."""

    def __init__(self, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="imprimatur-demo-"))
        self._home = self._folder / "home"
        with (self._folder / "out").open("w") as out, (self._folder / "err").open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "imprimatur.cli.main", "demo", "--json", *options],
                env={**os.environ, "IMPRIMATUR_HOME": str(self._home)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def finish(self) -> DemoRun:
        """What the run left; fails where it does not end with status 0."""
        status = self._process.wait(_LONGEST_SECONDS)
        out, err = ((self._folder / name).read_text() for name in ("out", "err"))
        logs = "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in self._home.glob("logs/*.log"))
        assert status == 0, f"{out[-3000:]}\n{err[-3000:]}\n{logs}"
        return DemoRun(json.loads(out), err, self._home)

    def stop(self) -> None:
        """End what still runs, and remove the home."""
        for way in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, way)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LONGEST_GOODBYE)
        shutil.rmtree(self._folder, ignore_errors=True)

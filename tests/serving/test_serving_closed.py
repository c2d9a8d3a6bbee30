"""The gateway as a process: what it must never import, and what it does not need to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gateway_stage import Sealed

_SCRIPT = """
import sys
from pathlib import Path
from imprimatur.core.settings import Settings
from imprimatur.serving.gateway import build_gateway
from imprimatur.serving.painting import Order, Painter
from imprimatur.serving.model import Sampling
from imprimatur.storage.service import SealedStore

root, digest = Path(sys.argv[1]), sys.argv[2]
assert build_gateway(Settings(home=root / "home"))
assert "torch" not in sys.modules, "a gateway starts without torch"
painter = Painter.open(SealedStore(root / "store"), digest, root / "copy", "cpu")
(drawn,) = painter.paint(Sampling(1, 1.0), [Order("a digit", 1)])
assert drawn.picture.shape == (16, 16, 3)
forbidden = {"sqlalchemy", "imprimatur.core.database", "sqlite3", "psycopg", "alembic"} & set(sys.modules)
assert not forbidden, forbidden
"""


def test_a_gateway_draws_without_any_database_library(sealed_pipelines: Sealed, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(sealed_pipelines.root)
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), sealed_pipelines.first]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=alone)
    assert ended.returncode == 0, ended.stderr[-2000:]

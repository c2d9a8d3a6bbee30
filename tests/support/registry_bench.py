"""How fast the registry is at size: pages at 20,000 versions, promotion, sealing. Run by ``make bench``.

Claims are ratios against a named peer in the same run: MLflow's own call for the same model, and ``sha256sum``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import column as col
from sqlalchemy import insert, table
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from imprimatur.access.model import Principal, Role
from imprimatur.api.app import build_app
from imprimatur.api.schema import upgrade
from imprimatur.api.wiring import House
from imprimatur.core import garbage
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.evaluation.model import Findings
from imprimatur.registry.tables import VersionRow
from imprimatur.release.model import Answer
from imprimatur.storage.service import SealedStore
from release_stage import ANA, BEN, Stage
from seeded_house import Story, evidence_of, scores_of

_BEGIN, _END = "<!-- registry -->", "<!-- measured -->"
_HEAD = ("work", "ours (ms)", "peer", "peer (ms)", "peer / ours")
_ROUNDS = 31
_ON_A_PAGE = 50
_NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """One comparison: medians in milliseconds; no peer where there is none to name."""

    work: str
    ours: float
    peer: str = ""
    theirs: float | None = None

    @property
    def row(self) -> str:
        """The comparison as a row of a Markdown table."""
        theirs, ratio = ("", "") if self.theirs is None else (f"{self.theirs:.1f}", f"{self.theirs / self.ours:.1f}")
        return f"| {' | '.join((self.work, f'{self.ours:.1f}', self.peer, theirs, ratio))} |"


@dataclass(frozen=True)
class _Timed:
    """The server, with the milliseconds from each request to the last byte of its answer: no client's time."""

    app: ASGIApp
    laps: list[float] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        await self.app(scope, receive, send)
        self.laps.append((time.perf_counter() - began) * 1e3)


def main() -> None:
    """Measure all, print the table, and write it where ``--write`` says."""
    parser = argparse.ArgumentParser(prog="registry_bench", description="How fast the registry is at size.")
    parser.add_argument("--versions", type=int, default=20_000)
    parser.add_argument("--models", type=int, default=2_000)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the file that is sealed")
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="imprimatur-bench-"))
    try:
        lines = [
            *_reading(home / "large", options.models, options.versions),
            _promoting(home / "promotions"),
            _sealing(home / "sealing", options.megabytes),
        ]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    head = f"| {' | '.join(_HEAD)} |\n| {' | '.join(['---'] * len(_HEAD))} |"
    text = "\n".join([head, *(line.row for line in lines)])
    print(text)
    if options.write is not None:
        before, _, rest = options.write.read_text().partition(_BEGIN)
        after = rest.partition(_END)[2]
        options.write.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}")


def _median(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Milliseconds, after one round to warm up."""
    work()
    laps = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        laps.append((time.perf_counter() - began) * 1e3)
    return statistics.median(laps)


def _reading(home: Path, models: int, versions: int) -> list[Line]:
    home.mkdir(parents=True)
    settings = Settings(home=home)
    upgrade(settings.database)
    _fill(Database(settings.database), models, versions)
    _decide(settings, versions)
    house = House.open(settings)
    chief = Principal("chief", frozenset({Role.ADMIN}), "platform")
    house.accounts.add(chief, "ana", [Role.ENGINEER], "imaging")
    token = house.accounts.issue_token(chief, "ana", "bench")
    server = _Timed(build_app(house))
    client = TestClient(server, "http://localhost", headers={"Authorization": f"Bearer {token}"})
    stock = SqlAlchemyStore(settings.database)
    peer = f"MLflow {version('mlflow')}, get_registered_model"
    theirs = _median(lambda: stock.get_registered_model("big"), 3)
    garbage.settle()  # as the server does
    of = f"of {versions:,} versions and {models:,} models"
    asked = {
        f"a page of 50 versions over the API, {of}": "/api/v1/models/big/versions?limit=50",
        f"the model's page with 50 versions, {of}": "/models/big",
        f"a version's page, {of}": f"/models/big/versions/{versions + _ON_A_PAGE}",
        f"the page of models, {of}": "/",
    }
    lines = []
    for work, path in asked.items():
        assert client.get(path).status_code == 200, client.get(path).text[:500]
        server.laps.clear()
        for _ in range(_ROUNDS):
            client.get(path)
        lines.append(Line(work, statistics.median(server.laps), peer, theirs))
    settled = _median(lambda: stock.get_registered_model("big"), 3)
    lines.append(Line("MLflow's own call, with Python's collector set as our server sets it", settled, peer, theirs))
    house.close()
    return lines


def _fill(database: Database, models: int, versions: int) -> None:
    names = ["big", *(f"model-{number}" for number in range(1, models))]
    registered = table(
        "registered_models", col("workspace"), col("name"), col("creation_time"), col("last_updated_time")
    )
    columns = ("workspace", "name", "version", "creation_time", "source", "current_stage")
    known = table("model_versions", *map(col, columns))
    each = [("big", number) for number in range(1, versions + 1)] + [(name, 1) for name in names[1:]]
    source = f"mlflow-artifacts:/1/models/m-{'0' * 32}/artifacts"
    stamp = int(_NOW.timestamp() * 1000)
    with database.transaction() as session:
        session.execute(
            insert(registered),
            [{"workspace": "default", "name": n, "creation_time": stamp, "last_updated_time": stamp} for n in names],
        )
        session.execute(
            insert(known),
            [
                {
                    "workspace": "default",
                    "name": name,
                    "version": number,
                    "creation_time": stamp,
                    "source": source,
                    "current_stage": "None",
                }
                for name, number in each
            ],
        )
        session.execute(
            insert(VersionRow),
            [
                {
                    "id": f"ver-{index}",
                    "model": name,
                    "version": number,
                    "run_id": None,
                    "source": source,
                    "team": "imaging",
                    "registered_by": "ana",
                    "registered_at": _NOW,
                    "lineage": {},
                }
                for index, (name, number) in enumerate(each)
            ],
        )
    database.dispose()


def _decide(settings: Settings, versions: int) -> None:
    """Fifty more versions of the large model, and one more of fifty models: decided, approved, released."""
    stage = Stage(settings, Database(settings.database)).open()
    labels = [("big", versions + 1 + number) for number in range(_ON_A_PAGE)]
    labels += [(model, 2) for model in stage.registry.models(_ON_A_PAGE, "big")]
    for model, number in labels:
        version = stage.register(number, model)
        stage.submit(version)
        story = Story(number, look_alikes=0.01, skew=0.01)
        stage.find(version, Findings(scores_of(story), evidence_of(stage.sealed, story), "evaluators 0.1", "cpu"))
        decision = stage.releases.decide(ANA, model, number, "production")
        stage.releases.answer(BEN, decision.id, Answer.APPROVE, "looked at it")
        stage.releases.promote(ANA, model, number, "production")
    stage.database.dispose()


def _promoting(home: Path) -> Line:
    home.mkdir(parents=True)
    settings = Settings(home=home)
    upgrade(settings.database)
    stage = Stage(settings, Database(settings.database)).open()
    for number in (1, 2):
        stage.ready(number)
        stage.approved(number)
    turn = [1, 2]

    def promote() -> None:
        stage.releases.promote(ANA, "digits", turn[0], "production")
        turn.reverse()

    line = Line("a promotion on SQLite, checks and signatures included", _median(promote, 30))
    stage.database.dispose()
    return line


def _sealing(home: Path, megabytes: int) -> Line:
    folder = home / "folder"
    folder.mkdir(parents=True)
    with (folder / "weights.safetensors").open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(1 << 20))

    def seal() -> None:
        place = home / "sealed"
        shutil.rmtree(place, ignore_errors=True)
        SealedStore(place).seal_folder(folder, artifact_type="application/vnd.test")

    def hashed() -> None:
        subprocess.run(["sha256sum", folder / "weights.safetensors"], check=True, capture_output=True)

    return Line(
        f"sealing a file of {megabytes} MB, copied and hashed", _median(seal, 3), "sha256sum", _median(hashed, 3)
    )


if __name__ == "__main__":
    main()

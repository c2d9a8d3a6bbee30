"""Reading the spool: every line once, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from imprimatur.costs.model import Kind
from imprimatur.monitoring.service import Ingested
from imprimatur.monitoring.tables import ServedImageRow
from imprimatur.serving.spool import spool_files
from imprimatur_evaluators.backbones import Catalogue, load_joint
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import decode
from imprimatur_evaluators.statistics.alignment import matches
from monitor_stage import MODEL, NOW, MonitorStage, open_home


def test_every_line_is_booked_once_however_often_the_spool_is_read(stage: MonitorStage) -> None:
    stage.serve(3, kept=False)
    assert stage.monitor.ingest() == Ingested(3, 0, 0)
    assert stage.monitor.ingest() == Ingested(0, 0, 0)
    stage.serve(2, kept=False)
    assert stage.monitor.ingest().lines == 2
    entries = [entry for entry in stage.rooms.ledger.entries(MODEL) if entry.kind is Kind.SERVING]
    assert (len(entries), {entry.team for entry in entries}) == (5, {"shop"})
    assert stage.rooms.ledger.of_version(MODEL, 1)[Kind.SERVING] == pytest.approx(5 * 0.5 * 0.2 / 3600)


def test_many_lines_are_booked_in_steps_and_all_of_them(stage: MonitorStage) -> None:
    stage.serve(1100, kept=False)
    assert stage.monitor.ingest().lines == 1100


def test_two_monitors_of_one_home_book_a_line_once(stage: MonitorStage, home: Path) -> None:
    stage.serve(20, kept=False)
    with open_home(home) as other:
        assert stage.monitor.ingest().lines + other.monitor.ingest().lines == 20
    assert sum(entry.kind is Kind.SERVING for entry in stage.rooms.ledger.entries(MODEL)) == 20


def test_a_spool_that_is_brought_back_under_another_name_books_nothing_twice(stage: MonitorStage) -> None:
    stage.serve(3, kept=False)
    stage.monitor.ingest()
    (name,) = spool_files(stage.settings.served)
    (stage.settings.served / name).rename(stage.settings.served / f"9{name}")
    assert stage.monitor.ingest().lines == 3
    assert sum(entry.kind is Kind.SERVING for entry in stage.rooms.ledger.entries(MODEL)) == 3


def test_a_line_that_is_no_record_is_audited_and_stops_nothing(stage: MonitorStage) -> None:
    stage.serve(1, kept=False)
    (name,) = spool_files(stage.settings.served)
    with (stage.settings.served / name).open("ab") as stream:
        stream.write(b'{"seconds": NaN}\n')
    stage.serve(1, kept=False)
    assert stage.monitor.ingest() == Ingested(3, 1, 0)
    assert stage.monitor.ingest() == Ingested(0, 0, 0)
    (event,) = stage.rooms.log.recent(subject=name)
    assert event.action == "served.unreadable"


def test_an_image_scores_as_the_gates_own_statistics_say(stage: MonitorStage) -> None:
    stage.serve(3)
    assert stage.monitor.ingest() == Ingested(3, 0, 3)
    backbone = load_joint("tiny-clip", Catalogue(stage.settings.weights))
    prompts = ["a handwritten one", "a handwritten zero"]
    columns = (ServedImageRow.image, ServedImageRow.cosine, ServedImageRow.margin, ServedImageRow.weights_digest)
    with stage.rooms.log.database.reading() as session:
        rows = session.execute(select(*columns)).all()
    for row in rows:
        picture = decode((stage.settings.served / str(row.image)).read_bytes(), "served")
        found = matches(
            image_features(picture[None], backbone), backbone.text_features(prompts), np.array([0], dtype=np.intp)
        )
        assert (row.cosine, row.margin) == (pytest.approx(float(found.cosine[0])), pytest.approx(found.margin[0]))
        assert row.weights_digest == backbone.weights_digest


def test_a_prompt_that_the_gate_never_saw_is_ranked_among_the_gates_prompts(stage: MonitorStage) -> None:
    stage.serve(2, prompt="one digit")
    stage.serve(2)
    stage.monitor.ingest()
    mixed = _margins(stage, "a handwritten one")
    stage.serve(2)
    stage.monitor.ingest()
    assert mixed == pytest.approx(_margins(stage, "a handwritten one")[:2])


def test_an_image_that_can_not_be_read_is_noted_and_stops_nothing(stage: MonitorStage) -> None:
    stage.serve(3)
    first, second, _ = sorted(stage.settings.served.rglob("*.png"))
    first.write_bytes(b"no image")
    second.unlink()
    assert stage.monitor.ingest().scored == 3
    assert stage.monitor.ingest().scored == 0
    with stage.rooms.log.database.reading() as session:
        faults = [row.fault for row in session.scalars(select(ServedImageRow))]
    assert sum(fault is not None for fault in faults) == 2


def test_prompts_are_kept_only_where_the_image_is(stage: MonitorStage) -> None:
    stage.serve(1, kept=False)
    stage.monitor.ingest()
    with stage.rooms.log.database.reading() as session:
        assert [row.prompt for row in session.scalars(select(ServedImageRow))] == [None]


def test_what_no_release_is_known_of_is_booked_but_not_scored(stage: MonitorStage) -> None:
    stage.serve(1)
    (name,) = spool_files(stage.settings.served)
    path = stage.settings.served / name
    path.write_bytes(path.read_bytes().replace(stage.release().manifest_digest.encode(), b"sha256:" + b"f" * 64))
    assert stage.monitor.ingest().lines == 1
    assert sum(entry.kind is Kind.SERVING for entry in stage.rooms.ledger.entries(MODEL)) == 1
    assert stage.monitor.scores(MODEL) == []


_KILLED = """
import os, sys
from pathlib import Path
from imprimatur.monitoring import store
from monitor_stage import open_home

die_at, calls, original = int(sys.argv[2]), 0, store.insert

def insert(session, served):
    global calls
    calls += 1
    if calls == die_at:
        os.kill(os.getpid(), 9)
    return original(session, served)

store.insert = insert
with open_home(Path(sys.argv[1])) as stage:
    stage.monitor.ingest()
"""


@pytest.mark.parametrize("die_at", [1, 501])
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(stage: MonitorStage, home: Path, die_at: int) -> None:
    stage.serve(520, kept=False)
    support = str(Path(__file__).parent.parent / "support")
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(home), str(die_at)],
        env={**os.environ, "PYTHONPATH": support, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    before = sum(entry.kind is Kind.SERVING for entry in stage.rooms.ledger.entries(MODEL))
    assert before == die_at - 1
    assert stage.monitor.ingest().lines == 520 - before
    assert sum(entry.kind is Kind.SERVING for entry in stage.rooms.ledger.entries(MODEL)) == 520


def _margins(stage: MonitorStage, prompt: str) -> list[float]:
    query = select(ServedImageRow.margin).where(ServedImageRow.prompt == prompt).order_by(ServedImageRow.margin)
    with stage.rooms.log.database.reading() as session:
        return sorted({round(float(margin or 0), 9) for margin in session.scalars(query)})


def test_scores_are_kept_by_the_hour_and_measured_again_as_images_come(stage: MonitorStage) -> None:
    stage.serve(4)
    stage.monitor.ingest()
    stage.serve(3, at=NOW.replace(hour=13))
    stage.serve(2)
    stage.monitor.ingest()
    found = {(s.window_start.hour, s.name): (s.n, s.served) for s in stage.monitor.scores(MODEL)}
    assert found == {
        (12, "alignment/tiny-clip"): (6, 6),
        (12, "cosine/tiny-clip"): (6, 6),
        (13, "alignment/tiny-clip"): (3, 3),
        (13, "cosine/tiny-clip"): (3, 3),
    }

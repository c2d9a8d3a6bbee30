"""Workers die: what they finished is kept, somebody else goes on, and the outcome is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import evaluation_stage
from evaluation_stage import ENGINEER, SUITE, Stage
from imprimatur.core.clock import utc_now
from imprimatur.evaluation.model import Status
from imprimatur.evaluation.worker import Living

_PATIENCE = 240.0
_SILENCE = 3.0
_OF_LOST = 16  # shards of the run that fails after generating


@contextmanager
def _worker(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    program = Path(evaluation_stage.__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(stage.settings.home), str(_SILENCE)]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _one_thread() -> Iterator[None]:
    """As many threads as the workers have, since a sum in other parts is rounded in another way."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _until(happened: Callable[[], object], worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert worker.poll() is None, "the worker ended by itself"
        assert time.monotonic() < deadline, "the worker did not get there in time"
        time.sleep(0.02)


def _slow(suite: str) -> str:
    return suite.replace("name: tiny,", "name: slow,").replace("steps: 2", "steps: 15")


@pytest.mark.long_form
@pytest.mark.timeout(1200)  # each worker's start takes as long as the machine is busy
def test_runs_outlive_their_workers_and_end_as_if_nothing_had_happened(
    stage: Stage, tmp_path: Path, count: Callable[[int, int], int]
) -> None:
    stage.evaluations.add_suite(ENGINEER, SUITE.replace("name: tiny,", "name: lost,").replace("tiny-clip", "no-clip"))
    stage.evaluations.add_suite(ENGINEER, _slow(SUITE))
    lost = stage.evaluations.request(ENGINEER, "tiny", 1, "lost")
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "slow")
    kills, kept = count(1, 4), dict[Path, int]()
    for kill in range(kills):
        enough = _OF_LOST + 3 * (kill + 1)
        with _worker(stage) as victim:
            _until(lambda enough=enough: len(stage.shards()) >= enough, victim)  # type: ignore[misc]
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        now = stage.shards()
        assert {path: now[path] for path in kept} == kept, "a finished shard was made again"
        kept = now
        left = stage.evaluations.get(run.id)
        assert (left.status, left.attempts) == (Status.RUNNING, kill + 1)

    with _worker(stage) as heir:
        _until(lambda: not stage.evaluations.open_runs(), heir)
        heir.terminate()
        assert heir.wait(timeout=60) == 0

    failed, done = stage.evaluations.get(lost.id), stage.evaluations.get(run.id)
    assert (failed.status, failed.attempts) == (Status.FAILED, 1)
    assert (done.status, done.attempts, done.done) == (Status.COMPLETE, kills + 1, 58)
    after = stage.shards()
    assert len(after) == 2 * _OF_LOST
    assert {path: after[path] for path in kept} == kept, "a finished shard was made again"
    again = stage.evaluations.request(ENGINEER, "tiny", 1, "slow")
    with _one_thread():
        undisturbed = stage.with_features(tmp_path / "undisturbed").run(again.id)
    assert undisturbed.id != done.id
    assert undisturbed.build == done.build, "somebody changed the code while this test ran"
    assert (undisturbed.scores, undisturbed.digest) == (done.scores, done.digest)
    assert len(stage.evaluations.last_seen()) == kills, "the heir left without a word"


@pytest.mark.proof_only
def test_a_worker_told_to_stop_leaves_its_run_to_the_next_at_once(stage: Stage) -> None:
    stage.evaluations.add_suite(ENGINEER, _slow(SUITE))
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "slow")
    with _worker(stage) as told:
        _until(lambda: len(stage.shards()) >= 2, told)
        told.terminate()
        assert told.wait(timeout=10) == 0

    left = stage.evaluations.get(run.id)
    assert (left.status, stage.evaluations.last_seen()) == (Status.RUNNING, {})
    with _worker(stage) as heir:
        _until(lambda: not stage.evaluations.get(run.id).is_open, heir)
    assert stage.evaluations.get(run.id).attempts == 2


def test_an_abandoned_run_is_failed_and_an_ended_one_left(stage: Stage) -> None:
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")

    stage.evaluations.abandon(run.id, "nobody works on it")
    stage.evaluations.abandon(run.id, "nobody works on it")

    assert stage.evaluations.get(run.id).error == "job-ended: nobody works on it"
    actions = [event.action for event in stage.log.recent(subject="tiny/1")]
    assert actions == ["evaluation.failed", "evaluation.requested"]


def test_a_worker_lives_as_long_as_its_sign_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watched, start = Living(10.0), utc_now()

    assert watched.after({"a": start, "b": start}) == {"a", "b"}
    now = 9.0
    assert watched.after({"a": start + timedelta(seconds=1), "b": start}) == {"a", "b"}
    now = 12.0
    assert watched.after({"a": start + timedelta(seconds=1), "b": start}) == {"a"}
    assert watched.after({}) == frozenset()


def test_workers_are_forgotten_when_they_leave(stage: Stage) -> None:
    assert stage.evaluations.workers_alive() == 0
    stage.evaluations.beat("work-1", "host")
    stage.evaluations.beat("work-1", "host")
    assert stage.evaluations.workers_alive() == 1
    stage.evaluations.dismiss("work-1")
    assert stage.evaluations.workers_alive() == 0

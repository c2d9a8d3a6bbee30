"""Durable jobs: run once however often they are enqueued, and run again when their worker was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imprimatur.core.jobs import Job, Jobs

_DIES = """
import os, signal, sys, time
from imprimatur.core.jobs import Jobs

jobs = Jobs(sys.argv[1], worker="victim", run=lambda job: os.kill(os.getpid(), signal.SIGKILL))
jobs.start()
for job in ("one", "two"):
    jobs.enqueue(job)
time.sleep(60)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the queue lives: beside an embedded home, or in the production database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    return str(request.getfixturevalue("fresh_postgres_url"))


class _Notebook:
    """Writes down what was run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, job: str) -> None:
        self.ran.append(job)
        if job == "bad":
            raise ValueError("this job always fails")


@pytest.fixture
def notebook() -> _Notebook:
    """Nothing was run yet."""
    return _Notebook()


@pytest.fixture
def jobs(url: str, notebook: _Notebook) -> Iterator[Jobs]:
    """A queue with one worker."""
    opened = Jobs(url, worker="heir", run=notebook.run)
    opened.start()
    yield opened
    opened.stop()


def _until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _ended(jobs: Jobs, job: str) -> bool:
    found = jobs.find(job)
    return found is not None and found.ended


def test_a_job_runs_once_however_often_it_is_enqueued(jobs: Jobs, notebook: _Notebook) -> None:
    assert jobs.find("one") is None
    for job in ("one", "one", "two", "one"):
        jobs.enqueue(job)

    _until(lambda: _ended(jobs, "one") and _ended(jobs, "two"))
    jobs.enqueue("one")
    _until(lambda: _ended(jobs, "one"))

    assert sorted(notebook.ran) == ["one", "two"]


def test_a_job_that_fails_ends_and_others_go_on(jobs: Jobs, notebook: _Notebook) -> None:
    jobs.enqueue("bad")
    jobs.enqueue("good")

    _until(lambda: _ended(jobs, "bad") and _ended(jobs, "good"))

    assert sorted(notebook.ran) == ["bad", "good"]


def test_a_killed_workers_job_is_taken_over(url: str, notebook: _Notebook) -> None:
    victim = subprocess.run([sys.executable, "-c", _DIES, url], env={**os.environ}, check=False, timeout=120)
    assert victim.returncode == -signal.SIGKILL
    jobs = Jobs(url, worker="heir", run=notebook.run)
    jobs.start()
    try:
        assert jobs.find("one") == Job(waiting=False, ended=False, worker="victim")
        _until(lambda: _ended(jobs, "two"))
        assert notebook.ran == ["two"], "nobody takes over before it is told to"

        jobs.take_over("one")
        _until(lambda: _ended(jobs, "one"))
    finally:
        jobs.stop()

    assert notebook.ran == ["two", "one"]

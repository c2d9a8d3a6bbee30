"""The worker: takes queued runs one at a time, shows that it is alive, and takes over what dead workers left.

A run's row is the truth about it; the job queue follows. The server only writes rows. Every worker turns rows without a
job into jobs (a job's id is its run's id, so that two workers enqueue it once), and puts jobs whose worker is dead back
into the queue. A worker is dead once its sign of life has not changed for some seconds of the watcher's own clock.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from datetime import datetime

from imprimatur.core.digests import new_id
from imprimatur.core.errors import ImprimaturError
from imprimatur.core.jobs import Jobs
from imprimatur.core.settings import Settings
from imprimatur.evaluation.service import Evaluations

_log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 15.0


class Worker:
    """One worker process: ``run`` returns when ``stop`` is set."""

    def __init__(self, evaluations: Evaluations, jobs_database: str, *, silence: float = SILENCE_SECONDS) -> None:
        self.id = new_id("work")
        self._evaluations = evaluations
        self._jobs = Jobs(jobs_database, worker=self.id, run=self._work)
        self._living = Living(silence)
        self._in_hand: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set. A run in hand is left to the next worker, which loses no finished shard."""
        self._evaluations.beat(self.id, socket.gethostname())
        self._jobs.start()
        try:
            while not stop.is_set():
                self._evaluations.beat(self.id, socket.gethostname())
                self._reconcile()
                stop.wait(BEAT_SECONDS)
        finally:
            self._evaluations.dismiss(self.id)
            if self._in_hand is not None:
                os._exit(0)  # a shard can't be interrupted, and whoever is next does it again
            self._jobs.stop()

    def _work(self, run: str) -> None:
        self._in_hand = run
        try:
            self._evaluations.run(run, self.id)
        except ImprimaturError as error:
            _log.error("run %s failed: %s: %s", run, error.code, error.message)  # the run's row says so too
        finally:
            self._in_hand = None

    def _reconcile(self) -> None:
        living = self._living.after(self._evaluations.last_seen())
        for run, worker in self._evaluations.open_runs().items():
            job = self._jobs.find(run)
            if job is None:
                self._jobs.enqueue(run)
            elif job.worker is not None and job.worker not in living:
                _log.warning("worker %s is dead: taking over run %s", job.worker, run)
                self._jobs.take_over(run)
            elif job.ended and (worker not in living or (worker == self.id and self._in_hand != run)):
                self._evaluations.abandon(run, "The job ended without an end of the run; see the worker's log")


class Living:
    """Which workers are alive, as one watcher sees it: those whose sign of life changes."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._seen: dict[str, tuple[datetime, float]] = {}

    def after(self, signs: Mapping[str, datetime]) -> frozenset[str]:
        """The workers alive, now that their newest signs of life are ``signs``."""
        now = time.monotonic()
        for worker, sign in signs.items():
            if worker not in self._seen or self._seen[worker][0] != sign:
                self._seen[worker] = (sign, now)
        return frozenset(worker for worker in signs if now - self._seen[worker][1] < self._silence)


def run_worker(evaluations: Evaluations, settings: Settings, *, silence: float = SILENCE_SECONDS) -> None:
    """Be a worker until the process is told to end (SIGTERM or SIGINT). Only a process's main thread can be one."""
    stop = threading.Event()
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda _signal, _frame: stop.set())
    Worker(evaluations, settings.jobs_database, silence=silence).run(stop)

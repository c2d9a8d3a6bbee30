"""Durable jobs: a job that was enqueued is run until it ends, whichever worker dies on the way. DBOS does the work.

A job is the id of something that the database knows more about. It may run more than once, so running it twice must be
the same as running it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbos import DBOS, SetWorkflowID

_QUEUE = "imprimatur"
_WORKFLOW = "imprimatur-job"
_APPLICATION_VERSION = "1"  # pinned, so that a newer build takes over what an older one left
_POLL_SECONDS = 0.5
_WAITING = frozenset({"ENQUEUED", "DELAYED"})


@dataclass(frozen=True)
class Job:
    """Where a job stands: waiting for a worker, in the hands of ``worker``, or ended."""

    waiting: bool
    ended: bool
    worker: str | None


class Jobs:
    """The queue as one worker sees it. Each worker runs one job at a time; one process has one ``Jobs``."""

    def __init__(self, url: str, *, worker: str, run: Callable[[str], None]) -> None:
        self._url = url
        self._worker = worker
        self._run = run
        self._job: Callable[[str], None] = run

    def start(self) -> None:
        """Connect, bring the queue's own tables up, and begin to take jobs."""
        DBOS(
            config={
                "name": "imprimatur",
                "system_database_url": self._url,
                "executor_id": self._worker,
                "application_version": _APPLICATION_VERSION,
                "log_level": "ERROR",
                "enable_otlp": False,
            }
        )

        @DBOS.step(name=f"{_WORKFLOW}-step")
        def step(subject: str) -> None:
            self._run(subject)

        @DBOS.workflow(name=_WORKFLOW)
        def job(subject: str) -> None:
            step(subject)

        self._job = job
        DBOS.launch()
        DBOS.register_queue(_QUEUE, worker_concurrency=1, polling_interval_sec=_POLL_SECONDS)

    def enqueue(self, job: str) -> None:
        """Have ``job`` run; enqueuing it again changes nothing."""
        with SetWorkflowID(job):
            DBOS.enqueue_workflow(_QUEUE, self._job, job)

    def find(self, job: str) -> Job | None:
        """Where ``job`` stands; None where it was never enqueued."""
        status = DBOS.get_workflow_status(job)
        if status is None:
            return None
        waiting, pending = status.status in _WAITING, status.status == "PENDING"
        return Job(waiting, not waiting and not pending, status.executor_id if pending else None)

    def take_over(self, job: str) -> None:
        """Put a job whose worker is dead back into the queue."""
        DBOS.resume_workflow(job, queue_name=_QUEUE)

    def stop(self) -> None:
        """Stop taking jobs; one in hand is left for another worker."""
        DBOS.destroy(destroy_registry=True)

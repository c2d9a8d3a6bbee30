"""Suites, and runs from the request to the scores."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from imprimatur.access.model import SYSTEM, Action, Principal
from imprimatur.audit.service import AuditLog, Unit
from imprimatur.core.digests import Digest, new_id
from imprimatur.core.errors import BadInput, Conflict, Fault, ImprimaturError, NotFound, Refused
from imprimatur.costs.model import Kind
from imprimatur.costs.service import Ledger
from imprimatur.datasets.model import DatasetKind
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation import store as rows
from imprimatur.evaluation.document import parse
from imprimatur.evaluation.measuring import Workshop, prompts_of
from imprimatur.evaluation.model import (
    MOST_TAKEOVERS,
    Evaluation,
    Findings,
    Role,
    Status,
    Suite,
    digest_of,
)
from imprimatur.evaluation.plan import shards_of
from imprimatur.registry.service import Registry
from imprimatur.storage.service import SealedStore

_MOST_SEED = 2**31 - 1
_FRESH = timedelta(minutes=1)


class Evaluations:
    """Suites by name, and runs of them on sealed versions. Only ``run`` needs torch; a worker calls it."""

    def __init__(
        self,
        log: AuditLog,
        registry: Registry,
        datasets: Datasets,
        store: SealedStore,
        ledger: Ledger,
        weights: Path,
        features: Path,
        *,
        device: str = "auto",
    ) -> None:
        self._log = log
        self._registry = registry
        self._datasets = datasets
        self._store = store
        self._ledger = ledger
        self._workshop = Workshop(store, datasets, weights, features, device)

    def add_suite(self, actor: Principal, text: str) -> Suite:
        """The suite that ``text`` states; the same document is kept once.

        Raises BadInput ``bad-suite``, and Conflict ``suite-version-taken`` where name and version stand for another
        document.
        """
        with self._log.unit_of_work(actor.name, "suite.add", "suite") as unit:
            actor.require(Action.ADD_DATASET)
            suite = parse(text)
            known = rows.suite(unit.session, suite.name, suite.version)
            if known is not None and known.digest != suite.digest:
                raise Conflict(
                    "suite-version-taken",
                    f"{suite.name} version {suite.version} is another document already; raise metadata.version",
                )
            if known is None:
                rows.insert_suite(unit.session, suite, by=actor.name, at=self._log.clock())
                unit.record("suite.added", subject=suite.name, version=suite.version, digest=suite.digest)
            return suite

    def suite(self, name: str) -> Suite:
        """The suite ``name`` in its highest version, or in the one that ``name@version`` says.

        Raises NotFound ``no-such-suite``.
        """
        with self._log.database.reading() as session:
            return self._suite(session, name)

    def suites(self) -> list[Suite]:
        """All suites by name, the highest version first."""
        with self._log.database.reading() as session:
            return rows.suites(session)

    def suite_of(self, digest: Digest) -> Suite:
        """The very suite that a run was made with; NotFound ``no-such-suite``."""
        with self._log.database.reading() as session:
            return _found_suite(rows.suite_of_digest(session, digest), digest)

    def request(self, actor: Principal, model: str, version: int, suite: str, seed: int = 0) -> Evaluation:
        """A queued run, or the one that is still open for the same bytes, suite and seed.

        The datasets are pinned now: what their names stand for later does not matter. Raises NotFound
        (``no-such-model``, ``no-such-version``, ``no-such-suite``, ``no-such-dataset``), Refused ``not-sealed`` and
        ``wrong-dataset``, BadInput ``bad-seed`` and ``bad-suite``.
        """
        with self._log.unit_of_work(actor.name, "evaluation.request", f"{model}/{version}"[:512]) as unit:
            actor.require(Action.EVALUATE)
            _check_seed(seed)
            found = self._registry.version(model, version)
            if found.manifest_digest is None:
                raise Refused(
                    "not-sealed",
                    f"{found.label} is registered but not sealed (expected a sealed version); "
                    f"submit it, or seal it with `imprimatur model seal {found.label}`",
                )
            chosen = self._suite(unit.session, suite)
            same = rows.same_open(unit.session, found.manifest_digest, chosen.digest, seed)
            if same is not None:
                return same
            pinned, total = self._pin(chosen)
            return self._queue(unit, actor, found.id, found.manifest_digest, chosen, seed, pinned, total)

    def get(self, evaluation_id: str) -> Evaluation:
        """The run; NotFound ``no-such-evaluation``."""
        with self._log.database.reading() as session:
            return _found(rows.evaluation(session, evaluation_id), evaluation_id)

    def latest(self, version_id: str) -> Evaluation | None:
        """The newest complete run of a version."""
        with self._log.database.reading() as session:
            complete = rows.of_version(session, version_id, complete=True, limit=1)
            return complete[0] if complete else None

    def of_version(self, version_id: str) -> list[Evaluation]:
        """All runs of a version, the newest first."""
        with self._log.database.reading() as session:
            return rows.of_version(session, version_id)

    def of_versions(self, version_ids: Collection[str], *, whole: bool = True) -> list[Evaluation]:
        """All runs of some versions, the newest first; where not ``whole``, without scores and evidence."""
        with self._log.database.reading() as session:
            return rows.of_versions(session, version_ids, whole=whole)

    def scored(self, runs: Collection[Evaluation]) -> list[Evaluation]:
        """Some runs with their scores, in the same order."""
        with self._log.database.reading() as session:
            scores = rows.scores_of(session, [run.id for run in runs])
        return [replace(run, scores=tuple(scores.get(run.id, ()))) for run in runs]

    def open_runs(self) -> dict[str, str]:
        """The worker of each run that has not come to an end, empty where there was none yet; the oldest run first."""
        with self._log.database.reading() as session:
            return rows.open_runs(session)

    def evidence_image(self, blob: Digest) -> bytes:
        """The PNG that some run's evidence shows under this digest, verified; NotFound ``no-such-evidence``."""
        with self._log.database.reading() as session:
            if not rows.is_evidence(session, blob):
                raise NotFound("no-such-evidence", f"No evaluation shows an image {blob[:80]}")
        return self._store.read_blob(blob)

    def run(self, evaluation_id: str, worker: str = "") -> Evaluation:
        """Work a run to its end as ``worker`` and return it; one that has ended is returned as it is.

        Finished shards of an earlier attempt are taken as they are. A failure is written down, audited and raised.
        """
        run = self._begin(evaluation_id, worker)
        if not run.is_open:
            return run
        watch = _Watch()
        try:
            findings = self._workshop.findings(
                run, self.suite_of(run.suite_digest), lambda done: self._advance(run, done, watch.lap())
            )
        except Exception as error:
            self._fail(run, error, watch.lap())
            raise
        return self._complete(run, findings, watch.lap())

    def abandon(self, evaluation_id: str, reason: str) -> None:
        """Close an open run that no job works on any more, as failed."""
        run = self.get(evaluation_id)
        if run.is_open:
            self._fail(run, Fault("job-ended", reason), 0.0)

    def beat(self, worker: str, host: str) -> None:
        """Write down a worker's sign of life."""
        with self._log.database.transaction() as session:
            rows.beat(session, worker, host=host, at=self._log.clock())

    def dismiss(self, worker: str) -> None:
        """Forget a worker that has left."""
        with self._log.database.transaction() as session:
            rows.dismiss(session, worker)

    def last_seen(self) -> dict[str, datetime]:
        """When each worker was last seen, by its id."""
        with self._log.database.reading() as session:
            return rows.workers(session)

    def workers_alive(self) -> int:
        """How many workers gave a sign of life in the last minute."""
        now = self._log.clock()
        return sum(now - seen < _FRESH for seen in self.last_seen().values())

    def _suite(self, session: Session, name: str) -> Suite:
        base, _, number = name.partition("@")
        if number and not number.isdecimal():
            raise BadInput("bad-suite-name", f"{name!r} names no suite (expected NAME or NAME@VERSION)")
        return _found_suite(rows.suite(session, base, int(number) if number else None), name)

    def _pin(self, suite: Suite) -> tuple[dict[str, Digest], int]:
        pinned: dict[str, Digest] = {}
        for role, name in suite.datasets.items():
            dataset = self._datasets.get(name)
            if dataset.kind is not DatasetKind(role):
                raise Refused(
                    "wrong-dataset",
                    f"Suite {suite.name} takes {name!r} for its {role} (got a dataset of kind {dataset.kind}, "
                    f"expected {role})",
                )
            pinned[role] = dataset.digest
        prompts = prompts_of(self._datasets.table(self._datasets.by_digest(pinned[Role.PROMPTS])))
        return pinned, sum(shard.count for shard in shards_of(suite, prompts))

    def _queue(
        self,
        unit: Unit,
        actor: Principal,
        version_id: str,
        manifest: Digest,
        suite: Suite,
        seed: int,
        pinned: dict[str, Digest],
        total: int,
    ) -> Evaluation:
        run = Evaluation(
            id=new_id("eval"),
            version_id=version_id,
            manifest_digest=manifest,
            suite_name=suite.name,
            suite_digest=suite.digest,
            seed=seed,
            status=Status.QUEUED,
            done=0,
            total=total,
            build="",
            device="",
            seconds=0.0,
            scores=(),
            evidence={"datasets": pinned},
            digest=None,
            error=None,
            requested_by=actor.name,
            requested_at=self._log.clock(),
            finished_at=None,
            attempts=0,
            worker="",
        )
        rows.insert(unit.session, run)
        unit.record(
            "evaluation.requested",
            evaluation=run.id,
            manifest=manifest,
            suite=suite.digest,
            seed=seed,
            datasets=pinned,
        )
        return run

    def _begin(self, evaluation_id: str, worker: str) -> Evaluation:
        device = self._workshop.resolved_device()
        with self._log.database.transaction() as session:
            run = _found(rows.evaluation(session, evaluation_id, lock=True), evaluation_id)
            if not run.is_open:
                return run
            if run.attempts <= MOST_TAKEOVERS:
                begun = replace(
                    run, status=Status.RUNNING, attempts=run.attempts + 1, worker=worker, device=device, done=0
                )
                rows.begin(session, begun)
                return begun
        error = Fault(
            "worker-died",
            f"The worker died in each of {run.attempts} attempts at this run (expected to end within "
            f"{MOST_TAKEOVERS + 1}); look for memory or driver trouble in the worker's log",
        )
        self._fail(run, error, 0.0)
        raise error

    def _advance(self, run: Evaluation, done: int, seconds: float) -> None:
        with self._log.database.transaction() as session:
            self._still_ours(session, run)
            rows.advance(session, run.id, done=done, seconds=seconds)

    def _fail(self, run: Evaluation, error: Exception, seconds: float) -> None:
        code = error.code if isinstance(error, ImprimaturError) else type(error).__name__
        with self._log.unit_of_work(SYSTEM.name, "evaluation.fail", self._label(run)) as unit:
            current = _found(rows.evaluation(unit.session, run.id, lock=True), run.id)
            if not current.is_open or current.attempts != run.attempts:
                return  # another worker has the run in hand, or brought it to an end
            rows.advance(unit.session, run.id, done=current.done, seconds=seconds)
            rows.fail(unit.session, run.id, error=f"{code}: {error}", at=self._log.clock())
            self._charge(unit, run, current.seconds + seconds, device=current.device, images=current.done)
            unit.record("evaluation.failed", evaluation=run.id, code=code, message=str(error))

    def _complete(self, run: Evaluation, findings: Findings, seconds: float) -> Evaluation:
        digest = digest_of(run, findings)
        with self._log.unit_of_work(SYSTEM.name, "evaluation.complete", self._label(run)) as unit:
            current = self._still_ours(unit.session, run)
            rows.complete(unit.session, run.id, findings, digest=digest, seconds=seconds, at=self._log.clock())
            self._charge(unit, run, current.seconds + seconds, device=findings.device, images=current.total)
            unit.record(
                "evaluation.completed",
                evaluation=run.id,
                digest=digest,
                manifest=run.manifest_digest,
                suite=run.suite_digest,
                build=findings.build,
            )
        return self.get(run.id)

    def _still_ours(self, session: Session, run: Evaluation) -> Evaluation:
        current = _found(rows.evaluation(session, run.id, lock=True), run.id)
        if current.status is not Status.RUNNING or current.attempts != run.attempts:
            raise Conflict(
                "run-taken-over",
                f"Run {run.id} is {current.status} in attempt {current.attempts} (expected attempt {run.attempts}): "
                "another worker has it",
            )
        return current

    def _charge(self, unit: Unit, run: Evaluation, seconds: float, *, device: str, images: int) -> None:
        if not device:
            return  # nobody began it
        version = self._registry.version_by_id(run.version_id)
        self._ledger.record(
            reference=f"evaluation:{run.id}",
            kind=Kind.EVALUATION,
            team=version.team,
            model=version.model,
            version=version.version,
            device=device,
            seconds=seconds,
            images=images,
            session=unit.session,
        )

    def _label(self, run: Evaluation) -> str:
        return self._registry.version_by_id(run.version_id).label


@dataclass
class _Watch:
    """Seconds of work, lap by lap."""

    started: float = field(default_factory=time.perf_counter)

    def lap(self) -> float:
        """Seconds since the last lap ended."""
        now = time.perf_counter()
        seconds, self.started = now - self.started, now
        return seconds


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= _MOST_SEED:
        raise BadInput("bad-seed", f"The seed is {seed} (expected an integer from 0 to {_MOST_SEED})")


def _found(run: Evaluation | None, evaluation_id: str) -> Evaluation:
    if run is None:
        raise NotFound("no-such-evaluation", f"There is no evaluation {evaluation_id[:80]!r}")
    return run


def _found_suite(suite: Suite | None, name: str) -> Suite:
    if suite is None:
        raise NotFound(
            "no-such-suite", f"There is no suite {name[:128]!r}; see `GET /api/v1/suites`, or give a YAML file"
        )
    return suite

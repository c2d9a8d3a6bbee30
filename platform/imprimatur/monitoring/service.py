"""Watching what is served: its cost goes to the ledger, and a sample of its images is scored again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby
from pathlib import Path

from sqlalchemy.orm import Session

from imprimatur.access.model import SYSTEM
from imprimatur.audit.service import AuditLog, Unit
from imprimatur.core.digests import Digest
from imprimatur.core.errors import Fault
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Kind
from imprimatur.costs.service import Ledger
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.measuring import prompts_of
from imprimatur.evaluation.model import Evaluation, Role, Suite
from imprimatur.evaluation.service import Evaluations
from imprimatur.monitoring import store as rows
from imprimatur.monitoring.model import Finding, Limit, ServedScore, Standing, Strip, judge
from imprimatur.monitoring.rescoring import ALIGNMENT, COSINE, Rescorer, estimates
from imprimatur.monitoring.store import Kept
from imprimatur.release.model import Decision, Release
from imprimatur.release.service import Releases
from imprimatur.serving.spool import Line, Served, image_path, read_lines, spool_files
from imprimatur_evaluators.errors import BadImage, EvaluatorError
from imprimatur_evaluators.images import Images, decode
from imprimatur_evaluators.spec import Direction

PRODUCTION = "production"
_LINES = 500
_IMAGES = 256
_LEAST_PROMPTS = 2
_SHOWN_SCORES = 500
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Ingested:
    """What one look at the spool came to."""

    lines: int
    unreadable: int
    scored: int


@dataclass(frozen=True)
class Yardstick:
    """What a released manifest was judged with, as far as it can be measured again on what is served."""

    release: Release
    evaluation: Evaluation
    backbone: str
    prompts: tuple[str, ...]
    limits: tuple[Limit, ...]


class Monitor:
    """Reads the gateways' spool and says how what is served stands against what was promised."""

    def __init__(
        self,
        log: AuditLog,
        ledger: Ledger,
        datasets: Datasets,
        evaluations: Evaluations,
        releases: Releases,
        settings: Settings,
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._datasets = datasets
        self._evaluations = evaluations
        self._releases = releases
        self._spool = settings.served
        self._minimum = settings.monitor_minimum
        self._span = timedelta(hours=settings.monitor_hours)
        self._rescorer = Rescorer(settings.weights, settings.device)

    def ingest(self) -> Ingested:
        """Book every new line of the spool once, then score images that wait for it.

        However often and wherever this dies: lines and the position after them are committed together.
        """
        booked = unreadable = 0
        for name in spool_files(self._spool):
            while batch := self._book(name):
                booked += batch.lines
                unreadable += batch.unreadable
        return Ingested(booked, unreadable, self._score())

    def scores(self, model: str) -> list[ServedScore]:
        """The scores of what a model served, newest window first."""
        with self._log.database.reading() as session:
            return rows.scores(session, model, _SHOWN_SCORES)

    def strip_of(self, model: str, environment: str = PRODUCTION) -> Strip:
        """Where the released version of a model stands now."""
        release = self._releases.current(model, environment)
        if release is None:
            reason = f"No version of {model} is released to {environment}"
            return Strip(model, None, environment, Standing.NOT_ENOUGH_TRAFFIC, reason, (), ())
        yardstick = self._yardstick(release)
        now = self._log.clock()
        found = self._measure(yardstick, now - self._span, now)
        finding = judge(found, yardstick.limits, minimum=self._minimum)
        return _strip(release, finding, found, yardstick.limits)

    def strips(self) -> list[Strip]:
        """A strip for every release that is active, by model and environment."""
        active = sorted(self._releases.active(), key=lambda release: (release.model, release.environment))
        return [self.strip_of(release.model, release.environment) for release in active]

    def _book(self, name: str) -> Ingested | None:
        """Book the next lines of one spool file in one transaction; None where there is nothing new."""
        with self._log.database.reading() as session:
            if not read_lines(self._spool, name, rows.positions(session).get(name, 0), 1):
                return None
        with self._log.unit_of_work(SYSTEM.name, "served.book", name) as unit:
            lines = read_lines(self._spool, name, rows.position(unit.session, name), _LINES)
            unreadable = sum(not self._book_line(unit, line) for line in lines)
            if lines:
                rows.move(unit.session, name, lines[-1].end)
        return Ingested(len(lines), unreadable, 0)

    def _book_line(self, unit: Unit, line: Line) -> bool:
        """Book one line; False where it is no record, which is kept as an audit event and read no further."""
        try:
            served = Served.parse(line.data)
        except ValueError as error:
            digest = "sha256:" + sha256(line.data).hexdigest()
            unit.record("served.unreadable", end=line.end, digest=digest, why=type(error).__name__)
            return False
        if rows.insert(unit.session, served):
            self._ledger.record(
                reference=f"served:{served.id}",
                kind=Kind.SERVING,
                team=served.team,
                model=served.model,
                version=served.version,
                device=served.device,
                seconds=served.seconds,
                images=served.images,
                session=unit.session,
            )
        return True

    def _score(self) -> int:
        """Score the oldest waiting images, manifest by manifest, and measure the windows that they fall in."""
        with self._log.database.reading() as session:
            waiting = rows.waiting(session, _IMAGES)
        waiting.sort(key=_place)
        for _, group in groupby(waiting, key=_place):
            self._score_group(list(group))
        return len(waiting)

    def _score_group(self, kept: Sequence[Kept]) -> None:
        yardstick = self._yardstick_of(kept[0])
        if yardstick is None:
            with self._log.database.transaction() as session:
                for each in kept:
                    rows.set_fault(session, each.id, "its release, or a suite that measures prompt following, is gone")
            return
        pictures, faults = self._pictures(kept)
        readable = [each for each in kept if each.id in pictures]
        try:
            scored = self._rescorer.score(
                yardstick.backbone,
                [pictures[each.id] for each in readable],
                [each.prompt for each in readable],
                yardstick.prompts,
            )
        except EvaluatorError as error:
            raise Fault(error.code, error.message) from error
        with self._log.database.transaction() as session:
            for image, fault in faults.items():
                rows.set_fault(session, image, fault)
            for each, found in zip(readable, scored.measured, strict=True):
                rows.set_measured(
                    session, each.id, found, backbone=yardstick.backbone, weights_digest=scored.weights_digest
                )
            for start in sorted({_window(each.at) for each in readable}):
                for score in self._scores_in(session, yardstick, start, start + _HOUR, scored.weights_digest):
                    rows.put_score(session, score)

    def _pictures(self, kept: Iterable[Kept]) -> tuple[dict[str, Images], dict[str, str]]:
        """Kept images by id, and why the others can't be read."""
        pictures: dict[str, Images] = {}
        faults: dict[str, str] = {}
        for each in kept:
            try:
                pictures[each.id] = _read(self._spool, each.image)
            except (BadImage, OSError, ValueError) as error:
                faults[each.id] = f"{type(error).__name__}: {error}"
        return pictures, faults

    def _measure(self, yardstick: Yardstick, start: datetime, end: datetime) -> list[ServedScore]:
        weights = next((s.weights_digest for s in yardstick.evaluation.scores if _is_served(s.name, yardstick)), "")
        with self._log.database.reading() as session:
            return self._scores_in(session, yardstick, start, end, weights)

    def _scores_in(
        self, session: Session, yardstick: Yardstick, start: datetime, end: datetime, weights_digest: Digest
    ) -> list[ServedScore]:
        release = yardstick.release
        place = (release.manifest_digest, release.environment)
        measured = rows.measured(session, *place, start=start, end=end, weights_digest=weights_digest)
        served = rows.count(session, *place, start=start, end=end)
        return [
            ServedScore(
                model=release.model,
                version=release.version,
                manifest_digest=release.manifest_digest,
                environment=release.environment,
                window_start=start,
                window_end=end,
                served=served,
                name=name,
                value=estimate.value,
                ci_low=estimate.interval.low,
                ci_high=estimate.interval.high,
                n=estimate.n,
                at=self._log.clock(),
            )
            for name, estimate in estimates(yardstick.backbone, measured).items()
        ]

    def _yardstick_of(self, kept: Kept) -> Yardstick | None:
        """The yardstick of a served image; None where its release is not known or measures nothing of the kind."""
        for release in self._releases.history(kept.model):
            if (release.manifest_digest, release.environment) == (kept.manifest_digest, kept.environment):
                yardstick = self._yardstick(release)
                return yardstick if len(yardstick.prompts) >= _LEAST_PROMPTS else None
        return None

    def _yardstick(self, release: Release) -> Yardstick:
        decision = self._releases.decision(release.decision_id)
        evaluation = self._evaluations.get(decision.evaluation_id)
        suite = self._evaluations.suite_of(evaluation.suite_digest)
        return Yardstick(
            release=release,
            evaluation=evaluation,
            backbone=suite.backbone,
            prompts=self._prompts(suite, evaluation),
            limits=_limits(decision, evaluation, suite),
        )

    def _prompts(self, suite: Suite, evaluation: Evaluation) -> tuple[str, ...]:
        """The prompts that alignment was measured against; none where the suite does not measure it."""
        sets = {
            metric.images
            for metric in suite.metrics
            if (metric.statistic, metric.backbone) == (ALIGNMENT, suite.backbone)
        }
        groups = {images.group for images in suite.sets if images.name in sets}
        table = self._datasets.table(self._datasets.by_digest(evaluation.evidence["datasets"][Role.PROMPTS]))
        return tuple(sorted({prompt.text for prompt in prompts_of(table) if prompt.group in groups}))


def _limits(decision: Decision, evaluation: Evaluation, suite: Suite) -> tuple[Limit, ...]:
    """The scores that can be measured on what is served, each with the decision's bound on it where it has one."""
    bounds = {result.score: result.limit for result in decision.results if result.score is not None}
    served = (f"{ALIGNMENT}/{suite.backbone}", f"{COSINE}/{suite.backbone}")
    return tuple(
        Limit(
            name=score.name,
            limit=bounds.get(score.name),
            lower_is_better=score.direction is Direction.LOWER,
            judged_low=score.ci_low,
            judged_high=score.ci_high,
        )
        for score in evaluation.scores
        if score.name in served
    )


def _strip(release: Release, finding: Finding, scores: Sequence[ServedScore], limits: tuple[Limit, ...]) -> Strip:
    return Strip(
        model=release.model,
        version=release.version,
        environment=release.environment,
        standing=finding.standing,
        reason=finding.reason,
        scores=tuple(scores),
        limits=limits,
    )


def _is_served(name: str, yardstick: Yardstick) -> bool:
    return name in (f"{ALIGNMENT}/{yardstick.backbone}", f"{COSINE}/{yardstick.backbone}")


def _place(kept: Kept) -> tuple[str, str]:
    return kept.manifest_digest, kept.environment


def _window(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _read(spool: Path, relative: str) -> Images:
    return decode(image_path(spool, relative).read_bytes(), relative)

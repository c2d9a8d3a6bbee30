"""The rooms that the pages look into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from imprimatur.audit.service import AuditLog
from imprimatur.costs.model import Kind
from imprimatur.costs.service import Ledger
from imprimatur.evaluation.service import Evaluations
from imprimatur.monitoring.service import Monitor
from imprimatur.registry.model import Version
from imprimatur.registry.service import Registry
from imprimatur.release.service import Releases
from imprimatur.reports.model import Brief
from imprimatur.reports.service import Reports


@dataclass(frozen=True)
class Rooms:
    """The services behind the pages, and the environments that a version can be released in."""

    log: AuditLog
    registry: Registry
    evaluations: Evaluations
    releases: Releases
    reports: Reports
    ledger: Ledger
    monitor: Monitor
    environments: Sequence[str]

    def view(self) -> AbstractContextManager[None]:
        """A block in which everything that a page reads is of one consistent state."""
        return self.log.database.view()

    def newest(self, models: Sequence[str], each: int) -> dict[str, list[Brief]]:
        """The newest versions of some models in brief, at most ``each`` of each, newest first."""
        found: dict[str, list[Brief]] = {model: [] for model in models}
        with self.view():
            for brief in self.reports.briefs_of(self.registry.newest(models, each)):
                found[brief.version.model].append(brief)
        return found

    def briefs(self, model: str, limit: int, before: int | None = None) -> list[Brief]:
        """A model's newest versions in brief, newest first; those below the number ``before`` where it is given."""
        with self.view():
            return self.reports.briefs_of(self.registry.versions(model, limit, before))

    def allowed(self, limit: int) -> list[Brief]:
        """Versions in brief that a decision allows where they do not stand, once for each such environment."""
        asked: dict[str, list[str]] = {}
        with self.view():
            for version_id, environment in self.releases.allowed_and_not_standing(limit):
                asked.setdefault(environment, []).append(version_id)
            return [
                brief
                for environment, ids in asked.items()
                for brief in self.reports.briefs_of(self.registry.living(ids), environment)
            ]

    def costs(self, model: str, limit: int) -> dict[int, Mapping[Kind, float]]:
        """What each of a model's newest versions cost, by number."""
        return self.costs_of(self.registry.versions(model, limit))

    def costs_of(self, versions: Sequence[Version]) -> dict[int, Mapping[Kind, float]]:
        """What each of some versions of one model cost, by number."""
        found = self.ledger.of_versions([(version.model, version.version) for version in versions])
        return {number: kinds for (_, number), kinds in found.items()}

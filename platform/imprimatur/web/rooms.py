"""The rooms that the pages look into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imprimatur.audit.service import AuditLog
from imprimatur.costs.service import Ledger
from imprimatur.evaluation.service import Evaluations
from imprimatur.monitoring.service import Monitor
from imprimatur.registry.service import Registry
from imprimatur.release.service import Releases
from imprimatur.reports.model import Dossier
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

    def newest_dossiers(self, models: Sequence[str], each: int) -> dict[str, list[Dossier]]:
        """Dossiers of the newest versions of some models, at most ``each`` of each, newest first."""
        found: dict[str, list[Dossier]] = {model: [] for model in models}
        for dossier in self.reports.dossiers_of(self.registry.newest(models, each)):
            found[dossier.version.model].append(dossier)
        return found

    def dossiers(self, model: str, limit: int = 50, before: int | None = None) -> list[Dossier]:
        """Dossiers of a model's newest versions, newest first; those below the number ``before`` where it is given."""
        return self.reports.dossiers_of(self.registry.versions(model, limit, before))

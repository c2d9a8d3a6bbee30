"""The one place that puts the rooms together."""

from __future__ import annotations

from dataclasses import dataclass

from imprimatur.access.service import Accounts
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import Clock, utc_now
from imprimatur.core.database import Database
from imprimatur.core.keychain import KeyChain, open_chain
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.costs.service import Ledger
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.service import Evaluations
from imprimatur.monitoring.service import Monitor
from imprimatur.policy.service import Policies
from imprimatur.registry.provenance import ModelSigner
from imprimatur.registry.service import Registry
from imprimatur.release.service import Releases
from imprimatur.reports.service import Reports
from imprimatur.storage.service import SealedStore


@dataclass(frozen=True)
class House:
    """Every room's service over one database and one home folder. Needs no torch; ``close`` it when done."""

    settings: Settings
    database: Database
    log: AuditLog
    accounts: Accounts
    ledger: Ledger
    sealed: SealedStore
    registry: Registry
    datasets: Datasets
    evaluations: Evaluations
    policies: Policies
    keys: KeyChain
    releases: Releases
    monitor: Monitor
    reports: Reports

    @classmethod
    def open(cls, settings: Settings, clock: Clock = utc_now) -> House:
        """The house that ``settings`` describe; its keys are made where there are none yet."""
        database = Database(settings.database)
        log = AuditLog(database, clock)
        accounts = Accounts(log, settings.session_length)
        ledger = Ledger(database, clock, Rates(settings.cpu_hour, settings.gpu_hour, settings.currency))
        sealed = SealedStore(settings.sealed, objects=settings.sealed_objects)
        signer = ModelSigner.at(settings.model_private, settings.model_certificate, settings.model_chain)
        registry = Registry(log, sealed, ledger, settings.artifacts, signer)
        datasets = Datasets(log, sealed)
        evaluations = Evaluations(
            log, registry, datasets, sealed, ledger, settings.weights, settings.features, device=settings.device
        )
        policies = Policies(log)
        keys = open_chain(settings.decision_private)
        releases = Releases(log, registry, evaluations, policies, datasets, accounts, keys, settings)
        monitor = Monitor(log, ledger, datasets, evaluations, releases, settings)
        reports = Reports(
            database=database,
            registry=registry,
            evaluations=evaluations,
            releases=releases,
            datasets=datasets,
            ledger=ledger,
            environments=settings.environments,
        )
        return cls(
            settings=settings,
            database=database,
            log=log,
            accounts=accounts,
            ledger=ledger,
            sealed=sealed,
            registry=registry,
            datasets=datasets,
            evaluations=evaluations,
            policies=policies,
            keys=keys,
            releases=releases,
            monitor=monitor,
            reports=reports,
        )

    def close(self) -> None:
        """Close the database."""
        self.database.dispose()

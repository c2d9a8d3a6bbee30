"""Everything that a release rests on, written straight into one governed database: no model is trained or measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from sqlalchemy import text

from imprimatur.access.model import Principal, Role
from imprimatur.access.service import Accounts
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.digests import new_id
from imprimatur.core.keychain import open_chain
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.costs.service import Ledger
from imprimatur.datasets import store as dataset_rows
from imprimatur.datasets.model import Dataset, DatasetKind
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation import store as evaluation_rows
from imprimatur.evaluation.model import Evaluation, Findings, Status, digest_of
from imprimatur.evaluation.service import Evaluations
from imprimatur.policy.engine import shared_engine
from imprimatur.policy.service import Policies
from imprimatur.registry import store as registry_rows
from imprimatur.registry.model import Lineage, RiskTier, Use, UsedDataset, Version
from imprimatur.registry.provenance import ModelSigner
from imprimatur.registry.service import ARTIFACT_TYPE, Registry
from imprimatur.release.model import Answer, Decision
from imprimatur.release.service import Releases
from imprimatur.storage.service import SealedStore
from imprimatur_evaluators.spec import Direction, Score

ANA = Principal("ana", frozenset({Role.ENGINEER}), "imaging")
BEN = Principal("ben", frozenset({Role.REVIEWER}), "compliance")
CHO = Principal("cho", frozenset({Role.REVIEWER}), "compliance")
OLGA = Principal("olga", frozenset({Role.OPERATOR}), "platform")
ROOT = Principal("root", frozenset(Role) - {Role.APPLICATION}, "platform")

GOOD = {"similarity/digits-clip": (0.01, 0.005, 0.015), "disparity/digits-clip": (0.1, 0.05, 0.15)}
COPIES = {**GOOD, "similarity/digits-clip": (0.3, 0.25, 0.35)}
UNSURE = {**GOOD, "similarity/digits-clip": (0.02, 0.01, 0.03)}

POLICY = """\
apiVersion: imprimatur/v1
kind: PromotionPolicy
metadata: {name: strict, version: VERSION}
match: {environment: ENVIRONMENT}
enforcement: deny
params: {similarity_max: LIMIT}
approvals: [{role: reviewer, count: COUNT}]
rules:
- id: look-alikes
  title: Look-alikes (share of images)
  expr: score.`similarity/digits-clip` <= params.similarity_max
  message: "Look-alikes (share of images) {value} ({interval}) is above the limit {params.similarity_max}"
- id: safetensors-only
  title: Weights are safetensors only
  expr: size(model.weight_files) > 0 && model.weight_files.all(f, f.endsWith(".safetensors"))
  message: The folder holds weights in another format than safetensors
- id: lineage
  title: Lineage and licences are complete
  expr: model.has_lineage && data.missing_licences == 0 && data.failed_expectations == 0
  message: Lineage or a licence is missing
- id: no-worse
  title: No more look-alikes than what stands there
  expr: "!model.has_predecessor || delta.`similarity/digits-clip` <= 0.5"
  message: More look-alikes than what stands there
tests:
- name: good
  set:
    score.`similarity/digits-clip`: 0.001
    model.weight_files: [a.safetensors]
    model.has_lineage: true
    data.missing_licences: 0
    data.failed_expectations: 0
    model.has_predecessor: false
  expect: {look-alikes: allow, safetensors-only: allow, lineage: allow, no-worse: allow, verdict: allow}
- name: bad
  set:
    score.`similarity/digits-clip`: 0.9
    model.weight_files: [a.bin]
    model.has_lineage: false
    model.has_predecessor: true
    delta.`similarity/digits-clip`: 0.8
  expect: {look-alikes: deny, safetensors-only: deny, lineage: deny, no-worse: deny, verdict: deny}
- name: nothing known
  set: {}
  expect: {look-alikes: error, safetensors-only: error, lineage: error, no-worse: error, verdict: undecided}
"""

SUITE = """\
apiVersion: imprimatur/v1
kind: EvaluationSuite
metadata: {name: digits, version: 1}
backbone: digits-clip
generation: {steps: 20, guidance: 2.0, batch: 50}
datasets: {prompts: digits-prompts, protected: digits-protected, calibration: digits-calibration}
sets: {conditional: {group: conditional, images_per_prompt: 50}}
metrics: [{name: similarity, images: conditional, false_positive_rate: 0.01}]
"""

USE = Use(
    purpose="Digits for a game",
    prohibited=("Forging documents",),
    audience="Children",
    region="EU",
    tier=RiskTier.LIMITED,
    owner="ana",
    review_by=date(2030, 1, 1),
)
_LINEAGE = Lineage(
    run_id="a" * 32,
    code_commit="c0ffee",
    datasets=(UsedDataset("digits-train", "sha256:" + "1" * 64, "CC-BY-4.0"),),
    device="cpu",
    seconds=36.0,
    cost=0.002,
    currency="EUR",
)
_NOTHING_SHOWN = {"samples": {"seed": 0, "images": []}, "worst": [], "pairs": []}
_PROTECTED = "sha256:" + "2" * 64


@dataclass(frozen=True)
class Stage:
    """The rooms of release over one database."""

    settings: Settings
    database: Database

    @cached_property
    def log(self) -> AuditLog:
        """The audit log."""
        return AuditLog(self.database)

    @cached_property
    def sealed(self) -> SealedStore:
        """The sealed store."""
        return SealedStore(self.settings.sealed)

    @cached_property
    def registry(self) -> Registry:
        """The registry."""
        return Registry(
            self.log, self.sealed, self._ledger, self.settings.artifacts, ModelSigner.at(self.settings.model_private)
        )

    @cached_property
    def datasets(self) -> Datasets:
        """The datasets."""
        return Datasets(self.log, self.sealed)

    @cached_property
    def evaluations(self) -> Evaluations:
        """The evaluations."""
        folders = (self.settings.weights, self.settings.features)
        return Evaluations(self.log, self.registry, self.datasets, self.sealed, self._ledger, *folders)

    @cached_property
    def policies(self) -> Policies:
        """The policies."""
        return Policies(self.log, shared_engine())

    @cached_property
    def accounts(self) -> Accounts:
        """The accounts."""
        return Accounts(self.log, self.settings.session_length)

    @cached_property
    def releases(self) -> Releases:
        """The releases."""
        keys = open_chain(self.settings.decision_private)
        rooms = (self.registry, self.evaluations, self.policies, self.datasets, self.accounts)
        return Releases(self.log, *rooms, keys, self.settings)

    def open(self) -> Stage:
        """Suite, data and policy are there."""
        self.evaluations.add_suite(ANA, SUITE)
        self.add_dataset()
        self.enact()
        return self

    def add_dataset(self, licence: str = "demo", name: str = "digits-protected") -> None:
        """The protected works, known by their digest."""
        validation = {"passed": True, "engine": "none", "expectations": []}
        kind = DatasetKind.PROTECTED
        dataset = Dataset(name, kind, _PROTECTED, "estate", licence, "archive", 10, "ana", utc_now(), validation)
        with self.database.transaction() as session:
            dataset_rows.insert(session, dataset)

    def enact(self, version: int = 1, *, limit: float = 0.02, count: int = 1, environment: str = "production") -> None:
        """A policy, applied by ben and approved by cho."""
        words = {"VERSION": version, "LIMIT": limit, "COUNT": count, "ENVIRONMENT": environment}
        document = POLICY
        for word, value in words.items():
            document = document.replace(word, str(value))
        self.policies.apply(BEN, document)
        self.policies.approve(CHO, "strict", version)

    def register(
        self, number: int, model: str = "digits", *, seal: bool = True, weights: str = "a.safetensors"
    ) -> Version:
        """A version as ana's MLflow run would leave it, sealed unless said otherwise."""
        with self.database.transaction() as session:
            if not registry_rows.model_exists(session, model):
                session.execute(
                    text("INSERT INTO registered_models (workspace, name) VALUES ('default', :name)"), {"name": model}
                )
            session.execute(
                text(
                    "INSERT INTO model_versions (workspace, name, version, source, current_stage) "
                    "VALUES ('default', :name, :version, :source, 'None')"
                ),
                {"name": model, "version": number, "source": f"{model}/{number}"},
            )
            row = registry_rows.add_version(
                session,
                model=model,
                version=number,
                run_id=None,
                source=f"{model}/{number}",
                team="imaging",
                by="ana",
                at=utc_now(),
            )
            if seal:
                row.manifest_digest, row.lineage = self._seal(model, number, weights), _LINEAGE.document()
                row.sealed_by, row.sealed_at = "ana", utc_now()
        return registry_rows.version_of(row)

    def submit(self, version: Version, *, by: Principal = ANA, purpose: str = USE.purpose) -> None:
        """Put a version forward."""
        self.registry.submit(by, version.model, version.version, replace(USE, purpose=purpose))

    def evaluate(
        self, version: Version, scores: Mapping[str, tuple[float, float, float]] = GOOD, seed: int = 0
    ) -> None:
        """A complete evaluation with these scores (value, ci_low, ci_high)."""
        measured = tuple(
            Score(name, *numbers, 500, Direction.LOWER, "digits-clip", "sha256:" + "3" * 64, "test", seed)
            for name, numbers in scores.items()
        )
        self.find(version, Findings(measured, _NOTHING_SHOWN, "evaluators 0.1", "cpu"), seed)

    def find(self, version: Version, findings: Findings, seed: int = 0) -> None:
        """A complete evaluation that found this."""
        run = self._run(version, seed)
        findings = replace(findings, evidence={**run.evidence, **findings.evidence})
        with self.database.transaction() as session:
            evaluation_rows.insert(session, run)
            session.flush()
            digest = digest_of(run, findings)
            evaluation_rows.complete(session, run.id, findings, digest=digest, seconds=1.0, at=utc_now())

    def ready(
        self, number: int = 1, scores: Mapping[str, tuple[float, float, float]] = GOOD, model: str = "digits"
    ) -> Version:
        """A version that is registered, sealed, submitted and evaluated."""
        version = self.register(number, model)
        self.submit(version)
        self.evaluate(version, scores)
        return version

    def decided(self, number: int = 1, environment: str = "production") -> Decision:
        """The decision on a ready version."""
        return self.releases.decide(ANA, "digits", number, environment)

    def approved(self, number: int = 1, environment: str = "production") -> Decision:
        """The decision on a ready version, approved by ben."""
        decision = self.decided(number, environment)
        self.releases.answer(BEN, decision.id, Answer.APPROVE, "looked at it")
        return decision

    def alias(self, environment: str = "production", model: str = "digits") -> int | None:
        """What MLflow's alias points at."""
        with self.database.reading() as session:
            return registry_rows.alias_version(session, model, environment)

    def holds(self, number: int, model: str = "digits") -> list[str]:
        """Environments that hold a version."""
        with self.database.reading() as session:
            return registry_rows.holds(session, model, number)

    def actions(self) -> list[str]:
        """What the audit log says, newest first."""
        return [event.action for event in self.log.recent(limit=1000)]

    def everything(self) -> list[tuple[object, ...]]:
        """Every row that a release is made of."""
        tables = (
            "imp_decision",
            "imp_approval",
            "imp_release",
            "imp_revocation",
            "imp_hold",
            "registered_model_aliases",
        )
        with self.database.reading() as session:
            return [
                (table, *row)
                for table in tables
                for row in session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))
            ]

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.database, utc_now, Rates(cpu_hour=0.2, gpu_hour=2.5, currency="EUR"))

    def _seal(self, model: str, number: int, weights: str) -> str:
        folder = self.settings.home / "incoming" / model / str(number)
        (folder / "unet").mkdir(parents=True)
        (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        (folder / "unet" / weights).write_bytes(f"{model}/{number}".encode())
        return self.sealed.seal_folder(folder, artifact_type=ARTIFACT_TYPE).digest

    def _run(self, version: Version, seed: int) -> Evaluation:
        assert version.manifest_digest is not None
        return Evaluation(
            id=new_id("eval"),
            version_id=version.id,
            manifest_digest=version.manifest_digest,
            suite_name="digits",
            suite_digest=self.evaluations.suite("digits").digest,
            seed=seed,
            status=Status.QUEUED,
            done=0,
            total=500,
            build="",
            device="",
            seconds=0.0,
            scores=(),
            evidence={"datasets": {"protected": _PROTECTED}},
            digest=None,
            error=None,
            requested_by="ana",
            requested_at=utc_now(),
            finished_at=None,
            attempts=0,
            worker="",
        )

"""Whatever is done in whatever order, nothing is served but what a simple model of the promise says may be."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mlflow.exceptions import MlflowException

from imprimatur.access.http import current_principal
from imprimatur.access.model import Principal
from imprimatur.core.database import Database
from imprimatur.core.errors import Refused
from imprimatur.core.settings import Settings
from imprimatur.registry import store as registry_rows
from imprimatur.registry.governed.store import GovernedStore
from imprimatur.registry.model import Version
from imprimatur.registry.service import ARTIFACT_TYPE
from imprimatur.release.model import Answer, Decision
from imprimatur.serving.bundle import open_bundle
from long_forms import Count
from release_stage import ANA, BEN, CHO, COPIES, GOOD, OLGA, UNSURE, USE, Stage

OUTCOMES = {"allow": GOOD, "deny": COPIES, "undecided": UNSURE}
PRODUCTION = "production"
PEOPLE = st.sampled_from([ANA, BEN, BEN, CHO])
ANSWERS = st.sampled_from([Answer.REJECT, Answer.APPROVE, Answer.APPROVE])


@dataclass
class Known:
    """What the simple model remembers of a version."""

    row: Version
    model: str
    digest: str | None = None
    use: str | None = None
    evaluated: int = 0
    outcome: str = ""
    decision: Decision | None = None
    decided_on: tuple[object, ...] = ()
    verdict: str = ""
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Its number."""
        return self.row.version

    @property
    def now(self) -> tuple[object, ...]:
        """What a decision must have been about to apply still."""
        return self.model, self.digest, self.use, self.evaluated

    def may_be_served(self, revoked: set[str]) -> bool:
        """The promise: these bytes were evaluated, the policy passed, and the right people approved."""
        if self.digest is None or self.digest in revoked or self.decision is None or self.decided_on != self.now:
            return False
        answers = self.answers.get(self.decision.id, {})
        return self.verdict == "allow" and Answer.REJECT not in answers.values() and bool(answers)


class Line(RuleBasedStateMachine):
    """Registers, seals, evaluates, decides, answers, promotes, rolls back, revokes, deletes and renames."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="imprimatur-line-"))
        self.known: list[Known] = []
        self.numbers: dict[str, int] = {}
        self.revoked: set[str] = set()
        self.standing: Known | None = None
        self.model = "digits"
        self.serial = 0

    @initialize()
    def open(self) -> None:
        """A home with a suite, data and a policy in force."""
        shutil.copy(self.template, self.home / "imprimatur.db")
        chosen = Settings(home=self.home)
        self.stage = Stage(chosen, Database(chosen.database)).open()
        self.mlflow = GovernedStore(chosen.database, self.stage.registry, chosen.environments)

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "stage"):
            self.mlflow.engine.dispose()
            self.stage.database.dispose()
        shutil.rmtree(self.home)

    @rule(content=st.integers(0, 3))
    def register(self, content: int) -> None:
        """One more version, sealed; some have the same bytes."""
        self.numbers[self.model] = number = self.numbers.get(self.model, 0) + 1
        row = self.stage.register(number, self.model, seal=False)
        self.known.append(Known(row, self.model, self._seal(row, content)))

    @rule()
    def register_without_sealing(self) -> None:
        """One more version that nobody sealed."""
        self.numbers[self.model] = number = self.numbers.get(self.model, 0) + 1
        self.known.append(Known(self.stage.register(number, self.model, seal=False), self.model))

    @rule(content=st.integers(0, 3))
    def bring_forward(self, content: int) -> None:
        """One more version, taken all the way to an approval, unless its bytes were revoked."""
        self.register(content)
        version = self.known[-1]
        self.stage.submit(self._row(version))
        version.use = USE.purpose
        self.serial += 1
        self.stage.evaluate(self._row(version), GOOD, seed=self.serial)
        version.evaluated, version.outcome = self.serial, "allow"
        if version.digest not in self.revoked:
            decision = self.stage.releases.decide(ANA, version.model, version.number, PRODUCTION)
            version.decision, version.decided_on, version.verdict = decision, version.now, "allow"
            self.stage.releases.answer(BEN, decision.id, Answer.APPROVE, "looked")
            version.answers[decision.id] = {BEN.name: Answer.APPROVE}

    @rule(data=st.data(), purpose=st.sampled_from([USE.purpose, "Digits for a bank"]))
    def submit(self, data: Any, purpose: str) -> None:
        """Put a version forward for a use."""
        version = self._one(data)
        if version and self._tried(lambda: self.stage.submit(self._row(version), purpose=purpose), version.digest):
            version.use = purpose

    @rule(data=st.data(), outcome=st.sampled_from(["allow", "allow", "deny", "undecided"]))
    def evaluate(self, data: Any, outcome: str) -> None:
        """Measure a sealed version anew."""
        version = self._one(data)
        if version and version.digest:
            self.serial += 1
            self.stage.evaluate(self._row(version), OUTCOMES[outcome], seed=self.serial)
            version.evaluated, version.outcome = self.serial, outcome

    @rule(data=st.data())
    def decide(self, data: Any) -> None:
        """Ask the policy."""
        version = self._one(data)
        if version is None:
            return
        ready = version.digest and version.use and version.evaluated and version.digest not in self.revoked
        made: list[Decision] = []
        done = self._tried(
            lambda: made.append(self.stage.releases.decide(ANA, version.model, version.number, PRODUCTION)), ready
        )
        if done:
            assert made[0].verdict.value == version.outcome
            version.decision, version.decided_on, version.verdict = made[0], version.now, version.outcome

    @rule(
        data=st.data(), person=st.sampled_from([ANA, BEN, BEN, CHO]), answer=st.sampled_from([*Answer, Answer.APPROVE])
    )
    def answer(self, data: Any, person: Principal, answer: Answer) -> None:
        """Answer the newest decision on a version."""
        version = self._one(data)
        if version is None or version.decision is None:
            return
        decision, given = version.decision, version.answers.setdefault(version.decision.id, {})
        allowed = (
            person is not ANA
            and person.name not in given
            and version.decided_on == version.now
            and version.digest not in self.revoked
            and (answer is Answer.REJECT or version.verdict == "allow")
        )
        if self._tried(lambda: self.stage.releases.answer(person, decision.id, answer, "looked"), allowed):
            given[person.name] = answer

    @rule(content=st.integers(0, 3))
    def bring_forward_and_promote(self, content: int) -> None:
        """One more version, taken all the way."""
        self.bring_forward(content)
        self._promote(self.known[-1])

    @rule(data=st.data())
    def promote(self, data: Any) -> None:
        """Release a version: exactly when the model says that it may be."""
        version = self._one(data)
        if version is not None:
            self._promote(version)

    def _promote(self, version: Known) -> None:
        allowed = version.may_be_served(self.revoked) and not self._stands_by_its_decision(version)
        if self._tried(lambda: self.stage.releases.promote(ANA, version.model, version.number, PRODUCTION), allowed):
            event("promoted")
            self.standing = version

    @rule()
    def roll_back(self) -> None:
        """Bring back the release before, where that one may still be served."""
        try:
            release = self.stage.releases.roll_back(OLGA, self.model, PRODUCTION, "worse than before")
        except Refused:
            return
        version = next(one for one in self.known if one.row.id == release.version_id)
        assert version.may_be_served(self.revoked)
        event("rolled back")
        self.standing = version

    @rule(data=st.data())
    def revoke(self, data: Any) -> None:
        """Forbid bytes, wherever they stand."""
        version = self._one(data)
        if version is None or version.digest is None:
            return
        digest = version.digest
        if self._tried(lambda: self.stage.releases.revoke(BEN, digest, "unsafe"), digest not in self.revoked):
            self.revoked.add(digest)
            if self.standing and self.standing.digest == digest:
                event("revoked while it stood")
                self.standing = None

    @rule(again=st.booleans())
    def revoke_what_stands(self, *, again: bool) -> None:
        """Forbid the bytes that are served now, and try to bring them back."""
        standing = self.standing
        if standing is not None and standing.digest is not None:
            self.stage.releases.revoke(BEN, standing.digest, "unsafe")
            event("revoked while it stood")
            self.revoked.add(standing.digest)
            self.standing = None
            if again:
                self._promote(standing)

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        """Delete a version through MLflow, which is refused for what stands."""
        version = self._one(data)
        if version and self._asked(
            "delete_model_version", version.model, version.number, free=version is not self.standing
        ):
            self.known.remove(version)

    @rule()
    def delete_model(self) -> None:
        """Delete the model through MLflow; the next version is number 1 again."""
        if self.model in self.numbers and self._asked(
            "delete_registered_model", self.model, free=self.standing is None
        ):
            self.known = [one for one in self.known if one.model != self.model]
            del self.numbers[self.model]

    @rule()
    def rename(self) -> None:
        """Rename the model through MLflow, which would carry its alias along."""
        new = "numbers" if self.model == "digits" else "digits"
        if self.model in self.numbers and self._asked(
            "rename_registered_model", self.model, new, free=self.standing is None
        ):
            self.numbers[new] = self.numbers.pop(self.model)
            for one in self.known:
                one.model = new
            self.model = new

    @rule(data=st.data())
    def move_the_alias(self, data: Any) -> None:
        """Point the protected alias at a version through MLflow: never."""
        version = self._one(data)
        if version:
            assert not self._asked("set_registered_model_alias", version.model, PRODUCTION, version.number, free=False)

    @invariant()
    def nothing_else_is_served(self) -> None:
        """The bundle that gateways obey names what the model says, and MLflow's alias agrees."""
        if not hasattr(self, "stage"):
            return
        bundle = open_bundle(self.stage.releases.bundle().document(), self.stage.releases.keys.ring)
        served = [(release.model, release.version, release.manifest_digest) for release in bundle.released]
        standing = self.standing
        expected = [(standing.model, standing.number, standing.digest)] if standing else []
        assert served == ([] if self._is_rejected() else expected)
        assert len(bundle.withheld) == (1 if self._is_rejected() else 0)
        assert self.stage.alias(model=self.model) == (standing.number if standing else None)

    def _is_rejected(self) -> bool:
        """Whether somebody rejected the decision that what stands rests on: then no gateway serves it any more."""
        current = self.stage.releases.current(self.model, PRODUCTION)
        if self.standing is None or current is None:
            return False
        return Answer.REJECT in self.standing.answers.get(current.decision_id, {}).values()

    def _one(self, data: Any) -> Known | None:
        return data.draw(st.sampled_from(self.known), label="version") if self.known else None

    def _row(self, version: Known) -> Version:
        return self.stage.registry.version(version.model, version.number)

    def _stands_by_its_decision(self, version: Known) -> bool:
        current = self.stage.releases.current(version.model, PRODUCTION)
        assert version.decision is not None
        return current is not None and current.decision_id == version.decision.id

    def _tried(self, act: Any, allowed: object) -> bool:
        """Whether it was done, which must be exactly where it is allowed."""
        try:
            act()
        except Refused:
            assert not allowed, "refused what should have been done"
            return False
        assert allowed, "done though it should have been refused"
        return True

    def _asked(self, method: str, *arguments: object, free: bool) -> bool:
        """Whether MLflow's governed store did it, as ana; it must where nothing holds the version or model."""
        reset = current_principal.set(ANA)
        try:
            getattr(self.mlflow, method)(*arguments)
        except MlflowException:
            assert not free, f"{method} was refused"
            return False
        finally:
            current_principal.reset(reset)
        assert free, f"{method} was done"
        return True

    def _seal(self, row: Version, content: int) -> str:
        folder = self.home / "incoming" / row.id
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        (folder / "a.safetensors").write_bytes(bytes([content]))
        digest = self.stage.sealed.seal_folder(folder, artifact_type=ARTIFACT_TYPE).digest
        with self.stage.database.transaction() as session:
            sealed = registry_rows.version_row(session, row.model, row.version)
            assert sealed is not None
            sealed.manifest_digest, sealed.sealed_by, sealed.sealed_at = digest, "ana", row.registered_at
            sealed.lineage = self._lineage
        return digest

    @property
    def _lineage(self) -> dict[str, Any]:
        dataset = {"name": "digits-train", "digest": "sha256:" + "1" * 64, "licence": "CC-BY-4.0"}
        known = {"run_id": "a" * 32, "code_commit": "c0ffee", "datasets": [dataset], "device": "cpu"}
        return {**known, "base_model": None, "seconds": 36.0, "cost": 0.002, "currency": "EUR"}


@pytest.mark.long_form
@pytest.mark.timeout(1200)
def test_no_sequence_serves_what_was_not_approved(sqlite_template: Path, count: Count) -> None:
    Line.template = sqlite_template
    run_state_machine_as_test(
        Line,
        settings=settings(
            max_examples=count(15, 150),
            stateful_step_count=count(30, 60),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

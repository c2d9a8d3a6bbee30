"""Carrying over: what is not there yet is taken, in an order that a second run completes wherever the first ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from imprimatur.core.errors import ImprimaturError, NotFound, Refused
from imprimatur.registry.adapter import admit_adapter, holds_adapter
from imprimatur.registry.admission import admit
from imprimatur.registry.governed import law
from imprimatur.registry.importing.model import (
    APPROVED_ALIASES,
    Failure,
    KnownRun,
    KnownVersion,
    Outcome,
    SourceExperiment,
    SourceModel,
    SourceRun,
    SourceVersion,
    Tally,
    VersionReport,
)
from imprimatur.registry.importing.source import Source
from imprimatur.registry.importing.target import Target, reserved
from imprimatur.registry.model import Lineage

_FATAL = frozenset({"source-unreachable", "server-unreachable"})
_RUNLESS = SourceExperiment("", "imported", {})


@dataclass(frozen=True)
class Plan:
    """What to take: everything, or what is named. Naming only models takes no other runs than their versions'."""

    experiments: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    approved: tuple[str, ...] = APPROVED_ALIASES
    environments: tuple[str, ...] = ()
    seal: bool = False

    @property
    def takes_experiments(self) -> bool:
        """Whether whole experiments are taken."""
        return bool(self.experiments) or not self.models

    @property
    def takes_models(self) -> bool:
        """Whether models are taken."""
        return bool(self.models) or not self.experiments


@dataclass
class Transfer:
    """One import from ``source`` to ``target``; ``tally`` says how far it is, ``advance`` is called at each step."""

    source: Source
    target: Target
    plan: Plan
    advance: Callable[[str], None]
    tally: Tally = field(default_factory=Tally)
    _seen: dict[str, str] = field(default_factory=dict)  # what it looked at and may meet again

    def run(self) -> Tally:
        """Take everything that the plan names. Raises Fault where source or server stop answering."""
        if self.plan.takes_experiments:
            for experiment in self.source.experiments(self.plan.experiments):
                with self._noting(f"experiment {experiment.name}"):
                    self._take_experiment(experiment)
        if self.plan.takes_models:
            for model in self.source.models(self.plan.models):
                with self._noting(f"model {model.name}"):
                    self._take_model(model)
        return self.tally

    def _take_experiment(self, experiment: SourceExperiment) -> None:
        place = self.target.experiment(experiment)
        self.tally.experiments += 1
        for page in self.source.runs(experiment):
            known = self.target.known_runs(run.id for run in page)
            for run in page:
                with self._noting(f"run {run.id}"):
                    self._take_run(place, run, known)
                self.advance("runs")

    def _take_run(self, experiment: str, run: SourceRun, known: Mapping[str, KnownRun]) -> str:
        """Our run of the source's. It is recorded before it is ended, so that a crash leaves it to be found."""
        there = known.get(run.id)
        if there is not None and there.ended:
            self.tally.runs_known += 1
            return there.run
        made = there.run if there else self.target.unfinished_runs(experiment).get(run.id)
        made = made or self.target.begin_run(experiment, run)
        self.target.fill_run(made, run)
        for metric in run.metrics:
            self.target.log_history(made, self.source.history(run.id, metric))
        first = self.target.record_run(made, run)
        if first == made:
            self.target.end_run(made, run)
        else:
            self.target.discard_run(made)
        if there is not None or first != made:
            self.tally.runs_known += 1
        else:
            self.tally.runs_imported += 1
        if run.ended_at is None:
            self._seen[run.id] = first
        return first

    def _take_model(self, model: SourceModel) -> None:
        aliases = self.target.aliases(model)
        for page in self.source.versions(model):
            known = self.target.known_versions(version.key for version in page)
            runs = self.target.known_runs(version.run_id for version in page if version.run_id)
            for version in page:
                there = known.get(version.key.digest)
                self.tally.versions.append(self._report(model, version, there, runs, aliases))
                self.advance("versions")

    def _report(
        self,
        model: SourceModel,
        version: SourceVersion,
        known: KnownVersion | None,
        runs: Mapping[str, KnownRun],
        aliases: Mapping[str, int],
    ) -> VersionReport:
        try:
            if known is not None:
                return self._seal_known(version, known)
            return self._take_version(model, version, runs, aliases)
        except ImprimaturError as error:
            if error.code in _FATAL:
                raise
            return VersionReport(version.label, Outcome.FAILED, code=error.code, message=error.message)

    def _seal_known(self, version: SourceVersion, known: KnownVersion) -> VersionReport:
        report = VersionReport(version.label, Outcome.ALREADY_THERE, known.label, known.mark, known.sealed)
        if not self.plan.seal or known.sealed:
            return report
        return _judged(report, self._seal(known), sealed=True)

    def _take_version(
        self, model: SourceModel, version: SourceVersion, runs: Mapping[str, KnownRun], aliases: Mapping[str, int]
    ) -> VersionReport:
        run = self._run_of(version, runs)
        held = model.aliases_of(version.key.version)
        with TemporaryDirectory() as scratch:
            here = self._register(version, run, Path(scratch))
            refusal = None if self.plan.seal else _refusal_of(Path(scratch))
        left_out = [f"tag {key}: reserved" for key in reserved(version.tags)]
        left_out += self._set_aliases(here, held, aliases)
        first = self.target.record_version(here, version, held, self.plan.approved)
        if (first.model, first.version) != here:
            self.target.discard_version(here)
            return self._seal_known(version, first)
        if self.plan.seal:
            refusal = self._seal(first)
        outcome = Outcome.UNSEALABLE if refusal else Outcome.IMPORTED
        report = VersionReport(version.label, outcome, first.label, first.mark, left_out=tuple(left_out))
        return _judged(report, refusal, sealed=self.plan.seal)

    def _register(self, version: SourceVersion, run: str, folder: Path) -> tuple[str, int]:
        """Our version of the files, which are put in ``folder`` as well: found where a crash left it, else made."""
        place = self.target.place(run, version.key)
        there = self.target.version_at(place)
        self.source.download(version, folder)
        if there is not None:
            return there
        self.target.upload(run, folder, version.key)
        return self.target.create_version(version, run, place)

    def _run_of(self, version: SourceVersion, runs: Mapping[str, KnownRun]) -> str:
        """Our run of the version's; one made for it alone where the source has none any more."""
        there = runs.get(version.run_id)
        if there is not None and there.ended:
            return there.run
        if version.run_id in self._seen:
            return self._seen[version.run_id]
        experiment, run = self._source_run(version)
        place = self.target.experiment(experiment)
        self._seen[run.id] = self._take_run(place, run, self.target.known_runs([run.id]))
        return self._seen[run.id]

    def _source_run(self, version: SourceVersion) -> tuple[SourceExperiment, SourceRun]:
        with suppress(NotFound):  # purged: the version is all that is left of it
            if version.run_id:
                return self.source.run(version.run_id)
        made = version.key.created_at
        return _RUNLESS, SourceRun(f"version:{version.key.digest}", version.label, "FINISHED", made, made)

    def _set_aliases(self, here: tuple[str, int], held: Sequence[str], taken: Mapping[str, int]) -> list[str]:
        """The aliases that were not copied, each with why."""
        left_out = []
        for alias in held:
            if taken.get(alias, here[1]) != here[1]:
                left_out.append(f"alias {alias}: already at version {taken[alias]}")
                continue
            try:
                law.refuse_protected_alias(self.plan.environments, here[0], alias, str(here[1]))
                if alias not in taken:
                    self.target.set_alias(here[0], alias, here[1])
            except Refused as refusal:
                left_out.append(f"alias {alias}: {refusal.message}")
        return left_out

    def _seal(self, version: KnownVersion) -> ImprimaturError | None:
        """Why the version can't be sealed; None once it is."""
        try:
            self.target.seal(version.model, version.version)
        except ImprimaturError as refusal:
            if refusal.code in _FATAL:
                raise
            return refusal
        return None

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Note what could not be taken and go on with the rest, unless nobody answers any more."""
        try:
            yield
        except ImprimaturError as error:
            if error.code in _FATAL:
                raise
            self.tally.failures.append(Failure(name, error.code, error.message))


def _judged(report: VersionReport, refusal: ImprimaturError | None, *, sealed: bool) -> VersionReport:
    if refusal is None:
        return replace(report, sealed=sealed)
    return replace(report, code=refusal.code, message=refusal.message)


def _refusal_of(folder: Path) -> ImprimaturError | None:
    """What sealing these files would be refused with; whether an adapter's base is sealed, the server alone knows."""
    try:
        Lineage.parse((admit_adapter(folder) if holds_adapter(folder) else admit(folder)).lineage)
    except ImprimaturError as refusal:
        return refusal
    return None

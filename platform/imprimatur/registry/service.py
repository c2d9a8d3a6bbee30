"""The registry's use cases: register, seal, submit, verify, and remember what was imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from imprimatur.access.model import Action, Principal
from imprimatur.audit import store as log_store
from imprimatur.audit.service import AuditLog, Unit
from imprimatur.core.digests import Json, new_id
from imprimatur.core.errors import BadInput, ImprimaturError, NotFound, Refused
from imprimatur.costs.model import Kind
from imprimatur.costs.service import Ledger
from imprimatur.registry import store
from imprimatur.registry.adapter import sealable
from imprimatur.registry.importing.model import ImportedVersion, KnownRun, KnownVersion, VersionKey, mark_of
from imprimatur.registry.layout import PIPELINE_TYPE
from imprimatur.registry.model import Lineage, Submission, Use, Version, incomplete_use
from imprimatur.registry.provenance import BUNDLE_TYPE, ModelSigner
from imprimatur.registry.sources import artifact_folder
from imprimatur.registry.tables import VersionRow
from imprimatur.storage.model import Manifest
from imprimatur.storage.service import SealedStore

_LOOKED_BACK = 100
ARTIFACT_TYPE = PIPELINE_TYPE


class Registry:
    """Models and their versions, from the moment that MLflow knows them."""

    def __init__(self, log: AuditLog, store: SealedStore, ledger: Ledger, artifacts: Path, signer: ModelSigner) -> None:
        self.log = log
        self.sealed = store
        self._ledger = ledger
        self._artifacts = artifacts
        self._signer = signer

    def record_version(self, unit: Unit, actor: Principal, model: str, version: int) -> Version:
        """Write down a version that MLflow made in this transaction; once, however often it is told."""
        known = store.version_row(unit.session, model, version)
        found = self._origin(unit.session, model, version)
        if known is not None and known.source == found.location:
            return store.version_of(known)
        row = store.add_version(
            unit.session,
            model=model,
            version=version,
            run_id=found.run_id,
            source=found.location,
            team=actor.team,
            by=actor.name,
            at=self.log.clock(),
        )
        unit.record("version.registered", subject=f"{model}/{version}", version_id=row.id, source=row.source)
        return store.version_of(row)

    def seal(self, actor: Principal, model: str, version: int) -> Version:
        """The version, sealed: a private copy of its files is made and checked, and it is that copy which is stored.

        A sealed version stays as it is. Raises NotFound, Refused ``bad-source``, ``no-artifacts``, and everything that
        ``sealable`` refuses; then nothing is stored.
        """
        found = self._known(actor, model, version)
        if found.manifest_digest is not None:
            return found
        try:
            manifest, lineage = self._copy_and_admit(found)
        except ImprimaturError as error:
            self.log.refusal(actor.name, "version.seal", found.label, error)
            raise
        with self.log.unit_of_work(actor.name, "version.seal", found.label) as unit:
            row = self._row(unit.session, model, version)
            if row.id == found.id and row.manifest_digest is None:
                self._write_down(unit, actor, row, manifest, lineage)
            return store.version_of(row)

    def waiting(self, age: timedelta) -> list[Version]:
        """Versions that were registered ``age`` ago or longer, and that were neither sealed nor refused since."""
        with self.log.database.reading() as session:
            rows = store.unsealed(session, before=self.log.clock() - age)
            return [store.version_of(row) for row in rows if not self._was_refused(session, row)]

    def _was_refused(self, session: Session, row: VersionRow) -> bool:
        told = log_store.events(session, subject=f"{row.model}/{row.version}", limit=_LOOKED_BACK)
        return any(event.action == "version.seal.refused" and event.at >= row.registered_at for event in told)

    def submit(self, actor: Principal, model: str, version: int, use: Use | Mapping[str, Any]) -> Submission:
        """Put a sealed version forward for one use, as an object or as somebody's document.

        The same use by the same person again is the same submission. Raises BadInput ``incomplete-use``, listing what
        is missing, or ``bad-use``; Refused ``not-sealed``; NotFound.
        """
        with self.log.unit_of_work(actor.name, "version.submit", f"{model}/{version}") as unit:
            actor.require(Action.SUBMIT)
            use = use if isinstance(use, Use) else Use.parse(use)
            self._check_use(use)
            row = self._row(unit.session, model, version)
            if row.manifest_digest is None:
                raise _not_sealed(model, version)
            latest = store.latest_submission(unit.session, row.id)
            if latest is not None and (latest.use, latest.submitted_by) == (use, actor.name):
                return latest
            made = Submission(new_id("sub"), row.id, row.manifest_digest, use, actor.name, self.log.clock())
            store.add_submission(unit.session, made)
            unit.record(
                "version.submitted",
                submission_id=made.id,
                version_id=row.id,
                manifest=made.manifest_digest,
                use=use.digest,
            )
            return made

    def record_imported_run(self, actor: Principal, source: str, source_run: str, run_id: str) -> str:
        """Our run of the source's: ``run_id``, or the one that an import was first with and that still lives.

        Raises NotFound ``no-such-run``.
        """
        with self.log.unit_of_work(actor.name, "run.import", f"run:{run_id}") as unit:
            actor.require(Action.REGISTER)
            unit.hold_still()
            known = store.imported_runs(unit.session, source, [source_run])
            if source_run in known:
                return known[source_run].run
            if not store.run_exists(unit.session, run_id):
                raise NotFound("no-such-run", f"There is no run {run_id!r} here (expected one that is not deleted)")
            store.put_imported_run(
                unit.session, source=source, source_run=source_run, run_id=run_id, by=actor.name, at=self.log.clock()
            )
            unit.record("run.imported", source=source, source_run=source_run)
        return run_id

    def record_imported_version(
        self,
        actor: Principal,
        model: str,
        version: int,
        key: VersionKey,
        *,
        stage: str,
        aliases: Sequence[str],
        approved_aliases: Sequence[str],
    ) -> KnownVersion:
        """Write down where a version came from and what it was there, once and for good.

        The answer is that version, or the one that an import was first with and that still lives. What is written is
        about the past; no rule reads it. Raises Refused ``not-imported`` where the version's files are not where an
        import puts those of ``key``; NotFound.
        """
        with self.log.unit_of_work(actor.name, "version.import", f"{model}/{version}") as unit:
            actor.require(Action.REGISTER)
            unit.hold_still()
            known = store.imported_versions(unit.session, [key.digest]).get(key.digest)
            if known is not None:
                return known
            row = self._row(unit.session, model, version)
            if not row.source.endswith(f"/artifacts/{key.folder}"):
                raise _not_imported(row, key)
            held, mark = tuple(sorted(set(aliases))), mark_of(stage, aliases, approved_aliases)
            imported = ImportedVersion(key, row.id, stage, held, mark, actor.name, self.log.clock())
            store.put_imported_version(unit.session, imported)
            unit.record(
                "version.imported",
                version_id=row.id,
                origin=key.document(),
                stage=stage,
                aliases=list(held),
                approved_aliases=sorted(set(approved_aliases)),
                mark=mark.value,
            )
            return KnownVersion(model, version, row.manifest_digest is not None, mark)

    def imported_runs(self, source: str, runs: Sequence[str]) -> Mapping[str, KnownRun]:
        """Our living runs of those of ``source`` that were imported."""
        with self.log.database.reading() as session:
            return store.imported_runs(session, source, runs)

    def imported_versions(self, keys: Sequence[str]) -> Mapping[str, KnownVersion]:
        """Our living versions of those that were imported, by the digests of their keys."""
        with self.log.database.reading() as session:
            return store.imported_versions(session, keys)

    def imported_version(self, version_id: str) -> ImportedVersion | None:
        """Where a version came from and what it was there; None where it was not imported."""
        with self.log.database.reading() as session:
            return store.imported_version(session, version_id)

    def verify(self, model: str, version: int) -> tuple[str, ...]:
        """Paths of the sealed version whose stored bytes are not those that were sealed; empty where all is well.

        Raises NotFound, Refused ``not-sealed``, Tampered ``blob-changed`` where the manifest itself is another.
        """
        return self.sealed.verify(self.manifest(model, version).digest)

    def manifest(self, model: str, version: int) -> Manifest:
        """The sealed version's manifest. Raises NotFound, Refused ``not-sealed``, Tampered ``blob-changed``."""
        found = self.version(model, version)
        if found.manifest_digest is None:
            raise _not_sealed(model, version)
        return self.sealed.manifest(found.manifest_digest)

    def signatures(self, model: str, version: int) -> tuple[bytes, ...]:
        """The OpenSSF signatures of a sealed version, as Sigstore bundles. Raises as ``manifest`` does."""
        return self.sealed.attached(self.manifest(model, version).digest, BUNDLE_TYPE)

    def version(self, model: str, version: int) -> Version:
        """The version. Raises NotFound ``no-such-model`` or ``no-such-version``."""
        with self.log.database.reading() as session:
            return store.version_of(self._row(session, model, version))

    def version_by_id(self, version_id: str) -> Version:
        """The version of that id, also when it was deleted since. Raises NotFound ``no-such-version``."""
        with self.log.database.reading() as session:
            row = store.version_by_id(session, version_id)
            if row is None:
                raise NotFound("no-such-version", f"There is no version with the id {version_id!r}")
            return store.version_of(row)

    def living(self, version_ids: Collection[str]) -> list[Version]:
        """Those of some versions that were not deleted, by model and number."""
        with self.log.database.reading() as session:
            return store.versions_of(store.living(session, version_ids))

    def versions(self, model: str, limit: int = 50, before: int | None = None) -> list[Version]:
        """The newest versions, newest first; those below the number ``before`` where it is given."""
        with self.log.database.reading() as session:
            return store.versions_of(store.versions(session, model, limit=limit, before=before))

    def newest(self, models: Collection[str], each: int) -> list[Version]:
        """The newest versions of some models, at most ``each`` of each, newest first."""
        with self.log.database.reading() as session:
            return store.versions_of(store.newest(session, models, each=each))

    def models(self, limit: int | None = None, after: str = "") -> list[str]:
        """Names of the models, sorted; the first ``limit`` after the name ``after`` where they are given."""
        with self.log.database.reading() as session:
            return store.models(session, limit=limit, after=after)

    def latest_submission(self, version_id: str) -> Submission | None:
        """The newest submission of a version."""
        with self.log.database.reading() as session:
            return store.latest_submission(session, version_id)

    def submission(self, submission_id: str) -> Submission:
        """The submission of that id. Raises NotFound ``no-such-submission``."""
        with self.log.database.reading() as session:
            found = store.submission(session, submission_id)
        if found is None:
            raise NotFound("no-such-submission", f"There is no submission with the id {submission_id!r}")
        return found

    def _known(self, actor: Principal, model: str, version: int) -> Version:
        """The version to seal, written down now where MLflow got it behind our back."""
        with self.log.unit_of_work(actor.name, "version.seal", f"{model}/{version}") as unit:
            actor.require(Action.REGISTER)
            row = store.version_row(unit.session, model, version)
            if row is not None and row.manifest_digest is not None:
                return store.version_of(row)
            return self.record_version(unit, actor, model, version)

    def _copy_and_admit(self, version: Version) -> tuple[Manifest, Mapping[str, Json]]:
        folder = artifact_folder(self._artifacts, version.source)
        with self.sealed.stage(folder) as staging:
            found = sealable(staging.folder, self.sealed)
            Lineage.parse(found.lineage)
            manifest = self.sealed.seal(staging, artifact_type=found.artifact_type)
        self._sign(manifest)
        return manifest, found.lineage

    def _sign(self, manifest: Manifest) -> None:
        """Sign what was sealed, once: the files are not read again."""
        if not self.sealed.attached(manifest.digest, BUNDLE_TYPE):
            self.sealed.attach(manifest.digest, BUNDLE_TYPE, self._signer.sign(manifest))

    def _write_down(
        self, unit: Unit, actor: Principal, row: VersionRow, manifest: Manifest, lineage: Mapping[str, Json]
    ) -> None:
        row.manifest_digest, row.lineage = manifest.digest, lineage
        row.sealed_by, row.sealed_at = actor.name, self.log.clock()
        unit.session.flush()
        self._charge(unit.session, row, Lineage.parse(lineage))
        unit.record(
            "version.sealed",
            version_id=row.id,
            manifest=manifest.digest,
            files=len(manifest.files),
            bytes=manifest.size,
        )

    def _charge(self, session: Session, row: VersionRow, lineage: Lineage) -> None:
        if lineage.seconds is None or lineage.device is None:
            return
        run = lineage.run_id or row.run_id
        self._ledger.record(
            reference=f"run:{run}" if run else f"version:{row.id}",
            kind=Kind.TRAINING,
            team=row.team,
            model=row.model,
            version=row.version,
            device=lineage.device,
            seconds=lineage.seconds,
            session=session,
        )

    def _check_use(self, use: Use) -> None:
        missing = use.missing()
        if missing:
            raise incomplete_use(missing)
        today = self.log.clock().date()
        if use.review_by <= today:
            raise BadInput("bad-use", f"The review date {use.review_by} has passed (expected one after {today})")

    def _row(self, session: Session, model: str, version: int) -> VersionRow:
        row = store.version_row(session, model, version)
        if row is None:
            raise _no_such(session, model, version)
        return row

    def _origin(self, session: Session, model: str, version: int) -> store.Origin:
        found = store.origin(session, model, version)
        if found is None:
            raise _no_such(session, model, version)
        return found


def _no_such(session: Session, model: str, version: int) -> NotFound:
    newest = store.versions(session, model, limit=1, before=None)
    if not newest:
        return NotFound("no-such-model", f"There is no model {model!r} with versions; see `imprimatur model list`")
    return NotFound("no-such-version", f"{model!r} has no version {version} (the newest is {newest[0].version})")


def _not_sealed(model: str, version: int) -> Refused:
    return Refused("not-sealed", f"{model}/{version} is not sealed (expected sealed bytes); seal it first")


def _not_imported(row: VersionRow, key: VersionKey) -> Refused:
    return Refused(
        "not-imported",
        f"{row.model}/{row.version} has its files at {row.source!r} (expected an import's folder {key.folder!r}); "
        "use `imprimatur mlflow import`",
    )

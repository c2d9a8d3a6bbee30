"""Every query of the registry: our own tables, and the few of MLflow's that the law is about.

MLflow's tables are named here column by column and not through its mappers, so that a transaction of ours can read and
write them without MLflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    column,
    delete,
    func,
    insert,
    literal,
    select,
    table,
    update,
    values,
)
from sqlalchemy.orm import Session, aliased

from imprimatur.core.digests import Digest, new_id
from imprimatur.registry.importing.model import ImportedVersion, KnownRun, KnownVersion, Mark, VersionKey
from imprimatur.registry.model import Submission, Use, Version
from imprimatur.registry.tables import HoldRow, ImportedRunRow, ImportedVersionRow, SubmissionRow, VersionRow

_WORKSPACE = "default"
_DELETED = "Deleted_Internal"
_MODELS = table("registered_models", column("workspace"), column("name"))
_VERSIONS = table(
    "model_versions",
    column("workspace"),
    column("name"),
    column("version"),
    column("source"),
    column("storage_location"),
    column("run_id"),
    column("current_stage"),
)
_ALIASES = table("registered_model_aliases", column("workspace"), column("name"), column("alias"), column("version"))
_LOGGED = table("logged_models", column("model_id"), column("artifact_location"), column("source_run_id"))
_RUNS = table("runs", column("run_uuid"), column("lifecycle_stage"), column("status"))


@dataclass(frozen=True)
class Origin:
    """What MLflow knows of a version or a logged model: where its files are, and the run that made them."""

    location: str
    run_id: str | None


def origin(session: Session, model: str, version: int) -> Origin | None:
    """The origin of a version as MLflow has it; None where it has none, or a deleted one."""
    found = session.execute(
        select(_VERSIONS.c.source, _VERSIONS.c.storage_location, _VERSIONS.c.run_id).where(
            _VERSIONS.c.workspace == _WORKSPACE,
            _VERSIONS.c.name == model,
            _VERSIONS.c.version == version,
            _VERSIONS.c.current_stage != _DELETED,
        )
    ).first()
    if found is None:
        return None
    return Origin(found.storage_location or found.source or "", found.run_id or None)


def model_exists(session: Session, model: str, *, lock: bool = False) -> bool:
    """Whether MLflow has the model; ``lock`` keeps others from adding versions to it until the transaction ends."""
    query = select(_MODELS.c.name).where(_MODELS.c.workspace == _WORKSPACE, _MODELS.c.name == model)
    if lock and session.get_bind().dialect.name != "sqlite":  # SQLite has one writer anyway
        query = query.with_for_update()
    return session.execute(query).first() is not None


def logged_model(session: Session, model_id: str) -> Origin | None:
    """Where the files of a logged model are and the run that made them; None where there is no such model."""
    columns = (_LOGGED.c.artifact_location, _LOGGED.c.source_run_id)
    found = session.execute(select(*columns).where(_LOGGED.c.model_id == model_id)).first()
    return None if found is None else Origin(found.artifact_location, found.source_run_id or None)


def set_alias(session: Session, model: str, alias: str, version: int) -> None:
    """Point MLflow's ``alias`` of ``model`` at ``version``, in the caller's transaction."""
    moved = session.execute(
        update(_ALIASES).where(*_alias(model, alias)).values(version=version).returning(_ALIASES.c.version)
    )
    if moved.first() is None:
        session.execute(insert(_ALIASES).values(workspace=_WORKSPACE, name=model, alias=alias, version=version))


def delete_alias(session: Session, model: str, alias: str) -> None:
    """Remove MLflow's ``alias`` of ``model``, in the caller's transaction."""
    session.execute(delete(_ALIASES).where(*_alias(model, alias)))


def alias_version(session: Session, model: str, alias: str) -> int | None:
    """The version that MLflow's ``alias`` of ``model`` points at."""
    return session.scalar(select(_ALIASES.c.version).where(*_alias(model, alias)))


def add_version(
    session: Session, *, model: str, version: int, run_id: str | None, source: str, team: str, by: str, at: datetime
) -> VersionRow:
    """The living row of a version, made where there is none.

    A living row with another source belongs to a version that was deleted behind our back: it is closed, and the new
    one gets an id of its own.
    """
    row = version_row(session, model, version)
    if row is not None and row.source == source:
        return row
    if row is not None:
        row.removed_at = at
        session.flush()
    row = VersionRow(
        id=new_id("ver"),
        model=model,
        version=version,
        run_id=run_id,
        source=source,
        team=team,
        registered_by=by,
        registered_at=at,
        lineage={},
    )
    session.add(row)
    session.flush()
    return row


def version_row(session: Session, model: str, version: int) -> VersionRow | None:
    """The living row of ``model/version``."""
    return session.scalar(_living().where(VersionRow.model == model, VersionRow.version == version))


def named(session: Session, asked: Collection[tuple[str, int]]) -> list[VersionRow]:
    """The living rows of some ``(model, version)``."""
    models, numbers = {model for model, _ in asked}, {number for _, number in asked}
    near = _living().where(VersionRow.model.in_(models), VersionRow.version.in_(numbers))  # pairs would find no index
    return [row for row in session.scalars(near) if (row.model, row.version) in asked]


def having_versions(session: Session, models: Collection[str]) -> set[str]:
    """Those of some models that have a living version."""
    living = select(VersionRow.model).where(VersionRow.removed_at.is_(None), VersionRow.model.in_(models))
    return set(session.scalars(living.distinct()))


def registered_by(session: Session, version_ids: Collection[str]) -> dict[str, str]:
    """Who registered some versions, living or not, by their ids."""
    found = session.execute(select(VersionRow.id, VersionRow.registered_by).where(VersionRow.id.in_(version_ids)))
    return {row.id: row.registered_by for row in found}


def version_by_id(session: Session, version_id: str) -> VersionRow | None:
    """The row of a version, living or not."""
    return session.get(VersionRow, version_id)


def living(session: Session, version_ids: Collection[str]) -> list[VersionRow]:
    """Those of some versions that were not deleted, by model and number."""
    query = _living().where(VersionRow.id.in_(version_ids)).order_by(VersionRow.model, VersionRow.version)
    return list(session.scalars(query))


def versions(session: Session, model: str, *, limit: int, before: int | None) -> list[VersionRow]:
    """The newest living versions of ``model``, those below ``before`` where it is given."""
    query = _living().where(VersionRow.model == model).order_by(VersionRow.version.desc()).limit(limit)
    if before is not None:
        query = query.where(VersionRow.version < before)
    return list(session.scalars(query))


def newest(session: Session, models: Collection[str], *, each: int) -> list[VersionRow]:
    """The newest living versions of some models, at most ``each`` of each, newest first."""
    named = values(column("name", String)).data([(model,) for model in models]).cte("named")
    below = aliased(VersionRow)
    first_left_out = (  # numbering all rows of a large model to keep a few would take longer
        select(below.version)
        .where(below.model == named.c.name, below.removed_at.is_(None))
        .order_by(below.version.desc())
        .offset(each)
        .limit(1)
        .scalar_subquery()
    )
    if not models:
        return []
    query = _living().join(named, named.c.name == VersionRow.model)
    query = query.where(VersionRow.version > func.coalesce(first_left_out, 0))
    return list(session.scalars(query.order_by(VersionRow.model, VersionRow.version.desc())))


def unsealed(session: Session, *, before: datetime) -> list[VersionRow]:
    """Living versions without sealed bytes that were registered before a moment, oldest first."""
    query = _living().where(VersionRow.manifest_digest.is_(None), VersionRow.registered_at <= before)
    return list(session.scalars(query.order_by(VersionRow.registered_at)))


def models(session: Session, *, limit: int | None = None, after: str = "") -> list[str]:
    """Names of the models with a living version, sorted; the first ``limit`` after a name where they are given."""
    first = select(func.min(VersionRow.model).label("name")).where(VersionRow.removed_at.is_(None))
    names = first.add_columns(literal(1).label("place")).where(VersionRow.model > after).cte("names", recursive=True)
    following = first.where(VersionRow.model > names.c.name).scalar_subquery()  # no walk over a large model's rows
    step = select(following, names.c.place + 1).where(names.c.name.is_not(None))
    names = names.union_all(step if limit is None else step.where(names.c.place < limit))
    named = select(names.c.name).where(names.c.name.is_not(None)).order_by(names.c.place)
    return list(session.scalars(named.limit(limit)))


def remove_versions(session: Session, model: str, version: int | None, at: datetime) -> None:
    """Close the living rows of a deleted model, or of one version of it."""
    closing = update(VersionRow).where(VersionRow.model == model, VersionRow.removed_at.is_(None))
    if version is not None:
        closing = closing.where(VersionRow.version == version)
    session.execute(closing.values(removed_at=at))


def rename_versions(session: Session, model: str, new: str) -> None:
    """Follow a model's new name."""
    living = update(VersionRow).where(VersionRow.model == model, VersionRow.removed_at.is_(None))
    session.execute(living.values(model=new))


def place_hold(session: Session, version_id: str, environment: str, at: datetime) -> None:
    """Hold a version for an environment: it may not be changed, deleted or renamed away any more."""
    if session.get(HoldRow, (version_id, environment)) is None:
        session.add(HoldRow(version_id=version_id, environment=environment, placed_at=at))
        session.flush()


def lift_hold(session: Session, version_id: str, environment: str) -> None:
    """Let the version go from the environment."""
    session.execute(delete(HoldRow).where(HoldRow.version_id == version_id, HoldRow.environment == environment))


def holds(session: Session, model: str, version: int | None = None) -> list[str]:
    """Environments that hold the version, or any version of the model, sorted."""
    query = (
        select(HoldRow.environment)
        .join(VersionRow, VersionRow.id == HoldRow.version_id)
        .where(VersionRow.model == model, VersionRow.removed_at.is_(None))
    )
    if version is not None:
        query = query.where(VersionRow.version == version)
    return sorted(set(session.scalars(query)))


def add_submission(session: Session, submission: Submission) -> None:
    """Keep a submission."""
    session.add(
        SubmissionRow(
            id=submission.id,
            version_id=submission.version_id,
            manifest_digest=submission.manifest_digest,
            use=submission.use.document(),
            use_digest=submission.use.digest,
            submitted_by=submission.submitted_by,
            submitted_at=submission.submitted_at,
        )
    )
    session.flush()


def latest_submission(session: Session, version_id: str) -> Submission | None:
    """The newest submission of a version."""
    newest = (
        select(SubmissionRow)
        .where(SubmissionRow.version_id == version_id)
        .order_by(SubmissionRow.submitted_at.desc(), SubmissionRow.id)
        .limit(1)
    )
    row = session.scalar(newest)
    return None if row is None else _submission(row)


def submissions_of(session: Session, version_ids: Collection[str]) -> list[Submission]:
    """The submissions of some versions, newest first."""
    query = select(SubmissionRow).where(SubmissionRow.version_id.in_(version_ids))
    ordered = query.order_by(SubmissionRow.submitted_at.desc(), SubmissionRow.id)
    return [_submission(row) for row in session.scalars(ordered)]


def submission(session: Session, submission_id: str) -> Submission | None:
    """The submission of that id."""
    row = session.get(SubmissionRow, submission_id)
    return None if row is None else _submission(row)


def run_exists(session: Session, run_id: str) -> bool:
    """Whether MLflow has the run, and it is not deleted."""
    living = select(_RUNS.c.run_uuid).where(_RUNS.c.run_uuid == run_id, _RUNS.c.lifecycle_stage == "active")
    return session.execute(living).first() is not None


def imported_runs(session: Session, source: str, runs: Sequence[str]) -> Mapping[str, KnownRun]:
    """Our living runs of those of ``source`` that were taken over."""
    found = session.execute(
        select(ImportedRunRow.source_run, ImportedRunRow.run_id, _RUNS.c.status)
        .join(_RUNS, _RUNS.c.run_uuid == ImportedRunRow.run_id)
        .where(
            ImportedRunRow.source == source,
            ImportedRunRow.source_run.in_(runs),
            _RUNS.c.lifecycle_stage == "active",
        )
    )
    return {row.source_run: KnownRun(row.run_id, row.status != "RUNNING") for row in found}


def put_imported_run(session: Session, *, source: str, source_run: str, run_id: str, by: str, at: datetime) -> None:
    """Remember which run of ours is the source's, instead of an earlier one that was deleted."""
    session.merge(ImportedRunRow(source=source, source_run=source_run, run_id=run_id, imported_by=by, imported_at=at))
    session.flush()


def imported_versions(session: Session, keys: Sequence[str]) -> Mapping[str, KnownVersion]:
    """Our living versions of those that were taken over, by the digests of their keys."""
    found = session.execute(
        select(
            ImportedVersionRow.key,
            ImportedVersionRow.mark,
            VersionRow.model,
            VersionRow.version,
            VersionRow.manifest_digest,
        )
        .join(VersionRow, VersionRow.id == ImportedVersionRow.version_id)
        .where(ImportedVersionRow.key.in_(keys), VersionRow.removed_at.is_(None))
    )
    return {
        row.key: KnownVersion(row.model, row.version, row.manifest_digest is not None, Mark(row.mark)) for row in found
    }


def put_imported_version(session: Session, imported: ImportedVersion) -> None:
    """Remember where a version came from, instead of an earlier import of the same that was deleted."""
    session.merge(
        ImportedVersionRow(
            key=imported.key.digest,
            source=imported.key.source,
            source_model=imported.key.model,
            source_version=imported.key.version,
            source_created_at=imported.key.created_at,
            version_id=imported.version_id,
            stage=imported.stage,
            aliases=list(imported.aliases),
            mark=imported.mark.value,
            imported_by=imported.imported_by,
            imported_at=imported.imported_at,
        )
    )
    session.flush()


def imported_version(session: Session, version_id: str) -> ImportedVersion | None:
    """Where a version came from; None where it was not imported."""
    row = session.scalar(select(ImportedVersionRow).where(ImportedVersionRow.version_id == version_id))
    if row is None:
        return None
    return ImportedVersion(
        key=VersionKey(row.source, row.source_model, row.source_version, row.source_created_at),
        version_id=row.version_id,
        stage=row.stage,
        aliases=tuple(row.aliases),
        mark=Mark(row.mark),
        imported_by=row.imported_by,
        imported_at=row.imported_at,
    )


def version_of(row: VersionRow) -> Version:
    """The row as the other rooms see it."""
    return Version(
        id=row.id,
        model=row.model,
        version=row.version,
        run_id=row.run_id,
        source=row.source,
        team=row.team,
        registered_by=row.registered_by,
        registered_at=row.registered_at,
        manifest_digest=row.manifest_digest,
        sealed_at=row.sealed_at,
        lineage=row.lineage,
    )


def versions_of(rows: Iterable[VersionRow]) -> list[Version]:
    """The rows as the other rooms see them."""
    return [version_of(row) for row in rows]


def _living() -> Select[VersionRow]:
    return select(VersionRow).where(VersionRow.removed_at.is_(None))


def _alias(model: str, alias: str) -> tuple[ColumnElement[bool], ...]:
    return (_ALIASES.c.workspace == _WORKSPACE, _ALIASES.c.name == model, _ALIASES.c.alias == alias)


def _submission(row: SubmissionRow) -> Submission:
    return Submission(
        id=row.id,
        version_id=row.version_id,
        manifest_digest=row.manifest_digest,
        use=Use.parse(row.use),
        submitted_by=row.submitted_by,
        submitted_at=row.submitted_at,
    )


def referred(session: Session) -> set[Digest]:
    """Digests of all manifests that a version or a submission names, those of deleted versions included."""
    columns = (VersionRow.manifest_digest, SubmissionRow.manifest_digest)
    return {digest for column_ in columns for digest in session.scalars(select(column_).distinct()) if digest}

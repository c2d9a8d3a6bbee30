"""MLflow's registry store under our law.

Every change runs in one transaction of ours: the rule is checked, MLflow's own method does its work in the same
session, and the audit event is appended, or nothing happens at all. A write that comes without such a transaction is
refused, so that a method of a later MLflow can't slip past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from imprimatur.access.http import caller_name, current_principal
from imprimatur.access.model import Action, Principal
from imprimatur.audit.service import Unit
from imprimatur.core.errors import (
    BadInput,
    Conflict,
    Fault,
    ImprimaturError,
    NotFound,
    Refused,
    Unauthenticated,
)
from imprimatur.registry import store
from imprimatur.registry.governed import law
from imprimatur.registry.governed.sealed import download_uri
from imprimatur.registry.service import Registry
from imprimatur.registry.sources import artifact_path, bad_source

_CODES: dict[type[ImprimaturError], int] = {
    BadInput: codes.INVALID_PARAMETER_VALUE,
    Conflict: codes.RESOURCE_CONFLICT,
    Fault: codes.INTERNAL_ERROR,
    NotFound: codes.RESOURCE_DOES_NOT_EXIST,
    Refused: codes.PERMISSION_DENIED,
    Unauthenticated: codes.UNAUTHENTICATED,
}
_LONGEST_SUBJECT = 512
_shared: ContextVar[Session | None] = ContextVar("imprimatur_shared_session", default=None)


@dataclass(frozen=True)
class Change:
    """One governed change: its unit of work and who makes it."""

    unit: Unit
    caller: Principal

    @property
    def session(self) -> Session:
        """The session that the rule, MLflow's work and the event share."""
        return self.unit.session


@dataclass(frozen=True)
class VersionChange(Change):
    """A governed change of the version with this number."""

    version: int


class GovernedStore(SqlAlchemyStore):
    """MLflow's SQL registry, where environments are closed and every change has a name under it."""

    def __init__(self, database: str, registry: Registry, environments: Sequence[str]) -> None:
        super().__init__(database)
        self._registry = registry
        self._environments = tuple(environments)
        self._reading: Callable[..., AbstractContextManager[Session]] = self.ManagedSessionMaker
        self.ManagedSessionMaker = self._session

    def create_registered_model(
        self, name: str, tags: Any = None, description: str | None = None, deployment_job_id: Any = None
    ) -> Any:
        """Create a model."""
        with self._change("model.create", name, Action.REGISTER) as change:
            law.refuse_unclear_name(name)
            law.refuse_reserved_tags(tag.key for tag in tags or ())
            if store.model_exists(change.session, name):
                raise MlflowException(f"Registered Model (name={name}) already exists.", codes.RESOURCE_ALREADY_EXISTS)
            made = super().create_registered_model(name, tags, description, deployment_job_id)
            change.unit.record("model.created")
            return made

    def update_registered_model(self, name: str, description: str, deployment_job_id: Any = None) -> Any:
        """Change a model's description."""
        with self._change("model.update", name) as change:
            changed = super().update_registered_model(name, description, deployment_job_id)
            change.unit.record("model.updated", description=description)
            return changed

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Rename a model that no environment holds a version of."""
        with self._change("model.rename", name, Action.REGISTER) as change:
            law.refuse_unclear_name(new_name)
            law.refuse_held(store.holds(change.session, name), name, "renamed")
            renamed = super().rename_registered_model(name, new_name)
            store.rename_versions(change.session, name, new_name)
            change.unit.record("model.renamed", new=new_name)
            return renamed

    def delete_registered_model(self, name: str) -> None:
        """Delete a model that no environment holds a version of."""
        with self._change("model.delete", name, Action.REGISTER) as change:
            law.refuse_held(store.holds(change.session, name), name, "deleted")
            super().delete_registered_model(name)
            store.remove_versions(change.session, name, None, self._registry.log.clock())
            change.unit.record("model.deleted")

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Tag a model."""
        with self._change("model.tag", name) as change:
            law.refuse_reserved_tags([tag.key])
            super().set_registered_model_tag(name, tag)
            change.unit.record("model.tagged", key=tag.key, value=tag.value)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Take a tag off a model."""
        with self._change("model.untag", name) as change:
            law.refuse_reserved_tags([key])
            super().delete_registered_model_tag(name, key)
            change.unit.record("model.untagged", key=key)

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Any = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """Register a version whose files are a run's or a logged model's of this server, and write it down."""
        with self._change("version.register", name, Action.REGISTER) as change:
            law.refuse_reserved_tags(tag.key for tag in tags or ())
            origin = self._origin(change.session, source)
            store.model_exists(change.session, name, lock=True)
            run = run_id or origin.run_id
            made = super().create_model_version(name, origin.location, run, tags, run_link, description)
            change.session.flush()
            self._registry.record_version(change.unit, change.caller, name, int(made.version))
            return made

    def update_model_version(self, name: str, version: Any, description: str | None = None) -> Any:
        """Change a version's description."""
        with self._version_change("version.update", name, version, "changed") as change:
            changed = super().update_model_version(name, change.version, description)
            change.unit.record("version.updated", description=description)
            return changed

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> Any:
        """Move a version to a stage that is no environment."""
        with self._version_change("version.stage", name, version, "moved to another stage") as change:
            law.refuse_protected_stage(self._environments, name, str(change.version), stage)
            moved = super().transition_model_version_stage(name, change.version, stage, archive_existing_versions)
            change.unit.record("version.staged", stage=stage)
            return moved

    def delete_model_version(self, name: str, version: Any) -> None:
        """Delete a version that no environment holds."""
        with self._version_change("version.delete", name, version, "deleted", Action.REGISTER) as change:
            super().delete_model_version(name, change.version)
            store.remove_versions(change.session, name, change.version, self._registry.log.clock())
            change.unit.record("version.deleted")

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        """Tag a version that no environment holds."""
        with self._version_change("version.tag", name, version, "tagged") as change:
            law.refuse_reserved_tags([tag.key])
            super().set_model_version_tag(name, change.version, tag)
            change.unit.record("version.tagged", key=tag.key, value=tag.value)

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Take a tag off a version that no environment holds."""
        with self._version_change("version.untag", name, version, "untagged") as change:
            law.refuse_reserved_tags([key])
            super().delete_model_version_tag(name, change.version, key)
            change.unit.record("version.untagged", key=key)

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Point an alias that is no environment at a version."""
        with self._change("alias.set", f"{name}/{version}") as change:
            number = law.version_number(version)
            law.refuse_protected_alias(self._environments, name, alias, str(number))
            super().set_registered_model_alias(name, alias, number)
            change.unit.record("alias.set", alias=alias)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias that is no environment."""
        with self._change("alias.delete", name) as change:
            law.refuse_protected_alias(self._environments, name, alias)
            super().delete_registered_model_alias(name, alias)
            change.unit.record("alias.deleted", alias=alias)

    def get_model_version_download_uri(self, name: str, version: Any) -> Any:
        """Where a version's files are: of a sealed version the sealed ones, whatever became of its run's."""
        try:
            number = law.version_number(version)
        except BadInput as error:
            raise as_mlflow(error) from error
        with self._registry.log.database.reading() as session:
            row = store.version_row(session, name, number)
            digest = row.manifest_digest if row is not None else None
        if digest is not None:
            return download_uri(digest)
        return super().get_model_version_download_uri(name, number)

    @contextmanager
    def _session(self, read_only: bool = True) -> Iterator[Session]:
        shared = _shared.get()
        if shared is not None:
            yield shared
            shared.flush()
        elif read_only:
            with self._reading(read_only=True) as session:
                yield session
        else:
            raise as_mlflow(Refused("ungoverned-write", "This change has no rule here, so it is not made"))

    @contextmanager
    def _change(self, intent: str, subject: str, action: Action = Action.TRACK) -> Iterator[Change]:
        caller = current_principal.get()
        try:
            with self._registry.log.unit_of_work(caller_name(), intent, plain_subject(subject)) as unit:
                if caller is None:
                    raise Unauthenticated("login-required", "Nobody is logged in (expected a token or a session)")
                caller.require(action)
                with _sharing(unit.session):
                    yield Change(unit, caller)
        except ImprimaturError as error:
            raise as_mlflow(error) from error

    @contextmanager
    def _version_change(
        self, intent: str, name: str, version: Any, change: str, action: Action = Action.TRACK
    ) -> Iterator[VersionChange]:
        with self._change(intent, f"{name}/{version}", action) as made:
            number = law.version_number(version)
            law.refuse_held(store.holds(made.session, name, number), f"{name}/{number}", change)
            yield VersionChange(made.unit, made.caller, number)

    def _origin(self, session: Session, source: str) -> store.Origin:
        origin: store.Origin | None = store.Origin(source, None)
        if source.startswith("models:/"):
            origin = store.logged_model(session, source.removeprefix("models:/"))
        if origin is None:
            raise bad_source(source)
        artifact_path(origin.location)
        return origin


def as_mlflow(error: ImprimaturError) -> MlflowException:
    """``error`` as MLflow's clients know it: our code and sentence under the nearest of MLflow's codes."""
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), codes.INTERNAL_ERROR)
    return MlflowException(f"{error.code}: {error.message}", error_code=code)


def plain_subject(subject: str) -> str:
    """``subject`` as the log takes it: short enough, with escapes for what can't be seen."""
    return (subject if subject.isprintable() else ascii(subject))[:_LONGEST_SUBJECT]


@contextmanager
def _sharing(session: Session) -> Iterator[None]:
    reset = _shared.set(session)
    try:
        yield
        session.flush()
    except DatabaseError as error:
        raise Refused("database-refused", f"The database refused this change: {error.orig}") from error
    finally:
        _shared.reset(reset)

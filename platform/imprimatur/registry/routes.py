"""Models and versions over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from imprimatur.access.http import Caller, permitted
from imprimatur.access.model import Action
from imprimatur.core.clock import iso
from imprimatur.core.errors import NotFound
from imprimatur.registry.importing.model import VersionKey
from imprimatur.registry.model import Lineage, Submission, Version
from imprimatur.registry.service import Registry
from imprimatur.storage.model import Manifest

_PAGE = 50
_KNOWN_PAGE = 500
_may_read = Depends(permitted(Action.READ))
_may_register = Depends(permitted(Action.REGISTER))

_Source = Annotated[str, Field(min_length=1, max_length=512)]
_Run = Annotated[str, Field(min_length=1, max_length=128)]
_Alias = Annotated[str, Field(max_length=256)]
_Digest = Annotated[str, Field(max_length=71)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class KnownRuns(_Body):
    """Runs of a source, to be told which of them are here."""

    source: _Source
    runs: Annotated[list[_Run], Field(max_length=_KNOWN_PAGE)]


class KnownVersions(_Body):
    """Keys of a source's versions, to be told which of them are here."""

    keys: Annotated[list[_Digest], Field(max_length=_KNOWN_PAGE)]


class ImportedRun(_Body):
    """A run of a source, and ours that was made of it."""

    source: _Source
    source_run: _Run
    run: Annotated[str, Field(max_length=32)]


class VersionOrigin(_Body):
    """Which version of which source."""

    source: _Source
    model: Annotated[str, Field(max_length=256)]
    version: Annotated[int, Field(ge=0, lt=1 << 31)]
    created_at: Annotated[int, Field(ge=0, lt=1 << 53)]


class Imported(_Body):
    """A version of ours, where it came from, and what it was there."""

    model: Annotated[str, Field(max_length=256)]
    version: Annotated[int, Field(ge=1, lt=1 << 31)]
    origin: VersionOrigin
    stage: Annotated[str, Field(max_length=64)]
    aliases: Annotated[list[_Alias], Field(max_length=_KNOWN_PAGE)]
    approved_aliases: Annotated[list[_Alias], Field(max_length=_KNOWN_PAGE)]


def router(registry: Registry) -> APIRouter:
    """Routes below ``/api/v1``."""
    routes = APIRouter(tags=["registry"])
    _add_versions(routes, registry)
    _add_imports(routes, registry)
    return routes


def _add_versions(routes: APIRouter, registry: Registry) -> None:
    @routes.get("/models", dependencies=[_may_read])
    def models() -> Mapping[str, Any]:
        """Names of all models, sorted."""
        return {"models": registry.models()}

    @routes.get("/models/{model}/versions", dependencies=[_may_read])
    def versions(
        model: str,
        limit: Annotated[int, Query(ge=1, le=500)] = _PAGE,
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> Mapping[str, Any]:
        """A page of versions, newest first."""
        return {"versions": [document(version) for version in registry.versions(model, limit, before)]}

    @routes.get("/models/{model}/versions/{version}", dependencies=[_may_read])
    def one(model: str, version: int) -> Mapping[str, Any]:
        """A version with its newest submission, and where it was imported from."""
        found = registry.version(model, version)
        submission = registry.latest_submission(found.id)
        return {
            **document(found),
            "submission": submission and submission_document(submission),
            "imported": _import_document(registry, found),
        }

    @routes.post("/models/{model}/versions/{version}/seal")
    def seal(caller: Caller, model: str, version: int) -> Mapping[str, Any]:
        """Seal the version: check and copy its files. A sealed version stays as it is."""
        return document(registry.seal(caller, model, version))

    @routes.post("/models/{model}/versions/{version}/submissions", status_code=201)
    def submit(caller: Caller, model: str, version: int, use: Annotated[dict[str, Any], Body()]) -> Mapping[str, Any]:
        """Put the sealed version forward for a use."""
        return submission_document(registry.submit(caller, model, version, use))

    @routes.get("/models/{model}/versions/{version}/verify", dependencies=[_may_read])
    def verify(model: str, version: int) -> Mapping[str, Any]:
        """Which sealed files are not what was sealed; every file is read."""
        manifest = registry.manifest(model, version)
        differing = registry.verify(model, version)
        return {"manifest": manifest.digest, "files": len(manifest.files), "differing": list(differing)}

    @routes.get("/models/{model}/versions/{version}/manifest", dependencies=[_may_read])
    def manifest(model: str, version: int) -> Mapping[str, Any]:
        """The sealed files with sizes and digests."""
        return _manifest_document(registry.manifest(model, version))

    @routes.get("/models/{model}/versions/{version}/signatures", dependencies=[_may_read])
    def signatures(model: str, version: int) -> Mapping[str, Any]:
        """The OpenSSF signatures over the sealed files, as Sigstore bundles."""
        return {"signatures": [json.loads(bundle) for bundle in registry.signatures(model, version)]}

    @routes.get("/models/{model}/versions/{version}/blobs/{digest}", dependencies=[_may_read])
    def blob(model: str, version: int, digest: str) -> StreamingResponse:
        """The bytes of one sealed file, or of the manifest itself."""
        sealed = registry.manifest(model, version)
        if digest not in {sealed.digest, *(file.digest for file in sealed.files)}:
            raise NotFound("no-such-blob", f"{model}/{version} has no file {digest!r}")
        return StreamingResponse(registry.sealed.stream(digest), media_type="application/octet-stream")


def _add_imports(routes: APIRouter, registry: Registry) -> None:
    @routes.post("/imports/runs/known", dependencies=[_may_register])
    def known_runs(body: KnownRuns) -> Mapping[str, Any]:
        """Our runs of those that were imported."""
        return {"runs": {run: vars(found) for run, found in registry.imported_runs(body.source, body.runs).items()}}

    @routes.post("/imports/versions/known", dependencies=[_may_register])
    def known_versions(body: KnownVersions) -> Mapping[str, Any]:
        """Our versions of those that were imported."""
        return {"versions": {key: vars(found) for key, found in registry.imported_versions(body.keys).items()}}

    @routes.post("/imports/runs", status_code=201)
    def imported_run(caller: Caller, body: ImportedRun) -> Mapping[str, Any]:
        """Remember that a run was imported; the answer is the one that was first."""
        return {"run": registry.record_imported_run(caller, body.source, body.source_run, body.run)}

    @routes.post("/imports/versions", status_code=201)
    def imported_version(caller: Caller, body: Imported) -> Mapping[str, Any]:
        """Remember where a version came from and what it was there; the answer is the one that was first."""
        first = registry.record_imported_version(
            caller,
            body.model,
            body.version,
            VersionKey(**body.origin.model_dump()),
            stage=body.stage,
            aliases=body.aliases,
            approved_aliases=body.approved_aliases,
        )
        return vars(first)


def document(version: Version) -> dict[str, Any]:
    """The version as JSON, with what its lineage lacks."""
    lineage = Lineage.parse(version.lineage)
    return {
        "id": version.id,
        "model": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "source": version.source,
        "team": version.team,
        "registered_by": version.registered_by,
        "registered_at": iso(version.registered_at),
        "manifest_digest": version.manifest_digest,
        "sealed_at": version.sealed_at and iso(version.sealed_at),
        "lineage": {**lineage.document(), "missing": list(lineage.missing())},
    }


def submission_document(submission: Submission) -> dict[str, Any]:
    """The submission as JSON."""
    return {
        "id": submission.id,
        "version_id": submission.version_id,
        "manifest_digest": submission.manifest_digest,
        "use": submission.use.document(),
        "use_digest": submission.use.digest,
        "submitted_by": submission.submitted_by,
        "submitted_at": iso(submission.submitted_at),
    }


def _import_document(registry: Registry, version: Version) -> Mapping[str, Any] | None:
    imported = registry.imported_version(version.id)
    return None if imported is None else imported.document()


def _manifest_document(manifest: Manifest) -> dict[str, Any]:
    return {
        "digest": manifest.digest,
        "artifact_type": manifest.artifact_type,
        "size": manifest.size,
        "files": [vars(file) for file in manifest.files],
    }

"""Datasets over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile

from imprimatur.access.http import Caller
from imprimatur.access.model import Action
from imprimatur.core.clock import iso
from imprimatur.datasets.model import Dataset
from imprimatur.datasets.parquet import LARGEST
from imprimatur.datasets.service import Datasets

_Text = Annotated[str, Form(max_length=1024)]


def router(datasets: Datasets) -> APIRouter:
    """``POST /datasets``, ``GET /datasets``, ``GET /datasets/{name}``."""
    routes = APIRouter(tags=["datasets"])

    @routes.post("/datasets", status_code=201)
    def add(
        caller: Caller,
        file: Annotated[UploadFile, File()],
        name: _Text,
        kind: _Text,
        owner: _Text,
        licence: _Text = "",
        source: _Text = "",
    ) -> Mapping[str, Any]:
        """Add one Parquet file; answers with the dataset and its named validation results."""
        parquet = file.file.read(LARGEST + 1)
        added = datasets.add(caller, name=name, kind=kind, parquet=parquet, owner=owner, licence=licence, source=source)
        return document(added)

    @routes.get("/datasets")
    def every(caller: Caller) -> Mapping[str, Any]:
        """All datasets, newest first."""
        caller.require(Action.READ)
        return {"datasets": [document(dataset) for dataset in datasets.list()]}

    @routes.get("/datasets/{name}")
    def one(caller: Caller, name: str) -> Mapping[str, Any]:
        """The dataset that the name stands for now."""
        caller.require(Action.READ)
        return document(datasets.get(name))

    return routes


def document(dataset: Dataset) -> Mapping[str, Any]:
    """The dataset as JSON."""
    return {
        "name": dataset.name,
        "kind": dataset.kind.value,
        "digest": dataset.digest,
        "owner": dataset.owner,
        "licence": dataset.licence,
        "source": dataset.source,
        "rows": dataset.rows,
        "added_by": dataset.added_by,
        "added_at": iso(dataset.added_at),
        "validation": dataset.validation,
    }

"""Adding datasets, and finding them again."""

from __future__ import annotations

import pyarrow as pa

from imprimatur.access.model import Action, Principal
from imprimatur.audit.service import AuditLog
from imprimatur.core.digests import Digest
from imprimatur.core.errors import BadInput, Conflict, NotFound
from imprimatur.datasets import store as rows
from imprimatur.datasets.expectations import validate
from imprimatur.datasets.model import Dataset, DatasetKind, kind_of, require_name
from imprimatur.datasets.parquet import read_table
from imprimatur.storage.service import SealedStore


class Datasets:
    """Datasets by name and by digest. A dataset never changes; adding other bytes under its name replaces it."""

    def __init__(self, log: AuditLog, store: SealedStore) -> None:
        self._log = log
        self._store = store

    def add(
        self,
        actor: Principal,
        *,
        name: str,
        kind: DatasetKind | str,
        parquet: bytes,
        owner: str,
        licence: str,
        source: str,
    ) -> Dataset:
        """The dataset, once it is readable, validated and stored; the same bytes under the same name are stored once.

        Expectations that fail do not refuse a dataset: they are kept with it as named results. Raises BadInput
        ``bad-name``, ``bad-kind``, ``owner-missing``, ``source-missing`` and what ``parquet.read_table`` and
        ``parquet.pictures`` raise; Conflict ``dataset-differs`` where the same bytes were added under this name with
        other rights.
        """
        with self._log.unit_of_work(actor.name, "dataset.add", name[:128]) as unit:
            actor.require(Action.ADD_DATASET)
            require_name(name)
            kind = kind_of(kind)
            _require_stated(owner=owner, source=source)
            table = read_table(parquet, kind)  # the slow part comes before the first query takes the write lock
            validation = validate(table, kind, licence=licence)
            dataset = Dataset(
                name=name,
                kind=kind,
                digest=self._store.put_blob(parquet),
                owner=owner,
                licence=licence,
                source=source,
                rows=table.num_rows,
                added_by=actor.name,
                added_at=self._log.clock(),
                validation=validation,
            )
            known = rows.exact(unit.session, name, dataset.digest)
            if known is not None:
                return _same(known, dataset)
            rows.insert(unit.session, dataset)
            unit.record("dataset.added", digest=dataset.digest, kind=kind.value, licence=licence, failed=dataset.failed)
            return dataset

    def get(self, name: str) -> Dataset:
        """The dataset that ``name`` stands for now; NotFound ``no-such-dataset``."""
        with self._log.database.reading() as session:
            found = rows.newest(session, name)
        if found is None:
            raise NotFound("no-such-dataset", f"There is no dataset {name!r}; see `imprimatur dataset list`")
        return found

    def by_digest(self, digest: Digest) -> Dataset:
        """The dataset of these bytes; NotFound ``no-such-dataset``."""
        with self._log.database.reading() as session:
            found = rows.of_digest(session, digest)
        if found is None:
            raise NotFound("no-such-dataset", f"There is no dataset with digest {digest}")
        return found

    def list(self) -> list[Dataset]:
        """All datasets, newest first."""
        with self._log.database.reading() as session:
            return rows.every(session)

    def table(self, dataset: Dataset) -> pa.Table:
        """The dataset's rows, from bytes that are verified against its digest."""
        return read_table(self._store.read_blob(dataset.digest), dataset.kind)


def _require_stated(**statements: str) -> None:
    for what, text in statements.items():
        if not text.strip():
            raise BadInput(f"{what}-missing", f"The dataset has no {what} (expected who or where it comes from)")


def _same(known: Dataset, given: Dataset) -> Dataset:
    before = (known.kind, known.owner, known.licence, known.source)
    after = (given.kind, given.owner, given.licence, given.source)
    if before != after:
        raise Conflict(
            "dataset-differs",
            f"These bytes are already known as {known.name} with kind, owner, licence and source {before} "
            f"(got {after}); add them under another name",
        )
    return known

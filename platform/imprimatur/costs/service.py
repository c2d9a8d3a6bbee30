"""The ledger: what training, evaluation and serving cost, written once and never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy.orm import Session

from imprimatur.core.clock import Clock
from imprimatur.core.database import Database
from imprimatur.costs import store
from imprimatur.costs.model import Kind, Rates, Total, Usage, check_usage


class Ledger:
    """Appends usage, priced when it is written, and adds it up.

    The ledger is a journal of its own: an entry is written in the transaction of the work that it pays for
    (``session``), whose audit event stands beside it.
    """

    def __init__(self, database: Database, clock: Clock, rates: Rates) -> None:
        self._database = database
        self._clock = clock
        self.rates = rates

    def record(
        self,
        *,
        reference: str,
        kind: Kind,
        team: str,
        model: str,
        version: int | None,
        device: str,
        seconds: float,
        images: int = 0,
        session: Session | None = None,
    ) -> Usage:
        """Write down ``seconds`` on ``device``, in the caller's transaction where there is one.

        The second writer of a ``reference`` gets the first one's entry. Raises BadInput ``bad-usage``.
        """
        check_usage(reference, seconds, images)
        usage = Usage(
            reference=reference,
            at=self._clock(),
            kind=kind,
            team=team,
            model=model,
            version=version,
            device=device,
            seconds=seconds,
            images=images,
            amount=self.rates.amount(device, seconds),
            currency=self.rates.currency,
        )
        if session is not None:
            return store.insert_once(session, usage)
        with self._database.transaction() as own:
            return store.insert_once(own, usage)

    def of_version(self, model: str, version: int) -> dict[Kind, float]:
        """What one version cost by kind, in this installation's currency; 0.0 where nothing was spent."""
        with self._database.reading() as session:
            return self._by_kind(store.totals(session, model=model, version=version))

    def of_versions(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], dict[Kind, float]]:
        """The same for each of some versions, given as model and number."""
        with self._database.reading() as session:
            found = store.by_version(session, versions)
        return {version: self._by_kind(found.get(version, ())) for version in versions}

    def of_model(self, model: str) -> dict[Kind, float]:
        """What all versions of a model cost by kind, in this installation's currency."""
        with self._database.reading() as session:
            return self._by_kind(store.totals(session, model=model))

    def totals(self) -> list[Total]:
        """What every model cost, by kind and currency."""
        with self._database.reading() as session:
            return store.totals(session)

    def entries(self, model: str | None = None, *, limit: int = 1000) -> list[Usage]:
        """The newest entries, newest first."""
        with self._database.reading() as session:
            return store.entries(session, model=model, limit=limit)

    def _by_kind(self, totals: Iterable[Total]) -> dict[Kind, float]:
        amounts = {total.kind: total.amount for total in totals if total.currency == self.rates.currency}
        return {kind: amounts.get(kind, 0.0) for kind in Kind}

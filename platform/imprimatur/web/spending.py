"""The costs page: what every model cost, for what, and what a thousand images come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imprimatur.costs.model import Kind, Total
from imprimatur.reports.charts import Chart
from imprimatur.reports.plots import Spending, cost_by_kind


@dataclass(frozen=True)
class ModelCost:
    """One model's money in one currency."""

    model: str
    currency: str
    totals: tuple[Total, ...]

    @property
    def amount(self) -> float:
        """Everything together."""
        return sum(total.amount for total in self.totals)

    def per_thousand(self, kind: Kind) -> float | None:
        """Money for 1,000 images of ``kind``; None where no image was made."""
        images = sum(total.images for total in self.totals if total.kind is kind)
        amount = sum(total.amount for total in self.totals if total.kind is kind)
        return 1000 * amount / images if images else None


@dataclass(frozen=True)
class Costs:
    """What the page shows."""

    models: tuple[ModelCost, ...]
    charts: tuple[Chart, ...]

    @property
    def sums(self) -> dict[str, float]:
        """Everything together, by currency: amounts of two currencies are never added."""
        sums: dict[str, float] = {}
        for model in self.models:
            sums[model.currency] = sums.get(model.currency, 0.0) + model.amount
        return sums


def costs_of(totals: Sequence[Total]) -> Costs:
    """The page's contents from the ledger's sums."""
    keys = list(dict.fromkeys((total.model, total.currency) for total in totals))
    models = [ModelCost(m, c, _of(totals, m, c)) for m, c in keys]
    ordered = tuple(sorted(models, key=lambda model: -model.amount))
    charts = (_chart(currency, totals) for currency in dict.fromkeys(total.currency for total in totals))
    return Costs(ordered, tuple(chart for chart in charts if chart))


def _of(totals: Sequence[Total], model: str, currency: str) -> tuple[Total, ...]:
    mine = [total for total in totals if (total.model, total.currency) == (model, currency)]
    return tuple(sorted(mine, key=lambda total: list(Kind).index(total.kind)))


def cost_rows(totals: Sequence[Total]) -> list[tuple[str, ...]]:
    """The ledger's sums for a spreadsheet."""
    return [(t.model, t.kind.value, f"{t.amount:.6f}", t.currency, f"{t.seconds:.1f}", str(t.images)) for t in totals]


COST_COLUMNS = ("model", "kind", "amount", "currency", "machine_seconds", "images")


def _chart(currency: str, totals: Sequence[Total]) -> Chart | None:
    spent = tuple(Spending(t.model, t.kind, t.amount) for t in totals if t.currency == currency and t.amount)
    question = "What did each model cost, and for what?"
    return cost_by_kind(spent, currency, group="Model", question=question, csv_path="/costs.csv") if spent else None

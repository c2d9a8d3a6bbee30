"""The ledger: one entry for one thing, priced once, summed by model and kind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.errors import BadInput
from imprimatur.costs.model import Kind, Rates, Usage
from imprimatur.costs.service import Ledger

_RATES = Rates(cpu_hour=0.2, gpu_hour=2.5, currency="EUR")


@pytest.fixture
def ledger(any_database: Database) -> Ledger:
    """A ledger on each database that we support."""
    return Ledger(any_database, utc_now, _RATES)


def spend(ledger: Ledger, reference: str, kind: Kind = Kind.TRAINING, **changes: object) -> Usage:
    """One entry of an hour on a CPU for ``digits/1``, unless told otherwise."""
    usual = {"team": "imaging", "model": "digits", "version": 1, "device": "cpu", "seconds": 3600.0}
    return ledger.record(reference=reference, kind=kind, **{**usual, **changes})  # type: ignore[arg-type]


def test_an_entry_is_priced_when_it_is_written(ledger: Ledger) -> None:
    usage = spend(ledger, "run:a", device="cuda:0", seconds=1800.0)

    assert (usage.amount, usage.currency) == (1.25, "EUR")
    assert ledger.entries() == [usage]


def test_the_second_writer_of_a_reference_gets_the_first_entry(ledger: Ledger) -> None:
    first = spend(ledger, "run:a", seconds=10.0)

    assert spend(ledger, "run:a", seconds=99.0) == first
    assert ledger.entries() == [first]


def test_writers_of_one_reference_at_once_leave_one_entry(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda n: spend(ledger, "run:a", seconds=float(n)), range(8)))

    assert len(set(written)) == 1
    assert ledger.entries() == written[:1]


def test_an_entry_in_the_callers_transaction_goes_with_it(ledger: Ledger, any_database: Database) -> None:
    def spend_and_fail() -> None:
        with any_database.transaction() as session:
            spend(ledger, "run:a", session=session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spend_and_fail()

    assert ledger.entries() == []


def test_sums_are_by_model_version_and_kind(ledger: Ledger) -> None:
    spend(ledger, "run:a")
    spend(ledger, "run:b", version=2)
    spend(ledger, "served:a", Kind.SERVING, images=10)
    spend(ledger, "served:b", Kind.SERVING, images=5)
    spend(ledger, "run:c", model="faces")

    assert ledger.of_version("digits", 1) == pytest.approx(
        {Kind.TRAINING: 0.2, Kind.EVALUATION: 0.0, Kind.SERVING: 0.4}
    )
    assert ledger.of_model("digits") == pytest.approx({Kind.TRAINING: 0.4, Kind.EVALUATION: 0.0, Kind.SERVING: 0.4})
    found = [(total.model, total.kind, total.images, total.seconds) for total in ledger.totals()]
    assert found == [
        ("digits", Kind.SERVING, 15, 7200.0),
        ("digits", Kind.TRAINING, 0, 7200.0),
        ("faces", Kind.TRAINING, 0, 3600.0),
    ]


def test_currencies_are_never_added(ledger: Ledger, any_database: Database) -> None:
    spend(Ledger(any_database, utc_now, Rates(0.2, 2.5, "USD")), "run:a")
    spend(ledger, "run:b")

    assert [(total.currency, total.amount) for total in ledger.totals()] == [("EUR", 0.2), ("USD", 0.2)]
    assert ledger.of_model("digits")[Kind.TRAINING] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": float("nan")}, {"seconds": float("inf")}, {"seconds": -1.0}, {"images": -1}, {"reference": ""}],
)
def test_usage_that_makes_no_sense_is_refused(ledger: Ledger, wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput) as refused:
        spend(ledger, **{"reference": "run:a", **wrong})  # type: ignore[arg-type]

    assert refused.value.code == "bad-usage"
    assert ledger.entries() == []


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from(["cpu", "CPU", "cuda", "cuda:1", "NVIDIA H200"]))
def test_the_price_is_linear_in_time_and_a_gpu_costs_more(first: float, second: float, device: str) -> None:
    both = _RATES.amount(device, first) + _RATES.amount(device, second)

    assert _RATES.amount(device, first + second) == pytest.approx(both)
    assert _RATES.amount(device, first) >= _RATES.amount("cpu", first)

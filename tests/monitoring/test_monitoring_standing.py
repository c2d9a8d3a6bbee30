"""Where a release stands: judged purely, and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from imprimatur.access.http import principal_of
from imprimatur.access.model import Principal
from imprimatur.core.problems import install
from imprimatur.monitoring.model import Limit, ServedScore, Standing, judge
from imprimatur.monitoring.routes import router
from monitor_stage import MODEL, MonitorStage, open_home

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GOOD = Limit("alignment/x", 0.9, lower_is_better=False, judged_low=0.96, judged_high=0.99)


def _score(low: float, value: float, high: float, n: int = 400) -> ServedScore:
    return ServedScore(
        "digits", 1, "sha256:" + "a" * 64, "production", NOW, NOW, n, "alignment/x", value, low, high, n, NOW
    )


@pytest.mark.parametrize(
    ("low", "value", "high", "n", "standing"),
    [
        (0.95, 0.97, 0.98, 400, Standing.IN_LIMITS),
        (0.95, 0.97, 0.98, 29, Standing.NOT_ENOUGH_TRAFFIC),
        (0.88, 0.97, 0.99, 30, Standing.NOT_ENOUGH_TRAFFIC),
        (0.91, 0.93, 0.95, 400, Standing.DRIFTING),
        (0.85, 0.89, 0.93, 400, Standing.DRIFTING),
        (0.60, 0.70, 0.80, 400, Standing.OUT_OF_LIMITS),
        (0.10, 0.20, 0.30, 29, Standing.NOT_ENOUGH_TRAFFIC),
    ],
)
def test_a_score_stands_by_its_interval(low: float, value: float, high: float, n: int, standing: Standing) -> None:
    assert judge([_score(low, value, high, n)], [GOOD], minimum=30).standing is standing


@pytest.mark.parametrize(("value", "standing"), [(0.05, Standing.IN_LIMITS), (0.9, Standing.OUT_OF_LIMITS)])
def test_where_lower_is_better_the_limit_is_a_ceiling(value: float, standing: Standing) -> None:
    limit = Limit("alignment/x", 0.3, lower_is_better=True, judged_low=0.02, judged_high=0.1)
    assert judge([_score(value - 0.02, value, value + 0.02)], [limit], minimum=30).standing is standing


def test_the_worst_score_decides() -> None:
    other = Limit("alignment/x", 0.99, lower_is_better=False, judged_low=0.0, judged_high=1.0)
    found = judge([_score(0.95, 0.97, 0.98)], [GOOD, other], minimum=30)
    assert found.standing is Standing.OUT_OF_LIMITS
    assert "beyond the limit 0.99" in found.reason


def test_without_anything_to_measure_nothing_is_in_limits() -> None:
    assert judge([], [], minimum=30).standing is Standing.NOT_ENOUGH_TRAFFIC
    assert judge([], [GOOD], minimum=30).standing is Standing.NOT_ENOUGH_TRAFFIC


def test_a_limit_of_zero_is_a_limit() -> None:
    limit = Limit("alignment/x", 0.0, lower_is_better=True, judged_low=0.0, judged_high=1.0)
    assert judge([_score(0.1, 0.2, 0.3)], [limit], minimum=30).standing is Standing.OUT_OF_LIMITS


def test_no_release_has_not_enough_traffic(stage: MonitorStage) -> None:
    strip = stage.monitor.strip_of("letters")
    assert (strip.version, strip.standing) == (None, Standing.NOT_ENOUGH_TRAFFIC)


def test_a_release_is_judged_by_its_decisions_own_limit(stage: MonitorStage) -> None:
    (limit,) = stage.monitor.strip_of(MODEL).limits
    assert (limit.name, limit.limit, limit.lower_is_better) == ("alignment/tiny-clip", 0.4, False)


def test_served_images_that_miss_their_prompt_put_a_release_out_of_limits(home: Path) -> None:
    with open_home(home, minimum=30) as stage:
        prompt = _the_prompt_that_noise_misses(stage)
        stage.serve(40, prompt=prompt)
        stage.monitor.ingest()
        strip = stage.monitor.strip_of(MODEL)
        assert strip.standing is Standing.OUT_OF_LIMITS
        assert "n = 40" in strip.reason


def test_images_older_than_the_span_do_not_count(stage: MonitorStage) -> None:
    stage.serve(5)
    stage.monitor.ingest()
    assert {score.n for score in stage.monitor.strip_of(MODEL).scores} == {5}
    stage.clock.forward(days=2)
    assert stage.monitor.strip_of(MODEL).scores == ()


@pytest.fixture
def client(stage: MonitorStage, ana: Principal) -> Iterator[TestClient]:
    app = FastAPI()
    install(app)
    app.include_router(router(stage.monitor), prefix="/api/v1")
    app.dependency_overrides[principal_of] = lambda: ana
    with TestClient(app) as opened:
        yield opened


def test_strip_and_scores_are_read_over_http(stage: MonitorStage, client: TestClient) -> None:
    stage.serve(3)
    stage.monitor.ingest()
    answer = client.get(f"/api/v1/monitoring/{MODEL}").json()
    assert answer["strip"]["standing"] == "not enough traffic"
    assert {score["name"] for score in answer["scores"]} == {"alignment/tiny-clip", "cosine/tiny-clip"}
    assert answer["scores"][0]["window_start"] == "2026-11-23T12:00:00.000000Z"
    assert [strip["model"] for strip in client.get("/api/v1/monitoring").json()["strips"]] == [MODEL]


def _the_prompt_that_noise_misses(stage: MonitorStage) -> str:
    """Noise lies nearer to one of the gate's two prompts, whichever; the other one is missed by nearly every image."""
    prompts = ("a handwritten zero", "a handwritten one")
    stage.serve(10, prompt=prompts[0], at=stage.clock.now - timedelta(days=10))
    stage.monitor.ingest()
    share = next(score.value for score in stage.monitor.scores(MODEL) if score.name.startswith("alignment"))
    return prompts[0] if share < 0.5 else prompts[1]

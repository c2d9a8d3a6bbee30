"""A small policy, and its parts to break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imprimatur.policy.engine import Engine
from imprimatur.policy.guard import GuardedCel

SMALL = """\
apiVersion: imprimatur/v1
kind: PromotionPolicy
metadata: {name: small, version: 1}
match: {environment: production}
enforcement: deny
params: {similarity_max: 0.02, images_min: 100}
approvals: [{role: reviewer, count: 1}]
rules:
- id: look-alikes
  title: Look-alikes (share of images)
  expr: score.`similarity/digits-clip` <= params.similarity_max
  message: "Look-alikes (share of images) {value} ({interval}) is above the limit {params.similarity_max}"
- id: complete
  title: Evaluation complete
  expr: eval.status == "complete" && eval.images >= params.images_min
  message: The evaluation is not complete, or has fewer than {params.images_min} images
baseline:
  eval.status: complete
  eval.images: 400
  score.`similarity/digits-clip`: {value: 0.01, ci_low: 0.005, ci_high: 0.015}
tests:
- name: good
  set: {}
  expect: {look-alikes: allow, complete: allow, verdict: allow}
- name: bad
  set: {score.`similarity/digits-clip`: 0.5, eval.images: 3}
  expect: {look-alikes: deny, complete: deny, verdict: deny}
- name: missing
  set: {score.`similarity/digits-clip`: null, eval.status: null}
  expect: {look-alikes: error, complete: error, verdict: undecided}
"""


@pytest.fixture(scope="session")
def small() -> str:
    """A policy document with two rules."""
    return SMALL


@pytest.fixture(scope="session")
def cel() -> Iterator[GuardedCel]:
    """A guarded CEL process for all tests of this room."""
    guard = GuardedCel()
    yield guard
    guard.close()


@pytest.fixture(scope="session")
def engine(cel: GuardedCel) -> Engine:
    """An engine over the guarded process."""
    return Engine(cel)

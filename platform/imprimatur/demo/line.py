"""The steps along the line, each as the person whose step it is, through the server's API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from imprimatur.api.processes import Process
from imprimatur.core.client import Client
from imprimatur.core.errors import Fault
from imprimatur.demo.digits import LICENCE, OWNER, SOURCE, WORKS_LICENCE
from imprimatur.demo.model import ENVIRONMENT, MODEL, Outcome
from imprimatur.demo.scale import Scale
from imprimatur.demo.stage import Stage

Document = dict[str, Any]
VERSIONS = (1, 2, 3)
_SHOWN = ("value", "ci_low", "ci_high", "n")
_HERE = Path(__file__).parent
_POLL_SECONDS = 0.5
_MONITOR_SECONDS = 90.0
_REVIEW_AFTER = timedelta(days=180)
_WORKS_OWNER = "The works' owners, invented for the demo"
_USE: Mapping[str, Any] = {
    "purpose": "Handwritten digits for a children's arithmetic game",
    "prohibited": ["Forging documents", "Imitating one person's handwriting"],
    "audience": "Children and their teachers",
    "region": "EU",
    "tier": "limited",
    "owner": "ana",
}


def provide(stage: Stage, datasets: Mapping[str, str]) -> None:
    """Ana adds datasets and suite; Ben writes the policy, Carla puts it in force as the second person."""
    ana, ben, carla = (stage.client(token) for token in (stage.cast.ana, stage.cast.ben, stage.cast.carla))
    with stage.step("Datasets, suite, policy", len(datasets) + 2) as step:
        for kind, path in datasets.items():
            owner, licence = (_WORKS_OWNER, WORKS_LICENCE) if kind == "protected" else (OWNER, LICENCE)
            rights = {"owner": owner, "licence": licence, "source": SOURCE}
            ana.upload("/datasets", Path(path).read_bytes(), name=f"{MODEL}-{kind}", kind=kind, **rights)
            step.advance()
        ana.post("/suites", {"text": suite_text(stage.scale)})
        step.advance()
        policy = ben.post("/policies", {"text": (_HERE / "digits-production.yaml").read_text()})
        carla.post(f"/policies/{policy['name']}/{policy['version']}/approve")
        step.advance()


def suite_text(scale: Scale) -> str:
    """The suite's document with the numbers of images that ``scale`` asks for."""
    document = yaml.safe_load((_HERE / "digits-suite.yaml").read_text())
    for name, number in (("conditional", scale.conditional), ("neutral", scale.neutral)):
        document["sets"][name]["images_per_prompt"] = number
    return yaml.safe_dump(document, sort_keys=False)


def register(stage: Stage) -> None:
    """Ana seals each version and submits it for its declared use."""
    ana = stage.client(stage.cast.ana)
    use = {**_USE, "review_by": (datetime.now(UTC) + _REVIEW_AFTER).date().isoformat()}
    with stage.step("Seal and submit", len(VERSIONS)) as step:
        for version in VERSIONS:
            ana.post(f"/models/{MODEL}/versions/{version}/seal")
            ana.post(f"/models/{MODEL}/versions/{version}/submissions", use)
            step.advance()


def evaluate(stage: Stage, worker: Process) -> dict[int, Document]:
    """The finished evaluation of each version: Ana asks for them, the worker makes and scores the images."""
    ana = stage.client(stage.cast.ana)
    order = {"model": MODEL, "suite": MODEL, "seed": stage.seed}
    queued = {version: ana.post("/evaluations", {**order, "version": version}) for version in VERSIONS}
    return {version: _finished(stage, worker, version, queued[version]["id"]) for version in VERSIONS}


def _finished(stage: Stage, worker: Process, version: int, run_id: str) -> Document:
    ana = stage.client(stage.cast.ana)
    with stage.step(f"Evaluate version {version}", 1) as step:
        while True:
            run: Document = ana.get(f"/evaluations/{run_id}")
            if run["status"] == "failed":
                raise Fault("evaluation-failed", f"The evaluation of version {version} failed: {run['error']}")
            step.show(run["done"], max(run["total"], 1))
            if run["status"] == "complete":
                return run
            worker.ensure_running()
            time.sleep(_POLL_SECONDS)


def decide(stage: Stage) -> dict[int, Document]:
    """What the policy says about each version, asked by Ana."""
    ana = stage.client(stage.cast.ana)
    decisions = {}
    with stage.step("Decide", len(VERSIONS)) as step:
        for version in VERSIONS:
            asked = {"model": MODEL, "version": version, "environment": ENVIRONMENT}
            decisions[version] = ana.post("/decisions", asked)
            step.advance()
    return decisions


def release(stage: Stage, version: int, decision: Document) -> None:
    """Ben approves the decision, as somebody who did not submit; Ana promotes the version."""
    ana, ben = stage.client(stage.cast.ana), stage.client(stage.cast.ben)
    with stage.step("Approve and promote", 2) as step:
        reason = "Looked at samples, look-alikes and balance; nothing against this use."
        ben.post(f"/decisions/{decision['id']}/approvals", {"answer": "approve", "reason": reason})
        step.advance()
        ana.post("/promotions", {"model": MODEL, "version": version, "environment": ENVIRONMENT})
        step.advance()


def wait_for_monitor(stage: Stage, version: int) -> None:
    """Return once the worker has booked what the gateway served. Raises Fault ``monitor-silent`` after 90 seconds."""
    ana = stage.client(stage.cast.ana)
    with stage.step("Monitor", 1) as step:
        deadline = time.monotonic() + _MONITOR_SECONDS
        while not _costs(ana, version).get("serving"):
            if time.monotonic() > deadline:
                raise Fault("monitor-silent", f"No serving cost of version {version} in {_MONITOR_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        step.advance()


def outcome(stage: Stage, version: int, run: Document, decision: Document) -> Outcome:
    """Where one version ended up, and why."""
    ana = stage.client(stage.cast.ana)
    released = ana.get(f"/models/{MODEL}/history")["releases"]
    environments = [r["environment"] for r in released if r["version"] == version and r["ended_at"] is None]
    return Outcome(
        version=version,
        digest=decision["manifest_digest"],
        verdict=decision["verdict"],
        reasons=tuple(decision["reasons"]),
        scores={score["name"]: {key: score[key] for key in _SHOWN} for score in run["scores"]},
        environments=tuple(environments),
        cost=_costs(ana, version),
        currency=stage.settings.currency,
    )


def _costs(client: Client, version: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for entry in client.get("/costs/entries", model=MODEL)["entries"]:
        if entry["version"] == version:
            sums[entry["kind"]] = sums.get(entry["kind"], 0.0) + entry["amount"]
    return sums

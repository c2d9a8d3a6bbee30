"""Whatever may not happen ends with a code, a sentence, exit status 1 or 2 and an audit event, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from demo_stage import DemoRun
from imprimatur.access.model import Principal, Role
from imprimatur.access.service import Accounts
from imprimatur.api.processes import Fleet
from imprimatur.audit.service import AuditLog
from imprimatur.core.client import Client
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.storage.service import SealedStore

pytestmark = pytest.mark.timeout(1_500)

_ADMIN = Principal("admin", frozenset({Role.ADMIN}), "platform")
_BEFORE_SENDING = "refused by the command itself: nothing reached the server"
_USE = {
    "purpose": "Posters for a school",
    "prohibited": ["Documents"],
    "audience": "Children",
    "region": "EU",
    "tier": "limited",
    "owner": "rae",
    "review_by": "2027-05-01",
}


@dataclass(frozen=True)
class Desk:
    """A terminal of somebody who builds and reviews, on the demo's server."""

    address: str
    token: str
    client: Client
    log: AuditLog
    training: Path

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit status and what the command printed as JSON: the error where there is one."""
        done = subprocess.run(
            [sys.executable, "-m", "imprimatur.cli.main", *arguments, "--json"],
            env={**os.environ, "IMPRIMATUR_SERVER": self.address, "IMPRIMATUR_TOKEN": self.token},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        document = json.loads(done.stdout)
        return done.returncode, dict(document.get("error", document))

    def state(self) -> object:
        """What no refusal may change: what stands where, decisions, suites, policies, sealed versions."""
        decisions = self.client.get("/decisions", model="digits", version=1, environment="production")
        paths = ("/models/digits/versions", "/models/digits/history", "/suites", "/policies")
        return [decisions, *(self.client.get(path) for path in paths)]


@pytest.fixture(scope="module")
def desk(demo_run: DemoRun, demo_fleet: Fleet) -> Iterator[Desk]:
    """Rae holds both roles, submits version 1 anew and gets a new decision; version 4 is registered and not sealed."""
    database = Database(Settings(home=demo_run.home).database)
    log = AuditLog(database)
    accounts = Accounts(log, Settings().session_length)
    accounts.add(_ADMIN, "rae", {Role.ENGINEER, Role.REVIEWER}, "imaging")
    token = accounts.issue_token(_ADMIN, "rae", "test")
    client = Client(demo_fleet.server_address, token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_TOKEN", token)
        mlflow = MlflowClient(demo_fleet.server_address, demo_fleet.server_address)
        logged = str(mlflow.get_model_version("digits", "1").source).split("/")[-2]
        mlflow.create_model_version("digits", f"models:/{logged}", model_id=logged)
    client.post("/models/digits/versions/1/submissions", _USE)
    client.post("/decisions", {"model": "digits", "version": 1, "environment": "production"})
    yield Desk(demo_fleet.server_address, token, client, log, demo_run.home / "training")
    database.dispose()


def _file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def _pickled(desk: Desk, folder: Path) -> str:
    """A saved pipeline with a pickle beside its weights."""
    copy = folder / "pipeline"
    shutil.copytree(desk.training / "base", copy)
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04N.")
    return str(copy)


Arguments = Callable[[Desk, Path], tuple[str, ...]]
CASES: dict[str, tuple[int, str, str, Arguments]] = {
    "an unknown model": (
        1,
        "no-such-model",
        "decision.make.refused",
        lambda _desk, _tmp: ("decide", "nosuch/1", "--to", "production"),
    ),
    "an unsealed version": (
        1,
        "not-sealed",
        "evaluation.request.refused",
        lambda _desk, _tmp: ("evaluate", "digits/4", "--suite", "digits"),
    ),
    "a failing policy": (
        1,
        "verdict-deny",
        "release.promote.refused",
        lambda _desk, _tmp: ("promote", "digits/2", "--to", "production"),
    ),
    "a missing approval": (
        1,
        "approval-missing",
        "release.promote.refused",
        lambda _desk, _tmp: ("promote", "digits/1", "--to", "production"),
    ),
    "one's own approval": (
        1,
        "own-approval",
        "decision.approve.refused",
        lambda _desk, _tmp: ("approve", "digits/1", "--reason", "I like it"),
    ),
    "a pickle in the folder": (
        1,
        "pickle-file",
        _BEFORE_SENDING,
        lambda desk, tmp: ("model", "register", _pickled(desk, tmp), "--name", "pickled"),
    ),
    "an unreadable suite": (
        2,
        "bad-suite",
        "suite.add.refused",
        lambda _desk, tmp: ("evaluate", "digits/1", "--suite", _file(tmp, "s.yaml", "kind: [EvaluationSuite")),
    ),
    "an unreadable policy": (
        2,
        "bad-policy",
        "policy.apply.refused",
        lambda _desk, tmp: ("policy", "apply", _file(tmp, "p.yaml", "kind: [PromotionPolicy")),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_not_happen_is_refused_told_and_written_down(case: str, desk: Desk, tmp_path: Path) -> None:
    status, code, action, arguments = CASES[case]
    command, before = arguments(desk, tmp_path), desk.state()
    size = desk.log.head().size

    exit_status, error = desk.run(*command)

    events = desk.log.recent(limit=desk.log.head().size - size)
    assert (exit_status, error.get("code")) == (status, code)
    assert len(str(error["message"])) > 20
    if action != _BEFORE_SENDING:
        assert action in [event.action for event in events], [event.action for event in events]
    assert desk.state() == before


def test_a_file_changed_after_sealing_is_named(desk: Desk, demo_run: DemoRun) -> None:
    sealed = SealedStore(Settings(home=demo_run.home).sealed)
    manifest = sealed.manifest(demo_run.version(3)["digest"])
    (weights,) = (file for file in manifest.files if file.path.endswith("unet/diffusion_pytorch_model.safetensors"))
    blob = sealed.blob_path(weights.digest)
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)

    exit_status, error = desk.run("model", "verify", "digits/3")

    assert exit_status == 1
    assert weights.path in json.dumps(error)

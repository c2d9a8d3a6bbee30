"""The line from policy to history as people type it, over HTTP, behind the login."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imprimatur.cli.main import main
from imprimatur.core.errors import BadInput, Forbidden, NotFound, Refused, Unauthenticated
from imprimatur.core.signing import Envelope, KeyRing
from imprimatur.release.bundle import BUNDLE_TYPE
from release_server import Served
from release_stage import COPIES, POLICY, Stage


class Shell:
    """Types commands as one person or another."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._served = served
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, person: str, *words: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of ``imprimatur WORDS``."""
        for name, value in self._served.environment(person).items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr("sys.argv", ["imprimatur", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = self._capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    def json(self, person: str, *words: str) -> Any:
        """The document that the command prints with ``--json``."""
        return json.loads(self.run(person, *words, "--json")[1])


@pytest.fixture
def shell(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(served, monkeypatch, capsys)


def test_the_whole_line_by_commands(stage: Stage, shell: Shell) -> None:
    stage.ready(1)
    decided = shell.json("ana", "decide", "digits/1", "--to", "production")
    assert (decided["verdict"], decided["missing"]) == ("allow", ["1 approval by a reviewer"])
    approval = shell.json("ben", "approve", "digits/1", "--reason", "looked at it", "--conditions", "games only")
    assert (approval["person"], approval["role"], approval["conditions"]) == ("ben", "reviewer", "games only")
    released = shell.json("ana", "promote", "digits/1", "--to", "production", "--expected", "none")
    assert released["version"] == 1
    stage.ready(2)
    shell.json("ana", "decide", "digits/2")
    status, out, _ = shell.run("cho", "approve", "digits/2", "--reason", "better")
    assert (status, out) == (0, "cho answered approve as reviewer\n")
    shell.json("ana", "promote", "digits/2", "--to", "production", "--expected", released["id"])
    back = shell.json("olga", "rollback", "digits", "--reason", "blurry")
    assert back["version"] == 1
    revoked = shell.json("ben", "revoke", back["manifest_digest"], "--reason", "leak")
    assert revoked["manifest_digest"] == back["manifest_digest"]
    history = shell.json("ana", "history", "digits")["releases"]
    assert [release["version"] for release in history] == [1, 2, 1]
    assert all(release["ended_at"] for release in history)
    then = shell.json("ana", "history", "digits", "--at", history[1]["released_at"])["releases"]
    assert [release["version"] for release in then] == [2]


def test_a_refused_promotion_ends_with_status_1_and_the_reasons(stage: Stage, shell: Shell) -> None:
    stage.ready(1, COPIES)
    stage.decided(1)
    status, out, _ = shell.run("ana", "promote", "digits/1", "--to", "production", "--json")
    error = json.loads(out)["error"]
    assert (status, error["code"], error["reasons"], error["status"]) == (1, "verdict-deny", ["look-alikes"], 403)
    status, out, err = shell.run("ana", "promote", "digits/1", "--to", "production")
    assert (status, out) == (1, "")
    assert err.startswith("verdict-deny: digits/1 does not meet policy strict/1: Look-alikes (share of images) 30.00%")


def test_what_is_no_version_is_wrong_usage(shell: Shell) -> None:
    status, _, err = shell.run("ana", "promote", "digits", "--to", "production")
    assert status == 2
    assert err.startswith("bad-name: ")


def test_decisions_are_shown_in_words(stage: Stage, shell: Shell) -> None:
    stage.ready(1, COPIES)
    status, out, _ = shell.run("ana", "decide", "digits/1")
    assert status == 0
    assert "does not meet policy strict/1" in out
    assert "look-alikes" in out


def test_policies_by_commands(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    text = POLICY.replace("VERSION", "7").replace("LIMIT", "0.5").replace("COUNT", "1")
    file.write_text(text.replace("ENVIRONMENT", "staging"))
    assert shell.json("ben", "policy", "lint", str(file))["version"] == 7
    assert [test["passed"] for test in shell.json("ben", "policy", "test", str(file))["tests"]] == [True] * 3
    assert shell.json("ben", "policy", "apply", str(file))["environment"] == "staging"
    status, _, err = shell.run("ben", "policy", "approve", "strict/7")
    assert (status, err.split(":")[0]) == (1, "own-approval")
    assert shell.json("cho", "policy", "approve", "strict/7")["approved_by"] == "cho"
    listed = shell.json("ana", "policy", "show")["policies"]
    assert [(entry["name"], entry["version"]) for entry in listed] == [("strict", 7), ("strict", 1)]
    status, out, _ = shell.run("ana", "policy", "show", "strict/7")
    assert status == 0
    assert "look-alikes" in out
    file.write_text(text)
    status, _, err = shell.run("ben", "policy", "lint", str(file))
    assert (status, err.split(":")[0]) == (2, "bad-policy")


def test_a_policy_test_that_fails_ends_with_status_2(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    text = POLICY.replace("VERSION", "7").replace("LIMIT", "0.95").replace("COUNT", "1")
    file.write_text(text.replace("ENVIRONMENT", "staging"))
    status, out, err = shell.run("ben", "policy", "test", str(file))
    assert status == 2
    assert "look-alikes came to allow" in out
    assert err.startswith("bad-policy: ")


def test_bundle_and_keys_are_open_and_everything_else_is_not(stage: Stage, served: Served) -> None:
    nobody = served.client("")
    (key,) = nobody.get("/keys")["keys"]
    payload = KeyRing([key["pem"]]).open(Envelope.parse(nobody.get("/bundle")), BUNDLE_TYPE)
    assert payload["releases"] == []
    for path in ("/policies", "/models/digits/history", "/decisions/x"):
        with pytest.raises(Unauthenticated):
            nobody.get(path)
    with pytest.raises(Unauthenticated):
        nobody.post("/promotions", {"model": "digits", "version": 1, "environment": "production"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "digits", "version": "1", "environment": "production"},
        {"model": "digits", "version": True, "environment": "production"},
        {"model": "digits", "version": 1, "environment": "production", "force": True},
        {"model": "digits", "version": 1.0, "environment": "production"},
    ],
    ids=str,
)
def test_a_body_of_another_form_is_refused(served: Served, body: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        served.client("ana").post("/promotions", body)
    assert caught.value.code == "bad-request"


def test_a_decision_carries_its_signed_document(stage: Stage, served: Served) -> None:
    stage.ready(1)
    decision = stage.approved(1)
    document = served.client("ana").get(f"/decisions/{decision.id}")
    assert document["envelope"] == decision.envelope
    assert document["facts"]["submitter"] == "ana"
    assert [approval["person"] for approval in document["approvals"]] == ["ben"]
    with pytest.raises(NotFound):
        served.client("ana").get("/decisions/none")


def test_statuses_tell_who_may_not_and_what_must_not(stage: Stage, served: Served) -> None:
    stage.ready(1)
    asked = {"model": "digits", "version": 1, "environment": "production"}
    with pytest.raises(Forbidden) as forbidden:
        served.client("ben").post("/promotions", asked)
    assert forbidden.value.code == "not-permitted"
    with pytest.raises(Refused) as refused:
        served.client("ana").post("/promotions", asked)
    assert refused.value.code == "no-decision"

"""``imprimatur report`` writes what the server says of a version, in the form that was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imprimatur.api.wiring import House
from imprimatur.core.errors import BadInput, NotFound
from imprimatur.reports.commands import app
from seeded_house import ANA, ROOT


@pytest.fixture
def runner(story: House, address: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A terminal in which ana is logged in to the story's server."""
    monkeypatch.setenv("IMPRIMATUR_SERVER", address)
    monkeypatch.setenv("IMPRIMATUR_TOKEN", story.accounts.issue_token(ROOT, ANA.name, "terminal"))
    return CliRunner()


def test_markdown_is_printed(runner: CliRunner) -> None:
    ran = runner.invoke(app, ["digits/1"])

    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("# digits/1\n\nMeets policy digits-production v1")


def test_html_goes_to_a_file(runner: CliRunner, tmp_path: Path) -> None:
    ran = runner.invoke(app, ["digits/2", "--format", "html", "--output", str(tmp_path / "report.html")])

    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert ran.stdout == ""


def test_json_is_one_document(runner: CliRunner) -> None:
    ran = runner.invoke(app, ["digits/3", "--json"])

    assert json.loads(ran.stdout)["decision"]["reasons"] == ["balance"]


@pytest.mark.parametrize("name", ["digits", "digits/", "digits/one", "/1"])
def test_what_names_no_version_is_wrong_usage(runner: CliRunner, name: str) -> None:
    assert isinstance(runner.invoke(app, [name]).exception, BadInput)


def test_an_unknown_version_is_not_found(runner: CliRunner) -> None:
    assert isinstance(runner.invoke(app, ["digits/99"]).exception, NotFound)

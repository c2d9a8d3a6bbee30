"""`imprimatur db`: says what is missing, and brings it up."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from imprimatur.api.schema_commands import app
from imprimatur.core.errors import Refused
from imprimatur.core.settings import Settings


def test_an_empty_home_is_brought_up(settings: Settings) -> None:
    home = {"IMPRIMATUR_HOME": str(settings.home)}
    run = CliRunner()

    refused = run.invoke(app, ["check"], env=home).exception
    assert isinstance(refused, Refused)
    assert (refused.code, refused.exit_status) == ("database-behind", 1)
    assert "imprimatur db upgrade" in refused.message
    checked = run.invoke(app, ["check", "--json"], env=home)
    assert (checked.exit_code, json.loads(checked.stdout)["missing"]) == (
        1,
        ["there is no database file imprimatur.db"],
    )

    upgraded = run.invoke(app, ["upgrade", "--json"], env=home)
    assert json.loads(upgraded.stdout)["upgraded"] is True
    again = run.invoke(app, ["upgrade", "--json"], env=home)
    assert json.loads(again.stdout) == {"upgraded": False, "was_missing": []}
    checked = run.invoke(app, ["check", "--json"], env=home)
    assert (checked.exit_code, json.loads(checked.stdout)) == (0, {"missing": []})
    assert "everything" in run.invoke(app, ["check"], env=home).stdout


def test_the_settings_environments_are_guarded(settings: Settings) -> None:
    home = {"IMPRIMATUR_HOME": str(settings.home), "IMPRIMATUR_ENVIRONMENTS": '["canary"]'}
    run = CliRunner()
    run.invoke(app, ["upgrade"], env=home)

    assert run.invoke(app, ["check"], env=home).exit_code == 0
    other = run.invoke(app, ["check", "--json"], env={"IMPRIMATUR_HOME": str(settings.home)})
    assert "trigger imp_guard_alias_insert was changed" in json.loads(other.stdout)["missing"]

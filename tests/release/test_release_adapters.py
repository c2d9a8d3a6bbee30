"""What is revoked of an adapter's base is revoked of what is served: the adapter with it."""

from __future__ import annotations

import pytest

from imprimatur.core.errors import Refused
from imprimatur.registry import store as rows
from imprimatur.registry.layout import ADAPTER_TYPE
from imprimatur.registry.model import Version
from imprimatur.release.model import Answer
from release_stage import ANA, BEN, Stage


def _adapter(stage: Stage, number: int, base: Version) -> Version:
    """Version ``number``, an adapter on ``base``, submitted, evaluated, decided and approved."""
    stage.register(number)
    folder = stage.settings.home / f"adapter-{number}"
    folder.mkdir()
    (folder / "MLmodel").write_text(f"metadata: {{imprimatur: {{base_model: '{base.manifest_digest}'}}}}")
    (folder / "lora.safetensors").write_bytes(bytes([number]))
    digest = stage.sealed.seal_folder(folder, artifact_type=ADAPTER_TYPE).digest
    with stage.database.transaction() as session:
        row = rows.version_row(session, "digits", number)
        assert row is not None
        row.manifest_digest = digest
    adapter = stage.registry.version("digits", number)
    stage.submit(adapter)
    stage.evaluate(adapter)
    decision = stage.releases.decide(ANA, "digits", number, "production")
    stage.releases.answer(BEN, decision.id, Answer.APPROVE, "looked at it")
    return adapter


def test_revoking_a_base_ends_the_releases_of_its_adapters(stage: Stage) -> None:
    base = stage.register(1)
    _adapter(stage, 2, base)
    stage.releases.promote(ANA, "digits", 2, "production")
    assert base.manifest_digest is not None

    stage.releases.revoke(BEN, base.manifest_digest, "leak")

    assert stage.releases.active() == []
    assert stage.alias() is None
    assert stage.holds(2) == []


def test_an_adapter_on_a_revoked_base_is_neither_promoted_nor_decided_nor_approved(stage: Stage) -> None:
    base = stage.register(1)
    _adapter(stage, 2, base)
    decision = stage.releases.decisions_on("digits", 2, "production")[0]
    assert base.manifest_digest is not None
    stage.releases.revoke(BEN, base.manifest_digest, "leak")

    for attempt in (
        lambda: stage.releases.promote(ANA, "digits", 2, "production"),
        lambda: stage.releases.decide(ANA, "digits", 2, "production"),
        lambda: stage.releases.answer(BEN, decision.id, Answer.APPROVE, "again"),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "revoked"
        assert "base of digits/2" in refused.value.message


def test_other_versions_stay_when_a_base_is_revoked(stage: Stage) -> None:
    base = stage.register(1)
    stage.ready(3)
    stage.approved(3)
    stage.releases.promote(ANA, "digits", 3, "production")
    assert base.manifest_digest is not None

    stage.releases.revoke(BEN, base.manifest_digest, "leak")

    assert [release.version for release in stage.releases.active()] == [3]

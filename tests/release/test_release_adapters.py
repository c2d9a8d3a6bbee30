"""What is revoked of an adapter's base is revoked of what is served: the adapter with it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from sqlalchemy import text

from imprimatur.core.errors import Refused
from imprimatur.registry import store as rows
from imprimatur.registry.layout import ADAPTER_TYPE
from imprimatur.registry.model import Version
from imprimatur.release.model import Answer, Decision
from imprimatur.serving.bundle import open_bundle
from imprimatur.serving.model import Bundle
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
        row.manifest_digest, row.lineage = digest, {**row.lineage, "base_model": base.manifest_digest}
    adapter = stage.registry.version("digits", number)
    stage.submit(adapter)
    stage.evaluate(adapter)
    decision = stage.releases.decide(ANA, "digits", number, "production")
    stage.releases.answer(BEN, decision.id, Answer.APPROVE, "looked at it")
    return adapter


def _refusals_of_version_2(stage: Stage, decision: Decision) -> list[Refused]:
    """What promoting it, deciding on it anew and approving the decision on it each raise."""
    refusals = []
    for attempt in (
        lambda: stage.releases.promote(ANA, "digits", 2, "production"),
        lambda: stage.releases.decide(ANA, "digits", 2, "production"),
        lambda: stage.releases.answer(BEN, decision.id, Answer.APPROVE, "again"),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        refusals.append(refused.value)
    return refusals


def _lose(stage: Stage, digest: str | None) -> None:
    """Take a blob out of the sealed store."""
    assert digest is not None
    path = stage.sealed.blob_path(digest)
    path.unlink()


def _forget(stage: Stage, digest: str | None) -> None:
    """Take a manifest out of the index of the sealed store."""
    index = stage.sealed.root / "index.json"
    document = json.loads(index.read_bytes())
    document["manifests"] = [entry for entry in document["manifests"] if entry["digest"] != digest]
    index.write_text(json.dumps(document))


def _bundle(stage: Stage) -> Bundle:
    return open_bundle(stage.releases.bundle().document(), stage.releases.keys.ring)


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

    for refused in _refusals_of_version_2(stage, decision):
        assert refused.code == "revoked"
        assert "base of digits/2" in refused.message


def test_other_versions_stay_when_a_base_is_revoked(stage: Stage) -> None:
    base = stage.register(1)
    stage.ready(3)
    stage.approved(3)
    stage.releases.promote(ANA, "digits", 3, "production")
    assert base.manifest_digest is not None

    stage.releases.revoke(BEN, base.manifest_digest, "leak")

    assert [release.version for release in stage.releases.active()] == [3]


def _lose_the_adapter(stage: Stage, adapter: Version, base: Version) -> None:
    _lose(stage, adapter.manifest_digest)


def _lose_the_base(stage: Stage, adapter: Version, base: Version) -> None:
    _lose(stage, base.manifest_digest)


def _forget_the_base(stage: Stage, adapter: Version, base: Version) -> None:
    _forget(stage, base.manifest_digest)


def _lose_what_names_the_base(stage: Stage, adapter: Version, base: Version) -> None:
    assert adapter.manifest_digest is not None
    (mlmodel,) = (f for f in stage.sealed.manifest(adapter.manifest_digest).files if f.path == "MLmodel")
    _lose(stage, mlmodel.digest)


Harm = Callable[[Stage, Version, Version], None]
_HARMS = [_lose_the_adapter, _lose_the_base, _forget_the_base, _lose_what_names_the_base]


@pytest.mark.parametrize("harm", _HARMS)
def test_a_base_is_revoked_with_its_adapters_though_the_store_is_damaged(stage: Stage, harm: Harm) -> None:
    base = stage.register(1)
    adapter = _adapter(stage, 2, base)
    stage.releases.promote(ANA, "digits", 2, "production")
    assert base.manifest_digest is not None
    harm(stage, adapter, base)

    stage.releases.revoke(BEN, base.manifest_digest, "leak")

    assert stage.releases.active() == []
    assert base.manifest_digest in _bundle(stage).revoked


@pytest.mark.parametrize("harm", _HARMS)
def test_an_adapter_whose_base_can_not_be_read_is_neither_decided_nor_approved_nor_promoted(
    stage: Stage, harm: Harm
) -> None:
    base = stage.register(1)
    adapter = _adapter(stage, 2, base)
    decision = stage.releases.decisions_on("digits", 2, "production")[0]
    harm(stage, adapter, base)

    for refused in _refusals_of_version_2(stage, decision):
        assert refused.code in ("no-such-blob", "unsealed-base")
    assert stage.releases.active() == []


@pytest.mark.parametrize("harm", [None, *_HARMS])
def test_the_bundle_names_the_base_of_each_adapter(stage: Stage, harm: Harm | None) -> None:
    base = stage.register(1)
    adapter = _adapter(stage, 2, base)
    stage.releases.promote(ANA, "digits", 2, "production")
    if harm is not None:
        harm(stage, adapter, base)

    payload = json.loads(base64.b64decode(str(stage.releases.bundle().document()["payload"])))

    assert [entry["base_digest"] for entry in payload["releases"]] == [base.manifest_digest]


def test_a_pipeline_has_no_base_in_the_bundle_whatever_it_was_trained_from(stage: Stage) -> None:
    base = stage.register(1)
    stage.ready(3)
    stage.approved(3)
    with stage.database.transaction() as session:
        row = rows.version_row(session, "digits", 3)
        assert row is not None
        row.lineage = {**row.lineage, "base_model": base.manifest_digest}
    stage.releases.promote(ANA, "digits", 3, "production")
    assert base.manifest_digest is not None

    stage.releases.revoke(BEN, base.manifest_digest, "leak")

    assert [(one.version, one.base_digest) for one in _bundle(stage).released] == [(3, None)]


def test_a_release_on_a_revoked_base_is_refused_by_gateways_though_it_stands(stage: Stage) -> None:
    base = stage.register(1)
    _adapter(stage, 2, base)
    stage.releases.promote(ANA, "digits", 2, "production")
    assert base.manifest_digest is not None
    standing = stage.releases.active()
    stage.releases.revoke(BEN, base.manifest_digest, "leak")
    with stage.database.transaction() as session:  # as somebody could who writes to the database
        session.execute(text("UPDATE imp_release SET ended_at = NULL WHERE id = :id"), {"id": standing[0].id})

    (withheld,) = _bundle(stage).withheld

    assert (withheld.version, withheld.error.code) == (2, "revoked")
    assert "base" in withheld.error.message

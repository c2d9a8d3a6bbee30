"""What makes a bundle, or a release in it, unfit to be served."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.core.errors import BadInput, Forbidden, NotFound, Refused, Tampered, Unauthenticated, Unavailable
from imprimatur.core.keychain import open_chain, rotate, trusted
from imprimatur.core.signing import KeyRing, SigningKey
from imprimatur.serving import bundle as serving_bundle
from imprimatur.serving.bundle import open_bundle
from imprimatur.serving.model import Bundle, Released, Wanted
from signed_bundles import DECISION_TYPE, approval, bundle_document, decision_document, release_entry

KEY = SigningKey.generate()
RING = KeyRing([KEY.public])
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def opened(*releases: dict[str, Any], **options: Any) -> Bundle:
    return open_bundle(bundle_document(KEY, list(releases), now=NOW, **options), RING)


def test_a_release_that_its_decision_bears_out_is_released() -> None:
    entry = release_entry(KEY, DIGEST, facts={"eval.steps": 20, "eval.guidance": 2.0})
    (release,) = opened(entry).released
    assert (release.name, release.version, release.manifest_digest) == ("digits", 1, DIGEST)
    assert (release.steps, release.guidance) == (20, 2.0)


def test_a_bundle_of_another_key_is_refused() -> None:
    stranger = SigningKey.generate()
    with pytest.raises(Tampered, match="key"):
        open_bundle(bundle_document(stranger, [], now=NOW), RING)


def test_a_decision_passed_off_as_a_bundle_is_refused() -> None:
    with pytest.raises(Tampered) as refused:
        open_bundle(KEY.sign(DECISION_TYPE, decision_document(DIGEST)).document(), RING)
    assert refused.value.code == "bad-signature"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_a_bundle_can_be_changed(place: int, flip: int) -> None:
    document = bundle_document(KEY, [release_entry(KEY, DIGEST)], now=NOW)
    payload = bytearray(base64.b64decode(document["payload"]))
    payload[place % len(payload)] ^= flip
    with pytest.raises(Tampered):
        open_bundle({**document, "payload": base64.b64encode(payload).decode()}, RING)


@pytest.mark.parametrize("missing", ["serial", "issued_at", "expires_at", "releases", "revoked", "clients"])
def test_a_signed_bundle_of_another_form_is_refused_whole(missing: str) -> None:
    genuine = json.loads(base64.b64decode(bundle_document(KEY, [], now=NOW)["payload"]))
    del genuine[missing]
    with pytest.raises(Tampered) as refused:
        open_bundle(KEY.sign("application/vnd.imprimatur.bundle+json", genuine).document(), RING)
    assert refused.value.code == "bad-bundle"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"verdict": "deny"}, "not-allowed"),
        ({"verdict": "undecided"}, "not-allowed"),
        ({"manifest_digest": OTHER}, "decision-mismatch"),
        ({"environment": "staging"}, "decision-mismatch"),
        ({"model": "letters"}, "decision-mismatch"),
        ({"version": 2}, "decision-mismatch"),
    ],
)
def test_a_release_is_withheld_unless_its_decision_allows_just_that(changes: dict[str, Any], code: str) -> None:
    decision = KEY.sign(DECISION_TYPE, decision_document(DIGEST, **changes)).document()
    good = release_entry(KEY, OTHER, id="dec-2", environment="staging")
    bundle = opened({**release_entry(KEY, DIGEST), "decision": decision}, good)
    assert [withheld.error.code for withheld in bundle.withheld] == [code]
    assert [release.name for release in bundle.released] == ["digits@staging"]
    with pytest.raises(Refused) as refused:
        bundle.find("digits")
    assert refused.value.code == code


def test_a_decision_signed_by_somebody_else_is_withheld() -> None:
    forged = SigningKey.generate().sign(DECISION_TYPE, decision_document(DIGEST)).document()
    bundle = opened({**release_entry(KEY, DIGEST), "decision": forged})
    assert [withheld.error.code for withheld in bundle.withheld] == ["bad-signature"]


def test_approvals_of_another_decision_do_not_count() -> None:
    bundle = opened({**release_entry(KEY, DIGEST), "approvals": [approval("dec-9")]})
    assert [withheld.error.code for withheld in bundle.withheld] == ["approval-missing"]


@pytest.mark.parametrize(
    ("required", "people", "code"),
    [
        ([], [], None),
        ([{"role": "reviewer", "count": 2}], ["ben"], "approval-missing"),
        ([{"role": "reviewer", "count": 2}], ["ben", "cho"], None),
        ([{"role": "reviewer", "count": 1}], ["ana"], "approval-missing"),
        ([{"role": "reviewer", "count": 1}, {"role": "operator", "count": 1}], ["ben", "cho"], "approval-missing"),
    ],
)
def test_the_people_whom_the_policy_asks_for_must_have_approved(
    required: list[dict[str, Any]], people: list[str], code: str | None
) -> None:
    entry = release_entry(KEY, DIGEST, required_approvals=required)
    bundle = opened({**entry, "approvals": [approval(person=person) for person in people]})
    assert [withheld.error.code for withheld in bundle.withheld] == ([code] if code else [])


def test_a_decision_without_its_form_is_withheld_and_spoils_no_other() -> None:
    crooked = {key: value for key, value in decision_document(OTHER).items() if key != "required_approvals"}
    entry = {**release_entry(KEY, OTHER), "decision": KEY.sign(DECISION_TYPE, crooked).document()}
    bundle = opened(entry, release_entry(KEY, DIGEST, environment="staging"))
    assert [withheld.error.code for withheld in bundle.withheld] == ["bad-decision"]
    assert len(bundle.released) == 1


def test_types_of_signed_documents_are_those_that_the_server_signs() -> None:
    from imprimatur.release import bundle, document

    assert (serving_bundle.BUNDLE_TYPE, serving_bundle.DECISION_TYPE) == (bundle.BUNDLE_TYPE, document.DECISION_TYPE)


def test_a_revoked_digest_is_withheld_wherever_it_stands() -> None:
    bundle = opened(release_entry(KEY, DIGEST), release_entry(KEY, DIGEST, environment="staging"), revoked=(DIGEST,))
    assert bundle.released == ()
    assert {withheld.error.code for withheld in bundle.withheld} == {"revoked"}
    assert bundle.digests() == frozenset()


@pytest.mark.parametrize("revoked", [True, False])
def test_a_release_on_a_base_is_withheld_once_that_is_revoked(*, revoked: bool) -> None:
    entry = {**release_entry(KEY, DIGEST), "base_digest": OTHER}
    bundle = opened(entry, revoked=(OTHER,) if revoked else ())
    assert [withheld.error.code for withheld in bundle.withheld] == (["revoked"] if revoked else [])
    assert [release.base_digest for release in bundle.released] == ([] if revoked else [OTHER])


@pytest.mark.parametrize("base", ["", "sha256:", 7, [OTHER]])
def test_a_base_that_is_no_digest_is_withheld(base: Any) -> None:
    bundle = opened({**release_entry(KEY, DIGEST), "base_digest": base})
    assert [withheld.error.code for withheld in bundle.withheld] == ["bad-bundle"]


@pytest.mark.parametrize("said", [{"base_digest": None}, {}], ids=["no base", "a server from before bases were told"])
def test_a_release_without_a_base_is_released(said: dict[str, Any]) -> None:
    (release,) = opened({**release_entry(KEY, DIGEST), **said}).released
    assert release.base_digest is None


def test_a_bundle_holds_until_its_expiry_and_not_a_moment_longer() -> None:
    bundle = opened(minutes=1)
    bundle.require_fresh(NOW.replace(second=59))
    with pytest.raises(Unavailable, match="12:01:00"):
        bundle.require_fresh(NOW.replace(minute=1))


def test_only_keys_of_the_bundle_are_known() -> None:
    bundle = opened(tokens={"imp_a": "webshop"})
    (known,) = bundle.clients
    assert bundle.client(known).name == "webshop"
    with pytest.raises(Unauthenticated):
        bundle.client(OTHER)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("letters", NotFound, "no-such-model"),
        ("digits/2", Forbidden, "not-released"),
        ("digits@canary", Forbidden, "not-released"),
        ("digits/1@staging", Forbidden, "not-released"),
        ("digits/", BadInput, "bad-model-name"),
        ("digits/one", BadInput, "bad-model-name"),
        ("digits/0", BadInput, "bad-model-name"),
        ("digits@", BadInput, "bad-model-name"),
        ("/1", BadInput, "bad-model-name"),
        ("", BadInput, "bad-model-name"),
    ],
)
def test_names_that_mean_no_release(name: str, kind: type[Refused | BadInput], code: str) -> None:
    bundle = opened(release_entry(KEY, DIGEST), release_entry(KEY, OTHER, version=3, environment="staging"))
    with pytest.raises(kind) as refused:
        bundle.find(name)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("digits", DIGEST),
        ("digits/1", DIGEST),
        ("digits@staging", OTHER),
        ("digits/3", OTHER),
        ("digits/3@staging", OTHER),
    ],
)
def test_names_that_mean_a_release(name: str, digest: str) -> None:
    bundle = opened(release_entry(KEY, OTHER, version=3, environment="staging"), release_entry(KEY, DIGEST))
    assert bundle.find(name).manifest_digest == digest


def test_a_version_that_stands_in_two_places_is_served_as_production() -> None:
    bundle = opened(release_entry(KEY, DIGEST, environment="staging"), release_entry(KEY, DIGEST))
    assert bundle.find("digits/1").environment == "production"


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_clear_refusal(name: str) -> None:
    try:
        wanted = Wanted.parse(name)
    except BadInput:
        return
    assert wanted.model
    assert wanted.version is None or wanted.version >= 1


def test_the_released_name_finds_the_release_again() -> None:
    for environment in ("production", "staging"):
        (release,) = opened(release_entry(KEY, DIGEST, environment=environment)).released
        assert isinstance(release, Released)
        assert Wanted.parse(release.name).matches(release)


def test_a_key_that_was_replaced_signs_no_bundle_and_bears_out_decisions(tmp_path: Path) -> None:
    path = tmp_path / "decision.pem"
    old, new = open_chain(path), rotate(path, NOW)
    ring = trusted([new.current.public], new.statements)
    entry = release_entry(old.current, DIGEST)

    with pytest.raises(Tampered, match="was replaced") as refusal:
        open_bundle(bundle_document(old.current, [entry], now=NOW), ring)

    assert refusal.value.code == "retired-key"
    (release,) = open_bundle(bundle_document(new.current, [entry], now=NOW), ring).released
    assert release.manifest_digest == DIGEST

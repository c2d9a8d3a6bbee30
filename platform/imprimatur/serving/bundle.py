"""Opening a release bundle: signature, form, and for each release whether it may be served at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from imprimatur.core.digests import Digest, is_digest
from imprimatur.core.errors import ImprimaturError, Refused, Tampered
from imprimatur.core.signing import Envelope, KeyRing
from imprimatur.serving.model import Bundle, Client, Released, Withheld

BUNDLE_TYPE = "application/vnd.imprimatur.bundle+json"
DECISION_TYPE = "application/vnd.imprimatur.decision+json"


def open_bundle(document: Mapping[str, Any], ring: KeyRing) -> Bundle:
    """The bundle in the DSSE ``document``, once its signature and form are verified.

    A release whose decision does not bear it out is withheld with its reason; it does not spoil the others.
    Raises Tampered ``bad-signature``, ``retired-key``, ``bad-envelope`` or ``bad-bundle``.
    """
    payload = ring.open_current(Envelope.parse(document), BUNDLE_TYPE)
    try:
        return _bundle(payload, ring)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Tampered(
            "bad-bundle", f"The release bundle does not have the expected form ({type(error).__name__}: {error})"
        ) from error


def _bundle(payload: Mapping[str, Any], ring: KeyRing) -> Bundle:
    revoked = frozenset(payload["revoked"])
    judged = [_judge(entry, ring, revoked) for entry in payload["releases"]]
    return Bundle(
        serial=int(payload["serial"]),
        issued_at=_moment(payload["issued_at"]),
        expires_at=_moment(payload["expires_at"]),
        released=tuple(release for release in judged if isinstance(release, Released)),
        withheld=tuple(release for release in judged if isinstance(release, Withheld)),
        revoked=revoked,
        clients={client["hash"]: Client(client["name"], client["team"]) for client in payload["clients"]},
    )


def _judge(entry: Mapping[str, Any], ring: KeyRing, revoked: frozenset[str]) -> Released | Withheld:
    try:
        return _admit(entry, ring, revoked)
    except ImprimaturError as error:
        refused = error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        refused = Tampered(
            "bad-decision", f"The decision or its answers lack their form ({type(error).__name__}: {error})"
        )
    return Withheld(
        str(entry["model"]), int(entry["version"]), str(entry["environment"]), str(entry["manifest_digest"]), refused
    )


def _admit(entry: Mapping[str, Any], ring: KeyRing, revoked: frozenset[str]) -> Released:
    label = f"{entry['model']}/{entry['version']}"
    digest = str(entry["manifest_digest"])
    if not is_digest(digest):
        raise Tampered("bad-bundle", f"{label} names no manifest digest (got {digest!r})")
    if digest in revoked:
        raise Refused("revoked", f"{label} was revoked: nothing may serve these bytes any more")
    base = _base(entry, label)
    if base in revoked:
        raise Refused("revoked", f"The base of {label} was revoked: nothing may serve these bytes any more")
    decision = ring.open(Envelope.parse(entry["decision"]), DECISION_TYPE)
    _require_about(decision, entry, label)
    if decision["verdict"] != "allow":
        raise Refused(
            "not-allowed", f"The decision on {label} is {decision['verdict']!r} (expected 'allow'); it is not served"
        )
    _require_approved(decision, entry["approvals"], label)
    facts = decision["facts"]
    return Released(
        model=str(entry["model"]),
        version=int(entry["version"]),
        environment=str(entry["environment"]),
        manifest_digest=digest,
        base_digest=base,
        decision_id=str(decision["id"]),
        decided_at=_moment(decision["decided_at"]),
        steps=_positive(facts.get("eval.steps")),
        guidance=_number(facts.get("eval.guidance")),
    )


def _base(entry: Mapping[str, Any], label: str) -> Digest | None:
    """The base that an adapter is served on; None for a pipeline, and from servers that tell no bases yet."""
    if entry.get("base_digest") is None:
        return None
    base = str(entry["base_digest"])
    if not is_digest(base):
        raise Tampered("bad-bundle", f"{label} names no digest of its base (got {base!r})")
    return base


def _require_about(decision: Mapping[str, Any], entry: Mapping[str, Any], label: str) -> None:
    for field in ("manifest_digest", "environment", "model", "version"):
        if decision[field] != entry[field]:
            raise Tampered(
                "decision-mismatch",
                f"The decision on {label} names {field} {decision[field]!r} (expected {entry[field]!r}); "
                "a decision holds for what it names and for nothing else",
            )


def _require_approved(decision: Mapping[str, Any], approvals: Sequence[Mapping[str, Any]], label: str) -> None:
    """Raise Refused unless nobody rejected the decision and everybody approved whom its policy asks for.

    Who submitted or registered the version counts for nothing, whatever the server let through.
    """
    answers = [answer for answer in approvals if answer["decision_id"] == decision["id"]]
    if any(answer["answer"] != "approve" for answer in answers):
        raise Refused("rejected", f"A reviewer rejected {label}; it is not served")
    authors = {decision["submitted_by"], decision["registered_by"]}
    for block in decision["required_approvals"]:
        people = {answer["person"] for answer in answers if answer["role"] == block["role"]} - authors
        if len(people) < block["count"]:
            raise Refused(
                "approval-missing",
                f"{len(people)} people approved the decision on {label} as {block['role']} (expected "
                f"{block['count']}, and nobody who submitted it); it is not served",
            )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def _positive(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 1 else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

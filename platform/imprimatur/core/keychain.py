"""The server's key and those that it had before: how a key is replaced without making old signatures worthless.

At each rotation the old key signs that the new one succeeds it, and the new key that it succeeds the old one. Whoever
trusts one key of the chain can follow these statements to every other, offline. The old private key is destroyed.
What a key signed before it was replaced holds; what is so now is for the key that one trusts, and for those after it,
to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from imprimatur.core.clock import iso
from imprimatur.core.errors import BadInput, ImprimaturError, Tampered
from imprimatur.core.files import write_durably
from imprimatur.core.signing import Envelope, KeyRing, SigningKey, key_id_of, public_key

SUCCESSION_TYPE = "application/vnd.imprimatur.key-succession+json"
_FIRST, _SECOND = "old", "new"

Statements = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class KeyChain:
    """The key in force, and the succession statements (DSSE documents) that lead from and to the keys before it."""

    current: SigningKey
    statements: Statements

    @property
    def ring(self) -> KeyRing:
        """Every key of the chain."""
        return trusted([self.current.public], self.statements)


def open_chain(path: Path) -> KeyChain:
    """The chain whose key in force is in the PEM file ``path``, made there if none is.

    A rotation that was cut short is completed where its statements are written, and else undone.
    """
    current = SigningKey.load_or_create(path)
    statements = read_statements(path)
    following = _following(path)
    if following.exists():
        succeeding = SigningKey.load_or_create(following)
        if succeeding.key_id in trusted([current.public], statements).key_ids:
            current = succeeding
            current.save(path)
        following.with_suffix(".pub").unlink(missing_ok=True)
        following.unlink()
    return KeyChain(current, statements)


def rotate(path: Path, at: datetime) -> KeyChain:
    """Replace the key in the PEM file ``path`` by a new one. Processes that run keep the old one until they restart."""
    chain, new = open_chain(path), SigningKey.generate()
    statement = {_FIRST: chain.current.public, _SECOND: new.public, "at": iso(at)}
    made = [key.sign(SUCCESSION_TYPE, statement).document() for key in (chain.current, new)]
    new.save(_following(path))
    write_durably(_history(path), json.dumps([*chain.statements, *made], indent=1).encode())
    return open_chain(path)


def trusted(roots: Iterable[str], statements: Statements, retired: Iterable[str] = ()) -> KeyRing:
    """Every key that the public keys ``roots`` and those ``retired`` before lead to.

    What nobody of them signed is passed over: a statement counts where the key that signed it is trusted already and is
    one of the two that it names. Keys that came before the roots, or that only such keys lead to, are retired.
    """
    envelopes = [Envelope.parse(statement) for statement in statements]
    current = _reached(roots, envelopes, (_SECOND,))
    known = _reached([*current.values(), *retired], envelopes, (_FIRST, _SECOND))
    return KeyRing(current.values(), [public for key_id, public in known.items() if key_id not in current])


def read_statements(path: Path) -> Statements:
    """The statements beside a key's file; none where there is no history. Raises Tampered ``bad-key-history``."""
    file = _history(path)
    if not file.exists():
        return ()
    try:
        found = json.loads(file.read_bytes())
        if not isinstance(found, list):
            raise ValueError(f"{type(found).__name__}, expected a list")
        envelopes = [Envelope.parse(statement) for statement in found]
    except (ValueError, TypeError, ImprimaturError) as error:
        raise Tampered("bad-key-history", f"{file.name} is no key history ({error}); restore it") from error
    return tuple(envelope.document() for envelope in envelopes)


def ring_at(public: Path) -> KeyRing:
    """The key in the ``.pub`` file ``public``, and every key that the history beside it leads to.

    Raises BadInput ``no-key`` where the file is missing or holds no public key.
    """
    try:
        return trusted([public.read_text()], read_statements(public))
    except (OSError, ValueError) as error:
        raise BadInput(
            "no-key", f"{public.name} is no readable public key (expected PEM, as in decision.pub)"
        ) from error


def _reached(roots: Iterable[str], envelopes: Sequence[Envelope], sides: Sequence[str]) -> dict[str, str]:
    """The ``roots`` and what they lead to, by key id, going only to the ``sides`` of each statement."""
    known = {key_id_of(public): public for public in roots}
    count = -1
    while count < len(known):
        count, ring = len(known), KeyRing(known.values())
        for envelope in envelopes:
            known.update(_named_by(envelope, ring, sides))
    return known


def _named_by(envelope: Envelope, ring: KeyRing, sides: Sequence[str]) -> dict[str, str]:
    if envelope.key_id not in ring.key_ids:
        return {}
    statement = ring.open(envelope, SUCCESSION_TYPE)
    try:
        named = {name: statement[name] for name in (_FIRST, _SECOND)}
        ids = {key_id_of(public) for public in named.values()}
        for public in named.values():
            public_key(public)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Tampered("bad-key-history", f"A signed key succession names no two keys ({error})") from error
    return {key_id_of(named[side]): named[side] for side in sides} if envelope.key_id in ids else {}


def _following(path: Path) -> Path:
    return path.with_name(f"{path.stem}.next.pem")


def _history(path: Path) -> Path:
    return path.with_name(f"{path.stem}.history.json")

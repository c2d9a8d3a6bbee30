"""RFC 9162 Merkle tree: leaf and node hashes, and a root that grows one leaf at a time.

Source: RFC 9162, section 2.1 (https://www.rfc-editor.org/rfc/rfc9162#section-2.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry: SHA-256 over a zero byte and the entry (32 bytes)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees: SHA-256 over a one byte and both hashes (32 bytes)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def grow(frontier: Sequence[bytes], size: int, leaf: bytes) -> list[bytes]:
    """The frontier after one more leaf.

    The frontier holds the roots of the perfect subtrees of a tree of ``size`` leaves, the largest first: one for each
    set bit of ``size``. A leaf merges with as many of them as ``size`` has trailing one bits.
    """
    grown = [*frontier]
    node = leaf
    while size & 1:
        node = node_hash(grown.pop(), node)
        size >>= 1
    return [*grown, node]


def root_of(frontier: Sequence[bytes]) -> bytes:
    """The root over a frontier (32 bytes)."""
    if not frontier:
        return EMPTY_ROOT
    *rest, root = frontier
    for subtree in reversed(rest):
        root = node_hash(subtree, root)
    return root


def root_over(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes in order, computed from nothing."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        frontier = grow(frontier, size, leaf)
    return root_of(frontier)

"""RFC 9162 Merkle tree: hashes, a root that grows one leaf at a time, and proofs that need no more than a few hashes.

Source: RFC 9162, section 2.1 (https://www.rfc-editor.org/rfc/rfc9162#section-2.1). Hashes are SHA-256, 32 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry: SHA-256 over a zero byte and the entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees: SHA-256 over a one byte and both hashes."""
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
    """The root over a frontier."""
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


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from the leaf at ``index`` to the root over ``leaves``, from its sibling upwards."""
    path: list[bytes] = []
    start, end = 0, len(leaves)
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            path.append(root_over(leaves[split:end]))
            end = split
        else:
            path.append(root_over(leaves[start:split]))
            start = split
    return path[::-1]


def includes(root: bytes, size: int, leaf: bytes, index: int, path: Sequence[bytes]) -> bool:
    """Whether ``path`` shows that ``leaf`` stands at ``index`` of the tree of ``size`` leaves with this root."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def consistency_path(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """The hashes which show that the tree over the first ``size`` of ``leaves`` (1 at least) is the start of theirs."""
    path: list[bytes] = []
    start, end, whole = 0, len(leaves), True
    while size != end:
        split = start + _split(end - start)
        if size <= split:
            path.append(root_over(leaves[split:end]))
            end = split
        else:
            path.append(root_over(leaves[start:split]))
            start, whole = split, False
    return ([] if whole else [root_over(leaves[start:end])]) + path[::-1]


def continues(old_root: bytes, old_size: int, root: bytes, size: int, path: Sequence[bytes]) -> bool:
    """Whether ``path`` shows that the tree of ``size`` leaves begins with the tree of ``old_size`` (1 at least)."""
    if old_size == size:
        return not path and old_root == root
    if not 0 < old_size < size:
        return False
    hashes = [old_root, *path] if old_size & (old_size - 1) == 0 else [*path]
    if not hashes:
        return False
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == root


def _split(count: int) -> int:
    """The largest power of two below ``count``, which is 2 at least."""
    return 1 << ((count - 1).bit_length() - 1)

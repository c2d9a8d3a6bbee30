"""The tree: what grows leaf by leaf is the tree of RFC 9162."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from imprimatur.audit.merkle import EMPTY_ROOT, grow, leaf_hash, node_hash, root_of, root_over


def root_by_definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, as it is written there."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    left, right = root_by_definition(entries[:split]), root_by_definition(entries[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_the_root_is_that_of_the_definition(entries: list[bytes]) -> None:
    assert root_over(map(leaf_hash, entries)) == root_by_definition(entries)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_a_frontier_goes_on_where_it_was_left(entries: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(entries)))
    frontier: list[bytes] = []
    for size, entry in enumerate(entries[:cut]):
        frontier = grow(frontier, size, leaf_hash(entry))
    assert len(frontier) == cut.bit_count()
    kept = [bytes(part) for part in frontier]
    for size, entry in enumerate(entries[cut:], cut):
        kept = grow(kept, size, leaf_hash(entry))

    assert root_of(kept) == root_by_definition(entries)


def test_roots_that_others_compute_too() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    # Certificate Transparency's well-known test tree of 8 leaves
    texts = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
    root = root_over(leaf_hash(bytes.fromhex(text)) for text in texts)
    assert root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_a_leaf_is_no_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")

    assert node_hash(left, right) != leaf_hash(left + right)

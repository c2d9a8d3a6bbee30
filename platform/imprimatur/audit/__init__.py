"""Who did what, when: an append-only Merkle log whose events commit with the changes that they record."""

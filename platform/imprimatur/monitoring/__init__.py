"""How good what is served stays: re-scored samples of served images."""

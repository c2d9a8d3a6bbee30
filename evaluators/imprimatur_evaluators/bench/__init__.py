"""``python -m imprimatur_evaluators.bench``: how fast the library is, as ratios against named peers in one run."""

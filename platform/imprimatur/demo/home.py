"""A home folder that the demo may begin in."""

from __future__ import annotations

import shutil
from pathlib import Path

from imprimatur.core.errors import BadInput

_MARK = ".made-by-demo"


def fresh_home(home: Path) -> Path:
    """``home``, empty. What an earlier demo left there is removed; anything else is left alone.

    Raises BadInput ``home-in-use`` where the folder holds something that no demo made.
    """
    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            raise BadInput(
                "home-in-use",
                f"{home} holds something that the demo did not make (expected an empty folder, or one of an earlier "
                "demo); set IMPRIMATUR_HOME to another folder",
            )
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).write_text("The demo made this folder and will empty it when it runs again.\n")
    return home

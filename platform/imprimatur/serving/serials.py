"""The highest serial of a bundle that a gateway took from a server, in a file, so that a restart does not forget it."""

from __future__ import annotations

import json
from pathlib import Path

from imprimatur.core.errors import Fault
from imprimatur.core.files import write_durably


class Serials:
    """The number for one server in a file with one for each: a JSON object from addresses to whole numbers.

    Who deletes the file lets bundles in that were signed earlier, until they expire.
    """

    def __init__(self, file: Path, address: str) -> None:
        self._file = file
        self._address = address

    def highest(self) -> int:
        """The highest serial that was taken; 0 where none was. Raises Fault ``bad-bundle-serials``."""
        return self._read().get(self._address, 0)

    def take(self, serial: int) -> None:
        """Keep ``serial`` where it is higher. Raises Fault ``bad-bundle-serials`` and ``serials-unwritable``."""
        known = self._read()
        if serial <= known.get(self._address, 0):
            return
        try:
            write_durably(self._file, json.dumps({**known, self._address: serial}, indent=1).encode())
        except OSError as error:
            raise Fault(
                "serials-unwritable",
                f"{self._file.name} can't be written ({error.strerror or error}), so an older bundle could come back "
                "after a restart, and no bundle is taken; make room, or let the gateway write to its home folder",
            ) from error

    def _read(self) -> dict[str, int]:
        try:
            found = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._damaged(type(error).__name__) from error
        if not isinstance(found, dict) or not all(type(serial) is int and serial >= 0 for serial in found.values()):
            raise self._damaged("another form")
        return found

    def _damaged(self, found: str) -> Fault:
        return Fault(
            "bad-bundle-serials",
            f"{self._file.name} is damaged (found {found}, expected an object from addresses to whole numbers), so "
            "nobody knows how old a bundle may be; restore it, or delete it once the server is known to be yours",
        )

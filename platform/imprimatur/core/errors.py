"""The one tree of errors that Imprimatur raises on purpose.

    ImprimaturError
    |-- BadInput            the caller's document, argument or file is wrong          exit 2
    |-- Refused             a rule of the house says no; nothing was changed          exit 1
    |   |-- Unauthenticated   nobody is logged in, or the token is not known
    |   |-- Forbidden         this person may not do this
    |   |-- NotFound          there is no such model, version, suite, decision
    |   |-- Conflict          somebody else was first, or the state moved on
    |   `-- Tampered          bytes or signatures are not what was sealed
    `-- Fault               something we depend on is missing or broken               exit 3
        `-- Unavailable       not now: the same request may succeed later

Every error carries a stable ``code`` that programs can rely on and a sentence for people that says what was
found, what was expected and what to do next. Features know no HTTP: ``core.problems`` maps these to statuses.
"""

from __future__ import annotations


class ImprimaturError(Exception):
    """An error with a stable code, a sentence for people, and the exit status that a command ends with."""

    exit_status = 3

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts


class BadInput(ImprimaturError):
    """The caller's document, argument or file is wrong; correcting it is up to the caller."""

    exit_status = 2


class Refused(ImprimaturError):
    """A rule of the house says no. Nothing was changed."""

    exit_status = 1


class Unauthenticated(Refused):
    """Nobody is logged in, or the token is unknown, expired or revoked."""


class Forbidden(Refused):
    """This principal may not take this action."""


class NotFound(Refused):
    """There is no such thing under that name."""


class Conflict(Refused):
    """The state moved on: somebody else was first, or the action was already taken."""


class Tampered(Refused):
    """Bytes, a signature or a log entry are not what was sealed."""


class Fault(ImprimaturError):
    """Something that we depend on is missing, broken or unreachable."""


class Unavailable(Fault):
    """This can't be answered now; the same request may succeed later."""

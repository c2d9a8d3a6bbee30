"""The one tree of errors that the scoring library raises on purpose.

    EvaluatorError
    |-- BadImage     bytes are no acceptable image, or an array does not hold images
    |-- BadRequest   an unknown metric, a missing set or an option that makes no sense
    |-- TooFew       fewer images than the metric needs; ``facts`` says how many it needs
    |-- BadIndex     an index of protected works is missing, changed, or another backbone's
    `-- BadWeights   weights are unknown, changed, or not in a format that is loaded

Every error carries a stable ``code`` and a sentence that says what was found, what was expected, what to do next.
"""

from __future__ import annotations


class EvaluatorError(Exception):
    """An error with a stable code, a sentence for people, and the facts that the sentence rests on."""

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts


class BadImage(EvaluatorError):
    """The bytes are no acceptable image, or the array does not hold images."""


class BadRequest(EvaluatorError):
    """The metric is unknown, a set that it needs is missing, or an option makes no sense."""


class TooFew(EvaluatorError):
    """There are fewer images than the metric needs."""


class BadIndex(EvaluatorError):
    """The index of protected works is missing, was changed, or belongs to another backbone."""


class BadWeights(EvaluatorError):
    """The weights are unknown, were changed, or are in no format that is loaded."""


def require_count(what: str, found: int, needed: int) -> None:
    """Nothing where ``found`` reaches ``needed``; otherwise TooFew 'too-few-images', which says both."""
    if found < needed:
        raise TooFew(
            "too-few-images",
            f"{what} needs at least {needed} images (got {found}); generate more, or leave the metric out",
            found=found,
            needed=needed,
        )

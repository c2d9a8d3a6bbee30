"""MLflow's unchanged client, each with credentials that no other one presents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from requests import HTTPError

from imprimatur.core.errors import Fault, ImprimaturError, NotFound, Refused
from imprimatur.registry import environment

PAGE = 100
"""Entries that MLflow is asked for at once."""

Answer = TypeVar("Answer")
Entry = TypeVar("Entry", covariant=True)

_MISSING = "RESOURCE_DOES_NOT_EXIST"
_BROKEN = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"})


class Page(Protocol[Entry]):
    """What MLflow answers to a search."""

    @property
    def token(self) -> str | None:
        """What to ask the next page with; None on the last."""

    def __iter__(self) -> Iterator[Entry]: ...


class Connection:
    """One MLflow, asked through its own client as one caller.

    ``name`` is what errors call it: ``source`` or ``server``.
    """

    def __init__(self, name: str, uri: str, credentials: Mapping[str, str]) -> None:
        self.name = name
        self.uri = uri
        self._credentials = credentials
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def presenting(self) -> AbstractContextManager[None]:
        """A block in which MLflow's own code, whatever it asks, presents this caller's credentials only."""
        return environment.presenting(self._credentials)

    def ask(self, question: Callable[[MlflowClient], Answer]) -> Answer:
        """What ``question`` gets from the client.

        Raises NotFound ``not-in-mlflow`` and Refused ``mlflow-refused`` where MLflow says no, and Fault
        ``source-unreachable`` or ``server-unreachable`` where it does not answer at all.
        """
        with self.presenting():
            try:
                return question(self._client)
            except MlflowException as error:
                raise self._told(error) from error
            except HTTPError as error:  # an artifact's answer, which MLflow passes on as it is
                raise Refused("mlflow-refused", f"The {self.name} refused: {error}") from error
            except OSError as error:  # among them what requests raises where nobody answers
                raise self._silent(error) from error

    def pages(self, search: Callable[[MlflowClient, str | None], Page[Entry]]) -> Iterator[Page[Entry]]:
        """The pages of a search, one in memory at a time. Raises what ``ask`` raises."""
        token: str | None = None
        while True:
            page = self._page(search, token)
            yield page
            token = page.token
            if not token:
                return

    def _page(self, search: Callable[[MlflowClient, str | None], Page[Entry]], token: str | None) -> Page[Entry]:
        return self.ask(lambda client: search(client, token))

    def _told(self, error: MlflowException) -> ImprimaturError:
        if error.error_code == _MISSING:
            return NotFound("not-in-mlflow", f"The {self.name} has no such thing: {error.message}")
        if isinstance(error, RestException) or error.error_code not in _BROKEN:
            return Refused("mlflow-refused", f"The {self.name} refused: {error.message}")
        return self._silent(error)

    def _silent(self, error: Exception) -> Fault:
        return Fault(f"{self.name}-unreachable", f"No answer from the {self.name}: {error}; run the import again")

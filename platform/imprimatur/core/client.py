"""How commands speak to the server: JSON over HTTP, with our errors on both sides."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from imprimatur.core.digests import new_id
from imprimatur.core.errors import (
    BadInput,
    Conflict,
    Fault,
    Forbidden,
    ImprimaturError,
    NotFound,
    Refused,
    Unauthenticated,
)
from imprimatur.core.settings import Settings

_BY_STATUS: dict[int, type[ImprimaturError]] = {
    400: BadInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: BadInput,
}
_PATIENCE = httpx.Timeout(60.0, read=600.0)
_NONE_KEPT = httpx.Limits(max_keepalive_connections=0)  # a command asks seldom, and leaves no open connection behind


class Client:
    """The server's API as a logged-in principal. Answers are parsed JSON; refusals are raised as our own errors."""

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.address = address
        self._http = httpx.Client(base_url=address, headers=headers, timeout=_PATIENCE, limits=_NONE_KEPT)
        weakref.finalize(self, self._http.close)  # commands end without ceremony; their connections end with them

    @classmethod
    def from_settings(cls, settings: Settings) -> Client:
        """The server that the settings name, else the one on this machine."""
        return cls(settings.server or f"http://{settings.host}:{settings.port}", settings.token)

    def get(self, path: str, **query: str | int) -> Any:
        """The document at ``path``."""
        return self._answer("GET", path, params=query)

    def text(self, path: str, **query: str | int) -> str:
        """What stands at ``path``, as text of whatever form."""
        return self._request("GET", path, params=query).text

    def post(self, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """What the server answers to ``document``, sent once however often the network repeats it."""
        return self._answer("POST", path, json=document or {}, headers={"Idempotency-Key": new_id("key")})

    def upload(self, path: str, file: bytes, **fields: str) -> Any:
        """What the server answers to a file with form fields."""
        headers = {"Idempotency-Key": new_id("key")}
        return self._answer("POST", path, files={"file": file}, data=fields, headers=headers)

    def save(self, path: str, target: Path) -> None:
        """Write the bytes at ``path`` to the new file ``target``, in chunks."""
        try:
            with self._http.stream("GET", f"/api/v1{path}") as response, target.open("xb") as stream:
                if not response.is_success:
                    response.read()
                    raise _error(response)
                for chunk in response.iter_bytes():
                    stream.write(chunk)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        return self._request(method, path, **options).json()

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, f"/api/v1{path}", **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_success:
            return response
        raise _error(response)

    def _unreachable(self, error: httpx.HTTPError) -> Fault:
        return Fault(
            "server-unreachable",
            f"No answer from {self._http.base_url} ({error}); start `imprimatur up` or set IMPRIMATUR_SERVER",
        )


def _error(response: httpx.Response) -> ImprimaturError:
    kind = _BY_STATUS.get(response.status_code, Refused if response.status_code < 500 else Fault)
    try:
        body = response.json()
    except ValueError:
        body = {}
    code = str(body.get("code", f"http-{response.status_code}"))
    message = str(body.get("detail", f"The server answered {response.status_code} without saying why"))
    return kind(code, message, status=response.status_code, **body.get("facts", {}))

"""The guard around the CEL process: asks it one thing at a time, ends it when it does not answer, starts it anew."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from imprimatur.core.errors import Fault
from imprimatur.policy.facts import Kind, Value

_CHUNK = 1 << 16


class Outcome(StrEnum):
    """What became of an expression."""

    COMPILED = "compiled"
    VALUE = "value"
    ERROR = "error"
    INVALID = "invalid"


@dataclass(frozen=True)
class Answer:
    """What became of an expression; ``value`` is set for ``value`` only, ``message`` for the failures."""

    outcome: Outcome
    value: bool | None = None
    message: str = ""


class GuardedCel:
    """CEL in a process of its own.

    One evaluation gets ``cpu_seconds`` of processor time, after which the kernel ends the process, and ``patience``
    seconds on the clock, after which we do. The next question starts a new process.
    """

    def __init__(self, *, cpu_seconds: float = 0.25, patience: float = 5.0, start_seconds: float = 30.0) -> None:
        self._cpu_seconds = cpu_seconds
        self._patience = patience
        self._start_seconds = start_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._lock = threading.Lock()

    def compile(self, declare: Mapping[str, Kind], expr: str) -> Answer:
        """Whether ``expr`` compiles to a bool over the declared variables."""
        return self._ask({"declare": declare, "expr": expr, "data": None})

    def evaluate(self, declare: Mapping[str, Kind], expr: str, data: Mapping[str, Value]) -> Answer:
        """The value of ``expr``; an error where a variable has no value, or where it took too long."""
        return self._ask({"declare": declare, "expr": expr, "data": data})

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, request: Mapping[str, object]) -> Answer:
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        with self._lock:
            child = self._running()
            try:
                answer = self._exchange(child, line)
            except (TimeoutError, EOFError, OSError) as error:
                self._end()
                why = (
                    f"the evaluation was ended: it took more than {self._cpu_seconds * 1000:.0f} ms or too much memory"
                )
                return Answer(Outcome.ERROR, message=f"{why} ({type(error).__name__})")
        value = answer.get("value")
        return Answer(
            Outcome(str(answer["kind"])), value if isinstance(value, bool) else None, str(answer.get("message", ""))
        )

    def _exchange(self, child: subprocess.Popen[bytes], line: bytes) -> dict[str, object]:
        if child.stdin is None:
            raise EOFError("the process has no standard input")
        child.stdin.write(line)
        return self._read(child, self._patience)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        command = [sys.executable, "-P", "-m", "imprimatur.policy.cel_worker", str(self._cpu_seconds)]
        self._child = subprocess.Popen(  # noqa: S603  our own module, with no word from outside
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            self._read(self._child, self._start_seconds)
        except (TimeoutError, EOFError) as error:
            self._end()
            raise Fault(
                "no-policy-engine",
                f"The process that evaluates policies did not start in {self._start_seconds:.0f} s ({error!r}); "
                "check that cel-expr-python is installed",
            ) from error
        return self._child

    def _read(self, child: subprocess.Popen[bytes], seconds: float) -> dict[str, object]:
        if child.stdout is None:
            raise EOFError("the process has no standard output")
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise TimeoutError(f"no answer in {seconds:.1f} s")
            chunk = os.read(child.stdout.fileno(), _CHUNK)
            if not chunk:
                raise EOFError("the process ended")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        document: dict[str, object] = json.loads(line)
        return document

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        self._child = None
        self._pending = b""


@cache
def shared_cel() -> GuardedCel:
    """The one CEL process of this process, started when it is first asked and ended with it."""
    guard = GuardedCel()
    atexit.register(guard.close)
    return guard

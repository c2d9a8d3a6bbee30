"""Work done in a child process that dies by SIGKILL at a named step, or after some time."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

_SIGKILL = -signal.SIGKILL


@dataclass(frozen=True)
class Step:
    """The moment when a function of a module is entered for the ``nth`` time, as ``storage/blobs.py:adopt``."""

    module: str
    function: str
    nth: int = 1

    def __str__(self) -> str:
        """The step as a test's name."""
        return f"{self.module.removesuffix('.py')}:{self.function}" + (f"#{self.nth}" if self.nth > 1 else "")


def die_at(step: Step, work: Callable[[], object]) -> bool:
    """Whether a child that does ``work`` got to the step, where it was killed."""
    return _ended(os.fork() or _child(work, step)) == _SIGKILL


def die_after(seconds: float, work: Callable[[], object]) -> bool:
    """Whether a child that does ``work`` was still at it after ``seconds``, when it was killed."""
    child = os.fork() or _child(work, None)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return _ended(child) == _SIGKILL


def _child(work: Callable[[], object], step: Step | None) -> int:
    """Never returns: the child leaves by ``os._exit`` or dies."""
    try:
        if step is not None:
            sys.setprofile(_killer(step))
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _ended(child: int) -> int:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _SIGKILL), f"the child failed with status {status}"
    return status


def _killer(step: Step) -> Callable[[FrameType, str, object], None]:
    seen = 0

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal seen
        code = frame.f_code
        if event == "call" and code.co_name == step.function and code.co_filename.endswith(step.module):
            seen += 1
            if seen == step.nth:
                os.kill(os.getpid(), signal.SIGKILL)

    return watch

"""Server, worker and gateway as child processes on one machine: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from imprimatur.core.errors import Fault
from imprimatur.core.settings import Settings

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """One ``imprimatur`` command running in the background; what it prints goes to a file in the home folder."""

    name: str
    log: Path
    child: subprocess.Popen[bytes]

    def ensure_running(self) -> None:
        """Raise Fault ``process-ended`` with the last lines of the log where the process is gone."""
        if self.child.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise Fault(
                "process-ended",
                f"{self.name} ended with status {self.child.returncode} (expected it to keep running); "
                f"the end of {self.log.name}:\n{tail}",
            )

    def wait_for(self, url: str) -> None:
        """Return once ``url`` answers 200. Raises Fault ``not-ready`` after two minutes."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.ensure_running()
            if _answers(url):
                return
            time.sleep(0.2)
        raise Fault("not-ready", f"{self.name} did not answer at {url} in {_START_SECONDS:.0f} s; see {self.log.name}")

    def stop(self) -> None:
        """End the process, first politely."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


@dataclass
class Fleet:
    """The processes of one home folder. Leaving the ``with`` block stops them all, the last started first."""

    settings: Settings
    running: list[Process] = field(default_factory=list)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        while self.running:
            self.running.pop().stop()

    @property
    def server_address(self) -> str:
        """Where the server answers."""
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def gateway_address(self) -> str:
        """Where the gateway answers."""
        return f"http://{self.settings.host}:{self.settings.gateway_port}"

    def start_server(self) -> Process:
        """The server, once it is ready to work."""
        server = self._start("server")
        server.wait_for(f"{self.server_address}/readyz")
        return server

    def start_worker(self) -> Process:
        """The worker; it takes jobs as soon as it is up."""
        return self._start("worker")

    def start_gateway(self) -> Process:
        """The gateway, once it answers; it is ready when it holds a bundle."""
        gateway = self._start("gateway")
        gateway.wait_for(f"{self.gateway_address}/healthz")
        return gateway

    def watch(self) -> None:
        """Return on an interrupt or a termination signal. Raises Fault where a process ends by itself."""
        stopping: list[int] = []

        def stop(number: int, _frame: FrameType | None) -> None:
            stopping.append(number)

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        while not stopping:
            for process in self.running:
                process.ensure_running()
            time.sleep(0.5)

    def environment(self) -> Mapping[str, str]:
        """The environment that every process of this home is started with."""
        return {
            "OMP_WAIT_POLICY": "PASSIVE",  # torch's threads must not spin while three processes share the cores
            **os.environ,
            "IMPRIMATUR_HOME": str(self.settings.home.resolve()),
            "IMPRIMATUR_HOST": self.settings.host,
            "IMPRIMATUR_PORT": str(self.settings.port),
            "IMPRIMATUR_GATEWAY_PORT": str(self.settings.gateway_port),
            "IMPRIMATUR_SERVER": self.server_address,
        }

    def _start(self, command: str) -> Process:
        logs = self.settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{command}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603  our own command, with no word from outside
                [sys.executable, "-m", "imprimatur.cli.main", command],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment(),
                start_new_session=True,
            )
        process = Process(command, log, child)
        self.running.append(process)
        return process


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False

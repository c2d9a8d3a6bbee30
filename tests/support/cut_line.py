"""A line to a server that breaks where a test says: requests pass until one matches, and from then on none does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_DROPPED = {"connection", "transfer-encoding", "content-length", "content-encoding", "host", "keep-alive"}


@dataclass
class CutLine:
    """The line: ``address`` stands for the server's; ``seen`` lists the requests that passed."""

    address: str
    seen: list[str] = field(default_factory=list)
    broken: bool = False


@contextmanager
def line_to(server: str, cut: Callable[[str], bool], on_cut: Callable[[], None] = lambda: None) -> Iterator[CutLine]:
    """A line to ``server`` that breaks before the first request, as ``METHOD /path``, for which ``cut`` says so."""
    lock = threading.Lock()
    passing = httpx.Client(timeout=60)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            asked = f"{self.command} {self.path.partition('?')[0]}"
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with lock:
                if not line.broken and cut(asked):
                    line.broken = True
                    on_cut()
                if line.broken:
                    self.close_connection = True
                    return
                line.seen.append(asked)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _DROPPED}
            answer = passing.request(self.command, f"{server}{self.path}", headers=headers, content=body)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _DROPPED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.content)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 (the standard library's names)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's names)
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    line = CutLine(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield line
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
        passing.close()

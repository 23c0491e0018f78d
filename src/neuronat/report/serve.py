"""Hand out the viewer on this machine alone: the loopback interface, known addresses, GET and HEAD, own host names.

A page of another site cannot reach it: requests must name this host (which stops rebinding of names), answers may not
be read from elsewhere, and there is nothing to change.
"""

import json
import shutil
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from neuronat.errors import UnavailableError
from neuronat.report.viewer import ASSETS, Show, read_asset

__all__ = ["LOOPBACK", "ViewerServer", "open_server"]

LOOPBACK = "127.0.0.1"
RESULTS = "/results.json"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ViewerServer(ThreadingHTTPServer):
    """A server of one show; it ends with the process."""

    daemon_threads = True

    def __init__(self, port: int, show: Show) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.show = show

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.server_port}/"


def open_server(show: Show, port: int = 0) -> ViewerServer:
    """Open a server on the loopback interface, at a free port unless one is wanted; UnavailableError if it is taken."""
    try:
        return ViewerServer(port, show)
    except (OSError, OverflowError) as error:
        raise UnavailableError(f"port {port} cannot be used ({error}); choose another, or leave --port out") from error


class _Handler(BaseHTTPRequestHandler):
    """Answer for the addresses that are known, and for no others."""

    server: ViewerServer
    server_version, sys_version = "neuronat", ""

    def do_GET(self) -> None:
        """Send a file, the viewer itself or what it is told."""
        self._answer()

    def do_HEAD(self) -> None:
        """Send the headers of the same."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def _answer(self) -> None:
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.FORBIDDEN, "another host name")
        elif self.path in ASSETS:
            name, kind = ASSETS[self.path]
            self._send(read_asset(name), kind, policy=POLICY)
        elif self.path == RESULTS:
            self._send(json.dumps(self.server.show.results).encode(), "application/json", policy=POLICY)
        elif self.path in self.server.show.files:
            self._send_file(self.server.show.files[self.path])
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "not here")

    def _send(self, content: bytes, kind: str, *, policy: str = "") -> None:
        self._send_head(len(content), kind, policy)
        if self.command == "GET":
            self.wfile.write(content)

    def _send_file(self, path: Path) -> None:
        try:
            stream = path.open("rb")
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND, "not there any more")
            return
        with stream:
            # a report brings a stricter policy of its own
            kind = "text/html; charset=utf-8" if path.suffix == ".html" else "application/octet-stream"
            self._send_head(path.stat().st_size, kind, "")
            if self.command == "GET":
                shutil.copyfileobj(stream, self.wfile)

    def _send_head(self, n_bytes: int, kind: str, policy: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(n_bytes))
        for name, value in (HEADERS | ({"Content-Security-Policy": policy} if policy else {})).items():
            self.send_header(name, value)
        self.end_headers()

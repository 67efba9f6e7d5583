"""The emulator on a loopback port."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from auditframe.emulator.wire import LINE, Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

_HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Answers without a log line, and without waiting for the client's acknowledgement between writes."""

    disable_nagle_algorithm = True
    timeout = 10  # [s]; a client that connects and says nothing must not hold up the end

    def get_environ(self) -> dict[str, Any]:
        """Let the app end the connection in ways that WSGI has no words for."""
        return {**super().get_environ(), LINE: Line(self.connection)}

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a connection; closing waits for all of them."""

    daemon_threads = False
    request_queue_size = 64

    def server_bind(self) -> None:
        """Bind without asking the name service what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def serve(app: WSGIApplication, *, port: int = 0) -> Iterator[str]:
    """Serve an app on the loopback interface for as long as the context is open.

    Args:
        app: The emulator, or any WSGI app.
        port: The TCP port; 0 takes a free one.

    Yields:
        The base URL, ``http://127.0.0.1:PORT/v1``.

    Raises:
        OSError: The port is taken, or not to be had; its text names it.
    """
    try:
        server = _Server((_HOST, port), _Handler)
    except OSError as error:
        raise OSError(error.errno, f"{_HOST}:{port}: {error.strerror}") from error
    with server:
        server.set_app(app)
        thread = Thread(target=server.serve_forever, args=(0.02,), name="emulator")
        thread.start()
        try:
            yield f"http://{_HOST}:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()

"""An endpoint for millions of events: it serves a log from its file, newest first and at once, with no fault at all.

::

    python benchmarks/_endpoint.py LOG      # prints its address, and serves until it is killed
"""

from __future__ import annotations

import itertools
import mmap
import re
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np

_TIME = re.compile(rb'"effective_at":(\d+)')


class Log:
    """A log of JSON lines, oldest event first.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            lengths = (len(line) for line in file)
            self._starts = np.fromiter(itertools.accumulate(lengths, initial=0), np.int64)
        self._times = np.fromiter((int(found[1]) for found in _TIME.finditer(self._data)), np.int64)
        self._places: dict[str, int] = {}

    def page(self, *, start_s: int, end_s: int, limit: int, after: str | None) -> bytes:
        """Return the body that lists the newest events of a window that are older than the one of a cursor."""
        first = int(np.searchsorted(self._times, start_s))
        last = int(np.searchsorted(self._times, end_s)) if after is None else self._places[after]
        oldest = max(first, last - limit)
        rows = [self._data[self._starts[row] : self._starts[row + 1] - 1] for row in range(last - 1, oldest - 1, -1)]
        if rows:
            self._places[rows[-1].split(b'"', 4)[3].decode()] = oldest
        has_more = b"true" if oldest > first else b"false"
        return b'{"object":"list","data":[%b],"has_more":%b}' % (b",".join(rows), has_more)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, log: Log, *args: object) -> None:
        self._log = log
        super().__init__(*args)  # type: ignore[arg-type]  # as the server gives them

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        is_empty = "tenant_only" in asked
        body = self._log.page(
            start_s=int(asked.get("effective_at[gte]", 0)),
            end_s=0 if is_empty else int(asked.get("effective_at[lt]", 2**62)),
            limit=int(asked.get("limit", 20)),
            after=asked.get("after"),
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve a log."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, Log(Path(sys.argv[1]))))
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

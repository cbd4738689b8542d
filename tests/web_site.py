"""A web server in this process that serves bytes, knows ranges, and misbehaves on demand."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    path: what it is about, anything when None. cut: bytes of the body after which the connection
    ends. before: called before the answer; after: called once the body is sent.
    """

    status: int | None = None
    path: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    no_length: bool = False
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


@dataclass
class Request:
    """What was asked for, and how many bytes of the body were sent."""

    path: str
    range: str | None
    if_range: str | None
    sent: int = 0


@dataclass
class Site:
    """files: path -> content. etags: path -> ETag ("" for none); faults are used up, one an answer."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    last_modified: str | None = None
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def etag(self, path: str) -> str:
        return self.etags.get(path, '"one"')

    def take_fault(self, path: str) -> Fault:
        number = next(
            (number for number, fault in enumerate(self.faults) if fault.path in (None, path)), None
        )
        return Fault() if number is None else self.faults.pop(number)

    @property
    def sent(self) -> int:
        return sum(request.sent for request in self.requests)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve the site on a free port; site.url has no slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are the point
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fault = site.take_fault(self.path)
            request = Request(self.path, self.headers["Range"], self.headers["If-Range"])
            site.requests.append(request)
            fault.before()
            content, etag = site.files.get(self.path), site.etag(self.path)
            if fault.status is not None or content is None:
                self.send_response(fault.status or 404)
                for name, value in fault.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                return
            start = (
                int(re.findall(r"\d+", self.headers["Range"])[0])
                if self.headers["Range"] and not fault.ignore_range
                else 0
            )
            current = self.headers["If-Range"] in (None, etag, site.last_modified)
            start = start if current or fault.ignore_if_range else 0
            if start >= len(content) > 0:
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            headers = {
                "ETag": etag,
                "Last-Modified": site.last_modified,
                "Content-Length": str(len(content) - start),
            }
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            for name, value in {**headers, **fault.headers}.items():
                if value and not (name == "Content-Length" and fault.no_length):
                    self.send_header(name, value)
            self.end_headers()
            body = content[start:][: fault.cut]
            self.wfile.write(body)
            request.sent = len(body)
            fault.after()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler

"""A small Hugging Face hub on this machine: one model, its files, resumable downloads, and a fault
on demand.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "1" * 40


@dataclass
class Hub:
    """repository: the one id it knows. ranges: the Range header of every GET of a file. cut_once: a
    file whose first transfer breaks off near its end.
    """

    folder: Path
    repository: str
    url: str = ""
    cut_once: str = ""
    ranges: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = urlsplit(self.path).path
            about = f"/api/models/{hub.repository}"
            files = sorted(file.name for file in hub.folder.iterdir())
            if path.startswith(f"{about}/tree/"):
                self._json(
                    [
                        {
                            "type": "file",
                            "path": name,
                            "size": (hub.folder / name).stat().st_size,
                            "oid": "0" * 40,
                        }
                        for name in files
                    ]
                )
            elif path == about or path.startswith(f"{about}/revision/"):
                self._json(
                    {
                        "id": hub.repository,
                        "sha": COMMIT,
                        "siblings": [{"rfilename": name} for name in files],
                    }
                )
            elif (
                path.startswith(f"/{hub.repository}/resolve/") and path.rpartition("/")[2] in files
            ):
                self._file(hub.folder / path.rpartition("/")[2], with_body)
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def _json(self, document: object) -> None:
            self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

        def _file(self, file: Path, with_body: bool) -> None:
            content = file.read_bytes()
            headers = {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": COMMIT,
                "Accept-Ranges": "bytes",
            }
            if not with_body:
                self._send(200, b"", {**headers, "Content-Length": str(len(content))})
                return
            wanted = self.headers.get("Range", "")
            hub.ranges.append((file.name, wanted))
            start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0)
            cut = len(content) * 9 // 10 if hub.cut_once == file.name else None
            hub.cut_once = "" if cut is not None else hub.cut_once
            headers["Content-Length"] = str(len(content) - start)
            if wanted:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206 if wanted else 200, content[start:cut], headers)
            if cut is not None:
                self.close_connection = True

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler

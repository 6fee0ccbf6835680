"""A server on the loopback interface that speaks the endpoints of the Hugging Face hub which a pull uses."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "abcd"


def git_name(content: bytes) -> str:
    """The id of a blob in git."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer:
    """One repository, and what goes wrong with it."""

    def __init__(self, files: dict[str, bytes], repository: str = "org/tiny-GGUF") -> None:
        self.files = files
        self.repository = repository
        self.cuts: list[int] = []
        """Bytes after which the next downloads break off."""
        self.digests: dict[str, str] = {}
        """Digests to claim instead of the right ones."""
        self.status = 200
        """What every request is answered with, unless it is 200."""
        self.error_code = ""
        self.ranges: list[str] = []
        """Range headers of the downloads, in order."""
        self.tokens: list[str] = []
        self.hold: threading.Event | None = None
        """Downloads wait for this after their first half."""
        self.halfway = threading.Event()
        self.endpoint = ""
        self.validators: dict[str, str] = {}
        """Headers that identify the content of files at an address."""
        self.body: Iterable[bytes] | None = None
        """What is sent of every file instead of it, without an announced length unless `body_headers` has one."""
        self.body_headers: dict[str, str] = {}
        self.sent_bytes = 0
        """Of `body`."""

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(request.path).path)
        if "Authorization" in request.headers:
            self.tokens.append(path)
        if self.body is not None and self.status != 200:
            self._send_body(request, self.body if body else ())
        elif self.status != 200:
            self._json(request, {"error": "no"}, self.status)
        elif path.startswith(f"/api/models/{self.repository}/tree/"):
            self._json(request, [self._entry(name) for name in self.files])
        elif path in {f"/api/models/{self.repository}", f"/api/models/{self.repository}/revision/main"}:
            self._json(request, {"id": self.repository, "sha": COMMIT, "siblings": []})
        elif path.startswith(f"/{self.repository}/resolve/") or path.startswith("/plain/"):
            name = path.split("/", 5)[5] if "/resolve/" in path else path.removeprefix("/plain/")
            self._file(request, name, body=body)
        else:
            self._json(request, {"error": "not found"}, 404)

    def _entry(self, name: str) -> dict[str, object]:
        content = self.files[name]
        digest = self.digests.get(name) or hashlib.sha256(content).hexdigest()
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": git_name(content)}
        if name.endswith(".gguf"):
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
        return entry

    def _json(self, request: BaseHTTPRequestHandler, value: object, status: int = 200) -> None:
        content = json.dumps(value).encode()
        request.send_response(status)
        if self.error_code:
            request.send_header("X-Error-Code", self.error_code)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)

    def _file(self, request: BaseHTTPRequestHandler, name: str, *, body: bool) -> None:
        content = self.files[name]
        begin = 0
        wanted = request.headers.get("Range", "")
        if body:
            self.ranges.append(wanted)
            if self.body is not None:
                self._send_body(request, self.body)
                return
        if wanted and request.headers.get("If-Range", "") not in {"", *self.validators.values()}:
            wanted = ""
        if wanted:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(content) - begin))
        for header, value in self.validators.items():
            request.send_header(header, value)
        request.end_headers()
        if not body:
            return
        rest = content[begin:]
        if self.cuts:
            request.wfile.write(rest[: self.cuts.pop(0)])
            request.wfile.flush()
            request.connection.close()
            request.close_connection = True
            return
        if self.hold is not None:
            request.wfile.write(rest[: len(rest) // 2])
            request.wfile.flush()
            self.halfway.set()
            self.hold.wait()
            rest = rest[len(rest) // 2 :]
        request.wfile.write(rest)

    def _send_body(self, request: BaseHTTPRequestHandler, body: Iterable[bytes]) -> None:
        request.send_response(self.status)
        for header, value in self.body_headers.items():
            request.send_header(header, value)
        request.end_headers()
        request.close_connection = True
        try:
            for chunk in body:
                request.wfile.write(chunk)
                self.sent_bytes += len(chunk)
        except OSError:
            pass

"""The HTTP client of a pull: huggingface_hub's, with bodies that are bounded and never decompressed.

A server may send a few KiB of gzip that unpack to gigabytes, or an endless redirect, error or JSON document.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import cast

import httpx2
from huggingface_hub import get_session, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from engine.errors import ModelError
from engine.text import printable

_BODY_BYTES = 64 << 20
"""Most bytes read of a response whose reader has no limit of its own: the file list of a large repository has a few MiB."""
_FAILURE_BYTES = 1 << 20
"""Most bytes read of a redirect or an error."""
UNBOUNDED = {"body_bytes": math.inf}
"""Extensions of a request whose reader has its own limit."""


@cache
def client() -> httpx2.Client:
    """Return the one client that huggingface_hub and pulls use."""
    set_client_factory(_bounded_client)
    return get_session()


def _bounded_client() -> httpx2.Client:
    made = default_client_factory()
    hooks = made.event_hooks
    made.event_hooks = {"request": [*hooks["request"], _ask_for_identity], "response": [*hooks["response"], _bound_body]}
    return made


def _ask_for_identity(request: httpx2.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"


def _bound_body(response: httpx2.Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"} and response.request.method != "HEAD":
        raise ModelError(
            f"{printable(response.url.host)} sends compressed data",
            f"It sends {printable(encoding, 40)} although plain bytes were requested",
            "A proxy may do this: try another network, or download the file with another program",
        )
    most = response.request.extensions.get("body_bytes", _BODY_BYTES) if response.is_success else _FAILURE_BYTES
    response.stream = _Bounded(cast("httpx2.SyncByteStream", response.stream), most)


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, most: float) -> None:
        self._inner = inner
        self._left = most

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise ModelError("The server's response is too long", "It is longer than any valid one", "Do not trust this server")
            yield chunk

    def close(self) -> None:
        self._inner.close()

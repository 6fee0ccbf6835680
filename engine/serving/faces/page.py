"""The web page at `/`: a chat, and the state of the server."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Final

from engine.serving.request import Request
from engine.serving.served import Served

_PART: Final = re.compile(rb"<(style|script)>(.*?)</\1>", re.DOTALL)


@cache
def _page() -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the page with its headers: only its own script runs, and it connects to no other host."""
    page = files("engine.serving").joinpath("page.html").read_bytes()
    hashes = {kind: b64encode(hashlib.sha256(text).digest()) for kind, text in _PART.findall(page)}
    policy = (
        b"default-src 'none'; script-src 'sha256-%b'; style-src 'sha256-%b'; connect-src 'self'; img-src data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % (hashes[b"script"], hashes[b"style"])
    )
    others = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-cache"))
    return page, ((b"content-security-policy", policy), *others)


async def page(request: Request, served: Served) -> None:  # noqa: ARG001
    """Answer `GET /`."""
    content, headers = _page()
    await request.answer_bytes(content, b"text/html; charset=utf-8", headers=headers)


GET = {"/": page}

"""The ASGI application: checks a request, finds its endpoint, and converts errors to responses."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from engine.serving.faces import anthropic, completions, info, llama, ollama, openai, page, responses, tokens
from engine.serving.faces.openapi import described
from engine.serving.guard import Guard
from engine.serving.refusal import Refusal, refusal_of
from engine.serving.request import JSON, ClientGone, Receive, Request, Scope, Send
from engine.serving.served import Served
from engine.serving.turnstile import Find, Turnstile

Endpoint = Callable[[Request, Served], Awaitable[None]]


async def openapi(request: Request, served: Served) -> None:  # noqa: ARG001
    """Answer `GET /openapi.json`: the description of the API."""
    await request.answer(described(ENDPOINTS))


ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "GET": {
        **info.GET,
        **ollama.GET,
        **page.GET,
        "/openapi.json": openapi,
    },
    "POST": {
        **openai.POST,
        **completions.POST,
        **llama.POST,
        **responses.POST,
        **anthropic.POST,
        **ollama.POST,
        **tokens.POST,
        **info.POST,
    },
}
_PATHS = frozenset(path for paths in ENDPOINTS.values() for path in paths)


class App:
    """The application of one server."""

    def __init__(self, served: Served, guard: Guard, find: Find | None = None) -> None:
        """Create the application; with `find`, requests may choose the model."""
        self.served = served
        self._guard = guard
        self._turnstile = Turnstile(served, find) if find is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        try:
            await self._answer(request)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the edge of the server: one request must not end it
            refusal = refusal_of(error)
            if refusal.status == HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Refusal):
                traceback.print_exc(file=sys.stderr)
            if not request.started:
                await self._refuse(request, refusal)
        finally:
            self.served.add_bytes(-request.size)

    async def _answer(self, request: Request) -> None:
        request.cors = self._guard.cors(request.headers)
        if request.method == "OPTIONS":
            await request.answer_bytes(b"", JSON)
            return
        number = self._guard.check(request.path, request.headers)
        if number is not None:
            request.client = f"key {number + 1}"
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = ENDPOINTS.get(method, {}).get(request.path)
        if endpoint is None:
            if request.path in _PATHS:
                raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} does not take {method}")
            raise Refusal(HTTPStatus.NOT_FOUND, "File Not Found")
        await request.read(self.served.add_bytes)
        if self._turnstile is not None and method == "POST":
            request.asked = await self._turnstile.enter(request.body)
        try:
            await endpoint(request, self.served)
        finally:
            request.asked()

    async def _refuse(self, request: Request, refusal: Refusal) -> None:
        """Answer with the error, in the form of the requested API."""
        body: object = {"error": refusal.error}
        if request.path.startswith("/v1/messages"):
            body = {"type": "error", "error": {**refusal.error, "type": anthropic.error_type(refusal)}}
        elif request.path.startswith("/api/"):
            body = {"error": refusal.message}
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if refusal.retry_s is not None:
            headers = ((b"retry-after", b"%d" % refusal.retry_s),)
        if request.unread:
            headers += ((b"connection", b"close"),)
        await request.answer(body, refusal.status, headers)

"""Failures between this program and a server: an error for the user, and whether to retry."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import httpx2
import msgspec

from engine.clock import wall_ms
from engine.errors import EngineError, PromptTooLongError
from engine.text import one_line, printable

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_REASON: Final = 300
_CHECK: Final = "Check that it runs, and its base_url."
_CHOOSE: Final = "Try again, or choose another model."


class ServerError(Exception):
    """A request that failed.

    Attributes:
        error: For the user.
        again: Whether the same request may succeed later, or on another server.
        after_s: Wait that the server requests before a retry; None without one.
        missing: Whether the server lacks the requested resource.
    """

    def __init__(self, error: EngineError, *, again: bool = False, after_s: float | None = None, missing: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.again, self.after_s, self.missing = error, again, after_s, missing

    def without(self, key: str) -> EngineError:
        """Return the error without the key, should the server have echoed it."""
        if key:
            self.error.title, self.error.detail = (text.replace(key, "…") for text in (self.error.title, self.error.detail))
        return self.error


def server_error(title: str, detail: str = "", hint: str = _CHOOSE, *, again: bool = False) -> ServerError:
    """Return a ServerError from the three parts of an error."""
    return ServerError(EngineError(title, detail, hint, "models" if hint is _CHOOSE else ""), again=again)


def unreachable(host: str, failure: Exception, *, connect_s: float) -> ServerError:
    """Return the error of a connection that failed before the answer began; `host` is the server's name for the user."""
    causes = tuple(_causes(failure))
    for named in (_without_trust, _without_connection, _without_http):
        if (error := named(host, failure, causes)) is not None:
            return error
    if isinstance(failure, httpx2.TimeoutException):
        return server_error(f"{host} can't be reached", f"No connection within {connect_s:g} s", _CHECK, again=True)
    return server_error(f"{host} closed the connection", "It did not answer", again=True)


def _without_trust(host: str, failure: Exception, causes: Sequence[BaseException]) -> ServerError | None:
    certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        hint = "SSL_CERT_FILE names a file with the certificate of your own authority; never send a key there otherwise."
        return server_error(
            f"{host} has a certificate that can't be trusted", one_line(certificate.verify_message or str(certificate)), hint
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return server_error(f"{host} does not speak TLS", one_line(str(failure)), "Write http:// in its base_url if you trust the network.")
    return None


def _without_connection(host: str, failure: Exception, causes: Sequence[BaseException]) -> ServerError | None:
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return server_error(f"{host} is not known", "Its name can't be resolved", "Check base_url and the network.", again=True)
    if isinstance(failure, httpx2.ConnectError):
        number = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), errno.ECONNREFUSED)
        reason = os.strerror(number)
        return server_error(f"{host} can't be reached", reason, _CHECK, again=True)
    return None


def _without_http(host: str, failure: Exception, _causes: Sequence[BaseException]) -> ServerError | None:
    said = one_line(str(failure))[:_LONGEST_REASON]
    if isinstance(failure, httpx2.RemoteProtocolError) and "without sending" not in said:
        return server_error(f"{host} does not speak HTTP", said, "Check the port and the scheme of base_url.")
    if isinstance(failure, httpx2.ProxyError):
        return server_error(f"The proxy before {host} refuses", said, "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY.")
    return None


def cut_off(host: str, detail: str = "The connection ended in the middle of the answer") -> ServerError:
    """Return the error of a truncated answer."""
    return server_error(f"{host} broke off the answer", detail, "What came is kept: continue it, or send the message again.", again=True)


def unreadable(host: str, detail: str) -> ServerError:
    """Return the error of an answer that does not follow the API."""
    return server_error(f"{host} sends what can't be read", detail, "Check that base_url is that of an OpenAI-compatible API.")


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes."""
    seen: BaseException | None = failure
    while seen is not None:
        yield seen
        if isinstance(seen, BaseExceptionGroup):
            for inner in seen.exceptions:
                yield from _causes(inner)
        seen = seen.__cause__ or seen.__context__


def refused(host: str, response: httpx2.Response, body: bytes, *, key_from: str, model: str) -> ServerError:
    """Return the error of a response whose status is not 200; `key_from` is the source of the key, empty where none was sent."""
    status = response.status_code
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    said = message_in(body) or phrase
    if 300 <= status < 400:
        where = printable(response.headers.get("location", ""), 200)
        hint = "Write the address in base_url if you trust it: a key is never sent to where a server redirects."
        return server_error(f"{host} redirects to {where or 'nowhere'}", f"HTTP {status} {phrase}".rstrip(), hint)
    if status in {401, 403, 407}:
        sent = f"The key of {key_from} is refused" if key_from else "It asks for a key, and none is set"
        return server_error(
            f"{host} refuses access", f"{sent}: {said}", "api_key_env in its [[engines]] table names the variable of the key."
        )
    if status == 404:
        hint = "`xchat models list` shows its models; or check base_url."
        return ServerError(EngineError(f"{host} has no {printable(model, 80) or 'such API'}", said, hint), missing=True)
    if (sizes := _too_long(body, said)) is not None:
        hint = "Begin a new session, or choose a model with a larger context."
        return ServerError(PromptTooLongError(f"The conversation is too long for {host}", said, hint, "new_session").with_sizes(*sizes))
    named = f"{host} refuses the request" if status < 500 else f"{host} failed"
    after_s = _retry_after(response)
    if status == 429:
        wait = f"It asks to wait {after_s:g} s" if after_s is not None else "Try again later"
        named, said = f"{host} has too many requests", f"{said}. {wait}"
    return ServerError(EngineError(named, f"HTTP {status}: {said}", _CHOOSE, "models"), again=status in _AGAIN, after_s=after_s)


def error_event(host: str, error: object) -> ServerError:
    """Return the error that came as an event of the stream."""
    if isinstance(error, dict):
        code, said = error.get("code"), _text(error.get("message"))
        numbered = f"Error {code}: " if isinstance(code, int) else ""
        if (sizes := _sizes(error)) is not None or _LONG.search(said):
            hint = "Begin a new session, or choose a model with a larger context."
            return ServerError(PromptTooLongError(f"The conversation is too long for {host}", said, hint).with_sizes(*(sizes or (0, 0))))
    else:
        code, numbered, said = None, "", _text(error)
    shown = EngineError(f"{host} failed", f"{numbered}{said or 'It gives no reason'}", "What came is kept. " + _CHOOSE, "models")
    return ServerError(shown, again=code is None or code in _AGAIN)


def message_in(body: bytes) -> str:
    """Return the reason in the body of an error response: JSON in the usual forms, the title of a page, else its first line."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        text = body.decode("utf-8", "replace")
        title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
        if title is not None:
            return f"a web page: {one_line(title[1])}"
        return "a web page" if re.match(r"\s*<", text) else one_line(text)[:_LONGEST_REASON]
    for name in ("error", "detail", "message"):
        while isinstance(said, dict) and name in said:
            said = said[name]
    return _text(said)


def _text(value: object) -> str:
    if isinstance(value, dict | list):
        value = msgspec.json.encode(value).decode("utf-8", "replace")
    return one_line("" if value is None else str(value))[:_LONGEST_REASON]


_LONG: Final = re.compile(
    r"exceed\w* (?:the )?(?:available )?context|context (?:length|size|window)|maximum context|too many tokens", re.IGNORECASE
)


def _too_long(body: bytes, said: str) -> tuple[int, int] | None:
    """Return the tokens of the prompt and n_ctx, 0 where unknown; None when the error has another reason."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        found = None
    inner: Any = found.get("error") if isinstance(found, dict) else None
    return _sizes(inner) or ((0, 0) if _LONG.search(said) else None)


def _sizes(error: object) -> tuple[int, int] | None:
    if not isinstance(error, dict):
        return None
    n_prompt, n_ctx = error.get("n_prompt_tokens"), error.get("n_ctx")
    return (n_prompt, n_ctx) if isinstance(n_prompt, int) and isinstance(n_ctx, int) else None


def _retry_after(response: httpx2.Response) -> float | None:
    """Return the seconds of `Retry-After`; None without a sensible value."""
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall_ms() / 1e3) if text else None
    except (ValueError, TypeError, OverflowError):
        return None

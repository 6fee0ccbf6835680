"""A server that breaks every rule: each fault has a name, ends in time, and takes none of the text that came."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from engine.backend import StopReason
from engine.errors import XchatError
from engine.remote.events import MOST_EVENT_BYTES
from tests.engine.remote.asking import QUICK, Asking
from tests.engine.remote.scripted import DONE, Do, Script, ScriptedServer, chunked, delta, event, head, response, says

HELLO = head() + says("Hel", "lo")
KEY = "sk-very-secret"


class Fault(NamedTuple):
    """What a server does, and what the user gets to know."""

    script: Script | Sequence[Script]
    error: str = ""
    """Words of the error; without, the answer ends well."""
    text: str = ""
    """What is kept of the answer."""
    asked: int = 1
    """How often the server is asked."""


def refusal(status: str, body: object = None, kind: str = "application/json", more: str = "") -> Script:
    return (response(status, body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b"", kind, more),)


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


PAGE = b"<!DOCTYPE html><html><head><title>Please log in</title></head></html>"
LATER = QUICK.attempts

STATUS: Mapping[str, Fault] = {
    **{
        f"status {code}": Fault(refusal(f"{code} X", openai("because")), f"HTTP {code}: because", asked=1)
        for code in (400, 402, 405, 406, 409, 410, 413, 415, 418, 422, 451, 501, 505, 520)
    },
    **{
        f"status {code}": Fault(refusal(f"{code} X", openai("because")), f"HTTP {code}: because", asked=LATER)
        for code in (408, 425, 429, 500, 502, 503, 504, 529)
    },
    **{
        f"redirect {code}": Fault(
            refusal(f"{code} Moved", more="Location: https://elsewhere.example/v1\r\n"), "redirects to https://elsewhere"
        )
        for code in (301, 302, 303, 307, 308)
    },
    "redirect nowhere": Fault(refusal("302 Found"), "redirects to nowhere"),
    "no content": Fault((b"HTTP/1.1 204 No Content\r\n\r\n",), "refuses the request: HTTP 204"),
    "key wrong": Fault(refusal("401 Unauthorized", openai("Incorrect API key")), "The key of LAB_KEY is refused: Incorrect API key"),
    "key repeated": Fault(refusal("403 Forbidden", openai(f"{KEY} is not allowed")), "refuses access"),
    "no such model": Fault(refusal("404 Not Found", openai("model not found")), "model not found. `xchat models list` shows its models"),
    "context of llama-server": Fault(
        refusal("400 Bad Request", openai("too big", type="exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096)), "is too long for"
    ),
    "context of vLLM": Fault(refusal("400 Bad Request", openai("This model's maximum context length is 4096 tokens")), "is too long for"),
    "reason as text": Fault(refusal("400 Bad", b"plainly wrong\nsecond line", "text/plain"), "HTTP 400: plainly wrong second line"),
    "reason as page": Fault(refusal("400 Bad", PAGE, "text/html"), "a web page: Please log in"),
    "reason as list": Fault(refusal("422 Bad", {"detail": [{"loc": ["body", "x"], "msg": "unknown"}]}), '"msg":"unknown"'),
    "reason of Ollama": Fault(refusal("400 Bad", {"error": "no such thing"}), "HTTP 400: no such thing"),
    "reason in bytes": Fault(refusal("400 Bad", b"\xff\xfe\x00broken"), "HTTP 400"),
    "reason that acts": Fault(refusal("400 Bad", openai("\x1b]0;title\x07\x1b[31mred")), "HTTP 400"),
    "reason nested": Fault(refusal("400 Bad", b"[" * 10_000), "HTTP 400"),
    "reason endless": Fault((b"HTTP/1.1 400 Bad\r\n\r\n", *(b"x" * 65536,) * 4), "HTTP 400: xxx"),
    "no reason": Fault(refusal("400 Bad Request"), "HTTP 400: Bad Request"),
    "unknown status": Fault(refusal("799 Odd", openai("odd")), "HTTP 799: odd"),
    "429 then an answer": Fault(
        [refusal("429 Slow", openai("slow"), more="Retry-After: 0.01\r\n"), (HELLO + DONE,)], text="Hello", asked=2
    ),
    "429 until tomorrow": Fault(refusal("429 Slow", openai("slow"), more="Retry-After: 86400\r\n"), "It asks to wait 86400 s"),
    "429 with a date": Fault(
        refusal("429 Slow", openai("slow"), more="Retry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\n"), "too many requests: HTTP 429"
    ),
    "429 with nonsense": Fault(refusal("429 Slow", openai("slow"), more="Retry-After: soon\r\n"), "Try again later", asked=LATER),
    "503 then an answer": Fault([refusal("503 Loading"), refusal("503 Loading"), (HELLO + DONE,)], text="Hello", asked=3),
}

BODIES: Mapping[str, Fault] = {
    "page": Fault(refusal("200 OK", PAGE, "text/html; charset=utf-8"), "text/html instead of a stream. It may be the page of a login"),
    "picture": Fault(refusal("200 OK", b"\x89PNG", "image/png"), "image/png instead of a stream"),
    "compressed": Fault((head(more="Content-Encoding: gzip\r\n"), chunked(b"\x1f\x8b")), "compressed data"),
    "whole object": Fault(refusal("200 OK", {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}), text="Hello"),
    "error with status 200": Fault(refusal("200 OK", openai("out of memory")), "out of memory", asked=LATER),
    "not JSON with status 200": Fault(refusal("200 OK", b"nonsense"), "An event is not JSON: nonsense"),
    "nothing": Fault(refusal("200 OK", b"", "text/event-stream"), "sent no answer", asked=LATER),
    "nothing but the end": Fault((head(), chunked(event(b"[DONE]"))), "sent no answer", asked=LATER),
    "comments only": Fault((head(), chunked(b": ping\n\n", b": ping\n\n")), "sent no answer", asked=LATER),
    "empty answer": Fault((head(), DONE)),
    "role only": Fault((head(), chunked(event(delta(role="assistant", content=None)), event(delta("stop")), event(b"[DONE]")))),
    "without [DONE]": Fault((HELLO, chunked(event(delta("stop")))), text="Hello"),
    "without a reason": Fault((HELLO, chunked(event(b"[DONE]"))), text="Hello"),
    "without both": Fault((HELLO, b"0\r\n\r\n"), "broke off the answer", "Hello"),
    "no last blank line": Fault((HELLO, chunked(event(delta("stop")), b"data: [DONE]")), text="Hello"),
    "lines end as in mail": Fault(
        (
            head(),
            chunked(event(delta(content="Hello")).replace(b"\n", b"\r\n")),
        ),
        text="Hello",
        error="broke off",
    ),
    "split anywhere": Fault(
        (head(), *(chunked(bytes([byte]), end=False) for byte in event(delta(content="Hé 🙂")) + event(delta("stop"))), b"0\r\n\r\n"),
        text="Hé 🙂",
    ),
    "data of two lines": Fault(
        (
            head(),
            chunked(b'data: {"choices": [{"delta":\ndata: {"content": "Hello"}}]}\n\n'),
        ),
        "broke off",
        "Hello",
    ),
    "no space after data": Fault(
        (
            head(),
            chunked(event(delta(content="Hello")).replace(b"data: ", b"data:")),
        ),
        "broke off",
        "Hello",
    ),
    "names, ids and times": Fault(
        (head(), says("Hel"), chunked(b"event: x\nid: 7\nretry: 10\n\n" + event(delta("stop", content="lo")))), text="Hello"
    ),
    "more after the end": Fault((HELLO, chunked(event(delta("stop")), event(b"[DONE]"), event(delta(content="more")))), text="Hello"),
    "open after the end": Fault((HELLO, chunked(event(delta("stop")), event(b"[DONE]"), end=False)), text="Hello"),
    "reset after the end": Fault((HELLO, chunked(event(delta("stop")), end=False), 0.02, Do.RESET), text="Hello"),
    "longest answer allowed": Fault((HELLO, chunked(event(delta("length")))), text="Hello"),
    "content filter": Fault((HELLO, chunked(event(delta("content_filter")))), "withheld the rest", "Hello"),
    "content in parts": Fault((head(), chunked(event(delta("stop", content=[{"type": "text", "text": "Hello"}])))), text="Hello"),
    "another choice": Fault(
        (HELLO, chunked(event({"choices": [{"index": 1, "delta": {"content": "Other"}}]}), event(delta("stop")))), text="Hello"
    ),
}


def then(*values: object, end: bool = False) -> Script:
    """Hello, and then these events."""
    return (HELLO, chunked(*map(event, values), end=end))


MIDDLE: Mapping[str, Fault] = {
    "cut": Fault((HELLO, Do.CLOSE), "broke off the answer", "Hello"),
    "reset": Fault((HELLO, 0.02, Do.RESET), "broke off the answer", "Hello"),
    "cut in an event": Fault((HELLO, b"20\r\ndata: {", Do.CLOSE), "broke off the answer", "Hello"),
    "silence": Fault((HELLO,), "Nothing came for 0.15 s", "Hello"),
    "pings only": Fault((HELLO, *(0.03, chunked(b": ping\n\n", end=False)) * 40), "Nothing came for 0.15 s", "Hello"),
    "a byte now and then": Fault((HELLO, *(0.03, b"1\r\nx\r\n") * 40), "Nothing came for 0.15 s", "Hello"),
    "wrong size of a chunk": Fault((HELLO, b"zz\r\n"), "broke off the answer", "Hello"),
    "error": Fault(then(openai("CUDA out of memory", code=500)), "Error 500: CUDA out of memory", "Hello"),
    "error as text": Fault(then({"error": "stopped"}), "failed: stopped", "Hello"),
    "error without words": Fault(then({"error": {}, "object": "error"}, {"error": {"code": 1}}), "Error 1: It gives no reason", "Hello"),
    "context full": Fault(then(openai("the request exceeds the available context size")), "is too long for", "Hello"),
    "key in an error": Fault(then(openai(f"bad {KEY}")), "failed: bad …", "Hello"),
    "not JSON": Fault(then(b"{nonsense"), "An event is not JSON: {nonsense", "Hello"),
    "page": Fault(then(b"<html>"), "An event is not JSON: <html>", "Hello"),
    "list": Fault(then([1, 2]), "An event is not an object: [1, 2]", "Hello"),
    "number": Fault(then(7), "An event is not an object: 7", "Hello"),
    "null": Fault(then(None), "An event is not an object: null", "Hello"),
    "nested": Fault(then(b'{"a":' * 100_000), "An event is nested too deeply", "Hello"),
    "choices are no list": Fault(then({"choices": {"0": 1}}), "`choices` is not a list", "Hello"),
    "a choice is null": Fault(then({"choices": [None]}), "A choice is not an object", "Hello"),
    "delta is text": Fault(then({"choices": [{"delta": "x"}]}, delta("stop"), end=True), text="Hello"),
    "content is a number": Fault(then(delta(content=5), delta("stop"), end=True), text="Hello"),
    "figures are nonsense": Fault(
        then(
            {"usage": {"prompt_tokens": "many", "completion_tokens": -4}, "timings": {"prompt_n": None, "predicted_ms": "x"}}, delta("stop")
        ),
        "Nothing came",
        "Hello",
    ),
    "endless event": Fault(
        (HELLO, *(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n",) * (MOST_EVENT_BYTES // (1 << 20) + 1)), "more than 1.00 MB", "Hello"
    ),
    "half UTF-8": Fault(
        (head(), chunked(b'data: {"choices": [{"delta": {"content": "Hello \xf0\x9f"}}]}\n\n', event(delta("stop")))), text="Hello \ufffd"
    ),
    "half a pair": Fault(
        (head(), chunked(b'data: {"choices": [{"delta": {"content": "Hello \\ud83d"}}]}\n\n', event(delta("stop")))), text="Hello \ufffd"
    ),
    "a pair in two events": Fault(
        (
            head(),
            chunked(
                *(b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % half for half in (b"\\ud83d", b"\\ude42!")),
                event(delta("stop")),
            ),
        ),
        text="🙂!",
    ),
}

CLOSES_FIRST: Sequence[Script] = [(Do.CLOSE,), (HELLO + DONE,)]
BEFORE: Mapping[str, Fault] = {
    "closes at once": Fault((Do.CLOSE,), "closed the connection", asked=LATER),
    "resets at once": Fault((Do.RESET,), "closed the connection", asked=LATER),
    "closes, then answers": Fault(CLOSES_FIRST, text="Hello", asked=2),
    "closes after the head": Fault((head(), Do.CLOSE), "closed the connection", asked=LATER),
    "never answers": Fault((), "No token came within 0.5 s"),
    "never answers after the head": Fault((head(),), "No token came within 0.5 s"),
    "head byte by byte": Fault(tuple(step for byte in head() for step in (0.02, bytes([byte]))), "No token came within 0.5 s"),
    "pings for ever": Fault((head(), *(0.05, chunked(b": ping\n\n", end=False)) * 40), "No token came within 0.5 s"),
    "SSH": Fault((b"SSH-2.0-OpenSSH_9.2\r\n", Do.CLOSE), "closed the connection", asked=LATER),
    "bytes": Fault((b"\x16\x03\x01\x00\x02\x02\x46\r\n\r\n", Do.CLOSE), "does not speak HTTP"),
    "endless head": Fault((b"HTTP/1.1 200 OK\r\n", *(b"X-Junk: " + b"y" * 60_000 + b"\r\n",) * 4), "does not speak HTTP"),
    "two lengths": Fault((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",), "does not speak HTTP"),
    "interim answers": Fault((b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + HELLO + DONE,), text="Hello"),
}

FAULTS: Mapping[str, Fault] = {
    f"{where}: {name}": fault
    for where, faults in {"status": STATUS, "body": BODIES, "middle": MIDDLE, "before": BEFORE}.items()
    for name, fault in faults.items()
}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    served = ScriptedServer({name: fault.script for name, fault in FAULTS.items()})
    yield served
    served.close()


@pytest.fixture(scope="module")
def asking(server: ScriptedServer) -> Iterator[Asking]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_KEY", KEY)
        asks = Asking(server.url, key_env="LAB_KEY")
        yield asks
        asks.close()


def test_there_are_about_a_hundred() -> None:
    assert len(FAULTS) >= 100


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named_ends_in_time_and_keeps_what_came(name: str, server: ScriptedServer, asking: Asking) -> None:
    fault, before = FAULTS[name], len(server.seen)
    asking.load(name)
    log = asking.ask("Hi")
    end, (_, text) = log.end(), log.texts()
    assert text == fault.text
    if fault.error:
        assert end.reason is StopReason.ERROR
        assert isinstance(end.error, XchatError)
        said = str(end.error)
        assert fault.error in said
        assert all((end.error.title, end.error.hint)), "every fault names what failed and the next step"
        assert KEY not in said
        assert said.isprintable()
    else:
        assert (end.error, end.reason) == (None, StopReason.LENGTH if "longest" in name else StopReason.EOG)
    asked = [seen for seen in server.seen[before:] if seen.body is not None]
    assert len(asked) == fault.asked
    assert {seen.headers["authorization"] for seen in asked} == {f"Bearer {KEY}"}

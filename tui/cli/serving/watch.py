"""`xchat stats URL`: the state of a server, once or every second."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx2
import msgspec

from engine.clock import NS_PER_S, now_ns
from engine.errors import UsageError
from engine.text import one_line
from tui.cli.output import write_json

KEY_VARIABLE = "XCHAT_API_KEY"
WATCH_S: Final = 1.0
HEAD_EVERY: Final = 20
_MOST_BYTES: Final = 4 << 20
_COLUMNS: Final = {
    "state": "state", "running": "running", "waiting": "waiting", "tokens_per_second": "tokens/s", "ttft_p50_ms": "TTFT p50",
    "ttft_p95_ms": "TTFT p95", "kv": "KV cache %", "answered": "answered", "failed": "failed", "tokens": "tokens",
}  # fmt: skip
_METRIC: Final = re.compile(r"^llamacpp:(\w+) (\S+)$", re.MULTILINE)


def watch(url: str, *, repeat: bool, as_json: bool) -> int:
    """Print the figures of a server; with `repeat` one line per second, until Ctrl+C or the server's end.

    Raises:
        UsageError: Nothing answers there, or it is not such a server.
    """
    width = max(map(len, _COLUMNS.values())) + 1
    for number, figures in enumerate(_figures(url, repeat=repeat)):
        if as_json:
            write_json(figures)
        else:
            if number % HEAD_EVERY == 0:
                sys.stdout.write("".join(f"{title:>{width}}" for title in _COLUMNS.values()) + "\n")
            sys.stdout.write("".join(f"{_cell(figures.get(name)):>{width}}" for name in _COLUMNS) + "\n")
        sys.stdout.flush()
    return 0


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else one_line(str(value))[:12]


def _figures(url: str, *, repeat: bool) -> Iterator[dict[str, Any]]:
    """Yield the figures of `/live`, or those of `/metrics` under the same names where there is no `/live`."""
    base, key = url.rstrip("/").removesuffix("/v1"), os.environ.get(KEY_VARIABLE, "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(timeout=10.0, headers=headers, trust_env=False) as client:
        before: tuple[int, float] | None = None
        answered = False
        while True:
            try:
                status, body = _get(client, f"{base}/live")
                if status == 404:
                    status, body = _get(client, f"{base}/metrics")
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                if answered:
                    return
                raise UsageError(f"No server answers at {one_line(url)[:200]}", str(error), "Check the URL, or start a server.") from error
            if status == 401:
                raise UsageError("The server asks for an API key", "", f"Set {KEY_VARIABLE}.")
            if body.startswith(b"{"):
                figures = _of_live(body)
            else:
                figures, before = _of_metrics(body, before)
            if status != 200 or not figures:
                raise UsageError(f"{one_line(url)[:200]} reports no figures", f"status {status}", "llama-server needs --metrics.")
            yield figures
            answered = True
            if not repeat:
                return
            time.sleep(WATCH_S)


def _get(client: httpx2.Client, url: str) -> tuple[int, bytes]:
    """Return the status and the body, truncated at the size limit."""
    body = b""
    with client.stream("GET", url) as answer:
        for part in answer.iter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                break
        return answer.status_code, body


def _of_live(body: bytes) -> dict[str, Any]:
    try:
        figures = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    cells, used = figures.get("cells"), figures.get("cells_used")
    known = isinstance(cells, int) and isinstance(used, int) and cells > 0
    return {**figures, "kv": 100.0 * used / cells if known else None} if "tokens_per_second" in figures else {}


def _of_metrics(body: bytes, before: tuple[int, float] | None) -> tuple[dict[str, Any], tuple[int, float] | None]:
    """Return the figures, and the time and the token count for the next speed."""
    now, found = now_ns(), dict[str, float]()
    for name, value in _METRIC.findall(body.decode("utf-8", "replace")):
        try:
            found[name] = float(value)
        except ValueError:
            continue
    if "requests_processing" not in found:
        return {}, None
    tokens = found.get("tokens_predicted_total", 0.0)
    speed = (tokens - before[1]) / (now - before[0]) * NS_PER_S if before is not None and now > before[0] else None
    running, waiting = found["requests_processing"], found.get("requests_deferred", 0.0)
    return {"state": "serving", "running": int(running), "waiting": int(waiting), "tokens_per_second": speed, "tokens": int(tokens)}, (
        now,
        tokens,
    )

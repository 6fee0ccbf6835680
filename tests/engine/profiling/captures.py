"""Hand-made captures for the tests of trees, differences, exports and the viewer."""

from __future__ import annotations

from typing import Any

from engine.profiling.records import CaptureMode, CaptureRecord
from engine.profiling.speedscope import read_pyspy
from engine.profiling.stacks import FoldedStacks, parse_folded

FOLDED = b"""\
thread (1): MainThread;run (tui/app.py:10);paint (textual/app.py:5) 30
thread (1): MainThread;run (tui/app.py:10);select (selectors.py:1) 20
thread (2): compute;step (engine/llama/compute.py:3);decode (engine/llama/context.py:7);llama_decode (libllama.so) 40
thread (2): compute;step (engine/llama/compute.py:3);decode (engine/llama/context.py:8);memcpy (libc.so.6) 10
"""


def stacks(text: bytes = FOLDED) -> FoldedStacks:
    return parse_folded(text.splitlines())


def record(folded: bytes = FOLDED, **fields: Any) -> CaptureRecord:
    made = fields.pop("stacks", None) or stacks(folded)
    values: dict[str, Any] = {"started_ms": 1_700_000_000_000, "mode": CaptureMode.PYTHON, "seconds": 2.0, "rate": 50, "id": 1}
    return CaptureRecord(**{**values, "samples": made.total, "stacks": made, **fields})


def timed() -> FoldedStacks:
    """a, b, a again on one thread: the order that a sum would lose."""
    frames = b'[{"name":"main","file":"m.py","line":1},{"name":"a","file":"m.py","line":2},{"name":"b","file":"m.py","line":3}]'
    profile = b'{"name":"Thread 7 \\"MainThread\\"","samples":[[0,1],[0,1],[0,2],[0,1]]}'
    return read_pyspy(b'{"shared":{"frames":' + frames + b'},"profiles":[' + profile + b"]}")

"""Formats a frame of a stack as harmless, shortened text `function (file:line)`, and finds its part of the program."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from engine.text import printable

MAX_FRAME = 400
"""Most characters of a frame; mangled C++ names fit, a file made to exhaust memory doesn't."""
LONGEST_NAME = 16 * MAX_FRAME
"""Length at which names are cut before parsing, above that of any compiler."""

_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]+?)(?::(?P<line>\d+))?\)$")
_THREAD = re.compile(r"^thread(?: \((?:0x)?[0-9A-Fa-f]+\))?: (?P<name>.*)$")
_LINE = re.compile(r":\d+\)$")
_SHARED_LIBRARY = re.compile(r"\.(?:so(?:\.[\d.]+)?|dylib|dll|pyd)$")
_PYTHON_FILE = re.compile(r"(?:\.pyx?|\.pxi|^<.*>)$")
_GGML = re.compile(r"ggml|llama|mtmd")
_INSTALLED = re.compile(r"^.*/(?:site|dist)-packages/")
_STANDARD_LIBRARY = re.compile(r"^.*/lib(?:64)?/python\d+\.\d+/")
_ADDRESS = re.compile(r"^0x[0-9A-Fa-f]+(?= \()")

_BRACKETS = re.compile(r"(operator(?:<=>|<<=?|>>=?|->\*?|[<>]=?)|->|[<>])")

_UNNAMED = "unnamed ("

_IDLE_FUNCTIONS = frozenset(
    (
        *(
            "wait",
            "_wait",
            "wait_for",
            "_wait_for_tstate_lock",
            "acquire",
            "select",
            "poll",
            "accept",
            "recv",
            "recv_into",
            "sleep",
            "_do_waitpid",
        ),
        *("epoll_wait", "epoll_pwait", "__poll", "ppoll", "pselect", "clock_nanosleep", "nanosleep", "sigwait", "sem_wait", "wait4"),
        *(
            "PyThread_acquire_lock_timed",
            "sem_clockwait",
            "sem_timedwait",
            "futex_wait",
            "do_futex_wait",
            "__futex_abstimed_wait_common",
            "pthread_cond_wait",
            "pthread_cond_timedwait",
        ),
    )
)
"""Functions at the end of a waiting thread's stack; C names are those of glibc."""

_WAITING_LEAVES = frozenset(
    {
        *(("_worker", "thread.py"), ("get", "queue.py"), ("_connection_worker_thread", "core.py")),
        *(("_receive", "compute.py"), ("_read_input", "driver.py")),
    }
)
"""Python functions that wait in C code, by function and file."""


class Module(StrEnum):
    """The part of the program of a frame; determines its colour."""

    THREAD = "thread"
    """The root of one thread."""
    ENGINE = "engine"
    """xchat's engine and the llama-cpp-python bindings, in Python."""
    TUI = "tui"
    """xchat's own screens and widgets."""
    TEXTUAL = "textual"
    """Textual and Rich: layout and painting."""
    PYTHON = "python"
    """Any other Python code."""
    GGML = "ggml"
    """Native code of llama.cpp and ggml."""
    NATIVE = "native"
    """Any other native code."""
    IDLE = "idle"
    """Waiting."""


def frame_text(function: str, file: str = "", line: int = 0) -> str:
    """Format a frame; replaces `;`, which separates frames in folded stacks."""
    where = f" ({file}:{line})" if file and line else f" ({file})" if file else ""
    return clean_frame(f"{function}{where}")


def clean_frame(text: str) -> str:
    """Make a frame from anywhere harmless and comparable; unnamed native functions lose their address, which differs in each run."""
    return _ADDRESS.sub(_UNNAMED.removesuffix(" ("), printable(_bounded(text), MAX_FRAME)).replace(";", ",") or "?"


def without_template_arguments(frame: str) -> str:
    """Abbreviate template arguments of a C++ name to `<…>`; operators such as `<<` stay."""
    kept: list[str] = []
    depth = 0
    for part in _BRACKETS.split(frame):
        if part == "<":
            depth += 1
        elif part == ">" and depth:
            depth -= 1
            kept += ["<…>"] * (not depth)
        elif not depth:
            kept.append(part)
    return frame if depth else "".join(kept)


def _bounded(frame: str) -> str:
    """Cut a frame to MAX_FRAME characters but keep its file, which determines its kind."""
    name, _, where = frame.rpartition(" (")
    if len(frame) <= MAX_FRAME or not where.endswith(")") or len(where) > MAX_FRAME // 2:
        return frame
    room = MAX_FRAME - len(where) - 2
    name = without_template_arguments(name[:LONGEST_NAME])
    return f"{name if len(name) <= room else f'{name[: room - 1]}…'} ({where}"


def thread_text(name: str, number: int = 1) -> str:
    """Format the root frame of a thread; `number` distinguishes threads of the same name."""
    return printable(f"thread: {name}" if number == 1 else f"thread: {name} #{number}", MAX_FRAME).replace(";", ",")


def thread_name(frame: str) -> str | None:
    """Return the thread of a root frame; None for other frames."""
    match = _THREAD.match(frame)
    return match["name"] if match else None


def split_frame(frame: str) -> tuple[str, str, int]:
    """Return function, file and line of a frame; empty and 0 where unknown."""
    match = _FRAME.match(frame)
    return (match["function"], match["file"], int(match["line"] or 0)) if match else (frame, "", 0)


def is_native(frame: str) -> bool:
    """Return whether a frame is machine code of a library, not Python."""
    _, file, _ = split_frame(frame)
    native = _SHARED_LIBRARY.search(file) or (file and not _PYTHON_FILE.search(file))
    return bool(native) and thread_name(frame) is None


def without_line(frame: str) -> str:
    """Remove the line of a frame: `decode (engine/llama/loop.py:123)` becomes `decode (engine/llama/loop.py)`."""
    return _LINE.sub(")", frame) if frame.endswith(")") else frame


def shorten(path: str) -> str:
    """Shorten a path: relative to the packages, the standard library or the import path; a library without its folders."""
    path = path.replace("\\", "/")
    if _SHARED_LIBRARY.search(path):
        return path.rpartition("/")[2]
    for prefix in (_INSTALLED, _STANDARD_LIBRARY):
        shorter = prefix.sub("", path)
        if shorter != path:
            return shorter
    root = max((entry for entry in sys.path if entry and path.startswith(f"{entry}/")), key=len, default="")
    return path[len(root) + 1 :] if root else path.rpartition("/")[2]


@lru_cache(maxsize=65_536)
def module_of(frame: str) -> Module:
    """Return the part of the program of a frame, by its file."""
    if thread_name(frame) is not None:
        return Module.THREAD
    if is_idle(frame):
        return Module.IDLE
    _, file, _ = split_frame(frame)
    if is_native(frame):
        return Module.GGML if _GGML.search(file) else Module.NATIVE
    package = file.split("/", 1)[0]
    if package in ("engine", "llama_cpp"):
        return Module.ENGINE
    if package == "tui":
        return Module.TUI
    return Module.TEXTUAL if package in ("textual", "rich") else Module.PYTHON


@lru_cache(maxsize=65_536)
def is_idle(frame: str) -> bool:
    """Return whether a last frame is one of a waiting thread, by its name."""
    name, file, _ = split_frame(frame)
    function = name.rpartition(".")[2].partition("@")[0]
    return function in _IDLE_FUNCTIONS or (function, file.rpartition("/")[2]) in _WAITING_LEAVES


def waits(frames: Sequence[str]) -> bool:
    """Return whether a stack ends in waiting; unnamed native functions at its end are skipped."""
    last = next((frame for frame in reversed(frames) if not frame.startswith(_UNNAMED)), frames[-1])
    return is_idle(last)

"""Renders an untrusted chat template in a child process, with limits of time and memory.

The metered sandbox refuses nearly every hostile template itself, but a single call of a Python function can take minutes without a step. So
it runs in a child with limits of CPU time and memory, which stays alive between turns. Measured on a 20-message chat with a template of the
Qwen family: 0.8 ms in this process and 1.1 ms in the child, which takes 22 MB.

Requests are JSON after four bytes of length; replies are a letter and the text after four bytes of length. The parent checks at least every
`_LOOK_S` whether the prompt is still wanted. `engine.chat.templating.process` is the child's program.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from jinja2 import TemplateError

from engine import child
from engine.chat.templating.budget import MAX_SECONDS, TemplateLimitError
from engine.chat.templating.sandbox import Sandbox
from engine.errors import EngineError

if TYPE_CHECKING:
    from jinja2.environment import Template

WALL_LIMIT_S: Final = 30.0
"""Longest wait for one rendering, for a machine where the child gets little CPU time."""
CPU_MARGIN_S: Final = 1.0
"""CPU time in addition to the sandbox's own limit, which normally applies first."""
MEMORY_LIMIT: Final = 512 << 20
"""Bytes that the child may allocate in addition to those at its start."""
MOST_ANSWER: Final = 256 << 20
"""Most bytes of a reply; the sandbox's limit is far lower."""
_LOOK_S: Final = 0.02
_LENGTH: Final = struct.Struct("<I")
_TEXT, _ERROR, _LIMIT = b"T", b"E", b"L"
_ENDLESS: Final = "the template does not terminate"


class TemplateProcess:
    """The sandbox of one template in a child process, used like a `Sandbox`. For one thread."""

    def __init__(self, max_seconds: float = MAX_SECONDS) -> None:
        """Start the child, which is ready some tenths of a second later; `max_seconds`: CPU time of one rendering."""
        self._max_seconds = max_seconds
        self.check: Callable[[], None] = lambda: None
        """Called while the child works; its exceptions end the rendering."""
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def close(self) -> None:
        """End the child; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def compile_template(self, source: str) -> str:
        """Compile the template in the child; raises the errors of `Sandbox.compile_template`."""
        self._ask({"source": source})
        return source

    def render_metered(self, template: str, variables: Mapping[str, object], *, now: datetime) -> str:
        """Render in the child; raises the errors of `Sandbox.render_metered`, and TemplateLimitError when it was killed."""
        offset = now.utcoffset()
        zone = [offset.total_seconds(), now.tzname()] if offset is not None else None
        return self._ask({"variables": variables, "now": now.replace(tzinfo=None).isoformat(), "zone": zone, "source": template})

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                child.command("engine.chat.templating.process", str(self._max_seconds)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child.environment(),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise EngineError("The chat template can't be rendered", f"no process can be started: {error.strerror}") from error

    def _ask(self, request: Mapping[str, object]) -> str:
        """Send a request and return its reply; after an error, start a new child."""
        if self._process is None:
            self._start()
        assert self._process is not None
        try:
            answer = self._exchange(self._process, json.dumps(request).encode())
        except BaseException:
            self.close()
            self._start()
            raise
        kind, text = answer[:1], answer[1:].decode("utf-8", "surrogatepass")
        if kind == _TEXT:
            return text
        raise (TemplateLimitError if kind == _LIMIT else TemplateError)(text)

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _write_all(process.stdin, _LENGTH.pack(len(request)) + request)
        except BrokenPipeError:
            raise _death(process) from None
        answer, wanted = bytearray(), _LENGTH.size
        deadline = time.monotonic() + WALL_LIMIT_S
        waiting = select.poll()
        waiting.register(process.stdout, select.POLLIN)
        while len(answer) < wanted:
            if not waiting.poll(_LOOK_S * 1000):
                self.check()
                if time.monotonic() > deadline:
                    raise TemplateLimitError(_ENDLESS)
                continue
            piece = os.read(process.stdout.fileno(), 1 << 20)
            if not piece:
                raise _death(process)
            answer += piece
            if wanted == _LENGTH.size <= len(answer):
                wanted += _LENGTH.unpack_from(answer)[0]
                if wanted > MOST_ANSWER:
                    raise TemplateLimitError("the template's output is too long")
        return bytes(answer[_LENGTH.size :])


def _death(process: subprocess.Popen[bytes]) -> TemplateError:
    """Make the error for a child that ended; the limits end it by a signal."""
    status = process.wait()
    if status in {-signal.SIGXCPU, -signal.SIGKILL}:
        return TemplateLimitError(_ENDLESS)
    return TemplateLimitError(f"the template ended its process ({signal.Signals(-status).name if status < 0 else status})")


def _write_all(pipe: IO[bytes], content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[pipe.write(left) :]


def main() -> None:
    """Answer requests from standard input on standard output until it is closed."""
    if sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    max_seconds = float(sys.argv[1])
    sandbox = Sandbox(max_seconds=max_seconds)
    compiled: dict[str, Template] = {}
    with os.fdopen(0, "rb") as requests, os.fdopen(1, "wb", buffering=0) as answers:
        while head := requests.read(_LENGTH.size):
            request = json.loads(requests.read(_LENGTH.unpack(head)[0]))
            _limit_processor_time(max_seconds)
            answer = _answer(sandbox, compiled, request)
            _write_all(answers, _LENGTH.pack(len(answer)) + answer)


def _answer(sandbox: Sandbox, compiled: dict[str, Template], request: Mapping[str, Any]) -> bytes:
    source = str(request["source"])
    try:
        if source not in compiled:
            compiled[source] = sandbox.compile_template(source)
        if "variables" not in request:
            return _TEXT
        now = datetime.fromisoformat(str(request["now"]))
        if (zone := request["zone"]) is not None:
            seconds, name = zone
            now = now.replace(tzinfo=timezone(timedelta(seconds=seconds), name))
        text = sandbox.render_metered(compiled[source], request["variables"], now=now)
        return _TEXT + text.encode("utf-8", "surrogatepass")
    except TemplateLimitError as error:
        return _LIMIT + str(error.message).encode("utf-8", "replace")
    except TemplateError as error:
        return _ERROR + str(error.message).encode("utf-8", "replace")
    except MemoryError:
        return _LIMIT + b"the template needs too much memory"


def _limit_processor_time(max_seconds: float) -> None:
    """Set the kernel's limit of CPU time for the next rendering."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(usage.ru_utime + usage.ru_stime + max_seconds + CPU_MARGIN_S)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()

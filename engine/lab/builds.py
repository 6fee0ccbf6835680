"""Runs work with another build of the native library in a child process.

`engine.lab.builds` reads requests from standard input, a JSON line each, and answers each with one on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from engine import child
from engine.errors import EngineError, XchatError
from engine.guide import builtin
from engine.lab.engine import LabEngine
from engine.llama.backend import LlamaBackend
from engine.llama.measuring.work import Setup, Took, Work
from engine.llama.redirect import redirect_native_output
from engine.model_ref import parse_ref
from engine.paths import log_path
from engine.presets.preset import Preset

LIBRARY: Final = "LLAMA_CPP_LIB_PATH"
"""The environment variable by which the bindings find another library."""


class BuildsEngine(LabEngine):
    """An engine that runs the work of setups with their own library in a child process, one per library."""

    def __init__(self, backend: LlamaBackend) -> None:
        super().__init__(backend)
        self._children: dict[Path, _Child] = {}

    def run(self, setup: Setup, work: Work) -> Took:
        """Do a piece of work once with the setup's library; raises EngineError when that library can't be used."""
        if setup.library is None:
            return super().run(setup, work)
        found = self._children.get(setup.library)
        if found is None:
            found = self._children[setup.library] = _Child(setup.library)
        return found.run(setup, work)

    def close(self) -> None:
        """End the child processes."""
        while self._children:
            self._children.popitem()[1].close()


class _Child:
    """A process with another library."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._process = subprocess.Popen(
            child.command("engine.lab.builds"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child.environment(**{LIBRARY: str(library)}),
        )

    def run(self, setup: Setup, work: Work) -> Took:
        """Do a piece of work there."""
        request = {"ref": str(setup.ref), "preset": msgspec.to_builtins(setup.preset), "work": msgspec.to_builtins(work)}
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None
        assert received is not None
        try:
            sent.write(json.dumps(request).encode() + b"\n")
            sent.flush()
            answer: dict[str, Any] = json.loads(received.readline())
        except (OSError, ValueError):
            raise EngineError(f"The library in {self._library} can't be used", "Its process ended", f"See {log_path()}") from None
        if "error" in answer:
            raise EngineError(*answer["error"])
        return Took(answer["prompt_ns"], answer["gen_ns"], answer["disturbed"])

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _answers(backend: LlamaBackend, lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    engine = LabEngine(backend)
    try:
        engine.library  # noqa: B018 - loads it, so that its own words reach the one who named it
    except Exception as error:  # noqa: BLE001 - the edge of the process
        yield {"error": ("The library can't be used", str(error), "")}
        return
    for line in lines:
        request = json.loads(line)
        setup = Setup(parse_ref(request["ref"]), msgspec.convert(request["preset"], Preset))
        try:
            took = engine.run(setup, msgspec.convert(request["work"], Work))
        except XchatError as error:
            yield {"error": (error.title, error.detail, error.hint)}
        else:
            yield msgspec.to_builtins(took)


def main() -> None:
    """Serve until standard input ends; the parent handles SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    real = redirect_native_output(log_path())
    backend = LlamaBackend(file_of=builtin.file_of, trusted=builtin.is_ours)
    for answer in _answers(backend, iter(requests.readline, b"")):
        real.stdout.write(json.dumps(answer) + "\n")
        real.stdout.flush()
    backend.close()


if __name__ == "__main__":
    main()

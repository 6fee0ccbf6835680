"""Try a model file in a child process: a file that makes the native library abort must not take the conversation along.

`engine.llama.processes.probe FILE` prints one JSON object and is what the child runs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from engine import child
from engine.errors import ModelError
from engine.text import file_name, printable

TIME_LIMIT_S: Final = 120.0
"""A file that keeps the library busy longer than this is refused."""
_POLL_S: Final = 0.02
_STDERR_BYTES: Final = 4096
_BUILD_FOLDER: Final = re.compile(r"^/\S*/(?=[^/\s]+:\d+: )")
"""Where the library was built, which assertions print in front of the source file's name."""


class Probe:
    """One child process that tries one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the probe
        self._process = subprocess.Popen(
            child.command("engine.llama.processes.probe", str(path)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=child.environment(GGML_NO_BACKTRACE="1"),
            start_new_session=True,
        )

    def wait(self, go_on: Callable[[], bool], time_limit_s: float = TIME_LIMIT_S) -> bool:
        """Wait for the verdict; False when `go_on` said no before it came.

        Raises:
            ModelError: when the file can't be used.
        """
        deadline = time.monotonic() + time_limit_s
        while True:
            try:
                output, _ = self._process.communicate(timeout=_POLL_S)
                break
            except subprocess.TimeoutExpired:
                if not go_on():
                    self.close()
                    return False
                if time.monotonic() > deadline:
                    self.close()
                    raise ModelError(
                        f"{file_name(self._path)} can't be loaded",
                        f"checking it took more than {time_limit_s:.0f} s",
                        "Choose another model.",
                    ) from None
        self._judge(self._process.returncode, output)
        self.close()
        return True

    def close(self) -> None:
        """End the child if it still runs; safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def _judge(self, status: int, output: bytes) -> None:
        name = file_name(self._path)
        if status < 0:
            raise ModelError(f"{name} makes the native library fail", self._last_words(-status), "Choose another model.")
        try:
            verdict = json.loads(output)
            title, detail, hint = (printable(str(verdict[key])) for key in ("title", "detail", "hint"))
        except (ValueError, KeyError, TypeError):
            raise ModelError(f"{name} can't be checked", self._last_words(0) or f"the check ended with status {status}") from None
        if title:
            raise ModelError(title, detail, hint)

    def _last_words(self, signal_number: int) -> str:
        """What the child said last, or the name of the signal that ended it."""
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, end - _STDERR_BYTES))
        lines = [line.strip() for line in self._stderr.read().decode(errors="replace").splitlines() if line.strip()]
        if lines:
            return printable(_BUILD_FOLDER.sub("", lines[-1]))
        return f"it ended with {signal.Signals(signal_number).name}" if signal_number else ""


def try_file(path: Path) -> None:
    """Load everything of a file but the weights, and plan a context on it, in this process.

    Raises:
        ModelError: when the native library refuses it.
    """
    from engine.llama.log import NativeLog
    from engine.llama.model import refused
    from engine.llama.native import lib

    log = NativeLog()
    log.listen()
    model_params = lib.llama_model_default_params()
    model_params.no_alloc = True
    model_params.load_mode = lib.LLAMA_LOAD_MODE_NONE
    model = lib.llama_model_load_from_file(os.fsencode(path), model_params)
    if not model:
        raise refused(path, log.errors())
    context_params = lib.llama_context_default_params()
    context_params.n_ctx = 256
    context_params.n_batch = context_params.n_ubatch = 32
    context_params.n_outputs_max = 1
    log.listen()
    context = lib.llama_init_from_model(model, context_params)
    if not context:
        raise refused(path, log.errors())
    lib.llama_free(context)
    lib.llama_model_free(model)


def main() -> int:
    """Try the file named on the command line and print the verdict; an empty title means that it can be used."""
    title = detail = hint = ""
    try:
        try_file(Path(sys.argv[1]))
    except ModelError as error:
        title, detail, hint = error.title, error.detail, error.hint
    sys.stdout.write(json.dumps({"title": title, "detail": detail, "hint": hint}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Tries a model file in a child process, since a file may make the native library abort or hang.

The child loads the file as the program would, with its settings on a small window and one thread, tokenizes a text and decodes it, under
limits of memory and processor time that follow from the size of the file. Large weights are mapped and not repacked, whatever the settings
say: the child must not need the memory of a second copy. `engine.llama.processes.probe FILE SETTINGS SEQUENCES` is what it runs; it prints
one JSON object.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

from engine import child
from engine.errors import EngineError, ModelError, XchatError
from engine.llama.files import ModelFile, examine
from engine.presets.preset import Preset
from engine.text import file_name, printable

TIME_LIMIT_S: Final = 30.0
SLOWEST_DISK: Final = 20 << 20
"""Bytes per second: a file is refused if trying it exceeds `TIME_LIMIT_S` plus reading it at this speed."""
CPU_LIMIT_S: Final = 2
SLOWEST_CPU: Final = 64 << 20
"""Bytes of weights per second, for the limit of CPU time of loading and decoding."""
MEMORY_FACTOR: Final = 2
MEMORY_MARGIN: Final = 512 << 20
"""Bytes by which a load may exceed the prediction."""
SMALL_WEIGHTS: Final = 1 << 30
"""Weights of up to this many bytes are read or repacked in the child, too, where the settings say so."""
WINDOW: Final = 512
PROMPT_TOKENS: Final = 4
_TEXT: Final = "Hello, world! 1 + 1 =\n"
ERROR_FIELDS: Final = ("title", "detail", "hint", "action")
"""Attributes of an error that the child sends to its parent."""
_POLL_S: Final = 0.02
_STDERR_BYTES: Final = 4096
_BUILD_FOLDER: Final = re.compile(r"^/\S*/(?=[^/\s]+:\d+: )")
"""Where the library was built, which assertions print in front of the source file's name."""


class Probe:
    """One child process that tries one file with the settings that it is to be loaded with, for `n_seq` sequences."""

    def __init__(self, file: ModelFile, preset: Preset, n_seq: int = 1) -> None:
        self._path = file.path
        self._size = file.size
        settings = msgspec.json.encode(msgspec.structs.replace(preset, model="")).decode()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the probe
        self._process = subprocess.Popen(
            child.command("engine.llama.processes.probe", str(file.path), settings, str(n_seq)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=child.environment(GGML_NO_BACKTRACE="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
            start_new_session=True,
        )

    def wait(self, go_on: Callable[[], bool], time_limit_s: float | None = None) -> bool:
        """Wait for the verdict; False when `go_on` returned False before.

        Raises:
            ModelError: when the file can't be used.
            EngineError: when it can't be used with these settings.
        """
        if time_limit_s is None:
            time_limit_s = TIME_LIMIT_S + self._size / SLOWEST_DISK
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
        if status == -signal.SIGXCPU:
            reason = f"trying it took more than {cpu_limit_s(self._size)} s of processor time"
            raise ModelError(f"{name} keeps the native library busy endlessly", reason, "Choose another model.")
        if status < 0:
            raise ModelError(f"{name} makes the native library fail", self._last_words(-status), "Choose another model.")
        try:
            verdict = json.loads(output)
            title, detail, hint, action = (printable(str(verdict[key])) for key in ERROR_FIELDS)
        except (ValueError, KeyError, TypeError):
            raise ModelError(f"{name} can't be checked", self._last_words(0) or f"the check ended with status {status}") from None
        if title:
            raise (EngineError if verdict.get("settings") else ModelError)(title, detail, hint, action)

    def _last_words(self, signal_number: int) -> str:
        """Return the child's last message, or the name of the signal that ended it."""
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, end - _STDERR_BYTES))
        lines = [line.strip() for line in self._stderr.read().decode(errors="replace").splitlines() if line.strip()]
        if lines:
            return printable(_BUILD_FOLDER.sub("", lines[-1]))
        return f"it ended with {signal.Signals(signal_number).name}" if signal_number else ""


def cpu_limit_s(size: int) -> int:
    """Return the limit of CPU seconds for trying a file of `size` bytes."""
    return CPU_LIMIT_S + size // SLOWEST_CPU


def try_file(path: Path, preset: Preset, n_seq: int) -> None:
    """Load a file, make a context with these settings and decode a few tokens, in this process, which is limited for good.

    Raises:
        ModelError: when the native library refuses the file.
        EngineError: when it refuses the settings, or can't decode.
    """
    from engine.llama.context import DECODED, Context
    from engine.llama.log import NativeLog
    from engine.llama.model import Model
    from engine.llama.planning import Part
    from engine.models.memory import window_of

    file = examine(path)
    small = file.facts.weight_bytes <= SMALL_WEIGHTS
    preset = msgspec.structs.replace(
        preset,
        n_ctx=min(WINDOW, window_of(preset, file.facts)),
        mmap=preset.mmap or not small,
        repack=preset.repack and small,
        devices="none",
    )
    _limit_this_process(file, preset, n_seq)
    log = NativeLog()
    model = Model(path, file, preset=preset, projector=projector_path(preset), log=log, progressed=lambda _fraction: True)
    context = Context(model, preset, n_seq=n_seq, threads=1, threads_batch=1, log=log)
    if model.vision is not None:
        model.vision.open()
    bos = model.vocabulary.bos
    first = (*((bos,) if bos is not None else ()), *model.vocabulary.tokenize(_TEXT, parse_special=True), 0)[:PROMPT_TOKENS]
    for part in (Part(0, 0, first, wants_logits=True), Part(0, len(first), first[-1:], wants_logits=True)):
        if (result := context.decode((part,))) != DECODED:
            raise ModelError(f"{file_name(path)} can't be evaluated", f"the native library returned {result}", "Choose another model.")
        context.logits(len(part.tokens) - 1).argmax()


def projector_path(preset: Preset) -> Path | None:
    """Return the projector of a preset; None for none, and for `auto`, which is resolved by the loader."""
    return None if preset.mmproj in {"none", "auto"} else Path(preset.mmproj)


def _limit_this_process(file: ModelFile, preset: Preset, n_seq: int) -> None:
    """Limit this process's CPU time, memory, written bytes and core files to the needs of trying the file."""
    from engine.host.topology import cpu_features
    from engine.models.memory import predict

    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(usage.ru_utime + usage.ru_stime + cpu_limit_s(file.size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    if sys.platform.startswith("linux"):  # elsewhere mapped files count, or the limit is not kept
        estimate = predict(file.facts, preset, features=cpu_features(), n_seq=n_seq)
        grows = estimate.total - (estimate.weights if preset.mmap else 0)
        projector = projector_path(preset)
        grows += projector.stat().st_size if projector is not None else 0
        memory = _private_bytes() + MEMORY_FACTOR * grows + MEMORY_MARGIN
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _private_bytes() -> int:
    """Return this process's bytes of writable memory, as the kernel counts them for RLIMIT_DATA."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) << 10


def main() -> int:
    """Try the file named on the command line and print the verdict; an empty title means that it can be used."""
    path, settings, n_seq = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    verdict: dict[str, str | bool] = dict.fromkeys(ERROR_FIELDS, "")
    try:
        try_file(path, msgspec.json.decode(settings, type=Preset), n_seq)
    except XchatError as error:
        verdict = {name: getattr(error, name) for name in ERROR_FIELDS} | {"settings": isinstance(error, EngineError)}
    except MemoryError:
        title = f"{file_name(path)} needs far more memory than a model of its size"
        verdict |= {"title": title, "hint": "Choose another model.", "action": "models"}
    sys.stdout.write(json.dumps(verdict))
    sys.stdout.flush()
    os._exit(0)  # no need to free the model at exit


if __name__ == "__main__":
    sys.exit(main())

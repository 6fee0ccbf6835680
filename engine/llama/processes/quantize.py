"""Quantizes in a child process, since it uses every core and may crash.

`engine.llama.processes.quantize SOURCE TARGET TYPE` is what the child runs; `engine.models.quantize` runs it with progress and cancel.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from engine import child
from engine.errors import ModelError
from engine.models.ggml_types import FILE_TYPES
from engine.text import file_name, printable


def quantize(source: Path, target: Path, quant: str) -> None:
    """Write `source` as `target` in another quant, such as `Q4_K_M`; `target` appears only when complete.

    Raises ModelError when the source can't be read, the disk is full, or the library refuses.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        done = subprocess.run(
            child.command("engine.llama.processes.quantize", str(source), str(part), quant),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child.environment(),
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = printable(lines[-1]) if lines else f"the child ended with status {done.returncode}"
            raise ModelError(f"{file_name(source)} can't be quantized to {quant}", reason)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def main() -> int:
    """Quantize as the command line says, or print the sizes that it would come to.

    With --tied the child ends when its standard input does, so that it can't outlive the program that waits for it.
    """
    parser = argparse.ArgumentParser(prog="engine.llama.processes.quantize")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("quants", help="a quant, or with --dry-run several with commas")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print a line of JSON with quant and bytes for each quant")
    parser.add_argument("--requantize", action="store_true", help="accept a source that is already quantized")
    parser.add_argument("--tied", action="store_true")
    options = parser.parse_args()
    os.umask(0o077)
    if options.tied:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    from engine.llama.native import lib

    source, target = os.fsencode(options.source), os.fsencode(options.target)
    numbers = {name: number for number, name in FILE_TYPES.items()}
    for quant in options.quants.split(","):
        if quant not in numbers:
            sys.stderr.write(f"{quant} is not a quant that llama.cpp knows\n")
            return 2
        params = lib.llama_model_quantize_default_params()
        params.ftype = numbers[quant]
        params.allow_requantize = options.requantize
        params.dry_run = options.dry_run
        log: list[bytes] = []
        callback = lib.llama_log_callback(lambda _level, text, _data, log=log: log.append(text))
        if options.dry_run:
            lib.llama_log_set(callback, ctypes.c_void_p(0))
        if lib.llama_model_quantize(source, target, params):
            sys.stderr.buffer.write(b"".join(log))
            return 1
        if options.dry_run:
            size = re.search(rb"quant size\s*=\s*([\d.]+) MiB", b"".join(log))
            print(json.dumps({"quant": quant, "bytes": round(float(size[1]) * (1 << 20)) if size else None}), flush=True)  # noqa: T201
    return 0


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())

"""Quantizing in a child process: it keeps every core busy and must neither share the compute thread nor take the program down.

`python -m engine.llama.quantize SOURCE TARGET TYPE` is what the child runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import engine
from engine.errors import ModelError
from engine.models.untrusted import file_name, printable


def quantize(source: Path, target: Path, quant: str) -> None:
    """Write `source` as `target` in another quant, such as `Q4_K_M`; `target` appears when it is whole, or not at all.

    Raises:
        ModelError: when the source can't be read, the disk is full, or the library refuses.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    packages = str(Path(engine.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))}
    try:
        child = subprocess.run(
            [sys.executable, "-m", "engine.llama.quantize", str(source), str(part), quant],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            check=False,
        )
        if child.returncode != 0:
            lines = child.stderr.decode(errors="replace").strip().splitlines()
            reason = printable(lines[-1]) if lines else f"the child ended with status {child.returncode}"
            raise ModelError(f"{file_name(source)} can't be quantized to {quant}", reason)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def main() -> int:
    """Quantize as the command line says."""
    source, target, quant = sys.argv[1:]
    from engine.llama.native import lib

    ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{quant}", None)
    if ftype is None:
        sys.stderr.write(f"{quant} is no quant that llama.cpp knows\n")
        return 2
    params = lib.llama_model_quantize_default_params()
    params.ftype = ftype
    return 1 if lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params) else 0


if __name__ == "__main__":
    sys.exit(main())

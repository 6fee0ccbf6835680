"""Measurements, one after the other, each in a process of its own: `python -m tests.bench MODEL.gguf [NAME...]`.

They print ratios of one run. A busy machine still moves them: look at the load before believing one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

BENCHES: dict[str, tuple[str, ...]] = {
    "decode": ("--model", "{model}"),
    "screen": ("{model}",),
    "busy": ("{model}",),
    "switch": ("--model", "{model}"),
    "profile": ("{model}",),
    "line": ("{model}",),
    "looking": ("{model}",),
    "fidelity": ("{model}",),
    "models": ("{model}",),
    "many": ("{model}",),
    "chat": (),
    "panel": (),
    "flame": (),
    "sessions": (),
    "store": (),
}
"""Each measurement with its arguments; the last two make a database of 850 MB and take minutes."""


def main() -> int:
    """Run those named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("model", help="a GGUF, best of a real model's size")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHES)}; all without a name")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(BENCHES))
    if unknown:
        parser.error(f"there is no measurement {unknown[0]}")
    failed = []
    for name in options.names or BENCHES:
        print(f"== {name} (load {os.getloadavg()[0]:.1f})", flush=True)
        arguments = [argument.format(model=options.model) for argument in BENCHES[name]]
        if subprocess.run([sys.executable, "-m", f"tests.bench.bench_{name}", *arguments], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

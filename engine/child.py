"""Starts parts of the program as child processes, independent of the current folder.

`python -m` puts the current folder first on the module search path, so a `json.py` in it would be run. Children are started as a script
with an absolute path instead, under `-P`, and import the packages that their parent runs from.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this program as a child process."""
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]


def script_command(script: str, *arguments: str) -> list[str]:
    """Return the command line of a script that needs only the standard library, which starts faster."""
    return [sys.executable, "-I", "-S", os.path.abspath(script), *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment updated by `variables`, without relative entries of PYTHONPATH."""
    inherited = dict(os.environ)
    if "PYTHONPATH" in inherited:
        inherited["PYTHONPATH"] = os.pathsep.join(filter(os.path.isabs, inherited["PYTHONPATH"].split(os.pathsep)))
    return inherited | variables


def main() -> None:
    """Run the module named on the command line, from the packages of this file."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

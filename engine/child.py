"""Starts parts of the program as child processes, whatever the folder that the user is in.

`python -m` puts the current folder in front of the module search path, so that a folder with a `json.py` in it would have its code run.
Children are started as a script with an absolute path instead, under `-P`, and import the packages that their parent runs from.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of this program as a child process."""
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]


def script_command(script: str, *arguments: str) -> list[str]:
    """The command line that runs a script that needs nothing but the standard library, without waiting for installed packages."""
    return [sys.executable, "-I", "-S", os.path.abspath(script), *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment for a child, with `variables` over it; entries of PYTHONPATH that depend on the folder are left out."""
    inherited = dict(os.environ)
    if "PYTHONPATH" in inherited:
        inherited["PYTHONPATH"] = os.pathsep.join(filter(os.path.isabs, inherited["PYTHONPATH"].split(os.pathsep)))
    return inherited | variables


def main() -> None:
    """Run the module that the command line names, from the packages that this file belongs to."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""Waits for its parent, then becomes another program; ends with its parent.

Run as a script, `python -I -S launcher.py PARENT NICENESS PROGRAM ARGUMENT…`: it arranges to be killed when PARENT (a pid) ends, lowers its
priority, waits for a line on standard input, and becomes PROGRAM under the same pid. So the parent can allow the pid to trace before the
program begins. An end of file instead of the line cancels the start. Imports nothing of xchat, to start in milliseconds.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_life_to(parent: int) -> None:
    """Make this process end with the parent's thread that started it; except on Linux, py-spy itself ends with its target."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Wait for the line, then become the program."""
    tie_life_to(int(sys.argv[1]))
    os.nice(int(sys.argv[2]))
    if not sys.stdin.buffer.readline():
        sys.exit(0)
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()

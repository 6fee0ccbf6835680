"""Waits for a go from its parent, then becomes another program; ends with its parent.

Run as a script, `python -I -S gate.py PARENT NICENESS PROGRAM ARGUMENT…`: it ties its life to PARENT (a pid), steps back in the queue
for the processor, waits for a line on standard input, and turns into PROGRAM under the same pid. So the parent knows the pid, and can
allow it to trace, before the program begins. An end of file instead of the line means that the parent changed its mind. Imports nothing
of xchat: it has to start in milliseconds.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_life_to(parent: int) -> None:
    """Be killed when the parent's thread that started us ends; elsewhere than on Linux, py-spy itself ends with its target."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Wait, then be the program."""
    tie_life_to(int(sys.argv[1]))
    os.nice(int(sys.argv[2]))
    if not sys.stdin.buffer.readline():
        sys.exit(0)
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()

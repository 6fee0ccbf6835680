"""Grants py-spy the permission to read this process, and explains refusals."""

from __future__ import annotations

import ctypes
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PR_SET_PTRACER = 0x59616D61
"""`prctl` option of the Yama security module; kernels without Yama return EINVAL and need no permission."""

CAP_SYS_PTRACE = 19
_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_STATUS = Path("/proc/self/status")
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"), Path("/var/run/secrets/kubernetes.io"))

_SCOPE_REASONS: dict[int | None, str] = {
    1: "The process belongs to another user, or the kernel (kernel.yama.ptrace_scope is 1) did not accept the exception.",
    2: "Only processes with CAP_SYS_PTRACE may trace (kernel.yama.ptrace_scope is 2).",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The facts that decide whether py-spy may read another process."""

    platform: str
    """`sys.platform`."""
    ptrace_scope: int | None
    """Yama's setting; None without Yama."""
    container: bool
    traces: bool
    """Whether this process has CAP_SYS_PTRACE."""


def surroundings() -> Surroundings:
    """Read the facts about this machine."""
    return Surroundings(
        platform=sys.platform,
        ptrace_scope=_read_int(_SCOPE, 10),
        container=any(mark.exists() for mark in _CONTAINER_MARKS),
        traces=_may_trace(),
    )


@contextmanager
def allowed_tracer(pid: int) -> Iterator[None]:
    """Allow the process `pid` to trace this one until the block ends; does nothing where no permission is needed."""
    _set_tracer(pid)
    try:
        yield
    finally:
        _set_tracer(0)


def obstacle(where: Surroundings, command: Sequence[str], output: str) -> tuple[str, str]:
    """Explain why py-spy was refused, and how to run `command`, which writes `output`, instead."""
    run = f"Run `{shlex.join(['sudo', *command])}`, then `{shlex.join(['xchat', 'profile', 'show', output])}`."
    if where.platform == "darwin":
        return "On macOS only root may read another process.", run
    if where.platform != "linux":
        return "The system denied py-spy the permission.", f"From an administrator's terminal, run `{shlex.join(command)}`."
    if where.ptrace_scope == 3:
        return (
            "The kernel forbids all tracing (kernel.yama.ptrace_scope is 3), also for root.",
            "Only a reboot can lower it: `echo kernel.yama.ptrace_scope=1 | sudo tee /etc/sysctl.d/99-ptrace.conf`, then reboot.",
        )
    if where.container and not where.traces:
        return (
            "The container lacks the capability SYS_PTRACE.",
            "Start it with `docker run --cap-add SYS_PTRACE …`; in Kubernetes, add SYS_PTRACE to securityContext.capabilities.add.",
        )
    return _SCOPE_REASONS.get(where.ptrace_scope, "The process belongs to another user, or a security policy forbids tracing it."), run


def _set_tracer(pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


def _may_trace() -> bool:
    if sys.platform != "linux":
        return hasattr(os, "geteuid") and os.geteuid() == 0
    for line in _lines(_STATUS):
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_PTRACE & 1)
    return False


def _read_int(path: Path, base: int) -> int | None:
    try:
        return int(_lines(path)[0], base)
    except (IndexError, ValueError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []

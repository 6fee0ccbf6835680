"""The host of a measurement: the machine, the process and the versions."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine import __version__

# fmt: off
SIMD_FLAGS = frozenset({
    "sse3", "ssse3", "sse4_1", "sse4_2", "avx", "avx2", "avx_vnni", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512vl",
    "avx512_vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "neon", "asimd", "asimddp",
    "i8mm", "bf16", "sve", "sve2", "sme", "rvv", "vsx",
})
# fmt: on
"""CPU features that affect the speed of a model."""


@dataclass(frozen=True, slots=True)
class Host:
    """The machine and the versions of a measurement."""

    name: str
    kernel: str
    cpu: str
    cpu_flags: str
    """CPU features that affect the speed, separated by blanks."""
    cores: int
    """Logical cores that this process may use."""
    memory_bytes: int
    xchat_version: str
    llama_cpp_version: str
    """Version reported by the engine; empty if unknown."""

    @classmethod
    def here(cls, llama_cpp_version: str = "") -> Host:
        """Read the facts of this machine."""
        cpu, flags = _cpu()
        return cls(
            name=socket.gethostname(),
            kernel=f"{platform.system()} {platform.release()}",
            cpu=cpu,
            cpu_flags=flags,
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
            xchat_version=__version__,
            llama_cpp_version=llama_cpp_version,
        )


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """The identity of a process, unique even if its pid is reused."""

    pid: int
    boot_id: str
    started: float
    """Unix time at which the operating system started it, in seconds."""

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return cls(os.getpid(), _boot_id(), psutil.Process().create_time())

    def alive(self) -> bool:
        """Return whether the process still runs on this machine; one of another machine or container counts as ended."""
        if self.boot_id != _boot_id():
            return False
        try:
            # Two seconds, since the start time is derived from the boot time, which clock adjustments change.
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) < 2)
        except psutil.Error:
            return False


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _cpu() -> tuple[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), ""
    first: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        first.setdefault(key.strip().lower(), value.strip())
    flags = (first.get("flags") or first.get("features") or "").split()
    return first.get("model name") or platform.processor() or platform.machine(), " ".join(sorted(SIMD_FLAGS.intersection(flags)))

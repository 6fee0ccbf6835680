"""Machines made of files below a folder, for the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.doctor.machine import Machine

UNLIMITED = (-1, -1)

HEALTHY = {
    "proc/cpuinfo": "model name: Zen\nflags\t\t: fpu pni ssse3 avx avx2 fma f16c bmi2\n",
    "proc/self/cgroup": "0::/user\n",
    "proc/stat": "cpu  100 0 50 8000 10 0 5 0 0 0\ncpu0 1 2\n",
    "proc/pressure/cpu": "some avg10=0.50 avg60=0 avg300=0 total=1\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0 avg300=0 total=1\n",
    "proc/loadavg": "0.50 0.40 0.30 1/99 1234\n",
    "proc/meminfo": "MemTotal: 1000 kB\nSwapTotal: 2000000 kB\nSwapFree: 2000000 kB\nHugepagesize: 2048 kB\n",
    "proc/self/status": "VmSwap:\t0 kB\n",
    "proc/self/smaps_rollup": "AnonHugePages: 2048 kB\n",
    "proc/self/limits": "Limit  Soft Limit  Hard Limit  Units\nMax open files            4096                 524288               files\n",
    "proc/self/maps": "7f00-7f01 r-xp 0 08:01 1 /usr/lib/libgomp.so.1.0.0\n",
    "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
    "proc/sys/vm/nr_hugepages": "0\n",
    "proc/sys/vm/swappiness": "60\n",
    "proc/sys/vm/overcommit_memory": "0\n",
    "proc/sys/kernel/osrelease": "6.1.0\n",
    "proc/sys/kernel/numa_balancing": "0\n",
    "proc/sys/kernel/yama/ptrace_scope": "1\n",
    "sys/devices/system/cpu/online": "0-3\n",
    "sys/devices/system/cpu/smt/active": "0\n",
    "sys/devices/system/cpu/cpufreq/boost": "1\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_driver": "acpi-cpufreq\n",
    "sys/devices/system/node/online": "0\n",
    "sys/devices/system/node/node0/cpulist": "0-3\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/class/hwmon/hwmon0/name": "k10temp\n",
    "sys/class/hwmon/hwmon0/temp1_input": "45000\n",
    "sys/class/powercap/rapl0/energy_uj": "1\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/fs/cgroup/user/cpu.max": "max 100000\n",
    "dev/null": "",
}
"""What the kernel of a machine says on which nothing is wrong."""

ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


def machine(root: Path, changes: Mapping[str, str | bytes | None] | None = None, **fields: Any) -> Machine:
    """A healthy machine, but for these files (None leaves one away) and fields."""
    files: dict[str, str | bytes | None] = {**HEALTHY, **(changes or {})}
    for name, content in files.items():
        if content is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return bare(root, **fields)


def bare(root: Path, **fields: Any) -> Machine:
    """A machine with the files that are below a folder, a model of 4 MB, and a process that nothing limits."""
    model = root / "models/m.gguf"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(bytes(4_000_000))
    usual: dict[str, Any] = {
        "environ": ENVIRONMENT,
        "model": (model,),
        "system_info": "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | BMI2 = 1 | OPENMP = 1 |",
        "library": "0.5.0, build abc, llama-cpp-python 0.3.36",
        "gpus": (),
        "cpus": frozenset(range(4)),
        "niceness": 0,
        "limit": lambda _: UNLIMITED,
        "clock_ns": lambda: 40.0,
        "disk_speed": lambda _: 2e9,
        "tmux": lambda _: None,
    }
    return Machine(root=root, **{**usual, **fields})

"""Measures the limits of this host by thread count in a child process: memory bandwidth and matrix multiplication; saved per host.

`engine.host.bandwidth --threads N` prints one JSON object; `measure` runs that and saves the result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine import child
from engine.atomic_write import write_atomically
from engine.clock import wall_ms
from engine.errors import EngineError
from engine.paths import state_dir
from engine.regular_file import read_kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float32]

READ_ROUNDS = 20
MULTIPLY_ROUNDS = 9
"""Rounds, of which the second best counts: other programs only slow a round down, and a single lucky round does not count."""

ROUND_S = 0.15

KEPT = 5
"""Latest measurements kept, of which the best counts: a shared host measured 33, 48 and 65 GB/s within two minutes."""

BUFFER_BYTES = 256 << 20
"""All threads' buffers together: far larger than most caches, so that memory is read."""

MATRIX = 384
"""Side of the multiplied matrices: they fit the cache, so that arithmetic is measured."""

TIMEOUT_S = 60.0


class _Stored(msgspec.Struct, frozen=True):
    hosts: dict[str, dict[str, list[HostLimits]]] = {}
    """The last results by host and thread count, oldest first."""


@dataclass(frozen=True, slots=True)
class HostLimits:
    """Measured limits of this host at a thread count."""

    threads: int
    read_gb_s: float
    """Reading memory in order, 10^9 bytes per second."""
    gflop_s: float | None = None
    """Single-precision matrix multiplication, 10^9 operations per second."""
    measured_ms: int = 0
    """Time of the measurement, Unix time."""


def host_key() -> str:
    """Return a key of this machine: name, processor, cores."""
    return f"{platform.node()} {platform.machine()} {_processor()} {os.cpu_count()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))), platform.processor())


def limits_path() -> Path:
    """Return the path of the saved results."""
    return state_dir() / "host-limits.json"


def remembered(threads: int, path: Path | None = None) -> HostLimits | None:
    """Return the limits at this thread count: the best of the saved measurements, dated by the newest."""
    kept = read_kept(path or limits_path(), _Stored()).hosts.get(host_key(), {}).get(str(threads), [])
    if not kept:
        return None
    multiplied = [limits.gflop_s for limits in kept if limits.gflop_s is not None]
    return replace(kept[-1], read_gb_s=max(limits.read_gb_s for limits in kept), gflop_s=max(multiplied, default=None))


async def measure(threads: int, path: Path | None = None) -> HostLimits:
    """Measure now, for about five seconds on `threads` cores, and save the result for `remembered`.

    Raises EngineError when the measurement failed.
    """
    process = await asyncio.create_subprocess_exec(
        *child.command("engine.host.bandwidth", "--threads", str(threads)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child.environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1"),
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        limits = msgspec.json.decode(out, type=HostLimits)
    except (TimeoutError, msgspec.DecodeError) as error:
        detail = "it took too long" if isinstance(error, TimeoutError) else errors.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise EngineError("The read bandwidth could not be measured", str(detail), "Try again when the machine is less busy.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    _remember(limits, path or limits_path())
    return limits


def _remember(limits: HostLimits, path: Path) -> None:
    hosts = dict(read_kept(path, _Stored()).hosts)
    here = hosts.get(host_key(), {})
    hosts[host_key()] = here | {str(limits.threads): [*here.get(str(limits.threads), []), limits][-KEPT:]}
    with suppress(OSError):  # not saved: measured again the next time
        write_atomically(path, msgspec.json.encode(_Stored(hosts)))


def measure_here(threads: int) -> HostLimits:
    """Measure in this process; keeps `threads` cores busy and takes BUFFER_BYTES."""
    import numpy as np

    per_thread = BUFFER_BYTES // threads // 8
    buffers = [np.arange(per_thread, dtype=np.int64) for _ in range(threads)]

    def read(buffer: Integers) -> float:
        np.max(buffer)
        return float(buffer.nbytes)

    bytes_per_s = _best_rate([partial(read, buffer) for buffer in buffers], READ_ROUNDS)
    del buffers
    sides = [np.full((MATRIX, MATRIX), 0.5, dtype=np.float32) for _ in range(threads)]

    def multiply(side: Floats) -> float:
        np.matmul(side, side)
        return 2.0 * MATRIX**3

    flops = _best_rate([partial(multiply, side) for side in sides], MULTIPLY_ROUNDS)
    return HostLimits(threads, bytes_per_s / 1e9, flops / 1e9, wall_ms())


def _best_rate(works: list[Callable[[], float]], rounds: int) -> float:
    """Return the combined rate per second of all works, each on its own thread, in the second best round."""
    rates: list[list[float]] = [[] for _ in works]
    together = threading.Barrier(len(works))

    def run(number: int) -> None:
        for _ in range(rounds):
            together.wait()
            done, began = 0.0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < ROUND_S:
                done += works[number]()
            rates[number].append(done / elapsed)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(map(sum, zip(*rates, strict=True)))[-2]


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    limits = measure_here(max(1, parser.parse_args().threads))
    sys.stdout.write(json.dumps(msgspec.to_builtins(limits)) + "\n")


if __name__ == "__main__":
    main()

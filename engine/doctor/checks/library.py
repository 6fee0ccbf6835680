"""Checks of the native library: OpenMP and its settings, an unused GPU, versions."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from engine import __version__
from engine.doctor.checks.cpu import rebuild_line
from engine.doctor.finding import Verdict, good, note, problem, unknown, warning
from engine.doctor.machine import Machine

_OPENMP = ("OMP_", "GOMP_", "KMP_")


def openmp_settings(machine: Machine) -> Verdict:
    """Judge the variables of the environment that change how compute threads run."""
    found = {name: value for name, value in sorted(machine.environ.items()) if name.startswith(_OPENMP)}
    if not found:
        return good("no variable changes how compute threads run")
    shown = ", ".join(f"{name}={value}" for name, value in found.items())
    unset = "unset " + " ".join(name for name in found if re.fullmatch(r"\w+", name))
    if found.get("OMP_WAIT_POLICY", "").lower() == "passive" or found.get("GOMP_SPINCOUNT", "") in {"0", "1"}:
        cost = "70 instead of 114 tokens/s with a 135M model on two quiet cores: threads sleep at every barrier"
        return problem(shown, cost=cost, source="measured on xchat's test machine", command=unset)
    if found.get("OMP_PROC_BIND", "false").lower() not in {"false", ""}:
        cost = "bound threads can't leave a CPU that another program uses"
        return warning(shown, cost=cost, source="libgomp's manual", command=unset)
    if "OMP_WAIT_POLICY" in found or "GOMP_SPINCOUNT" in found:
        cost = "xchat can't switch spinning off on a busy machine: 2 to 8 instead of 18 to 41 tokens/s there"
        return warning(shown, cost=cost, source="measured on xchat's test machine", command=unset)
    return note(shown, cost="none known: xchat sets the number of threads itself", command=unset)


def openmp_runtimes(machine: Machine) -> Verdict:
    """Count the OpenMP runtimes in this process."""
    maps = machine.text("proc/self/maps")
    paths = set(re.findall(r"(\S*/lib(?:gomp|omp|iomp5)[-.\w]*\.so[.\w]*)", maps))
    names = sorted(Path(path).name for path in paths)
    if len(paths) < 2:
        return good(f"one: {names[0]}" if names else "none is loaded")
    cost = "the threads of each compete for the CPUs, and xchat can't control their spinning"
    advice = "Install xchat in an environment of its own"
    return warning(f"{len(names)} copies: {', '.join(names)}", cost=cost, source="libgomp's wait policy", advice=advice)


def gpu(machine: Machine) -> Verdict:
    """Check for a GPU that the library does not use."""
    if machine.gpus:
        return good(f"the library computes on {', '.join(machine.gpus)}")
    device = machine.root / "dev"
    if not device.is_dir():
        return unknown("/dev can't be read")
    nodes = sorted(str(path.relative_to(device)) for glob in ("dri/renderD*", "nvidia[0-9]*", "kfd") for path in device.glob(glob))
    if not nodes:
        return good("there is none")
    found = f"/dev has {', '.join(nodes[:4])}"
    if machine.gpus is None:
        return unknown(f"{found}; the native library was not checked")
    kind = "CUDA" if any(name.startswith("nvidia") for name in nodes) else "VULKAN"
    line = rebuild_line(machine).replace("-DGGML_NATIVE=ON", f"-DGGML_{kind}=ON")
    return note(f"{found}; the library was built for the CPU only", cost="all layers run on the CPU", command=line)


def versions(machine: Machine) -> Verdict:
    """Report the versions, and check whether the bindings are those that xchat was made for."""
    here = f"xchat {__version__}, Python {platform.python_version()}, {machine.library or 'native library not checked'}"
    release = machine.maybe("proc/sys/kernel/osrelease")
    shown = f"{here}, Linux {release}" if release else here
    try:
        pinned = next((line for line in requires("xchat-llama") or [] if line.startswith("llama-cpp-python==")), "")
    except PackageNotFoundError:
        pinned = ""
    wanted = pinned.partition("==")[2]
    if wanted and machine.library and f"llama-cpp-python {wanted}" not in machine.library:
        return warning(shown, cost="calls to another version may crash xchat", source="xchat", command=f'pip install "{pinned}"')
    return _since_the_benchmark(machine, release) or good(shown)


def _since_the_benchmark(machine: Machine, release: str | None) -> Verdict | None:
    """Report the upgrades since the newest benchmark; None without any, or without a benchmark."""
    if machine.benchmarked is None:
        return None
    run, kernel, library = machine.benchmarked
    upgraded = [f"Linux {release} after {kernel}"] if release and kernel != f"Linux {release}" else []
    if machine.library and library and machine.library != library:
        upgraded.append(f"{machine.library} after {library}")
    if not upgraded:
        return None
    return note(
        f"{' and '.join(upgraded)} since run {run} was measured", cost="the speed may have changed", command=f"xchat runs again {run}"
    )

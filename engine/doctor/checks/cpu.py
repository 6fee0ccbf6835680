"""Checks of the processor: instruction sets, quota, affinity, hyper-threads, memory nodes, clocks, heat and other programs."""

from __future__ import annotations

import os
import re

from engine.doctor.finding import MEASURED, Verdict, good, note, problem, unknown, warning
from engine.doctor.machine import Machine, NotReadable
from engine.host.contention import CROWDED_PRESSURE
from engine.host.cpu import Temperature
from engine.host.topology import cpu_features
from engine.host.value import Unavailable

KERNEL_NAMES = {
    "SSE3": "pni", "SSSE3": "ssse3", "AVX": "avx", "AVX_VNNI": "avx_vnni", "AVX2": "avx2", "F16C": "f16c", "FMA": "fma", "BMI2": "bmi2",
    "AVX512": "avx512f", "AVX512_VBMI": "avx512_vbmi", "AVX512_VNNI": "avx512_vnni", "AVX512_BF16": "avx512_bf16",
    "AMX_INT8": "amx_int8", "NEON": "asimd", "DOTPROD": "asimddp", "MATMUL_INT8": "i8mm", "SVE": "sve", "FP16_VA": "asimdhp",
}  # fmt: skip
"""The kernel's name of each CPU feature, by llama.cpp's name."""
_VITAL = frozenset({"AVX", "AVX2", "F16C", "FMA", "NEON", "DOTPROD"})
_MATRIX = frozenset({"AVX_VNNI", "AVX512_VNNI", "AMX_INT8", "MATMUL_INT8"})

REBUILD = (
    'CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --force-reinstall --no-cache-dir --no-deps'
    ' --no-binary llama-cpp-python "llama-cpp-python=={version}"'
)
"""Command that builds the native library for this CPU."""


def rebuild_line(machine: Machine) -> str:
    """Return the command that rebuilds the installed version of the native library."""
    match = re.search(r"llama-cpp-python (\d[\w.]*)", machine.library)
    return REBUILD.format(version=match[1]) if match else REBUILD.replace("=={version}", "")


def features(machine: Machine) -> Verdict:
    """Compare the instruction sets that the library was compiled for with those of the CPU."""
    built = set(re.findall(r"\b([A-Z]\w+) = 1", machine.system_info))
    have = cpu_features(machine.root)
    if not machine.system_info or not have:
        return unknown("/proc/cpuinfo lists no features" if machine.system_info else "the features of the native library were not read")
    foreign = [name for name, kernel in KERNEL_NAMES.items() if name in built and kernel not in have]
    if foreign:
        return problem(
            f"the library uses {', '.join(foreign)}, which this CPU does not have",
            cost="xchat crashes with an illegal instruction",
            advice="Build the library on this machine",
            command=rebuild_line(machine),
        )
    missing = [name for name, kernel in KERNEL_NAMES.items() if kernel in have and name not in built]
    if not missing:
        return good(f"compiled for all of the CPU: {', '.join(name for name in KERNEL_NAMES if name in built)}")
    return _compiled_without(missing, rebuild_line(machine))


def _compiled_without(missing: list[str], line: str) -> Verdict:
    judge, cost, source = note, "none measurable: decoding waits for memory", "text-generation-webui issue 5881"
    if _VITAL.intersection(missing):
        judge, cost, source = problem, "3 to 5 times slower", "text-generation-webui issue 4052"
    elif _MATRIX.intersection(missing):
        judge, cost, source = warning, "a slower prefill; decoding waits for memory", "ggml's int8 kernels"
    found = f"the CPU has {', '.join(missing)}, the library was compiled without"
    return judge(found, cost=cost, source=source, advice="Build the library on this machine", command=line)


def quota(machine: Machine) -> Verdict:
    """Compare the control group's CPU quota with the CPUs, and report how often it was used up."""
    machine.text("proc/self/cgroup")
    limit, usable = machine.topology.quota, machine.topology.usable
    if limit is None:
        return good("no control group limits the CPU time")
    found = f"a control group allows {limit:g} of {usable} CPUs"
    share = _throttled(machine)
    cost = "" if share is None else f"throttled in {share:.0%} of the periods"
    if share is not None and share >= 0.05:
        advice = f"Use {machine.topology.most_threads} threads, or raise the limit (docker run --cpus)"
        return problem(found, cost=cost, source=MEASURED, advice=advice, command=f"xchat --threads {machine.topology.most_threads}")
    return note(found, cost=cost, source=MEASURED if cost else "", advice="The automatic thread count respects it")


def _throttled(machine: Machine) -> float | None:
    """Share of the quota's periods in which the group was stopped."""
    group = machine.text("proc/self/cgroup").rsplit("0::", 1)[-1].splitlines()[0].strip("/")
    for path in (f"sys/fs/cgroup/{group}/cpu.stat", "sys/fs/cgroup/cpu.stat", "sys/fs/cgroup/cpu/cpu.stat"):
        try:
            periods = machine.field(path, "nr_periods")
            return machine.field(path, "nr_throttled") / periods if periods else 0.0
        except NotReadable:
            continue
    return None


def affinity(machine: Machine) -> Verdict:
    """Compare the affinity mask with the CPUs that are online."""
    text = machine.text("sys/devices/system/cpu/online")
    spans = re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text)
    if spans is None:
        return unknown("/sys/devices/system/cpu/online is not a list of CPUs")
    ends = [span.split("-") for span in text.split(",")]
    online = sum(int(span[-1]) - int(span[0]) + 1 for span in ends)
    usable = len(machine.cpus)
    if usable >= online:
        return good(f"all {online} CPUs may be used")
    cost = f"at most {usable / online:.0%} of the machine's compute"
    return warning(
        f"{usable} of {online} CPUs may be used (taskset, cpuset)",
        cost=cost,
        source="the affinity mask",
        advice="Start xchat on all CPUs, unless this is intended",
        command=f"taskset -c {text} xchat",
    )


def hyper_threads(machine: Machine) -> Verdict:
    """Check whether two logical CPUs share a core."""
    active = machine.number("sys/devices/system/cpu/smt/active")
    top = machine.topology
    if not active or top.cores >= top.usable:
        return good(f"no core is shared: {top.usable} CPUs on {top.cores} cores")
    return note(
        f"{top.usable} CPUs on {top.cores} cores: two threads share one",
        cost="a thread beyond the cores adds little while decoding, and can slow it down",
        source="the threads page of llama.cpp's docs; xchat measures it",
        advice="The automatic thread count starts with the number of cores and tries more",
        command="xchat --threads auto",
    )


def core_kinds(machine: Machine) -> Verdict:
    """Check whether some cores are slower than others."""
    top = machine.topology
    machine.text("sys/devices/system/cpu/online")
    if top.fast_cores >= top.cores:
        return good("all cores are of the same kind")
    return note(
        f"{top.fast_cores} fast cores and {top.cores - top.fast_cores} efficiency cores",
        cost="threads on efficiency cores delay the others: 12 to 24 % when threads migrate",
        source="yzma pull request 374",
        advice="The automatic thread count starts with the number of fast cores",
        command=f"xchat --threads {top.fast_cores}",
    )


def numa(machine: Machine) -> Verdict:
    """Check whether there are several memory nodes, and whether the kernel moves pages between them."""
    machine.text("sys/devices/system/node/online")
    nodes = machine.topology.numa_nodes
    if nodes < 2:
        return good("one memory node")
    moves = machine.maybe("proc/sys/kernel/numa_balancing") not in (None, "0")
    return warning(
        f"{nodes} memory nodes{', and the kernel moves pages between them' if moves else ''}",
        cost="up to 45 % of the decode speed when the weights are on one node",
        source="llama.cpp issue 11744",
        advice="Drop the page cache once, then spread the weights over the nodes",
        command="numactl --interleave=all xchat",
    )


def governor(machine: Machine) -> Verdict:
    """Judge the frequency governors with their energy preference."""
    folder = "sys/devices/system/cpu/cpufreq"
    policies = sorted((machine.root / folder).glob("policy*"))
    names = {machine.maybe(f"{folder}/{policy.name}/scaling_governor") for policy in policies} - {None, ""}
    if not names:
        return unknown("no cpufreq here, as in most virtual machines and containers")
    driver = machine.maybe(f"{folder}/{policies[0].name}/scaling_driver") or ""
    wish = machine.maybe(f"{folder}/{policies[0].name}/energy_performance_preference") or ""
    shown = f"{', '.join(sorted(filter(None, names)))}{f' ({driver}, {wish})' if wish else ''}"
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
    active = driver in {"intel_pstate", "amd-pstate-epp"}
    if names & {"powersave", "conservative"} and not (active and wish not in {"power", "balance_power"}):
        cost = "the cores stay at their lowest frequency" if not active else "the clock rises late and not to its maximum"
        return warning(f"governor {shown}", cost=cost, source="the kernel's cpufreq documentation", command=command)
    return good(f"governor {shown}")


def boost(machine: Machine) -> Verdict:
    """Check whether the CPU may exceed its base frequency."""
    text, off = machine.maybe("sys/devices/system/cpu/cpufreq/boost"), "0"
    command = "echo 1 | sudo tee /sys/devices/system/cpu/cpufreq/boost"
    if text is None:
        text, off = machine.maybe("sys/devices/system/cpu/intel_pstate/no_turbo"), "1"
        command = "echo 0 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
    if text not in {"0", "1"}:
        return unknown("no switch for boost here, as in most virtual machines and containers")
    if text == off:
        cost = "the difference between base and boost frequency in prefill; less in decode"
        return warning("boost is switched off", cost=cost, source="the CPU's data sheet", command=command)
    return good("boost is on")


def temperature(machine: Machine) -> Verdict:
    """Judge the processor's temperature, and report throttling."""
    sensor = Temperature(machine.root / "sys")
    try:
        degrees = sensor.read()
    finally:
        sensor.close()
    counter = machine.maybe("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count")
    throttled = int(counter) if counter and counter.isdecimal() and len(counter) < 19 else 0
    if isinstance(degrees, Unavailable) and not counter:
        return unknown(degrees.reason)
    shown = "no sensor is readable" if isinstance(degrees, Unavailable) else f"{degrees:.0f} °C"
    hot = not isinstance(degrees, Unavailable) and degrees >= 90
    if throttled or hot:
        cost = f"throttled {throttled:,} times since boot" if throttled else "the processor is about to lower its frequency"
        return (warning if hot else note)(shown, cost=cost, source=MEASURED, advice="Improve the cooling, or use fewer threads")
    return good(shown)


def steal(machine: Machine) -> Verdict:
    """Report the share of CPU time that the hypervisor gave to other machines since boot."""
    match = re.match(r"cpu +((?:\d+ ?){8,})", machine.text("proc/stat"))
    if match is None:
        return unknown("/proc/stat has no line for all CPUs")
    times = [int(word) for word in match[1].split()[:8]]
    share = times[7] / max(1, sum(times))
    worked = times[7] / max(1, sum(times) - times[3] - times[4])
    if share < 0.005 and worked < 0.02:
        return good("no CPU time was stolen")
    found = f"the hypervisor took {worked:.1%} of the busy time since boot"
    advice = "Use dedicated CPUs, or measure at quiet hours"
    return (warning if worked >= 0.05 else note)(found, cost=f"about {worked:.1%} of the speed", source=MEASURED, advice=advice)


def others(machine: Machine) -> Verdict:
    """Check whether programs wait for a CPU now."""
    waiting = machine.pressure("cpu")
    load = (machine.maybe("proc/loadavg") or "?").split()[0]
    found = f"some task waited for a CPU in {waiting:.0f} % of the last 10 s; load {load}"
    if waiting < CROWDED_PRESSURE:
        return good(found)
    cost = "waiting threads must sleep instead of spin: 70 instead of 114 tokens/s with a 135M model on two cores"
    return warning(
        found,
        cost=cost,
        source="measured on xchat's test machine",
        advice="List the busiest programs",
        command="ps -eo pid,ni,pcpu,comm --sort=-pcpu | head",
    )


def priority(machine: Machine) -> Verdict:
    """Judge the nice value."""
    nice = machine.niceness
    if nice <= 0:
        return good(f"nice {nice}")
    cost = "at nice 5, 50 to 90 % of the speed as soon as another program is busy"
    return warning(f"nice {nice}", cost=cost, source="measured on xchat's test machine", advice="Start xchat without nice")


def clock_source(machine: Machine) -> Verdict:
    """Measure what reading the clock costs, and name the kernel's clock source."""
    name = machine.maybe("sys/devices/system/clocksource/clocksource0/current_clocksource")
    cost_ns = machine.clock_ns()
    shown = f"{name or 'unknown clock source'}, {cost_ns:.0f} ns a reading"
    if cost_ns < 500 and name not in {"hpet", "acpi_pm"}:
        return good(shown)
    other = (machine.maybe("sys/devices/system/clocksource/clocksource0/available_clocksource") or "").split()
    command = "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource" if "tsc" in other else ""
    cost = f"{cost_ns:.0f} ns for each reading of the clock, about 20 readings per token"
    return note(shown, cost=cost, source=MEASURED, advice="Token timings are less precise", command=command)


def virtual(machine: Machine) -> Verdict:
    """Check whether this is a virtual machine or a container, since both hide figures."""
    guest = "hypervisor" in cpu_features(machine.root)
    marks = {".dockerenv": "Docker", "run/.containerenv": "Podman", "run/systemd/container": "systemd"}
    container = next((name for mark, name in marks.items() if os.path.exists(machine.root / mark)), None)
    if not cpu_features(machine.root):
        return unknown("/proc/cpuinfo lists no features")
    if not guest and container is None:
        return good("neither a virtual machine nor a container")
    where = " in ".join(filter(None, [f"a container ({container})" if container else "", "a virtual machine" if guest else ""]))
    return note(f"this is {where}", cost="none by itself; frequency, temperature and energy are hidden, and other guests may take CPU time")

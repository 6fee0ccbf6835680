"""Every check of the doctor: what it says of a healthy machine, of one with its fault, and of one that shows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.doctor.finding import Finding, Group, Severity
from engine.doctor.registry import CHECKS, examine
from engine.host.value import Unavailable
from tests.engine.doctor.machines import HEALTHY, bare, machine

IN_TMUX = {"TERM": "tmux-256color", "COLORTERM": "truecolor", "TMUX": "/tmp/tmux-0/default,1,0"}
CPU = "sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy0"
GOOD, NOTE, WARNING, PROBLEM = Severity.GOOD, Severity.NOTE, Severity.WARNING, Severity.PROBLEM
ALL = "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | BMI2 = 1 |"
PRESSED = "some avg10=42.00 avg60=0 avg300=0 total=1\n"
MAX, STAT = "sys/fs/cgroup/user/cpu.max", "sys/fs/cgroup/user/cpu.stat"
SOURCE = "sys/devices/system/clocksource/clocksource0"
TWO_GOMPS = "7f-80 r-xp 0 08:01 1 /a/libgomp-a34b.so.1.0.0\n81-82 r-xp 0 08:01 1 /usr/lib/libgomp.so.1\n"

# fmt: off
CASES: list[tuple[str, dict[str, Any], dict[str, Any], Severity, str]] = [
    ("cpu-features", {}, {"system_info": "CPU : SSE3 = 1 | SSSE3 = 1 |"}, PROBLEM, "AVX2"),
    ("cpu-features", {}, {"system_info": f"{ALL} AVX512 = 1 |"}, PROBLEM, "illegal instruction"),
    ("cpu-features", {"proc/cpuinfo": "flags : pni ssse3 avx avx2 fma f16c bmi2 avx512f\n"}, {}, NOTE, "AVX512"),
    ("cpu-features", {"proc/cpuinfo": "flags : pni ssse3 avx avx2 fma f16c bmi2 avx_vnni\n"}, {}, WARNING, "prefill"),
    ("cpu-quota", {MAX: "200000 100000", STAT: "nr_periods 100\nnr_throttled 40\n"}, {}, PROBLEM, "40%"),
    ("cpu-quota", {MAX: "200000 100000", STAT: "nr_periods 100\nnr_throttled 0\n"}, {}, NOTE, "2 of 4 CPUs"),
    ("affinity", {}, {"cpus": frozenset({0, 1})}, WARNING, "taskset -c 0-3 xchat"),
    ("smt", {f"{CPU}/smt/active": "1", **{f"{CPU}/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}" for n in range(4)}}, {},
     NOTE, "4 CPUs on 2 cores"),
    ("core-kinds", {f"{CPU}/cpu{n}/cpu_capacity": "1024" if n < 2 else "400" for n in range(4)}, {}, NOTE, "2 fast cores and 2"),
    ("numa", {"sys/devices/system/node/node0/cpulist": "0-1", "sys/devices/system/node/node1/cpulist": "2-3",
              "proc/sys/kernel/numa_balancing": "1"}, {}, WARNING, "moves pages"),
    ("governor", {f"{POLICY}/scaling_governor": "powersave"}, {}, WARNING, "lowest frequency"),
    ("governor", {f"{POLICY}/scaling_governor": "powersave", f"{POLICY}/scaling_driver": "intel_pstate",
                  f"{POLICY}/energy_performance_preference": "balance_performance"}, {}, GOOD, "intel_pstate"),
    ("governor", {f"{POLICY}/scaling_governor": "powersave", f"{POLICY}/scaling_driver": "amd-pstate-epp",
                  f"{POLICY}/energy_performance_preference": "power"}, {}, WARNING, "amd-pstate-epp, power"),
    ("boost", {f"{CPU}/cpufreq/boost": "0"}, {}, WARNING, "echo 1 | sudo tee"),
    ("boost", {f"{CPU}/cpufreq/boost": None, f"{CPU}/intel_pstate/no_turbo": "1"}, {}, WARNING, "echo 0 | sudo tee"),
    ("temperature", {"sys/class/hwmon/hwmon0/temp1_input": "97000"}, {}, WARNING, "97 °C"),
    ("temperature", {f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "12"}, {}, NOTE, "throttled 12 times"),
    ("steal", {"proc/stat": "cpu  100 0 50 8000 10 0 5 40 0 0\n"}, {}, WARNING, "20.5%"),
    ("other-programs", {"proc/pressure/cpu": PRESSED}, {}, WARNING, "42 %"),
    ("nice", {}, {"niceness": 5}, WARNING, "nice 5"),
    ("clock-source", {f"{SOURCE}/current_clocksource": "hpet", f"{SOURCE}/available_clocksource": "tsc hpet"},
     {"clock_ns": lambda: 1500.0}, NOTE, "1500 ns"),
    ("virtual", {"proc/cpuinfo": "flags : fpu hypervisor\n", ".dockerenv": ""}, {}, NOTE, "container (Docker) in a virtual machine"),
    ("memory-limit", {"sys/fs/cgroup/user/memory.max": "3000000"}, {}, PROBLEM, "reread from the disk for every token"),
    ("memory-limit", {"sys/fs/cgroup/user/memory.high": "9000000000"}, {}, NOTE, "memory.high allows 9.00 GB"),
    ("memory-pressure", {"proc/pressure/memory": PRESSED}, {}, PROBLEM, "42 %"),
    ("transparent-huge-pages", {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, {}, NOTE, "does nothing"),
    ("huge-pages", {"proc/sys/vm/nr_hugepages": "1024"}, {}, WARNING, "2.15 GB that neither"),
    ("swap", {"proc/self/status": "VmSwap: 50000 kB\n"}, {}, WARNING, "51.2 MB of this process"),
    ("swap", {"proc/meminfo": "SwapTotal: 2000000 kB\nSwapFree: 1000000 kB\n"}, {}, NOTE, "vm.swappiness=10"),
    ("memlock", {}, {"limit": lambda _: (1_000_000, 1_000_000)}, NOTE, "memlock unlimited"),
    ("overcommit", {"proc/sys/vm/overcommit_memory": "2"}, {}, WARNING, "refused"),
    ("address-space", {}, {"limit": lambda _: (1_000_000_000, -1)}, PROBLEM, "can't be mapped"),
    ("page-cache", {}, {"disk_speed": lambda _: 1e6}, NOTE, "takes 4.0 s longer"),
    ("disk-speed", {}, {"disk_speed": lambda _: 50e6}, WARNING, "50.0 MB/s"),
    ("file-system", {"proc/self/mountinfo": "22 1 0:9 / / rw - nfs4 server:/models rw\n"}, {}, PROBLEM, "network"),
    ("file-system", {"proc/self/mountinfo": "22 1 0:9 / / rw - virtiofs host rw\n"}, {}, NOTE, "virtiofs"),
    ("free-disk", {}, {}, WARNING, "another quant of this model does not fit"),
    ("openmp-settings", {}, {"environ": {"OMP_WAIT_POLICY": "PASSIVE"}}, PROBLEM, "unset OMP_WAIT_POLICY"),
    ("openmp-settings", {}, {"environ": {"OMP_PROC_BIND": "true"}}, WARNING, "can't leave a CPU"),
    ("openmp-settings", {}, {"environ": {"OMP_WAIT_POLICY": "active"}}, WARNING, "can't switch spinning"),
    ("openmp-settings", {}, {"environ": {"OMP_NUM_THREADS": "3"}}, NOTE, "OMP_NUM_THREADS=3"),
    ("openmp-copies", {"proc/self/maps": TWO_GOMPS}, {}, WARNING, "2 copies"),
    ("gpu", {"dev/nvidia0": ""}, {}, NOTE, "-DGGML_CUDA=ON"),
    ("gpu", {"dev/dri/renderD128": ""}, {}, NOTE, "-DGGML_VULKAN=ON"),
    ("gpu", {"dev/dri/renderD128": ""}, {"gpus": ("CUDA0 (H200)",)}, GOOD, "computes on CUDA0 (H200)"),
    ("versions", {}, {"library": "0.4.0, llama-cpp-python 0.2.1"}, WARNING, "pip install"),
    ("versions", {}, {"benchmarked": (7, "Linux 5.10", "")}, NOTE, "xchat runs again 7"),
    ("colours", {}, {"environ": {"TERM": "xterm"}}, NOTE, "COLORTERM=truecolor"),
    ("colours", {}, {"environ": {"TERM": "linux"}}, WARNING, "few colours"),
    ("colours", {}, {"environ": {"TERM": "xterm", "NO_COLOR": "1"}}, NOTE, "unset NO_COLOR"),
    ("escape-time", {}, {"environ": IN_TMUX, "tmux": lambda _: "500"}, WARNING, "tmux set -s escape-time 10"),
    ("escape-time", {}, {"environ": {"TERM": "screen", "STY": "1.pts"}}, NOTE, "GNU screen"),
    ("tmux-colours", {}, {"environ": IN_TMUX, "tmux": lambda _: "xterm*:clipboard"}, NOTE, "RGB"),
    ("tmux-clipboard", {}, {"environ": IN_TMUX, "tmux": lambda _: "off"}, NOTE, "set-clipboard external"),
    ("ptrace", {"proc/sys/kernel/yama/ptrace_scope": "2"}, {}, WARNING, "captures need root"),
    ("ptrace", {"proc/sys/kernel/yama/ptrace_scope": "3"}, {}, WARNING, "next boot"),
    ("energy", {}, {}, NOTE, "chmod a+r"),
    ("open-files", {"proc/self/limits": "Max open files   1024   4096   files\n"}, {}, NOTE, "1024 open files"),
    ("open-files", {"proc/self/limits": "Max open files   unlimited   unlimited   files\n"}, {}, GOOD, "unlimited"),
    ("open-files", {"proc/self/limits": "Max cpu time   x\n"}, {}, Severity.UNKNOWN, "does not list"),
]
# fmt: on
"""Check, files that differ, fields that differ, and what is said of them."""

SEEN_WITHOUT_FILES = {
    *("nice", "clock-source", "memlock", "address-space", "free-disk", "page-cache", "disk-speed", "openmp-settings", "versions"),
    *("colours", "escape-time", "tmux-colours", "tmux-clipboard"),
}
"""Checks that need none of the kernel's files; every other one is unknown without them."""


@pytest.fixture(autouse=True)
def usual_disk(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A cached file on a roomy disk, and counters that can be read, unless the case is about their lack."""
    name = getattr(request.node, "callspec", None) and (request.node.callspec.params.get("case") or [""])[0]
    monkeypatch.setattr("engine.doctor.checks.model.cached_bytes", lambda _: 0.0 if name == "page-cache" else 4e6)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000 if name == "free-disk" else 1 << 40}))
    monkeypatch.setattr("os.access", lambda *_: name != "energy")


def looked(root: Any, check_id: str) -> Finding:
    return examine(root, [check for check in CHECKS if check.id == check_id]).findings[0]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_nothing_is_wrong_with_a_healthy_machine(check: Any, tmp_path: Path) -> None:
    found = looked(machine(tmp_path), check.id)
    assert found.severity is Severity.GOOD, found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[4]}")
def test_a_fault_is_found_with_what_it_costs_and_what_to_do(case: Any, tmp_path: Path) -> None:
    check_id, files, fields, severity, said = case
    found = looked(machine(tmp_path, files, **fields), check_id)
    assert found.severity is severity, found
    assert said in f"{found.found} {found.cost} {found.command}", found
    if severity in {PROBLEM, WARNING}:
        assert found.cost, "a fault without a cost is an opinion"


def test_every_check_has_a_case() -> None:
    assert {case[0] for case in CASES} == {check.id for check in CHECKS}
    assert len({check.id for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_that_cant_look_says_so(check: Any, tmp_path: Path) -> None:
    found = looked(bare(tmp_path), check.id)
    assert found.severity is (GOOD if check.id in SEEN_WITHOUT_FILES else Severity.UNKNOWN), found
    assert found.found


@pytest.mark.parametrize("check", [check for check in CHECKS if check.group is Group.MODEL], ids=lambda check: check.id)
def test_without_a_model_its_checks_say_why(check: Any, tmp_path: Path) -> None:
    found = looked(machine(tmp_path, model=(), no_model="the model is gone"), check.id)
    assert (found.severity, found.found) == (Severity.UNKNOWN, "the model is gone")


def test_residency_that_the_kernel_keeps_to_itself_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.doctor.checks.model.cached_bytes", lambda _: Unavailable("the kernel reports this to the owner only"))
    assert looked(machine(tmp_path), "page-cache").severity is Severity.UNKNOWN


HOSTILE = [
    b"",
    b"\x00\xff\xfe",
    b"\x1b]0;owned\x07\x1b[2J",
    b"9" * 5_000,
    b"-1",
    b"cpu " * 999,
    b"0::\n" * 3,
    b"[\x1b[31mred]",
    b"some avg10=nan",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_neither_end_the_examination_nor_reach_the_terminal(content: bytes, tmp_path: Path) -> None:
    environ = {"TERM": "\x1b[2J", "OMP_\x1b": "\x1b[31m"}
    report = examine(machine(tmp_path, dict.fromkeys(HEALTHY, content), environ=environ, library="\x1b[2J", no_model="\x1b[2J"))
    assert len(report.findings) == len(CHECKS)
    assert "".join(f"{one.found}{one.cost}{one.advice}{one.command}" for one in report.findings).isprintable()


def test_the_worst_group_comes_first_and_in_it_the_worst_finding(tmp_path: Path) -> None:
    report = examine(machine(tmp_path, {"proc/sys/vm/nr_hugepages": "9", "proc/pressure/memory": PRESSED}))
    assert [one.id for one in report.findings][:2] == ["memory-pressure", "huge-pages"]
    assert report.count(PROBLEM) == 1

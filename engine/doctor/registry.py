"""The registry of checks; runs them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.clock import NS_PER_MS, now_ns
from engine.doctor.checks import cpu, library, memory, model, surroundings
from engine.doctor.finding import ORDER, Check, Finding, Group, Severity, finding, unknown
from engine.doctor.machine import Machine, NotReadable

CHECKS: tuple[Check, ...] = (
    Check("cpu-features", Group.CPU, "Instruction sets", cpu.features),
    Check("cpu-quota", Group.CPU, "CPU quota", cpu.quota),
    Check("affinity", Group.CPU, "Affinity", cpu.affinity),
    Check("smt", Group.CPU, "Hyper-threads", cpu.hyper_threads),
    Check("core-kinds", Group.CPU, "Kinds of cores", cpu.core_kinds),
    Check("numa", Group.CPU, "Memory nodes", cpu.numa),
    Check("governor", Group.CPU, "Governor", cpu.governor),
    Check("boost", Group.CPU, "Boost", cpu.boost),
    Check("temperature", Group.CPU, "Temperature", cpu.temperature),
    Check("steal", Group.CPU, "Stolen time", cpu.steal),
    Check("other-programs", Group.CPU, "Other programs", cpu.others),
    Check("nice", Group.CPU, "Priority", cpu.priority),
    Check("clock-source", Group.CPU, "Clock", cpu.clock_source),
    Check("virtual", Group.CPU, "Virtual machine", cpu.virtual),
    Check("memory-limit", Group.MEMORY, "Memory limit", memory.control_group),
    Check("memory-pressure", Group.MEMORY, "Memory pressure", memory.pressure),
    Check("transparent-huge-pages", Group.MEMORY, "Transparent huge pages", memory.transparent_huge_pages),
    Check("huge-pages", Group.MEMORY, "Huge pages", memory.huge_pages),
    Check("swap", Group.MEMORY, "Swap", memory.swap),
    Check("memlock", Group.MEMORY, "Locked memory", memory.locking),
    Check("overcommit", Group.MEMORY, "Overcommit", memory.overcommit),
    Check("address-space", Group.MEMORY, "Address space", memory.address_space),
    Check("page-cache", Group.MODEL, "Page cache", model.page_cache),
    Check("disk-speed", Group.MODEL, "Disk", model.disk_speed),
    Check("file-system", Group.MODEL, "File system", model.file_system),
    Check("free-disk", Group.MODEL, "Free disk", model.free_disk),
    Check("openmp-settings", Group.LIBRARY, "OpenMP settings", library.openmp_settings),
    Check("openmp-copies", Group.LIBRARY, "OpenMP runtimes", library.openmp_runtimes),
    Check("gpu", Group.LIBRARY, "GPU", library.gpu),
    Check("versions", Group.LIBRARY, "Versions", library.versions),
    Check("colours", Group.TERMINAL, "Colours", surroundings.colours),
    Check("escape-time", Group.TERMINAL, "Escape in tmux", surroundings.multiplexer),
    Check("tmux-colours", Group.TERMINAL, "Colours in tmux", surroundings.tmux_colours),
    Check("tmux-clipboard", Group.TERMINAL, "Clipboard in tmux", surroundings.tmux_clipboard),
    Check("ptrace", Group.PROGRAM, "Captures", surroundings.ptrace),
    Check("open-files", Group.PROGRAM, "Open files", surroundings.open_files),
    Check("energy", Group.PROGRAM, "Energy", surroundings.energy),
)
"""Every check, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one examination."""

    findings: tuple[Finding, ...]
    """By group, the group with the worst finding first; in a group the worst first."""
    took_ms: float

    def count(self, severity: Severity) -> int:
        """Count the findings of a severity."""
        return sum(one.severity is severity for one in self.findings)

    def groups(self) -> Iterator[tuple[Group, list[Finding]]]:
        """Yield the groups in their order, each with its findings."""
        for group in dict.fromkeys(one.group for one in self.findings):
            yield group, [one for one in self.findings if one.group is group]


def examine(machine: Machine, checks: Sequence[Check] = CHECKS, *, progressed: Callable[[Check], None] = lambda _check: None) -> Report:
    """Run the checks; takes about a second when the model's disk is measured.

    A check that can't read its input is `unknown` with the reason.
    """
    began = now_ns()
    found = []
    for check in checks:
        progressed(check)
        found.append(_run(check, machine))
    worst = {group: min(ORDER[one.severity] for one in found if one.group is group) for group in {one.group for one in found}}
    found.sort(key=lambda one: (worst[one.group], list(Group).index(one.group), ORDER[one.severity]))
    return Report(tuple(found), (now_ns() - began) / NS_PER_MS)


def _run(check: Check, machine: Machine) -> Finding:
    try:
        verdict = check.probe(machine)
    except NotReadable as reason:
        verdict = unknown(str(reason))
    except (OSError, ValueError, LookupError, ArithmeticError) as error:
        verdict = unknown(f"it could not be read: {error}")
    return finding(check, verdict)

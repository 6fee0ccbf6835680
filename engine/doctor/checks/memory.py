"""Checks of memory: limits, huge pages, swap, locking."""

from __future__ import annotations

import re
import resource

from engine.doctor.finding import MEASURED, Verdict, good, note, problem, unknown, warning
from engine.doctor.machine import Machine, NotReadable
from engine.host.topology import memory_limits
from engine.numbers import byte_size

GB = 1e9


def control_group(machine: Machine) -> Verdict:
    """Compare the control group's memory limits with the model."""
    machine.text("proc/self/cgroup")
    limits = memory_limits(machine.root)
    if not limits:
        return good("no control group limits the memory")
    path, limit = min(limits.items(), key=lambda one: one[1])
    found = f"{path} allows {byte_size(limit)}"
    try:
        size = machine.model_bytes
    except NotReadable:
        return note(found)
    if limit < size:
        cost = f"the model's {byte_size(size)} are reread from the disk for every token"
        return problem(found, cost=cost, source="the sizes", advice="Use a smaller quant, or raise the limit (docker run --memory)")
    return note(f"{found}; the model has {byte_size(size)}")


def pressure(machine: Machine) -> Verdict:
    """Check whether programs wait for memory now."""
    waiting = machine.pressure("memory")
    found = f"some task waited for memory in {waiting:.0f} % of the last 10 s"
    if waiting < 5:
        return good(found)
    return problem(found, cost=f"about {waiting:.0f} % of the time", source=MEASURED, advice="Use a smaller quant or a smaller n_ctx")


def transparent_huge_pages(machine: Machine) -> Verdict:
    """Report the mode of transparent huge pages and their effect here."""
    match = re.search(r"\[(\w+)\]", machine.text("sys/kernel/mm/transparent_hugepage/enabled"))
    if match is None:
        return unknown("/sys/kernel/mm/transparent_hugepage/enabled marks no mode")
    try:
        used = f"; {machine.field('proc/self/smaps_rollup', 'AnonHugePages') / 1e3:.0f} MB of this process are on them"
    except NotReadable:
        used = ""
    found = f"mode {match[1]}{used}; mapped weights are never on huge pages, so the mode does nothing for them"
    if match[1] == "always":
        return note(
            found,
            cost="from 3.5 to under 2 tokens/s in one report; none in others",
            source="ubergarm pull request 1, llama.cpp pull request 22022",
            advice="Compare the speed in both modes first",
            command="echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        )
    return good(found)


def huge_pages(machine: Machine) -> Verdict:
    """Report the memory reserved for huge pages that the engine can't use."""
    pages = machine.number("proc/sys/vm/nr_hugepages")
    if not pages:
        return good("none are reserved; llama.cpp maps a file, and a file's pages can't be huge")
    size = pages * machine.field("proc/meminfo", "Hugepagesize") * 1024
    return warning(
        f"{pages:,} huge pages are reserved",
        cost=f"{byte_size(size)} that neither the weights nor the page cache can use; no speed is gained",
        source="llama.cpp issues 2251 and 12444",
        advice="Free them, unless another program needs them",
        command="sudo sysctl vm.nr_hugepages=0",
    )


def swap(machine: Machine) -> Verdict:
    """Judge the use of swap and the kernel's swappiness."""
    total = machine.field("proc/meminfo", "SwapTotal") * 1024
    if not total:
        return good("there is no swap")
    used = total - machine.field("proc/meminfo", "SwapFree") * 1024
    swappiness = machine.number("proc/sys/vm/swappiness")
    try:
        own = machine.field("proc/self/status", "VmSwap") * 1024
    except NotReadable:
        own = 0
    found, command = f"{byte_size(used)} of {byte_size(total)} in use, swappiness {swappiness}", "sudo sysctl vm.swappiness=10"
    if own > 1 << 20:
        cost = "reading a page back takes milliseconds, in the middle of a token"
        found = f"{found}; {byte_size(own)} of this process are swapped out"
        return warning(found, cost=cost, source="the kernel's documentation of vm", command=command)
    if swappiness > 60 or (used and swappiness > 10):
        cost = "KV cache and repacked weights may be swapped out while xchat waits"
        return note(found, cost=cost, source="the kernel's documentation of vm", command=command)
    return good(found)


def locking(machine: Machine) -> Verdict:
    """Compare the limit of locked memory with the model, for mlock."""
    soft, hard = machine.limit(resource.RLIMIT_MEMLOCK)
    shown = "unlimited" if soft < 0 or soft == resource.RLIM_INFINITY else byte_size(soft)
    found = f"{shown} of memory may be locked"
    if shown == "unlimited":
        return good(found)
    if soft >= machine.model_bytes:
        return good(f"{found}, enough for the model")
    more = (
        "ulimit -l unlimited"
        if hard in {-1, resource.RLIM_INFINITY}
        else "echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/mlock.conf"
    )
    return note(
        found, cost="none: xchat does not lock the weights, so the kernel may evict them when memory is short", source="xchat", command=more
    )


def overcommit(machine: Machine) -> Verdict:
    """Check whether the kernel refuses large allocations."""
    mode = machine.number("proc/sys/vm/overcommit_memory")
    if mode != 2:
        return good(f"mode {mode}: large allocations are granted")
    return warning(
        "mode 2: allocations beyond the limit are refused",
        cost="a large n_ctx or a model that is not mapped may fail to load",
        source="the kernel's documentation of overcommit",
        command="sudo sysctl vm.overcommit_memory=0",
    )


def address_space(machine: Machine) -> Verdict:
    """Compare the limit of the address space with the model."""
    soft = machine.limit(resource.RLIMIT_AS)[0]
    if soft < 0 or soft == resource.RLIM_INFINITY:
        return good("the address space is not limited")
    found = f"the address space is limited to {byte_size(soft)}"
    if soft < machine.model_bytes + 2 * GB:
        return problem(found, cost="the model can't be mapped", source="the sizes", command="ulimit -v unlimited")
    return note(found)

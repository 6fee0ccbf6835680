"""Checks of the model's file: page cache, disk, file system and free space."""

from __future__ import annotations

import os
import shlex
import shutil

from engine.doctor.changes import READ_MODEL
from engine.doctor.disk import mount_of
from engine.doctor.finding import MEASURED, Verdict, good, note, problem, unknown, warning
from engine.doctor.machine import Machine, NotReadable
from engine.host.memory import cached_bytes
from engine.host.value import Unavailable
from engine.numbers import byte_size, percent

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs", "fuse.rclone", "fuse.s3fs", "afs"})
SHORT_S = 0.1
"""Longest wait in seconds that goes unnoticed."""
SHARED = frozenset({"virtiofs", "vboxsf", "fuse.vmhgfs-fuse", "drvfs"})


def page_cache(machine: Machine) -> Verdict:
    """Measure how much of the model's file is in RAM, and estimate the time to read the rest."""
    size, cached = machine.model_bytes, 0.0
    for part in machine.model:
        there = cached_bytes(part)
        if isinstance(there, Unavailable):
            return unknown(there.reason)
        cached += there
    found = f"{percent(cached / size)} of {byte_size(size)} are in the page cache" if size else "the file is empty"
    missing = size - cached
    speed = machine.cold_read if missing else None
    if missing < 0.01 * size or (speed is not None and missing / speed < SHORT_S):
        return good(found)
    line = "cat " + " ".join(shlex.quote(str(part)) for part in machine.model) + " > /dev/null"
    advice = "The next load reads it; apply this to read it now"
    if speed is None:
        return note(found, cost="the rest is read from the disk by the next load", advice=advice, command=line, change=READ_MODEL)
    return note(
        found, cost=f"the next load takes {missing / speed:.1f} s longer", source=MEASURED, advice=advice, command=line, change=READ_MODEL
    )


def disk_speed(machine: Machine) -> Verdict:
    """Measure how fast the model's disk reads."""
    size, speed = machine.model_bytes, machine.cold_read
    if speed is None:
        return unknown("this file system can't be read around the page cache")
    found = f"{byte_size(speed)}/s{', on a spinning disk according to the kernel' if _spins(machine) else ''}"
    cost = f"a cold load of this model takes {size / speed:.1f} s"
    if speed < 200e6:
        return warning(found, cost=cost, source=MEASURED, advice="Put models on a faster disk")
    return note(found, cost=cost, source=MEASURED) if size / speed > 10 else good(f"{found}: {cost}")


def _spins(machine: Machine) -> bool:
    device = os.stat(machine.model[0]).st_dev
    folder = f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    return "1" in {machine.maybe(f"{folder}/queue/rotational"), machine.maybe(f"{folder}/../queue/rotational")}


def file_system(machine: Machine) -> Verdict:
    """Name the file system of the model; one on a network makes mapped weights slow."""
    _ = machine.model_bytes
    mount = mount_of(machine.model[0], machine.text("proc/self/mountinfo"))
    if mount is None:
        return unknown("/proc/self/mountinfo does not list the model's mount")
    found = f"{mount.kind} on {mount.point} ({mount.device})"
    if mount.kind not in NETWORK | SHARED:
        return good(found)
    command = f"xchat models add --copy {shlex.quote(str(machine.model[0]))}"
    cost = "a page that is not cached is read over the network, in the middle of a token"
    if mount.kind in SHARED:
        return note(found, cost="loads are slower than from a local disk", source="the file system", command=command)
    return problem(found, cost=cost, source="how mapped files work", advice="Copy the model to a local disk", command=command)


def free_disk(machine: Machine) -> Verdict:
    """Compare the free disk with the size of the model."""
    size = machine.model_bytes
    try:
        free = shutil.disk_usage(machine.model[0].parent).free
    except OSError as error:
        raise NotReadable(f"the free space can't be read: {error.strerror}") from error
    found = f"{byte_size(free)} are free on the model's disk"
    return good(found) if free > size + 1e9 else warning(found, cost="another quant of this model does not fit", source="the sizes")

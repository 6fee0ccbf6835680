"""Checks of the terminal, of tmux, and of the kernel's limits on measuring."""

from __future__ import annotations

import os
import re
from typing import Final

from engine.doctor.changes import TMUX_ESCAPE_TIME
from engine.doctor.finding import Verdict, good, note, unknown, warning
from engine.doctor.machine import Machine

SERVED_FILES: Final = 2_128
"""Open files with which `xchat serve` accepts all the connections that it can handle."""


def ptrace(machine: Machine) -> Verdict:
    """Check whether py-spy may read this process for captures."""
    text = machine.maybe("proc/sys/kernel/yama/ptrace_scope")
    if text is None:
        if machine.maybe("proc/sys/kernel/osrelease") is None:
            return unknown("/proc/sys/kernel can't be read")
        return good("the kernel has no Yama: captures are allowed")
    scope = machine.number("proc/sys/kernel/yama/ptrace_scope")
    found = f"kernel.yama.ptrace_scope is {scope}"
    if scope <= 1:
        return good(f"{found}: captures are allowed")
    cost = "captures need root" if scope == 2 else "captures are impossible until the next boot"
    command = (
        "sudo sysctl kernel.yama.ptrace_scope=1"
        if scope == 2
        else "echo kernel.yama.ptrace_scope=1 | sudo tee /etc/sysctl.d/99-ptrace.conf"
    )
    return warning(found, cost=cost, source="the kernel's documentation of Yama", command=command)


def energy(machine: Machine) -> Verdict:
    """Check whether the energy counters can be read."""
    counters = sorted((machine.root / "sys/class/powercap").glob("*/energy_uj"))
    if not counters:
        return unknown("no energy counters here, as in most virtual machines")
    if any(os.access(counter, os.R_OK) for counter in counters):
        return good("the energy counters can be read")
    command = "sudo chmod a+r /sys/class/powercap/*/energy_uj"
    return note(
        "only root can read the energy counters", cost="no joules per token; the command lets every user read them", command=command
    )


def colours(machine: Machine) -> Verdict:
    """Report the number of colours that the terminal announces."""
    environ = machine.environ
    term, depth = environ.get("TERM", ""), environ.get("COLORTERM", "")
    shown = f"TERM={term or '(not set)'}, COLORTERM={depth or '(not set)'}"
    if not term:
        return unknown("TERM is not set: this is not a terminal")
    if "NO_COLOR" in environ:
        return note(f"{shown}, NO_COLOR is set", cost="no colours", command="unset NO_COLOR")
    if depth.lower() in {"truecolor", "24bit"}:
        return good(shown)
    if term in {"dumb", "linux", "vt100"}:
        return warning(shown, cost="few colours, and charts without braille")
    return note(shown, cost="themes are shown in 256 colours", advice="If the terminal has more", command="export COLORTERM=truecolor")


def multiplexer(machine: Machine) -> Verdict:
    """Check how long tmux waits after Escape."""
    if not machine.environ.get("TMUX"):
        return (
            note("this is GNU screen", cost="keys with Alt and true colours may be lost")
            if machine.environ.get("STY")
            else good("not inside tmux")
        )
    text = machine.tmux("escape-time")
    if text is None or not text.isdecimal():
        return unknown("tmux does not answer")
    wait = int(text[:9])
    if wait <= 50:
        return good(f"tmux waits {wait} ms after Escape")
    return warning(
        f"tmux waits {wait} ms after Escape",
        cost=f"leaving a dialog and stopping an answer take {wait} ms longer",
        source="tmux's manual",
        command="tmux set -s escape-time 10",
        change=TMUX_ESCAPE_TIME,
    )


def tmux_colours(machine: Machine) -> Verdict:
    """Check whether tmux passes true colours on."""
    if not machine.environ.get("TMUX"):
        return good("not inside tmux")
    features, overrides = machine.tmux("terminal-features"), machine.tmux("terminal-overrides")
    if features is None and overrides is None:
        return unknown("tmux does not answer")
    said = f"{features} {overrides}"
    if "RGB" in said or "Tc" in said:
        return good("tmux passes true colours on")
    return note("tmux does not know that the terminal has true colours", cost="themes are shown in 256 colours",
                command="tmux set -as terminal-features ',*:RGB'")  # fmt: skip


def tmux_clipboard(machine: Machine) -> Verdict:
    """Check whether tmux passes copied text on to the terminal."""
    if not machine.environ.get("TMUX"):
        return good("not inside tmux")
    value = machine.tmux("set-clipboard")
    if value is None:
        return unknown("tmux does not answer")
    if value != "off":
        return good(f"set-clipboard is {value}: copied text reaches the terminal")
    return note("set-clipboard is off", cost="what xchat copies stays in tmux's buffer", command="tmux set -s set-clipboard external")


def open_files(machine: Machine) -> Verdict:
    """Compare the limit of open files with the connections that `xchat serve` accepts."""
    limit = re.search(r"^Max open files +(\d+|unlimited)", machine.text("proc/self/limits"), re.MULTILINE)
    if limit is None:
        return unknown("/proc/self/limits does not list open files")
    if limit[1] == "unlimited" or int(limit[1]) >= SERVED_FILES:
        return good(f"{limit[1]} open files: xchat serve accepts all the connections that it can handle")
    return note(f"{limit[1]} open files", cost="xchat serve accepts fewer connections",
                advice="LimitNOFILE=4096 in its unit, or", command="ulimit -n 4096")  # fmt: skip

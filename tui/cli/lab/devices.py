"""`xchat devices`: what the native library can compute on."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from engine.numbers import byte_size
from tui.cli.output import write_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `devices` to the command line."""
    parser = subparsers.add_parser(
        "devices",
        help="list what the native library can compute on: CPU, GPUs",
        description="List the devices of this build of llama.cpp on this machine. `n_gpu_layers` and `devices` of a preset use them.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask the drivers, and print."""
    from engine.llama.devices.listing import CPU_BUILD, devices
    from engine.llama.log import NativeLog

    NativeLog().listen()
    found = devices()
    if options.json:
        write_json([{name: value for name, value in asdict(device).items() if name not in {"handle", "buffers"}} for device in found])
        return 0
    width = max(len(device.name) for device in found)
    for device in found:
        memory = f"{byte_size(device.memory_free)} of {byte_size(device.memory_total)} free" if device.memory_total else "memory unknown"
        sys.stdout.write(f"{device.name:<{width}}  {device.kind:<14}  {memory:<28}  {device.description}\n")
    if not any(device.offloads for device in found):
        sys.stdout.write(f"{CPU_BUILD}; the README has the build lines for GPUs.\n")
    return 0

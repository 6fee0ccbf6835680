"""The kernel's figures of the machine: topology, CPU time, memory, threads, cgroups, energy, memory bandwidth.

May import engine.atomic_write, engine.child, engine.clock, engine.errors, engine.paths, engine.regular_file, msgspec, numpy, psutil.
"""
